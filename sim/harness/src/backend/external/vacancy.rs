//! Looks at everything a run is going to use, before it writes: what is missing and will be made, what is in the way.
//!
//! Promises: reads only. Something that exists and is empty is neither: it is used as it is.

use aws_sdk_kinesis::types::ShardIteratorType;
use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::{Lake, layout};
use tokio_postgres::Client;

use super::super::s3_client;
use super::slot::SLOTS;
use crate::error::HarnessError;

/// GetRecords calls per shard of a stream that exists; each may answer with nothing and still not be at the end.
const STREAM_LOOKS_MAX: u32 = 10;

/// Where the source's ledger lies; see `lakebed_source`.
const LEDGER: &str = "lakebed";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Vacancy {
    /// Does not exist yet.
    pub(super) missing: Vec<String>,
    /// Exists and is not empty, or is not ours to use.
    pub(super) occupied: Vec<String>,
}

/// Looks at buckets, control table, stream and source database.
pub(super) async fn look(
    endpoints: &Endpoints,
    postgres: &PostgresEndpoint,
    lake: &Lake,
) -> Result<Vacancy, HarnessError> {
    let mut found = Vacancy::default();
    for bucket in [layout::STAGE_BUCKET, layout::LAKE_BUCKET] {
        look_at_bucket(endpoints, bucket, &mut found).await?;
    }
    look_at_table(endpoints, &mut found).await?;
    look_at_stream(endpoints, &mut found).await?;
    let client = lakebed_source::connect(postgres).await.map_err(HarnessError::stage("reach the external Postgres"))?;
    look_at_database(&client, lake, &mut found).await.map_err(HarnessError::stage("look at the source database"))?;
    Ok(found)
}

async fn look_at_bucket(endpoints: &Endpoints, bucket: &str, found: &mut Vacancy) -> Result<(), HarnessError> {
    let listed = s3_client(endpoints).list_objects_v2().bucket(bucket).max_keys(1).send().await;
    match listed {
        Ok(page) if page.contents().is_empty() => {}
        Ok(_) => found.occupied.push(format!("bucket `{bucket}` is not empty")),
        Err(error) => match error.raw_response().map(|answer| answer.status().as_u16()) {
            Some(404) => found.missing.push(format!("bucket `{bucket}` at {}", endpoints.s3_url)),
            Some(403) => found.occupied.push(format!("bucket `{bucket}` is somebody else's, or may not be listed")),
            _ => return Err(HarnessError::endpoint("S3", &endpoints.s3_url)(error)),
        },
    }
    Ok(())
}

async fn look_at_table(endpoints: &Endpoints, found: &mut Vacancy) -> Result<(), HarnessError> {
    let (url, table) = (&endpoints.dynamodb_url, layout::CONTROL_TABLE);
    let dynamodb = aws_sdk_dynamodb::Client::new(&endpoints.sdk_config(url));
    let scanned = dynamodb.scan().table_name(table).limit(1).send().await;
    match scanned {
        Ok(page) if page.items().is_empty() => {}
        Ok(_) => found.occupied.push(format!("DynamoDB table `{table}` has items")),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
            found.missing.push(format!("DynamoDB table `{table}` at {url}"));
        }
        Err(error) => return Err(HarnessError::endpoint("DynamoDB", url)(error)),
    }
    Ok(())
}

async fn look_at_stream(endpoints: &Endpoints, found: &mut Vacancy) -> Result<(), HarnessError> {
    let (url, stream) = (&endpoints.kinesis_url, layout::KINESIS_STREAM);
    let kinesis = aws_sdk_kinesis::Client::new(&endpoints.sdk_config(url));
    let shards = match kinesis.list_shards().stream_name(stream).send().await {
        Ok(answer) => answer.shards.unwrap_or_default(),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
            found.missing.push(format!("Kinesis stream `{stream}` at {url}"));
            return Ok(());
        }
        Err(error) => return Err(HarnessError::endpoint("Kinesis", url)(error)),
    };
    for shard in shards {
        let start = kinesis.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id());
        let start = start.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        let mut iterator = start.map_err(HarnessError::endpoint("Kinesis", url))?.shard_iterator;
        for _ in 0..STREAM_LOOKS_MAX {
            let Some(at) = iterator.take() else { break };
            let page = kinesis.get_records().shard_iterator(at).limit(1).send().await;
            let page = page.map_err(HarnessError::endpoint("Kinesis", url))?;
            if !page.records().is_empty() {
                found.occupied.push(format!("Kinesis stream `{stream}` has records"));
                return Ok(());
            }
            if page.millis_behind_latest() == Some(0) {
                break;
            }
            iterator = page.next_shard_iterator;
        }
    }
    Ok(())
}

async fn look_at_database(client: &Client, lake: &Lake, found: &mut Vacancy) -> Result<(), tokio_postgres::Error> {
    let wal_level: String = client.query_one("SELECT current_setting('wal_level')", &[]).await?.try_get(0)?;
    if wal_level != "logical" {
        let sets = "set it to `logical` and restart the server";
        found.occupied.push(format!("the database has wal_level `{wal_level}`; {sets}"));
    }
    for table in &lake.tables {
        let (schema, name) = (&table.schema, &table.name);
        let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
             ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)";
        if !client.query_one(exists, &[schema, name]).await?.try_get::<_, bool>(0)? {
            found.missing.push(format!("Postgres table `{schema}.{name}`"));
            continue;
        }
        let has_rows = format!("SELECT EXISTS (SELECT FROM {}.{})", quoted(schema), quoted(name));
        if client.query_one(&has_rows, &[]).await?.try_get(0)? {
            found.occupied.push(format!("Postgres table `{schema}.{name}` has rows"));
        }
    }
    if client
        .query_one("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", &[&LEDGER])
        .await?
        .get(0)
    {
        found.occupied.push(format!("Postgres has schema `{LEDGER}`, the ledger of another run's source"));
    } else {
        found.missing.push(format!("Postgres schema `{LEDGER}`"));
    }
    let slots = "SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    for (slot, _) in SLOTS {
        if client.query_one(slots, &[&slot]).await?.try_get::<_, i64>(0)? > 0 {
            found.occupied.push(format!("Postgres has replication slot `{slot}`; another lakebed may be using it"));
        }
    }
    Ok(())
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
