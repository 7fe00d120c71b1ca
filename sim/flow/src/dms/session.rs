//! Connections to the source: SQL through `tokio-postgres`, the log through `pgwire-replication`, both with the same pins.
//!
//! The text form of a value depends on the session it comes from, so both kinds of session pin the options that matter;
//! then a full-load row and a changed row of the same value look the same.

use std::time::Duration;

use lakebed_contract::endpoints::PostgresEndpoint;
use pgwire_replication::{FeedbackObserver, ReplicationConfig, TlsConfig};
use tokio_postgres::{Client, Config, NoTls};

use super::cdc::EVENT_BUFFER_MAX;
use super::error::DmsError;

/// Pins of every session.
pub(super) const SESSION_OPTIONS: &str = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres \
     -c extra_float_digits=3 -c bytea_output=hex -c statement_timeout=0 -c idle_in_transaction_session_timeout=0";
/// Name in `pg_stat_activity`.
const APPLICATION_NAME: &str = "lakebed-dms";
/// How soon the server hears of a new acknowledged position.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// How soon an idle stream repeats its position, well below `wal_sender_timeout`.
const IDLE_WAKEUP: Duration = Duration::from_secs(5);

/// Opens a SQL session.
pub(super) async fn connect(endpoint: &PostgresEndpoint) -> Result<Client, DmsError> {
    let mut config = Config::new();
    config
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(&endpoint.user)
        .dbname(&endpoint.database)
        .application_name(APPLICATION_NAME)
        .options(SESSION_OPTIONS);
    if !endpoint.password.expose().is_empty() {
        config.password(endpoint.password.expose());
    }
    let (client, connection) = config.connect(NoTls).await.map_err(|source| DmsError::Connect {
        host: endpoint.host.clone(),
        port: endpoint.port,
        source,
    })?;
    // Ends with the client; a broken connection shows in the client's next call.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a dms sql connection ended: {error}");
        }
    });
    Ok(client)
}

/// Configuration of the replication session. Start position 0 means the slot's own.
pub(super) fn replication_config(
    endpoint: &PostgresEndpoint,
    slot: &str,
    publication: &str,
    observer: FeedbackObserver,
) -> ReplicationConfig {
    let password = endpoint.password.expose().as_str();
    ReplicationConfig::new(&endpoint.host, &endpoint.user, password, &endpoint.database, slot, publication)
        .with_port(endpoint.port)
        .with_tls(TlsConfig::disabled())
        .with_status_interval(STATUS_INTERVAL)
        .with_wakeup_interval(IDLE_WAKEUP)
        .with_buffer_size(EVENT_BUFFER_MAX)
        .with_options(SESSION_OPTIONS)
        .with_application_name(APPLICATION_NAME)
        .with_feedback_observer(observer)
}
