//! One way to reach Postgres: over the socket or TCP of a `PostgresEndpoint`, with the session settings that make text
//! output and waiting the same everywhere.

use lakebed_contract::endpoints::PostgresEndpoint;
use tokio_postgres::{Client, Config, NoTls};

use crate::error::SourceError;

/// UTC and ISO because values travel as text; a lock wait ends in an error rather than a hanging run.
const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; \
     SET extra_float_digits = 1; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; \
     SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = 0";

/// Connects and pins the session. The connection is driven by a task that ends when the client is dropped.
pub async fn connect(endpoint: &PostgresEndpoint) -> Result<Client, SourceError> {
    let client = connect_plain(endpoint)
        .await
        .map_err(SourceError::database(format!("connect to Postgres at `{}` port {}", endpoint.host, endpoint.port)))?;
    client.batch_execute(SESSION).await.map_err(SourceError::database("set up the Postgres session"))?;
    Ok(client)
}

pub(crate) async fn connect_plain(endpoint: &PostgresEndpoint) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    config.host(&endpoint.host).port(endpoint.port).user(&endpoint.user).dbname(&endpoint.database);
    config.application_name("lakebed");
    if !endpoint.password.expose().is_empty() {
        config.password(endpoint.password.expose());
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever uses the client gets an error too; this line only says when it happened.
            tracing::debug!(sqlstate = error.code().map(|code| code.code()), "postgres connection ended");
        }
    });
    Ok(client)
}
