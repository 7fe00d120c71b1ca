//! DuckDB: the only module that names it. One in-memory database per piece of work, SQL in, Arrow out.
//!
//! Promises: a bounded memory, spilling into the given scratch folder; no extension is loaded or fetched; exactly the DuckDB
//! version the bindings were generated for. Calls block: run them on a blocking thread. Knows nothing of Iceberg.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Result, WarehouseError};

/// The library this crate is built and tested with; another one behind the same bindings would be undefined behaviour.
const VERSION: &str = "v1.5.5";
/// Threads of one database.
const THREADS: i64 = 2;

/// One in-memory database.
pub(crate) struct Engine {
    connection: ::duckdb::Connection,
}

impl Engine {
    /// Opens a database that uses at most `memory_mib` and spills under `temp_directory`.
    pub(crate) fn open(memory_mib: u64, temp_directory: &Path) -> Result<Self> {
        let open = || {
            let config = ::duckdb::Config::default()
                .enable_autoload_extension(false)?
                .max_memory(&format!("{}MiB", memory_mib.max(64)))?
                .threads(THREADS)?
                .with("temp_directory", temp_directory.to_string_lossy())?;
            ::duckdb::Connection::open_in_memory_with_flags(config)
        };
        let connection = open().map_err(|error| WarehouseError::Engine { reason: reason(&error) })?;
        let found = version(&connection)?;
        if found != VERSION {
            return Err(WarehouseError::Engine {
                reason: format!(
                    "the library found at run time is {found}, expected {VERSION}; run `make setup` and build again"
                ),
            });
        }
        let engine = Self { connection };
        engine.set_utc()?;
        Ok(engine)
    }

    /// With ICU the session time zone decides how a TIMESTAMPTZ is cast; without ICU there is no such setting.
    fn set_utc(&self) -> Result<()> {
        let known = "SELECT count(*) FROM duckdb_settings() WHERE lower(name) = 'timezone'";
        let count: i64 = self
            .connection
            .query_row(known, [], |row| row.get(0))
            .map_err(|error| sql_error("read DuckDB's settings", &error))?;
        if count > 0 { self.execute("set the time zone", "SET TimeZone = 'UTC'") } else { Ok(()) }
    }

    /// Runs statements that return nothing. `action` completes "failed to …".
    pub(crate) fn execute(&self, action: &str, sql: &str) -> Result<()> {
        self.connection.execute_batch(sql).map_err(|error| sql_error(action, &error))
    }

    /// Runs one SELECT and hands its result over batch by batch.
    pub(crate) fn for_each_batch(
        &self,
        action: &str,
        sql: &str,
        mut receive: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<SchemaRef> {
        let mut statement = self.connection.prepare(sql).map_err(|error| sql_error(action, &error))?;
        let schema = statement.stream_arrow([]).map_err(|error| sql_error(action, &error))?.get_schema();
        // `step` reports an error where the iterator of `stream_arrow` would panic.
        while let Some(rows) = statement.step().map_err(|error| sql_error(action, &error))? {
            receive(RecordBatch::from(&rows))?;
        }
        Ok(schema)
    }

    /// Names and DuckDB types of a SELECT's columns.
    pub(crate) fn describe(&self, action: &str, sql: &str) -> Result<Vec<(String, String)>> {
        let failed = |error: ::duckdb::Error| sql_error(action, &error);
        let mut statement = self.connection.prepare(&format!("DESCRIBE {sql}")).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut columns = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            columns.push((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?));
        }
        Ok(columns)
    }

    /// Shuts the database off: from now on it reads no file but `readable`, and nobody can change that.
    pub(crate) fn shut_off(&self, readable: &[PathBuf]) -> Result<()> {
        let paths: Vec<_> = readable.iter().map(|path| literal(&path.to_string_lossy())).collect();
        let sql = format!(
            "SET allowed_paths = [{}]; SET enable_external_access = false; SET lock_configuration = true;",
            paths.join(", ")
        );
        self.execute("shut the query engine off from the outside", &sql)
    }
}

/// The version of the linked library, e.g. `v1.5.5`.
pub fn duckdb_version() -> Result<String, WarehouseError> {
    let connection =
        ::duckdb::Connection::open_in_memory().map_err(|error| WarehouseError::Engine { reason: reason(&error) })?;
    version(&connection)
}

fn version(connection: &::duckdb::Connection) -> Result<String> {
    connection
        .query_row("SELECT version()", [], |row| row.get(0))
        .map_err(|error| WarehouseError::Engine { reason: reason(&error) })
}

fn sql_error(action: &str, error: &::duckdb::Error) -> WarehouseError {
    WarehouseError::Sql { action: action.to_owned(), reason: reason(error) }
}

/// DuckDB's message if it is about the statement or the machine; only the kind of error if it may quote a row value.
fn reason(error: &::duckdb::Error) -> String {
    const ABOUT_THE_STATEMENT: [&str; 8] = [
        "Parser Error",
        "Syntax Error",
        "Binder Error",
        "Catalog Error",
        "Permission Error",
        "Out of Memory Error",
        "IO Error",
        "Not implemented Error",
    ];
    let message = match error {
        ::duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        _ => return "the DuckDB client failed".to_owned(),
    };
    let kind = message.split_once(':').map_or(message.as_str(), |(kind, _)| kind).trim().to_owned();
    if ABOUT_THE_STATEMENT.contains(&kind.as_str()) {
        message
    } else if kind.ends_with("Error") && kind.len() < 40 {
        format!("{kind} (its message may quote row values and is withheld)")
    } else {
        "DuckDB failed (its message may quote row values and is withheld)".to_owned()
    }
}

/// A name as an SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        Engine::open(256, &std::env::temp_dir()).expect("DuckDB opens")
    }

    #[test]
    fn the_library_is_the_one_the_bindings_were_made_for() {
        assert_eq!(duckdb_version().expect("DuckDB answers"), VERSION);
    }

    #[test]
    fn a_conversion_error_does_not_quote_the_value() {
        let error =
            engine().for_each_batch("cast", "SELECT CAST(s AS INTEGER) FROM (VALUES ('alice@x.org')) t(s)", |_| Ok(()));
        let message = error.expect_err("cannot be cast").report();
        assert!(message.contains("Conversion Error") && !message.contains("alice"), "{message}");
    }

    #[test]
    fn describe_names_exact_types() {
        let columns =
            engine().describe("describe", "SELECT 1::BIGINT AS a, 1.5::DECIMAL(5,4) AS b").expect("describes");
        assert_eq!(columns, [("a".to_owned(), "BIGINT".to_owned()), ("b".to_owned(), "DECIMAL(5,4)".to_owned())]);
    }

    #[test]
    fn after_shutting_off_no_other_file_is_read_and_no_setting_changed() {
        let folder = tempfile::tempdir().expect("folder");
        let (open, closed) = (folder.path().join("open.csv"), folder.path().join("closed.csv"));
        for path in [&open, &closed] {
            std::fs::write(path, "a\n1\n").expect("written");
        }
        // DuckDB always lets itself into its spill folder, so that must hold nothing else.
        let engine = Engine::open(256, &folder.path().join("spill")).expect("DuckDB opens");
        engine.shut_off(std::slice::from_ref(&open)).expect("shut off");
        let read = |path: &Path| {
            let sql = format!("SELECT * FROM read_csv({})", literal(&path.to_string_lossy()));
            engine.for_each_batch("read", &sql, |_| Ok(()))
        };
        assert!(read(&open).is_ok());
        assert!(read(&closed).is_err());
        assert!(engine.execute("set", "SET enable_external_access = true").is_err());
    }
}
