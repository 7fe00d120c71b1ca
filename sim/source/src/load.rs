//! The initial load: generated rows streamed into Postgres by COPY.
//!
//! One thread draws rows while Postgres stores the previous ones; between them stand at most [`CHUNKS_IN_FLIGHT_MAX`] chunks
//! of about 256 KiB, so memory does not grow with the scale. Loads into empty tables only.

use std::sync::Arc;

use bytes::Bytes;
use futures::SinkExt as _;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{EventSink, Lake, Seed, Stage, TableContract};
use tokio::sync::mpsc;
use tokio_postgres::Client;

use crate::beer::world::Chunk;
use crate::connect::connect;
use crate::error::SourceError;
use crate::generator::Generator;
use crate::ledger;
use crate::schema::{qualified, quote};
use crate::truth::SourceTruth;

/// Chunks between the generating thread and the connection.
pub(crate) const CHUNKS_IN_FLIGHT_MAX: usize = 8;

/// Fills the tables of `lake` (which must exist and be empty) with the data of `seed` at `scale`.
pub async fn load(
    endpoint: &PostgresEndpoint,
    lake: &Lake,
    scale: f64,
    seed: Seed,
    events: &EventSink,
) -> Result<SourceTruth, SourceError> {
    let generator = Arc::new(Generator::new(lake, seed, scale, events)?);
    let client = connect(endpoint).await?;
    let mut truth = SourceTruth::default();
    for table in &lake.tables {
        refuse_rows(&client, table).await?;
        truth = copy_table(&client, table, Arc::clone(&generator), truth, events).await?;
    }
    ledger::note_planted(&client, &truth.planted).await?;
    Ok(truth)
}

async fn refuse_rows(client: &Client, table: &TableContract) -> Result<(), SourceError> {
    let found = client
        .query_opt(&format!("SELECT 1 FROM {} LIMIT 1", qualified(table)), &[])
        .await
        .map_err(SourceError::database(format!("look into table `{}`", table.name)))?;
    match found {
        Some(_) => Err(SourceError::NotEmpty { table: table.name.clone() }),
        None => Ok(()),
    }
}

async fn copy_table(
    client: &Client,
    table: &TableContract,
    generator: Arc<Generator>,
    mut truth: SourceTruth,
    events: &EventSink,
) -> Result<SourceTruth, SourceError> {
    let (sender, mut chunks) = mpsc::channel::<Chunk>(CHUNKS_IN_FLIGHT_MAX);
    let name = table.name.clone();
    let interrupted = || SourceError::Interrupted { what: format!("load table `{}`", table.name) };
    let columns: Vec<String> = generator.columns(table).into_iter().map(quote).collect();
    let drawn = tokio::task::spawn_blocking(move || {
        let stopped = || SourceError::Interrupted { what: format!("generate table `{name}`") };
        let mut send = |chunk| sender.blocking_send(chunk).map_err(|_| stopped());
        generator.write_table(&name, &mut truth, &mut send)?;
        Ok::<_, SourceError>(truth)
    });
    let failed = || SourceError::database(format!("load table `{}`", table.name));
    // The generator writes a header, and `match` (Postgres 15) makes the server compare it with the columns named here.
    let copy = format!("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER match)", qualified(table), columns.join(", "));
    let mut copy = Box::pin(client.copy_in::<_, Bytes>(&copy).await.map_err(failed())?);
    while let Some(chunk) = chunks.recv().await {
        let bytes = chunk.csv.len() as u64;
        copy.send(Bytes::from(chunk.csv)).await.map_err(failed())?;
        events.progress(Stage::Source, &table.name, chunk.rows, bytes);
    }
    // Joined before the COPY is finished, so that a generator's failure never commits half a table.
    let truth = drawn.await.map_err(|_| interrupted())??;
    copy.as_mut().finish().await.map_err(failed())?;
    Ok(truth)
}
