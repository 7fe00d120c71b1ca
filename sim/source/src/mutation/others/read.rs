//! Reads the live rows of the contract tables from Postgres, in key order.

use std::pin::pin;

use chrono::{DateTime, NaiveDate, Utc};
use futures::StreamExt as _;
use lakebed_contract::ColumnType;
use tokio_postgres::{Client, Row};

use super::{LiveRow, LiveTable, Others, number_in};
use crate::contract_rows::{Filling, Plans, TablePlan, words};
use crate::error::SourceError;
use crate::schema::{qualified, quote};
use crate::truth::{KeyPart, SourceTruth};

/// Reads what is live, and starts new keys above every key that ever was. `beer_rows` are live beside these tables.
pub(in crate::mutation) async fn read(
    client: &Client,
    lake: &str,
    plans: Plans,
    beer_rows: usize,
    truth: &SourceTruth,
) -> Result<Others, SourceError> {
    let mut tables = Vec::with_capacity(plans.tables.len());
    for plan in plans.tables {
        tables.push(read_table(client, lake, plan, truth).await?);
    }
    Ok(Others::new(tables, beer_rows))
}

async fn read_table(
    client: &Client,
    lake: &str,
    plan: TablePlan,
    truth: &SourceTruth,
) -> Result<LiveTable, SourceError> {
    let name = plan.contract.name.clone();
    let failed = || SourceError::database(format!("read the keys of table `{name}`"));
    let mut rows = Vec::new();
    let mut found = pin!(client.query_raw(&select(&plan), std::iter::empty::<i64>()).await.map_err(failed())?);
    while let Some(row) = found.next().await {
        rows.push(live_row(&plan, &row.map_err(failed())?).map_err(failed())?);
    }
    if rows.is_empty() {
        let reason = format!("table `{}.{name}` is empty; load it before changing it", plan.contract.schema);
        return Err(SourceError::Lake { lake: lake.to_owned(), reason });
    }
    let live = rows.iter().filter_map(|row| number_in(&plan, &row.key)).max();
    let single = truth.keys_ever.get(&name).and_then(|keys| keys.last().copied());
    let others = truth.other_keys_ever.get(&name).into_iter().flatten().filter_map(|key| number_in(&plan, key)).max();
    let highest = live.max(single).max(others).unwrap_or(0);
    Ok(LiveTable { plan, rows, highest })
}

/// Key columns, then reference columns, then whether the long text is stored out of line.
fn select(plan: &TablePlan) -> String {
    let keys: Vec<_> = plan.columns.iter().filter(|plan| plan.column.is_key).collect();
    let mut selected: Vec<String> = keys.iter().map(|plan| quote(&plan.column.name)).collect();
    let references = plan.columns.iter().filter(|plan| matches!(plan.filling, Filling::Reference(_)));
    selected.extend(references.map(|plan| quote(&plan.column.name)));
    selected.push(match plan.long {
        Some(at) => {
            let (long, bytes) = (quote(&plan.columns[at].column.name), words::LONG_TEXT_BYTES.start);
            format!("coalesce(octet_length({long}), 0) >= {bytes}")
        }
        None => "false".to_owned(),
    });
    // Text in the order of its bytes, which is the same on every machine.
    let order = keys.iter().map(|plan| match plan.column.column_type {
        ColumnType::Text => format!("{} COLLATE \"C\"", quote(&plan.column.name)),
        _ => quote(&plan.column.name),
    });
    let order: Vec<String> = order.collect();
    format!("SELECT {} FROM {} ORDER BY {}", selected.join(", "), qualified(&plan.contract), order.join(", "))
}

fn live_row(plan: &TablePlan, row: &Row) -> Result<LiveRow, tokio_postgres::Error> {
    let mut at = 0;
    let mut next = |column_type| {
        at += 1;
        part(row, at - 1, column_type)
    };
    let mut key = Vec::new();
    for plan in plan.columns.iter().filter(|plan| plan.column.is_key) {
        key.extend(next(plan.column.column_type)?);
    }
    let mut references = Vec::new();
    for plan in plan.columns.iter().filter(|plan| matches!(plan.filling, Filling::Reference(_))) {
        references.push(next(plan.column.column_type)?);
    }
    Ok(LiveRow { key, references, toasted: row.try_get(at)? })
}

fn part(row: &Row, at: usize, column_type: ColumnType) -> Result<Option<KeyPart>, tokio_postgres::Error> {
    Ok(match column_type {
        ColumnType::Integer => row.try_get::<_, Option<i32>>(at)?.map(|value| KeyPart::Integer(value.into())),
        ColumnType::Text => row.try_get::<_, Option<String>>(at)?.map(KeyPart::Text),
        ColumnType::Date => row.try_get::<_, Option<NaiveDate>>(at)?.map(|date| KeyPart::Date(date.to_epoch_days())),
        ColumnType::Timestamptz => {
            row.try_get::<_, Option<DateTime<Utc>>>(at)?.map(|moment| KeyPart::Instant(moment.timestamp_micros()))
        }
        _ => row.try_get::<_, Option<i64>>(at)?.map(KeyPart::Integer),
    })
}
