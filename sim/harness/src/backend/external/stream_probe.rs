//! Makes sure that the control table's stream hears of changes before anything depends on it.
//!
//! An active table is not enough: LocalStack accepts writes to a new table while the stream behind it is still being made, and
//! drops their records for good. So an item of our own is written until the stream shows it, and then deleted. It has no
//! status, so the Pipe passes it over.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::{Clock, layout};

use crate::error::HarnessError;

/// Writes until the stream must have shown one.
const PROBES_MAX: u32 = 120;
const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// Pages read of each shard after a write.
const PAGES_MAX: u32 = 5;
const KEY: &str = "lakebed-probe";
const WHAT: &str = "read the control table's stream";

/// Returns once the stream has shown a change.
pub(super) async fn await_stream(endpoints: &Endpoints, clock: &Clock) -> Result<(), HarnessError> {
    let dynamodb = aws_sdk_dynamodb::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url));
    let streams = aws_sdk_dynamodbstreams::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_streams_url));
    let described = dynamodb.describe_table().table_name(layout::CONTROL_TABLE).send().await;
    let described = described.map_err(HarnessError::endpoint("DynamoDB", &endpoints.dynamodb_url))?;
    let arn = described.table.and_then(|table| table.latest_stream_arn);
    let arn =
        arn.ok_or_else(|| HarnessError::stage(WHAT)("the table has no stream; remove it, lakebed makes its own"))?;
    let shown = probe(&dynamodb, &streams, &arn, endpoints, clock).await;
    // Also after a failure: what stays would be somebody's data at the next look.
    let delete = dynamodb.delete_item().table_name(layout::CONTROL_TABLE);
    let deleted = delete.key("pk", AttributeValue::S(KEY.to_owned())).send().await;
    shown.and(deleted.map(|_| ()).map_err(HarnessError::endpoint("DynamoDB", &endpoints.dynamodb_url)))
}

async fn probe(
    dynamodb: &aws_sdk_dynamodb::Client,
    streams: &aws_sdk_dynamodbstreams::Client,
    arn: &str,
    endpoints: &Endpoints,
    clock: &Clock,
) -> Result<(), HarnessError> {
    for probe in 0..PROBES_MAX {
        let put = dynamodb.put_item().table_name(layout::CONTROL_TABLE).item("pk", AttributeValue::S(KEY.to_owned()));
        let put = put.item("probe", AttributeValue::N(probe.to_string())).send().await;
        put.map_err(HarnessError::endpoint("DynamoDB", &endpoints.dynamodb_url))?;
        if shows_probe(streams, arn).await.map_err(HarnessError::stage(WHAT))? {
            return Ok(());
        }
        clock.sleep(PROBE_PAUSE).await;
    }
    Err(HarnessError::stage(WHAT)(format!("it showed none of {PROBES_MAX} changes")))
}

async fn shows_probe(
    streams: &aws_sdk_dynamodbstreams::Client,
    arn: &str,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let mut shards = BTreeSet::new();
    let mut after = None;
    loop {
        let described = streams.describe_stream().stream_arn(arn).set_exclusive_start_shard_id(after.take());
        let Some(stream) = described.send().await?.stream_description else { break };
        shards.extend(stream.shards().iter().filter_map(|shard| shard.shard_id().map(str::to_owned)));
        after = stream.last_evaluated_shard_id;
        if after.is_none() {
            break;
        }
    }
    for shard in shards {
        let start = streams.get_shard_iterator().stream_arn(arn).shard_id(shard);
        let mut iterator = start.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
        for _ in 0..PAGES_MAX {
            let Some(at) = iterator.take() else { break };
            let page = streams.get_records().shard_iterator(at).send().await?;
            let is_probe = |image: &std::collections::HashMap<
                String,
                aws_sdk_dynamodbstreams::types::AttributeValue,
            >| { image.get("pk").and_then(|pk| pk.as_s().ok()).is_some_and(|pk| pk == KEY) };
            if page.records().iter().any(|r| r.dynamodb().and_then(|change| change.new_image()).is_some_and(is_probe)) {
                return Ok(true);
            }
            iterator = page.next_shard_iterator;
        }
    }
    Ok(false)
}
