//! Time to live: finds the items of a table whose second has passed and deletes them.
//!
//! An item expires when its TTL attribute is a Number, reads as seconds since the epoch, lies before now and not more
//! than five years before: AWS takes an older one for a mistake and keeps the item. Each item is judged again by the
//! condition of its own delete, so one that was written anew in between stays. A stream shows these deletes as REMOVE
//! by `dynamodb.amazonaws.com`. Reads a page at a time; does not know when to run.

use std::collections::HashMap;
use std::time::Duration;

use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::types::KeySchemaElement;
use dynoxide::{AttributeValue, Database, DynoxideError, Item};
use lakebed_contract::Timestamp;

use super::changes::{ChangeLog, Expiry};

/// Items read per page.
const ITEMS_PER_PAGE: usize = 100;

/// Items deleted while the requests of tables wait.
const DELETES_PER_TURN: usize = 25;

/// Five years: an item that should have expired longer ago is kept.
const EXPIRED_AGE_MAX: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

const EXPIRED: &str = "#ttl >= :oldest AND #ttl < :now";

/// Why a page could not be swept.
#[derive(Debug, thiserror::Error)]
pub(super) enum SweepError {
    /// A table's own state is not readable.
    #[error("the stored key schema of a table is not JSON")]
    KeySchema(#[from] serde_json::Error),
    /// dynoxide refused. Only the kind is told: the message may name items.
    #[error("the tables answered {0}")]
    Tables(&'static str),
    /// The change log cannot be written.
    #[error("failed to use the change log")]
    ChangeLog(#[from] rusqlite::Error),
}

impl From<DynoxideError> for SweepError {
    fn from(error: DynoxideError) -> Self {
        Self::Tables(error.error_type())
    }
}

/// How far a table has been swept. No `Debug`: it holds a key.
#[derive(Default)]
pub(super) struct Page {
    /// Items deleted from this page.
    pub(super) deleted: usize,
    /// Where the next page starts; none when this was the last.
    pub(super) next: Option<Item>,
}

/// Deletes what has expired among the items of one page, which starts after the key `start`.
pub(super) fn sweep_page(
    tables: &Database,
    changes: &ChangeLog,
    expiry: &Expiry,
    now: Timestamp,
    start: Option<Item>,
) -> Result<Page, SweepError> {
    let scanned = tables.scan(ScanRequest {
        table_name: expiry.table.clone(),
        filter_expression: Some(EXPIRED.to_owned()),
        expression_attribute_names: Some(names(expiry)),
        expression_attribute_values: Some(bounds(now)),
        limit: Some(ITEMS_PER_PAGE),
        exclusive_start_key: start,
        consistent_read: Some(true),
        ..ScanRequest::default()
    });
    let scanned = match scanned {
        // The table has been deleted since the round began.
        Err(DynoxideError::ResourceNotFoundException(_)) => return Ok(Page::default()),
        scanned => scanned?,
    };
    let schema: Vec<KeySchemaElement> = serde_json::from_str(&expiry.key_schema)?;
    let keys: Vec<Item> = scanned.items.unwrap_or_default().iter().map(|item| key_of(item, &schema)).collect();
    let mut deleted = 0;
    for keys in keys.chunks(DELETES_PER_TURN) {
        deleted += changes.expiring(now, || delete_all(tables, changes, expiry, now, keys))??;
    }
    Ok(Page { deleted, next: scanned.last_evaluated_key })
}

/// Deletes those of `keys` that are still expired, if the table still expires items by the same attribute.
fn delete_all(
    tables: &Database,
    changes: &ChangeLog,
    expiry: &Expiry,
    now: Timestamp,
    keys: &[Item],
) -> Result<usize, SweepError> {
    if !changes.expiries(Some(&expiry.table))?.contains(expiry) {
        return Ok(0);
    }
    let mut deleted = 0;
    for key in keys {
        let outcome = tables.delete_item(DeleteItemRequest {
            table_name: expiry.table.clone(),
            key: key.clone(),
            condition_expression: Some(EXPIRED.to_owned()),
            expression_attribute_names: Some(names(expiry)),
            expression_attribute_values: Some(bounds(now)),
            ..DeleteItemRequest::default()
        });
        match outcome {
            Ok(_) => deleted += 1,
            // Deleted or written anew since the page was read.
            Err(DynoxideError::ConditionalCheckFailedException(..)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(deleted)
}

fn key_of(item: &Item, schema: &[KeySchemaElement]) -> Item {
    let named = |element: &KeySchemaElement| {
        let name = &element.attribute_name;
        item.get(name).map(|value| (name.clone(), value.clone()))
    };
    schema.iter().filter_map(named).collect()
}

fn names(expiry: &Expiry) -> HashMap<String, String> {
    HashMap::from([("#ttl".to_owned(), expiry.attribute.clone())])
}

fn bounds(now: Timestamp) -> Item {
    let oldest = now.seconds().saturating_sub_unsigned(EXPIRED_AGE_MAX.as_secs());
    let number = |second: i64| AttributeValue::N(second.to_string());
    HashMap::from([(":now".to_owned(), number(now.seconds())), (":oldest".to_owned(), number(oldest))])
}
