//! A lake to look at: the stores over a finished run's directory, those of a running `lakebed up`, or external ones.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lakebed_cloud::CatalogServer;
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::{Clock, EventSink, Lake, Seed};
use lakebed_ingest::ControlTable;
use lakebed_warehouse::QueryResult;

use crate::backend::external::{self, ExternalStores};
use crate::backend::{AccessKey, StoreOptions, Stores};
use crate::error::HarnessError;
use crate::lake_folder::LakeFiles;
use crate::run_dir::RunDir;
use crate::wiring::{MaskSecret, PipelineParts, warehouse_context};

/// Longest answer to a question about health.
const HEALTH_BYTES_MAX: u64 = 64 << 10;

/// Longest wait for it.
const HEALTH_WAIT_MAX: Duration = Duration::from_secs(5);

/// The state directory of what answers at `url`, which must run on this machine.
pub fn state_dir_of(url: &str) -> Result<PathBuf, HarnessError> {
    let unusable = |why: &str| HarnessError::Input { message: format!("failed to ask `{url}` for its state: {why}") };
    let address =
        url.trim_end_matches('/').strip_prefix("http://").ok_or_else(|| unusable("expected http://HOST:PORT"))?;
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        let request = format!("GET /_lakebed/health HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.set_read_timeout(Some(HEALTH_WAIT_MAX))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(HEALTH_BYTES_MAX).read_to_string(&mut answer).map(|_| answer)
    });
    let answer = asked.map_err(|error| unusable(&format!("no answer ({error}); is `lakebed up` running?")))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let health: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let state_dir = health.as_ref().and_then(|health| health["state_dir"].as_str());
    state_dir.map(PathBuf::from).ok_or_else(|| unusable("what answers there is not lakebed"))
}

/// An open lake.
pub struct OpenLake {
    served: Served,
    parts: PipelineParts,
}

/// What this process serves for the look, and must stop.
enum Served {
    Nothing,
    Stores(Box<Stores>),
    Catalog(CatalogServer),
}

impl OpenLake {
    /// Starts the stores over `run_dir`.
    pub async fn stored(
        files: &LakeFiles,
        run_dir: &RunDir,
        clock: Clock,
        seed: Seed,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        let stores = Stores::start_alone(run_dir.path(), 0, &StoreOptions::default(), &clock, seed, events).await?;
        let parts = parts(files, stores.endpoints.clone(), run_dir, clock)?;
        Ok(Self { served: Served::Stores(Box::new(stores)), parts })
    }

    /// Serves the catalog that an external run left in `run_dir`, over the stores that hold its files.
    pub async fn external(
        stores: &ExternalStores,
        files: &LakeFiles,
        run_dir: &RunDir,
        clock: Clock,
        seed: Seed,
    ) -> Result<Self, HarnessError> {
        let (catalog, endpoints) = external::serve_catalog(stores, run_dir, 0, seed, &clock).await?;
        Ok(Self { served: Served::Catalog(catalog), parts: parts(files, endpoints, run_dir, clock)? })
    }

    /// Uses the stores that answer at `url`; those that enforce keys want to be asked with the right `key`.
    pub fn running(
        url: &str,
        key: Option<&AccessKey>,
        files: &LakeFiles,
        run_dir: &RunDir,
        clock: Clock,
    ) -> Result<Self, HarnessError> {
        let url = url.trim_end_matches('/');
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = format!("failed to use endpoint `{url}`: expected http://HOST:PORT");
            return Err(HarnessError::Input { message });
        }
        let mut endpoints = match key {
            Some(key) => Endpoints::embedded(0).signing_with(&key.id, &key.secret),
            None => Endpoints::embedded(0),
        };
        endpoints.s3_url = url.to_owned();
        endpoints.dynamodb_url = url.to_owned();
        endpoints.dynamodb_streams_url = url.to_owned();
        endpoints.kinesis_url = url.to_owned();
        endpoints.kms_url = url.to_owned();
        endpoints.catalog_url = format!("{url}/iceberg");
        Ok(Self { served: Served::Nothing, parts: parts(files, endpoints, run_dir, clock)? })
    }

    /// Read-only SQL over silver and gold.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, HarnessError> {
        lakebed_warehouse::query(&warehouse_context(&self.parts), sql).await.map_err(HarnessError::query)
    }

    /// Control records, by key of the raw object.
    pub async fn control_list(
        &self,
        table: Option<&str>,
        status: Option<Status>,
    ) -> Result<Vec<ControlRecord>, HarnessError> {
        let mut records =
            self.control().list(table, status).await.map_err(HarnessError::stage("list the control table"))?;
        records.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(records)
    }

    /// One control record.
    pub async fn control_get(&self, pk: &str) -> Result<Option<ControlRecord>, HarnessError> {
        self.control().get(pk).await.map_err(HarnessError::stage("read the control table"))
    }

    /// Puts a FAILED or QUARANTINED record back to RECEIVED.
    pub async fn control_retry(&self, pk: &str) -> Result<(), HarnessError> {
        self.control().retry(pk).await.map_err(HarnessError::stage("retry the control record"))?;
        Ok(())
    }

    fn control(&self) -> ControlTable {
        ControlTable::new(&self.parts.endpoints, self.parts.clock.clone())
    }

    /// Stops the stores, if they are ours.
    pub async fn close(self) -> Result<(), HarnessError> {
        match self.served {
            Served::Nothing => Ok(()),
            Served::Stores(stores) => stores.shutdown().await,
            Served::Catalog(catalog) => {
                catalog.shutdown().await.map_err(HarnessError::stage("stop the Iceberg catalog"))
            }
        }
    }
}

fn parts(
    files: &LakeFiles,
    endpoints: Endpoints,
    run_dir: &RunDir,
    clock: Clock,
) -> Result<PipelineParts, HarnessError> {
    Ok(PipelineParts {
        lake: Arc::new(Lake::from_files(files)?),
        endpoints,
        // Reading needs no key; a token cannot be made from this one that would join with the lake's.
        mask: MaskSecret::for_generated_data(Seed(0)),
        clock,
        seed: Seed(0),
        events: EventSink::default(),
        scratch: run_dir.scratch()?,
    })
}
