//! Read-only SQL over silver and gold.
//!
//! Promises: one SELECT, WITH, DESCRIBE or SHOW; only the tables it names are fetched; before it runs, DuckDB is shut off from every
//! file but those; at most [`ROWS_MAX`] rows come back. Timestamps are UTC. Tables appear as `silver.<t>` and `gold.<t>`, and by
//! bare name where that is unique (it is: a lake refuses the same name twice).

pub(crate) mod statement;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lakebed_contract::Lake;
use lakebed_contract::layout::{GOLD, SILVER};

use crate::WarehouseContext;
use crate::duckdb::{Engine, identifier};
use crate::error::{Attempt, Result, WarehouseError};
use crate::iceberg::cache::LocalFile;
use crate::iceberg::snapshot::live_files;
use crate::iceberg::table_ident;
use crate::model::changes::local;
use crate::model::compute::relation;
use crate::warehouse::Warehouse;

/// Rows one query may return.
pub(crate) const ROWS_MAX: usize = 1_000_000;

/// Rows as text.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryResult {
    /// Column names, in order.
    pub columns: Vec<String>,
    /// Rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Row values do not belong in logs.
        write!(f, "QueryResult {{ columns: {:?}, rows: {} }}", self.columns, self.rows.len())
    }
}

/// Runs one read-only statement over `silver.*` and `gold.*`.
pub async fn query(context: &WarehouseContext, sql: &str) -> Result<QueryResult, WarehouseError> {
    statement::check(sql)?;
    query_on(&Warehouse::connect(context).await?, sql).await
}

struct View {
    namespace: &'static str,
    name: String,
    relation: String,
    files: Vec<Arc<LocalFile>>,
}

/// [`query`] on a connected warehouse.
pub(crate) async fn query_on(warehouse: &Warehouse, sql: &str) -> Result<QueryResult> {
    let statement = statement::check(sql)?;
    let mut views = Vec::new();
    for (namespace, name) in mentioned(&warehouse.lake, &statement) {
        let Some(table) = warehouse.store.load(&table_ident(namespace, &name)?).await? else { continue };
        let files = live_files(&table, table.metadata().current_snapshot()).await?;
        let files = local(warehouse, &files).await?;
        views.push(View { namespace, relation: relation(&table, &files)?, name, files });
    }
    warehouse.with_engine(move |engine| execute(engine, &statement.sql, &views)).await
}

/// Tables of the lake that the statement may read: those whose names occur in it as words.
fn mentioned(lake: &Lake, statement: &statement::Statement) -> Vec<(&'static str, String)> {
    let words: BTreeSet<String> = statement.words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let silver = lake.tables.iter().map(|table| &table.name).chain(lake.silver.iter().map(|model| &model.name));
    let all = silver.map(|name| (SILVER, name)).chain(lake.gold.iter().map(|model| (GOLD, &model.name)));
    // SHOW lists everything there is.
    let everything = words.contains("show") || words.contains("information_schema");
    all.filter(|(_, name)| everything || words.contains(&name.to_ascii_lowercase()))
        .map(|(namespace, name)| (namespace, name.clone()))
        .collect()
}

fn execute(engine: &Engine, sql: &str, views: &[View]) -> Result<QueryResult> {
    let mut setup = format!("CREATE SCHEMA {}; CREATE SCHEMA {};\n", identifier(SILVER), identifier(GOLD));
    for View { namespace, name, relation, .. } in views {
        let (namespace, name) = (identifier(namespace), identifier(name));
        setup.push_str(&format!("CREATE VIEW {namespace}.{name} AS FROM {relation};\n"));
        setup.push_str(&format!("CREATE VIEW {name} AS FROM {namespace}.{name};\n"));
    }
    engine.execute("prepare the tables of the query", &setup)?;
    let readable: Vec<PathBuf> = views.iter().flat_map(|view| &view.files).map(|file| file.path().to_owned()).collect();
    engine.shut_off(&readable)?;
    let mut rows = Vec::new();
    let schema = engine.for_each_batch("run the query", sql, |batch| {
        if rows.len() + batch.num_rows() > ROWS_MAX {
            return Err(WarehouseError::QueryRefused {
                reason: format!("it returns more than {ROWS_MAX} rows; add a LIMIT"),
            });
        }
        rows.extend(texts(&batch)?);
        Ok(())
    })?;
    Ok(QueryResult { columns: schema.fields().iter().map(|field| field.name().clone()).collect(), rows })
}

fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let failed = || "render the result".to_owned();
    let formatters: Result<Vec<_>, _> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options)).collect();
    let formatters = formatters.attempt(failed)?;
    let cell = |column: usize, row: usize| {
        if batch.column(column).is_null(row) {
            return Ok(None);
        }
        formatters[column].value(row).try_to_string().map(Some).attempt(failed)
    };
    (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|column| cell(column, row)).collect()).collect()
}
