//! Which namespaces and tables there are, and which metadata file is the current one of each: the only state of the
//! catalog.
//!
//! Kept in SQLite in the layout PyIceberg's `SqlCatalog` and Java's `JdbcCatalog` use, so a kept lake opens with those
//! too (catalog name `lakebed`). A commit is one transaction of compare-and-swap updates: all pointers move or none.
//! Write-ahead log: an answered commit survives `kill -9`, and a power cut as [`Fsync`] says. Namespace levels are joined by a dot,
//! which level names therefore may not hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::refusal::Refusal;
use crate::config::Fsync;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CATALOG: &str = "lakebed";
/// Every namespace has this property, so that one without properties exists; the convention of the SQL catalogs.
const EXISTS: &str = "exists";

const SETUP: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL, PRIMARY KEY (catalog_name, namespace, property_key));
";

/// One table's move from one metadata file to the next; from none when the table is created.
#[derive(Clone, Debug)]
pub(super) struct Swap {
    pub(super) namespace: String,
    pub(super) table: String,
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// What changed in a namespace's properties.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct PropertyChanges {
    pub(super) updated: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) missing: Vec<String>,
}

/// The pointer database.
#[derive(Clone, Debug)]
pub(super) struct Pointers {
    connection: Arc<Mutex<Connection>>,
}

