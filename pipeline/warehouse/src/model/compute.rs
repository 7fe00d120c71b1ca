//! Running a model's SELECT: inputs become views over local files, the result becomes parts of the model's table.
//!
//! Promises: timestamps appear as plain UTC `TIMESTAMP`, so the SQL needs no ICU; the driver is restricted to the partitions asked
//! for, other inputs are whole; a row outside those partitions is refused, because it would be there twice. One query sees at most
//! about [`ROWS_PER_QUERY`] driver rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::{DataFile, PrimitiveType, Type};
use iceberg::table::Table;
use lakebed_contract::lake::Model;

use super::changes::{Input, Scope, local};
use crate::duckdb::{Engine, identifier, literal};
use crate::error::{Result, WarehouseError};
use crate::iceberg::cache::LocalFile;
use crate::iceberg::schema::sql_type;
use crate::iceberg::write::{Part, Splitter, arrow_schema, conform};
use crate::warehouse::Warehouse;

/// Driver rows one query computes; a larger partition is computed alone.
const ROWS_PER_QUERY: u64 = 500_000;

/// Cuts partitions into chunks of bounded size. Without `splittable` a result row may need rows of several, so they stay together.
pub(crate) fn chunks(partitions: Vec<(String, u64)>, splittable: bool) -> Vec<Vec<String>> {
    let mut chunks: Vec<Vec<String>> = Vec::new();
    let mut rows_in_last = 0;
    for (path, rows) in partitions {
        match chunks.last_mut() {
            Some(last) if !splittable || rows_in_last + rows <= ROWS_PER_QUERY => {
                last.push(path);
                rows_in_last += rows;
            }
            _ => {
                chunks.push(vec![path]);
                rows_in_last = rows;
            }
        }
    }
    chunks
}

/// A table expression over local files of a table, with its columns in order. No files: no rows, same types. Once a table has
/// changed, its files are read by field id: an older file has other names and narrower types, and lacks what was added.
pub(crate) fn relation(table: &Table, files: &[Arc<LocalFile>]) -> Result<String> {
    let (mut columns, mut stored) = (Vec::new(), Vec::new());
    for field in table.metadata().current_schema().as_struct().fields() {
        let unsupported = || WarehouseError::Unsupported {
            table: table.identifier().to_string(),
            reason: format!("column `{}` has type {}", field.name, field.field_type),
        };
        let Type::Primitive(primitive) = field.field_type.as_ref() else { return Err(unsupported()) };
        let (name, sql) = (identifier(&field.name), sql_type(primitive).ok_or_else(unsupported)?);
        let physical = if *primitive == PrimitiveType::Timestamptz { "TIMESTAMP WITH TIME ZONE" } else { sql.as_str() };
        let (id, called) = (field.id, literal(&field.name));
        stored.push(format!("{id}: {{'name': {called}, 'type': '{physical}', 'default_value': NULL}}"));
        columns.push(if files.is_empty() {
            format!("CAST(NULL AS {sql}) AS {name}")
        } else if sql == "TIMESTAMP" {
            // Exact and the same with and without ICU, unlike a cast from TIMESTAMPTZ.
            format!("make_timestamp(epoch_us({name})) AS {name}")
        } else {
            name
        });
    }
    let columns = columns.join(", ");
    if files.is_empty() {
        return Ok(format!("(SELECT {columns} WHERE false)"));
    }
    let paths: Vec<_> = files.iter().map(|file| literal(&file.path().to_string_lossy())).collect();
    // The first schema is number 0, and other engines may forget schemas that no snapshot names.
    let has_changed = table.metadata().schemas_iter().len() > 1 || table.metadata().current_schema_id() != 0;
    let by_id = if has_changed { format!(", schema = MAP {{{}}}", stored.join(", ")) } else { String::new() };
    Ok(format!("(SELECT {columns} FROM read_parquet([{}], hive_partitioning = false{by_id}))", paths.join(", ")))
}

/// Names and types of the model's columns.
pub(crate) async fn describe(
    warehouse: &Warehouse,
    model: &Model,
    inputs: &BTreeMap<String, Input>,
) -> Result<Vec<(String, String)>> {
    let mut views = Vec::new();
    for (name, input) in inputs {
        views.push(view(name, &relation(&input.table, &[])?));
    }
    let (name, sql) = (model.name.clone(), select(model).to_owned());
    warehouse
        .with_engine(move |engine| {
            let action = format!("describe model `{name}`");
            engine.execute(&action, &views.concat())?;
            engine.describe(&action, &sql)
        })
        .await
}

fn view(name: &str, relation: &str) -> String {
    format!("CREATE VIEW {} AS FROM {relation};\n", identifier(name))
}

/// The model's text without a closing semicolon.
fn select(model: &Model) -> &str {
    model.sql.trim_end().trim_end_matches(';')
}

/// Computes the partitions of one chunk.
pub(crate) async fn run(
    warehouse: &Warehouse,
    model: &Model,
    inputs: &BTreeMap<String, Input>,
    table: &Table,
    chunk: &[String],
    scope: &Scope,
) -> Result<Vec<Part>> {
    let (mut views, mut held) = (Vec::new(), Vec::new());
    for (name, input) in inputs {
        let files: Vec<DataFile> = if *name == model.driver {
            chunk.iter().filter_map(|path| input.partitions.get(path)).flatten().cloned().collect()
        } else {
            input.files().cloned().collect()
        };
        let files = local(warehouse, &files).await?;
        views.push(view(name, &relation(&input.table, &files)?));
        held.push(files);
    }
    let order: Vec<String> = model.partition_by.iter().chain(&model.key).map(|name| identifier(name)).collect();
    let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    let sql = format!("FROM (\n{}\n) AS result{order}", select(model));
    let action = format!("compute model `{}`", model.name);
    let allowed = match scope {
        Scope::Everything => None,
        Scope::Partitions(_) => Some(chunk.to_vec()),
    };
    let (splitter, schema) = (Splitter::new(table)?, arrow_schema(table)?);
    let parts = warehouse
        .with_engine(move |engine| {
            engine.execute(&action, &views.concat())?;
            let mut parts: BTreeMap<String, Part> = BTreeMap::new();
            engine.for_each_batch(&action, &sql, |batch| {
                for (path, key, rows) in splitter.split(conform(&batch, &schema)?)? {
                    let part = Part { path: path.clone(), key, batches: Vec::new() };
                    parts.entry(path).or_insert(part).batches.push(rows);
                }
                Ok(())
            })?;
            drop(held);
            Ok(parts)
        })
        .await?;
    if let Some(stray) = allowed.and_then(|allowed| parts.keys().find(|path| !allowed.contains(path)).cloned()) {
        return Err(WarehouseError::Request {
            reason: format!("model `{}` returned rows for partition `{stray}`, which it was not asked for", model.name),
        });
    }
    Ok(parts.into_values().collect())
}

/// Whether a SELECT returns a row.
pub(crate) fn non_empty(engine: &Engine, action: &str, sql: &str) -> Result<bool> {
    let mut rows = 0;
    engine.for_each_batch(action, sql, |batch| {
        rows += batch.num_rows();
        Ok(())
    })?;
    Ok(rows > 0)
}
