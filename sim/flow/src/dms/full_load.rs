//! The full load: every table as it was at the slot's consistent point.
//!
//! Each table begins with control `drop-table` and `create-table`; its rows follow in key order, streamed by COPY, so that
//! memory holds one PutRecords batch and one COPY chunk whatever the table's size. Tables that travel by the batch route
//! only get the control pair.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use futures::TryStreamExt;
use lakebed_contract::envelope::Operation;
use lakebed_contract::{Clock, TableContract};
use tokio_postgres::Client;

use super::batch::Batcher;
use super::copy_text::{CopyLines, cells, parse_line};
use super::envelope::EnvelopeBuilder;
use super::error::DmsError;
use super::shape::{TableShape, quote_identifier, quote_literal};

/// Loads `tables` of `shapes` inside `snapshot`; returns the rows put, by table.
pub(super) async fn run(
    client: &Client,
    snapshot: &str,
    shapes: &[TableShape],
    tables: &[&TableContract],
    builder: &EnvelopeBuilder,
    clock: &Clock,
    mut batcher: Batcher,
) -> Result<BTreeMap<String, u64>, DmsError> {
    for table in tables {
        if !shapes.iter().any(|shape| shape.schema == table.schema && shape.name == table.name) {
            let reason = format!("table `{}.{}` is not in the lake", table.schema, table.name);
            return Err(DmsError::Preflight { reason });
        }
    }
    let snapshot = quote_literal(snapshot);
    client
        .batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}"))
        .await
        .map_err(DmsError::query("enter the slot's snapshot"))?;
    for shape in shapes {
        for operation in [Operation::DropTable, Operation::CreateTable] {
            let envelope = builder.control(shape, operation, clock.now());
            batcher.add(builder.record(shape, &envelope)).await?;
        }
        if tables.iter().any(|table| shape.schema == table.schema && shape.name == table.name) {
            copy_rows(client, shape, builder, clock, &mut batcher).await?;
        }
        batcher.flush().await?;
    }
    client.batch_execute("COMMIT").await.map_err(DmsError::query("leave the slot's snapshot"))?;
    let mut counts = batcher.counts().lock().unwrap_or_else(PoisonError::into_inner).clone();
    for table in tables {
        counts.entry(table.name.clone()).or_default();
    }
    Ok(counts)
}

async fn copy_rows(
    client: &Client,
    shape: &TableShape,
    builder: &EnvelopeBuilder,
    clock: &Clock,
    batcher: &mut Batcher,
) -> Result<(), DmsError> {
    let label = shape.partition_key();
    let read = || DmsError::query(format!("copy table `{label}`"));
    let broken =
        |reason: &str| DmsError::Protocol { what: format!("the copy of table `{label}`"), reason: reason.to_owned() };
    let stream = client.copy_out(&copy_statement(shape)).await.map_err(read())?;
    let mut stream = std::pin::pin!(stream);
    let (mut lines, mut records) = (CopyLines::default(), Vec::new());
    while let Some(chunk) = stream.try_next().await.map_err(read())? {
        lines.push(&chunk, |line| {
            let values = parse_line(line).map_err(broken)?;
            let envelope = builder.load(shape, &cells(&values), clock.now())?;
            records.push(builder.record(shape, &envelope));
            Ok(())
        })?;
        for record in records.drain(..) {
            batcher.add(record).await?;
        }
    }
    if lines.is_complete() { Ok(()) } else { Err(broken("it ended inside a row")) }
}

fn copy_statement(shape: &TableShape) -> String {
    let list = |wanted: fn(&super::shape::ColumnShape) -> bool| {
        let names = shape.columns.iter().filter(|column| wanted(column)).map(|column| quote_identifier(&column.name));
        names.collect::<Vec<_>>().join(", ")
    };
    format!("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT", list(|_| true), shape.quoted(), list(|c| c.is_key))
}

#[cfg(test)]
mod tests {
    use super::super::shape::samples::beer;
    use super::*;

    #[test]
    fn rows_are_asked_for_in_key_order() {
        assert_eq!(
            copy_statement(&beer()),
            r#"COPY (SELECT "beer_id", "beer_name", "beer_abv", "tasted" FROM "dm_core"."beer" ORDER BY "beer_id") TO STDOUT"#
        );
    }
}
