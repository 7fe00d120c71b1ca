//! A loopback server that speaks as much Kinesis, DynamoDB Streams and S3 as the clients under test ask for: shards with a
//! parent, pages, iterators that can be lost, puts that can fail. It knows no other rule of the services.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakebed_contract::Endpoints;
use serde_json::{Value, json};

/// Records per GetRecords answer, so that small tests have several pages.
const PAGE: usize = 3;

/// What lies in the stores and how they misbehave.
#[derive(Default)]
pub(crate) struct Contents {
    /// Shard → parent, records as GetRecords gives them, and whether it is closed.
    pub(crate) shards: BTreeMap<String, Shard>,
    /// Keys with their objects.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Puts that will fail.
    pub(crate) failing_puts: usize,
    /// GetRecords calls that will fail, as with an expired iterator.
    pub(crate) failing_reads: usize,
    /// Shards in the order of their first read.
    pub(crate) read_order: Vec<String>,
    /// Control table keys that exist.
    pub(crate) items: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) parent: Option<String>,
    pub(crate) records: Vec<Value>,
    pub(crate) is_closed: bool,
    /// How many of its records, the oldest, cannot be read any more.
    pub(crate) trimmed: usize,
}

/// A running server.
#[derive(Clone)]
pub(crate) struct Stores {
    contents: Arc<Mutex<Contents>>,
    pub(crate) endpoints: Endpoints,
}

impl Stores {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoints = Endpoints::embedded(listener.local_addr().expect("an address").port());
        let stores = Self { contents: Arc::default(), endpoints };
        let app = axum::Router::new().fallback(answer).with_state(stores.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        stores
    }

    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("not poisoned")
    }

    /// Appends a Kinesis record.
    pub(crate) fn put_record(&self, shard: &str, data: &str) {
        let mut contents = self.contents();
        let shard_records = &mut contents.shards.entry(shard.to_owned()).or_default().records;
        let sequence = format!("{shard}-{:05}", shard_records.len());
        shard_records.push(json!({"Data": STANDARD.encode(data), "PartitionKey": "k", "SequenceNumber": sequence,
            "ApproximateArrivalTimestamp": 1_722_214_747.686}));
    }

    /// Appends a stream record with this new image.
    pub(crate) fn put_image(&self, shard: &str, image: Value) {
        let mut contents = self.contents();
        let shard_records = &mut contents.shards.entry(shard.to_owned()).or_default().records;
        let sequence = format!("{shard}-{:05}", shard_records.len());
        shard_records.push(json!({"eventName": "MODIFY", "dynamodb": {"SequenceNumber": sequence, "NewImage": image}}));
    }

    /// Lines of all objects under a prefix, in key order.
    pub(crate) fn lines(&self, prefix: &str) -> Vec<String> {
        let contents = self.contents();
        let mut lines = Vec::new();
        for (_, body) in contents.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let mut text = String::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).expect("gzip");
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

async fn answer(State(stores): State<Stores>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
    let mut contents = stores.contents();
    match parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.rsplit('.').next()) {
        Some(operation) => json_answer(&mut contents, operation, &serde_json::from_slice(&body).expect("JSON")),
        None => s3_answer(&mut contents, &parts.method, &parts.uri, &parts.headers, body),
    }
}

fn json_answer(contents: &mut Contents, operation: &str, input: &Value) -> Response {
    let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
    let output = match operation {
        "ListShards" => json!({"Shards": contents.shards.iter().map(|(id, shard)| json!({"ShardId": id,
            "ParentShardId": shard.parent, "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {"StartingSequenceNumber": "0"}})).collect::<Vec<_>>()}),
        "DescribeTable" => json!({"Table": {"TableName": "t", "LatestStreamArn": "arn:stream"}}),
        "DescribeStream" => json!({"StreamDescription": {"StreamArn": "arn:stream", "Shards": contents.shards.iter()
            .map(|(id, shard)| json!({"ShardId": id, "ParentShardId": shard.parent})).collect::<Vec<_>>()}}),
        "GetShardIterator" if !contents.shards.contains_key(&text("ShardId")) => {
            let error = json!({"__type": "ResourceNotFoundException", "message": "no such shard"});
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
        "GetShardIterator" => {
            let shard = text("ShardId");
            if !contents.read_order.contains(&shard) {
                contents.read_order.push(shard.clone());
            }
            // Kinesis and DynamoDB Streams name the sequence number differently.
            let after = input["StartingSequenceNumber"].as_str().or(input["SequenceNumber"].as_str());
            let trimmed = contents.shards[&shard].trimmed;
            let at = after.map_or(trimmed, |after| {
                after.rsplit('-').next().map_or(0, |n| n.parse::<usize>().expect("a number") + 1)
            });
            if at < trimmed {
                let error = json!({"__type": "TrimmedDataAccessException", "message": "on purpose"});
                return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
            }
            json!({"ShardIterator": format!("{shard}@{at}")})
        }
        "GetRecords" if contents.failing_reads > 0 => {
            contents.failing_reads -= 1;
            let error = json!({"__type": "ExpiredIteratorException", "message": "on purpose"});
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
        "GetRecords" => {
            let iterator = text("ShardIterator");
            let (id, at) = iterator.split_once('@').expect("an iterator");
            let (shard, at) = (&contents.shards[id], at.parse::<usize>().expect("a number"));
            let end = (at + PAGE).min(shard.records.len());
            let is_over = shard.is_closed && end == shard.records.len();
            let mut output = json!({"MillisBehindLatest": if end < shard.records.len() { 1_000 } else { 0 }});
            // The two services differ in the case of one letter.
            output["Records"] = Value::Array(shard.records[at..end].to_vec());
            if !is_over {
                output["NextShardIterator"] = json!(format!("{id}@{end}"));
            }
            output
        }
        "GetItem" => {
            let pk = input["Key"]["pk"]["S"].as_str().expect("a key");
            if contents.items.contains(pk) { json!({"Item": {"pk": {"S": pk}}}) } else { json!({}) }
        }
        other => panic!("no answer for {other}"),
    };
    output.to_string().into_response()
}

fn s3_answer(contents: &mut Contents, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
    let key = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    if method == Method::PUT {
        if contents.failing_puts > 0 {
            contents.failing_puts -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        contents.objects.insert(key, unchunked(headers, body));
        return [("etag", "\"e\"")].into_response();
    }
    let listed: String = contents
        .objects
        .iter()
        .map(|(key, body)| {
            format!(
                "<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>{}</Size>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                body.len()
            )
        })
        .collect();
    format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>")
        .into_response()
}

/// The SDK sends checksums as a trailer of an `aws-chunked` body: `<hex length>\r\n<bytes>\r\n…0\r\n<trailer>`.
fn unchunked(headers: &HeaderMap, body: Bytes) -> Vec<u8> {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "aws-chunked") {
        return body.to_vec();
    }
    let (mut rest, mut whole) = (&body[..], Vec::new());
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a chunk header");
        let header = std::str::from_utf8(&rest[..end]).expect("text");
        let length = usize::from_str_radix(header.split(';').next().expect("a length"), 16).expect("hex");
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}
