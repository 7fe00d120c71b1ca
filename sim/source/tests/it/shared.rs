//! One server for all tests that only need a database.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Clock, EventSink, Lake, Seed};
use lakebed_source::{
    PostgresConfig, PostgresInstallation, PostgresServer, SourceTruth, connect, create_schema, find_postgres, load,
};
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// Scale of the data tests: 3,173 reviews.
pub(crate) const SCALE: f64 = 0.002;

/// Never dropped: the end of the test process closes its pipe, which stops it and removes its files.
static SERVER: OnceCell<PostgresServer> = OnceCell::const_new();

pub(crate) fn installation() -> PostgresInstallation {
    let explicit = std::env::var_os("LAKEBED_PG_BIN").map(PathBuf::from);
    find_postgres(explicit.as_deref(), std::env::var_os("PATH")).expect("these tests need Postgres 15 or newer")
}

/// The endpoint of a new, empty database.
pub(crate) async fn empty_database() -> PostgresEndpoint {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = SERVER
        .get_or_init(async || {
            let config = PostgresConfig::new(installation(), std::env::temp_dir(), Clock::wall());
            PostgresServer::start(config).await.expect("the shared server starts")
        })
        .await;
    let mut endpoint = server.endpoint();
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let client = connect(&endpoint).await.expect("connects");
    // template0, because nobody can be connected to it.
    client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("creates a database");
    endpoint.database = name;
    endpoint
}

/// A database with the beer data of `seed` at [`SCALE`].
pub(crate) async fn beer_database(seed: u64) -> (PostgresEndpoint, Client, SourceTruth) {
    lake_database(&Lake::beer(), SCALE, seed).await
}

/// A database with the tables and data of a lake.
pub(crate) async fn lake_database(lake: &Lake, scale: f64, seed: u64) -> (PostgresEndpoint, Client, SourceTruth) {
    let endpoint = empty_database().await;
    let client = connect(&endpoint).await.expect("connects");
    create_schema(&client, lake).await.expect("creates the tables");
    let truth = load(&endpoint, lake, scale, Seed(seed), &EventSink::default()).await.expect("loads");
    (endpoint, client, truth)
}

pub(crate) async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect("answers").get(0)
}

/// A digest of each table's rows.
pub(crate) async fn digests(client: &Client) -> Vec<String> {
    let mut digests = Vec::new();
    for table in ["brewery", "beer", "profile", "review"] {
        let query = format!("SELECT md5(string_agg(r::text, '|' ORDER BY {table}_id)) FROM dm_core.{table} r");
        digests.push(client.query_one(&query, &[]).await.expect("answers").get(0));
    }
    digests
}