impl Pointers {
    /// Opens (or creates) the database file.
    pub(super) fn open(path: &Path, fsync: Fsync) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "synchronous", fsync.synchronous())?;
        connection.execute_batch(SETUP)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` in one transaction, off the async threads. An error rolls back.
    async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let connection = Arc::clone(&self.connection);
        let run = move || {
            // A panic leaves no open transaction behind, so the connection stays usable.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = work(&transaction)?;
            transaction.commit().map_err(|error| Refusal::commit_state_unknown(&error))?;
            Ok(outcome)
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(outcome) => outcome,
            Err(stopped) => {
                tracing::error!(error = %stopped, "a catalog request did not finish");
                Err(Refusal::internal("the request did not finish"))
            }
        }
    }

    /// Names of all namespaces, in order.
    pub(super) async fn namespaces(&self) -> Result<Vec<String>, Refusal> {
        self.transact(|db| {
            let mut statement = db.prepare_cached(
                "SELECT namespace FROM iceberg_namespace_properties
                 WHERE catalog_name = ?1 AND property_key = ?2 ORDER BY namespace",
            )?;
            let names = statement.query_map(params![CATALOG, EXISTS], |row| row.get(0))?;
            Ok(names.collect::<rusqlite::Result<Vec<String>>>()?)
        })
        .await
    }

    /// Creates a namespace; its parent, if it has one, must exist.
    pub(super) async fn create_namespace(
        &self,
        namespace: String,
        properties: BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        self.transact(move |db| {
            if let Some((parent, _)) = namespace.rsplit_once('.') {
                require_namespace(db, parent)?;
            }
            if namespace_exists(db, &namespace)? {
                return Err(Refusal::already_exists("namespace", &namespace));
            }
            set_property(db, &namespace, EXISTS, "true")?;
            for (key, value) in &properties {
                set_property(db, &namespace, key, value)?;
            }
            Ok(())
        })
        .await
    }

    /// A namespace's properties.
    pub(super) async fn properties(&self, namespace: String) -> Result<BTreeMap<String, String>, Refusal> {
        self.transact(move |db| {
            require_namespace(db, &namespace)?;
            let mut statement = db.prepare_cached(
                "SELECT property_key, property_value FROM iceberg_namespace_properties
                 WHERE catalog_name = ?1 AND namespace = ?2 AND property_key <> ?3",
            )?;
            let rows =
                statement.query_map(params![CATALOG, namespace, EXISTS], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Removes and sets properties of a namespace.
    pub(super) async fn change_properties(
        &self,
        namespace: String,
        removals: Vec<String>,
        updates: BTreeMap<String, String>,
    ) -> Result<PropertyChanges, Refusal> {
        self.transact(move |db| {
            require_namespace(db, &namespace)?;
            let mut changes = PropertyChanges::default();
            for key in removals {
                let removed = db.execute(
                    "DELETE FROM iceberg_namespace_properties
                     WHERE catalog_name = ?1 AND namespace = ?2 AND property_key = ?3 AND property_key <> ?4",
                    params![CATALOG, namespace, key, EXISTS],
                )?;
                if removed == 0 { changes.missing.push(key) } else { changes.removed.push(key) }
            }
            for (key, value) in updates {
                set_property(db, &namespace, &key, &value)?;
                changes.updated.push(key);
            }
            Ok(changes)
        })
        .await
    }

    /// Drops an empty namespace.
    pub(super) async fn drop_namespace(&self, namespace: String) -> Result<(), Refusal> {
        self.transact(move |db| {
            require_namespace(db, &namespace)?;
            let inside: i64 = db.query_row(
                "SELECT (SELECT COUNT(*) FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)
                      + (SELECT COUNT(*) FROM iceberg_namespace_properties
                         WHERE catalog_name = ?1 AND substr(namespace, 1, length(?2) + 1) = ?2 || '.')",
                params![CATALOG, namespace],
                |row| row.get(0),
            )?;
            if inside > 0 {
                return Err(Refusal::namespace_not_empty(&namespace));
            }
            db.execute(
                "DELETE FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2",
                params![CATALOG, namespace],
            )?;
            Ok(())
        })
        .await
    }

    /// Names of the tables of a namespace, in order.
    pub(super) async fn tables(&self, namespace: String) -> Result<Vec<String>, Refusal> {
        self.transact(move |db| {
            require_namespace(db, &namespace)?;
            let mut statement = db.prepare_cached(
                "SELECT table_name FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2
                 ORDER BY table_name",
            )?;
            let names = statement.query_map(params![CATALOG, namespace], |row| row.get(0))?;
            Ok(names.collect::<rusqlite::Result<Vec<String>>>()?)
        })
        .await
    }

    /// The current metadata file of a table.
    pub(super) async fn current(&self, namespace: String, table: String) -> Result<Option<String>, Refusal> {
        self.transact(move |db| Ok(pointer(db, &namespace, &table)?)).await
    }

    /// Removes a table from the catalog and returns the metadata file it pointed to.
    pub(super) async fn drop_table(&self, namespace: String, table: String) -> Result<String, Refusal> {
        self.transact(move |db| {
            let location = pointer(db, &namespace, &table)?.ok_or_else(|| Refusal::no_table(&namespace, &table))?;
            db.execute(
                "DELETE FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3",
                params![CATALOG, namespace, table],
            )?;
            Ok(location)
        })
        .await
    }

    /// Moves all pointers, or none when any of them is not where its swap expects it.
    pub(super) async fn swap(&self, swaps: Vec<Swap>) -> Result<(), Refusal> {
        self.transact(move |db| {
            for swap in &swaps {
                let moved = match &swap.from {
                    Some(from) => db.execute(
                        "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
                         WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3
                           AND metadata_location = ?4",
                        params![CATALOG, swap.namespace, swap.table, from, swap.to],
                    )?,
                    None => {
                        require_namespace(db, &swap.namespace)?;
                        db.execute(
                            "INSERT OR IGNORE INTO iceberg_tables
                             (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
                             VALUES (?1, ?2, ?3, ?4, 'TABLE')",
                            params![CATALOG, swap.namespace, swap.table, swap.to],
                        )?
                    }
                };
                if moved == 0 {
                    return Err(lost(swap));
                }
            }
            Ok(())
        })
        .await
    }
}

fn lost(swap: &Swap) -> Refusal {
    let name = format!("{}.{}", swap.namespace, swap.table);
    match swap.from {
        Some(_) => Refusal::commit_failed(format!("another commit to {name} came first")),
        None => Refusal::already_exists("table", &name),
    }
}

fn pointer(db: &Connection, namespace: &str, table: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(
        "SELECT metadata_location FROM iceberg_tables
         WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3",
    )?
    .query_row(params![CATALOG, namespace, table], |row| row.get(0))
    .optional()
}

fn namespace_exists(db: &Connection, namespace: &str) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)",
    )?
    .query_row(params![CATALOG, namespace], |row| row.get(0))
}

fn require_namespace(db: &Connection, namespace: &str) -> Result<(), Refusal> {
    if namespace_exists(db, namespace)? { Ok(()) } else { Err(Refusal::no_namespace(namespace)) }
}

fn set_property(db: &Connection, namespace: &str, key: &str, value: &str) -> rusqlite::Result<usize> {
    db.execute(
        "INSERT OR REPLACE INTO iceberg_namespace_properties
         (catalog_name, namespace, property_key, property_value) VALUES (?1, ?2, ?3, ?4)",
        params![CATALOG, namespace, key, value],
    )
}
