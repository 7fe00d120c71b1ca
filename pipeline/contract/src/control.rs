//! The control record: one item of `dm-processing-control` per version of a raw object, and its states.
//!
//! ```text
//! RECEIVED → CLAIMED → BRONZE_DONE → DONE
//!               │  ↖ FAILED (until attempts run out)
//!               └→ QUARANTINED
//! ```
//!
//! Only the holder of the lease with the current fence moves a record on; the conditions stand with the code that sends
//! them (`lakebed-ingest`). Attributes are plain [`ControlValue`]s here because this crate knows no SDK.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a raw object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Seen, waiting for a worker.
    Received,
    /// A worker holds the lease.
    Claimed,
    /// Bronze is written; silver has not consumed it.
    BronzeDone,
    /// Silver has it (or there was nothing to merge).
    Done,
    /// The last attempt failed; another may follow.
    Failed,
    /// Given up with a reason; a person must look.
    Quarantined,
}

impl Status {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Claimed => "CLAIMED",
            Self::BronzeDone => "BRONZE_DONE",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Quarantined => "QUARANTINED",
        }
    }

    /// Reads the word in the table.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Received, Self::Claimed, Self::BronzeDone, Self::Done, Self::Failed, Self::Quarantined]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A DynamoDB attribute as far as the control table needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlValue {
    /// `S`
    Text(String),
    /// `N`
    Number(i64),
    /// `L` of `S`
    List(Vec<String>),
}

/// One item of the control table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// Partition key `pk`: `bucket#key#etag`.
    pub pk: String,
    /// Bucket of the raw object.
    pub bucket: String,
    /// Key of the raw object, decoded.
    pub key: String,
    /// ETag without quotes.
    pub etag: String,
    /// Table the object belongs to.
    pub table: String,
    /// S3 `sequencer` of the event; empty when the record was made by the sweeper.
    pub sequencer: String,
    /// Object size in bytes.
    pub size_bytes: i64,
    /// State.
    pub status: Status,
    /// When the record was made, microseconds since the epoch.
    pub received_at: i64,
    /// When it last changed, microseconds since the epoch.
    pub updated_at: i64,
    /// Claims so far.
    pub attempts: i64,
    /// Increases with every claim.
    pub fence: i64,
    /// Who holds the lease; empty when nobody does.
    pub lease_owner: String,
    /// Until when, microseconds since the epoch.
    pub lease_until: i64,
    /// `lambda` or `ecs`; empty until routed.
    pub route: String,
    /// Rows read from the object.
    pub rows_in: i64,
    /// Rows written to bronze.
    pub rows_good: i64,
    /// Rows written to quarantine.
    pub rows_bad: i64,
    /// Records dropped by a named rule (control records, `awsdms_*`).
    pub rows_dropped: i64,
    /// Bronze keys.
    pub outputs: Vec<String>,
    /// Iceberg snapshot that consumed the outputs; 0 before.
    pub snapshot_id: i64,
    /// Last error, without row values; empty when there is none.
    pub error: String,
}

impl ControlRecord {
    /// A record that has just been received.
    pub fn received(
        bucket: &str,
        key: &str,
        etag: &str,
        table: &str,
        sequencer: &str,
        size_bytes: i64,
        now_micros: i64,
    ) -> Self {
        Self {
            pk: crate::layout::control_key(bucket, key, etag),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: etag.trim_matches('"').to_owned(),
            table: table.to_owned(),
            sequencer: sequencer.to_owned(),
            size_bytes,
            status: Status::Received,
            received_at: now_micros,
            updated_at: now_micros,
            attempts: 0,
            fence: 0,
            lease_owner: String::new(),
            lease_until: 0,
            route: String::new(),
            rows_in: 0,
            rows_good: 0,
            rows_bad: 0,
            rows_dropped: 0,
            outputs: Vec::new(),
            snapshot_id: 0,
            error: String::new(),
        }
    }

    /// The item's attributes by name (the names are the field names; `status` is a reserved word, use `#s`).
    pub fn to_values(&self) -> BTreeMap<&'static str, ControlValue> {
        let text = |text: &str| ControlValue::Text(text.to_owned());
        let number = ControlValue::Number;
        BTreeMap::from([
            ("pk", text(&self.pk)),
            ("bucket", text(&self.bucket)),
            ("key", text(&self.key)),
            ("etag", text(&self.etag)),
            ("table", text(&self.table)),
            ("sequencer", text(&self.sequencer)),
            ("size_bytes", number(self.size_bytes)),
            ("status", text(self.status.as_str())),
            ("received_at", number(self.received_at)),
            ("updated_at", number(self.updated_at)),
            ("attempts", number(self.attempts)),
            ("fence", number(self.fence)),
            ("lease_owner", text(&self.lease_owner)),
            ("lease_until", number(self.lease_until)),
            ("route", text(&self.route)),
            ("rows_in", number(self.rows_in)),
            ("rows_good", number(self.rows_good)),
            ("rows_bad", number(self.rows_bad)),
            ("rows_dropped", number(self.rows_dropped)),
            ("outputs", ControlValue::List(self.outputs.clone())),
            ("snapshot_id", number(self.snapshot_id)),
            ("error", text(&self.error)),
        ])
    }

    /// Reads an item. Missing attributes are empty or zero, as DynamoDB items may lack them; `None` without `pk` or a
    /// known `status`.
    pub fn from_values(values: &BTreeMap<String, ControlValue>) -> Option<Self> {
        let text = |name: &str| match values.get(name) {
            Some(ControlValue::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let number = |name: &str| match values.get(name) {
            Some(ControlValue::Number(number)) => *number,
            _ => 0,
        };
        let pk = text("pk");
        (!pk.is_empty()).then_some(())?;
        Some(Self {
            pk,
            bucket: text("bucket"),
            key: text("key"),
            etag: text("etag"),
            table: text("table"),
            sequencer: text("sequencer"),
            size_bytes: number("size_bytes"),
            status: Status::parse(&text("status"))?,
            received_at: number("received_at"),
            updated_at: number("updated_at"),
            attempts: number("attempts"),
            fence: number("fence"),
            lease_owner: text("lease_owner"),
            lease_until: number("lease_until"),
            route: text("route"),
            rows_in: number("rows_in"),
            rows_good: number("rows_good"),
            rows_bad: number("rows_bad"),
            rows_dropped: number("rows_dropped"),
            outputs: match values.get("outputs") {
                Some(ControlValue::List(list)) => list.clone(),
                _ => Vec::new(),
            },
            snapshot_id: number("snapshot_id"),
            error: text("error"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_a_round_trip() {
        let mut record = ControlRecord::received("b", "raw/review/x", "\"e\"", "review", "00A", 12, 5);
        record.outputs = vec!["bronze/x".to_owned()];
        record.status = Status::BronzeDone;
        let values = record.to_values().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(ControlRecord::from_values(&values), Some(record));
    }

    #[test]
    fn an_item_without_key_or_status_is_no_record() {
        assert_eq!(ControlRecord::from_values(&BTreeMap::new()), None);
        let only_key = BTreeMap::from([("pk".to_owned(), ControlValue::Text("a".into()))]);
        assert_eq!(ControlRecord::from_values(&only_key), None);
    }
}
