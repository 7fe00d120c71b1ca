//! The judge's own slot: which transactions were committed, and how many rows of the lake's tables each changed.
//!
//! Reads the first bytes of pgoutput messages (kind, and the commit position of a begin) on the server's side, so that no row value
//! travels. The publication is made before the slot, because decoding looks it up as it was at the time of each change.

use futures::TryStreamExt;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Lake, Lsn};
use tokio_postgres::{Client, NoTls};

use super::SLOT;
use crate::judge::Committed;

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// Postgres refused or did not answer.
    #[error("failed to {action}")]
    Postgres {
        /// What was attempted.
        action: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Postgres answered something else than it documents.
    #[error("failed to {action}: {reason}")]
    Answer {
        /// What was attempted.
        action: &'static str,
        /// What was wrong.
        reason: &'static str,
    },
}

fn failed(action: &'static str) -> impl FnOnce(tokio_postgres::Error) -> LogError {
    move |source| LogError::Postgres { action, source }
}

/// What one look shows.
pub(super) struct SlotState {
    /// What the watched slot has acknowledged; `None` while it does not exist.
    pub(super) acknowledged: Option<Lsn>,
    /// Log that the judge's slot holds back.
    pub(super) held_bytes: u64,
}

/// The judge's slot, and the session that owns it.
pub(super) struct CommitLog {
    client: Client,
    /// Where the slot was made, if this process made it.
    made_at: Option<Lsn>,
}

impl CommitLog {
    /// Publication first, then the slot: a temporary one, or with `keep` one that outlives us and may be there already.
    pub(super) async fn open(endpoint: &PostgresEndpoint, lake: &Lake, keep: bool) -> Result<Self, LogError> {
        let client = connect(endpoint).await?;
        let existing = existing(&client).await?;
        if existing == Some(true) && keep {
            return Ok(Self { client, made_at: None });
        }
        if existing.is_some() {
            drop_slot(&client).await?;
        }
        let tables: Vec<_> =
            lake.tables.iter().map(|table| format!("{}.{}", quoted(&table.schema), quoted(&table.name))).collect();
        let publication = format!(
            "DROP PUBLICATION IF EXISTS {SLOT}; \
             CREATE PUBLICATION {SLOT} FOR TABLE {} WITH (publish = 'insert, update, delete')",
            tables.join(", ")
        );
        client.batch_execute(&publication).await.map_err(failed("create the judge's publication"))?;
        let action = "create the judge's replication slot";
        let made = client
            .query_one(
                "SELECT lsn::text FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', $2)",
                &[&SLOT, &!keep],
            )
            .await
            .map_err(failed(action))?;
        let made_at = lsn(made.try_get(0).map_err(failed(action))?, action)?;
        Ok(Self { client, made_at: Some(made_at) })
    }

    pub(super) fn made_at(&self) -> Option<Lsn> {
        self.made_at
    }

    pub(super) async fn look(&self, watched: &str) -> Result<SlotState, LogError> {
        let action = "look at the replication slots";
        let sql = "SELECT (SELECT confirmed_flush_lsn::text FROM pg_catalog.pg_replication_slots WHERE slot_name = $1), \
                   (SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint \
                    FROM pg_catalog.pg_replication_slots WHERE slot_name = $2)";
        let row = self.client.query_one(sql, &[&watched, &SLOT]).await.map_err(failed(action))?;
        let acknowledged: Option<&str> = row.try_get(0).map_err(failed(action))?;
        let held: Option<i64> = row.try_get(1).map_err(failed(action))?;
        let acknowledged = acknowledged.map(|text| lsn(text, action)).transpose()?;
        Ok(SlotState { acknowledged, held_bytes: u64::try_from(held.unwrap_or(0)).unwrap_or(0) })
    }

    /// Every transaction since the slot was made that changed a row. Consumes nothing.
    pub(super) async fn committed(&self) -> Result<Vec<Committed>, LogError> {
        let action = "read the judge's replication slot";
        // B = begin: 8 bytes of commit position follow. I, U, D = a row.
        let sql = format!(
            "SELECT pg_catalog.get_byte(data, 0), pg_catalog.substr(data, 2, 8) \
             FROM pg_catalog.pg_logical_slot_peek_binary_changes('{SLOT}', NULL, NULL, \
                  'proto_version', '1', 'publication_names', '{SLOT}') \
             WHERE pg_catalog.get_byte(data, 0) IN (66, 68, 73, 85)"
        );
        let rows = self.client.query_raw(&sql, no_parameters()).await.map_err(failed(action))?;
        let mut rows = std::pin::pin!(rows);
        let mut committed: Vec<Committed> = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(failed(action))? {
            let kind: i32 = row.try_get(0).map_err(failed(action))?;
            if kind == i32::from(b'B') {
                let position: &[u8] = row.try_get(1).map_err(failed(action))?;
                let position = position.try_into().map_err(|_| LogError::Answer { action, reason: "a short begin" })?;
                committed.push(Committed { commit_lsn: Lsn(u64::from_be_bytes(position)), changes: 0 });
            } else {
                let last = committed.last_mut();
                last.ok_or(LogError::Answer { action, reason: "a row outside a transaction" })?.changes += 1;
            }
        }
        committed.retain(|one| one.changes > 0);
        Ok(committed)
    }

    /// Drops slot and publication.
    pub(super) async fn discard(&self) -> Result<(), LogError> {
        discard(&self.client).await
    }
}

/// Drops what a watch that was killed may have left on a server.
pub(super) async fn discard_leftover(endpoint: &PostgresEndpoint) -> Result<(), LogError> {
    discard(&connect(endpoint).await?).await
}

async fn discard(client: &Client) -> Result<(), LogError> {
    drop_slot(client).await?;
    let sql = format!("DROP PUBLICATION IF EXISTS {SLOT}");
    client.batch_execute(&sql).await.map_err(failed("drop the judge's publication"))
}

/// Whether there is a slot of our name, and whether it can still be read.
async fn existing(client: &Client) -> Result<Option<bool>, LogError> {
    let action = "look for the judge's replication slot";
    let sql = "SELECT plugin = 'pgoutput' AND NOT temporary AND database = current_database() \
               AND COALESCE(wal_status, '') <> 'lost' \
               FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    let row = client.query_opt(sql, &[&SLOT]).await.map_err(failed(action))?;
    row.map(|row| row.try_get(0).map_err(failed(action))).transpose()
}

async fn drop_slot(client: &Client) -> Result<(), LogError> {
    let sql = "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
               WHERE slot_name = $1";
    client.query(sql, &[&SLOT]).await.map_err(failed("drop the judge's replication slot"))?;
    Ok(())
}

async fn connect(endpoint: &PostgresEndpoint) -> Result<Client, LogError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(&endpoint.user)
        .dbname(&endpoint.database)
        .application_name("lakebed judge");
    if !endpoint.password.expose().is_empty() {
        config.password(endpoint.password.expose());
    }
    let (client, connection) = config.connect(NoTls).await.map_err(failed("connect to PostgreSQL"))?;
    // Ends with the client; a broken connection shows in the client's next call.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection of the slot watch ended");
        }
    });
    Ok(client)
}

fn lsn(text: &str, action: &'static str) -> Result<Lsn, LogError> {
    text.parse().map_err(|_| LogError::Answer { action, reason: "an unreadable position" })
}

fn no_parameters() -> std::iter::Empty<&'static str> {
    std::iter::empty()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
