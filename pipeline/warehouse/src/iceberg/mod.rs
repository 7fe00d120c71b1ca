//! Iceberg tables: catalog, schemas, snapshots, data files, and the copy-on-write commit that the `iceberg` crate lacks.
//!
//! Promises: format v2, copy-on-write only; a table with delete files attached is refused, not misread; columns keep their field ids
//! whatever they are called. Everything above sees a
//! [`TableStore`], so the same code runs against a REST catalog on S3 and, in tests, against files in a folder.

pub(crate) mod cache;
pub(crate) mod commit;
pub(crate) mod evolve;
pub(crate) mod rest;
pub(crate) mod schema;
pub(crate) mod snapshot;
pub(crate) mod write;

use async_trait::async_trait;
use iceberg::table::Table;
use iceberg::{TableCreation, TableIdent};

use self::commit::Prepared;
use crate::error::{Attempt, Result};

/// A catalog, as far as the warehouse needs one.
#[async_trait]
pub(crate) trait TableStore: Send + Sync {
    /// The table as it is now; `None` when there is none of that name.
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>>;

    /// Creates the namespace if needed, and the table. Loses a race gracefully: returns the winner's table.
    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<Table>;

    /// Makes a prepared change if its requirements still hold; `CommitConflict` when they do not.
    async fn commit(&self, table: &Table, prepared: &Prepared) -> Result<()>;
}

/// `namespace.table`.
pub(crate) fn table_ident(namespace: &str, table: &str) -> Result<TableIdent> {
    TableIdent::from_strs([namespace, table]).attempt(|| format!("name table `{namespace}.{table}`"))
}
