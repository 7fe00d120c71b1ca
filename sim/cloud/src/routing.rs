//! Which store answers a request, and the answers that belong to no store.
//!
//! AWS JSON requests name their service in `x-amz-target`; `/iceberg/…` is the catalog; `/_lakebed/health` says what
//! runs here and where its state lies (a folder of this machine: the port is open to nobody else); everything else is S3. So no bucket can be called `iceberg`. An unknown service gets the error shape of
//! the protocol it was asked in.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use lakebed_contract::Seed;
use s3s::service::S3Service;
use serde_json::json;
use tower::ServiceExt;
use uuid::Uuid;

use crate::dynamodb::DynamoDb;
use crate::kinesis::Kinesis;
use crate::s3;

/// Largest AWS JSON body: ten MiB of Kinesis records in base64, and room for the rest.
const JSON_BODY_BYTES_MAX: usize = 16 * 1024 * 1024 + 1024 * 1024;

const AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// First path segment of the catalog; S3 never sees it.
pub(crate) const CATALOG_PATH_SEGMENT: &str = "iceberg";
const HEALTH_PATH: &str = "/_lakebed/health";

/// The stores behind the port.
pub(crate) struct Services {
    s3: S3Service,
    dynamodb: DynamoDb,
    kinesis: Kinesis,
    catalog: axum::Router,
    request_ids: RequestIds,
    state_dir: PathBuf,
}

impl Services {
    /// `seed` makes request ids; it should differ from start to start.
    pub(crate) fn new(
        s3: S3Service,
        dynamodb: DynamoDb,
        kinesis: Kinesis,
        catalog: axum::Router,
        seed: Seed,
        state_dir: PathBuf,
    ) -> Self {
        let catalog = axum::Router::new().nest(&format!("/{CATALOG_PATH_SEGMENT}"), catalog);
        let request_ids = RequestIds { high: seed.0, count: AtomicU64::new(0) };
        Self { s3, dynamodb, kinesis, catalog, request_ids, state_dir }
    }
}

struct RequestIds {
    high: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn next(&self) -> HeaderValue {
        let id = Uuid::from_u64_pair(self.high, self.count.fetch_add(1, Ordering::Relaxed));
        HeaderValue::from_str(&id.to_string()).expect("a UUID is ASCII")
    }
}

/// Answers one request. Never fails: what cannot be answered is an error answer.
pub(crate) async fn answer(services: &Services, request: Request<Incoming>) -> Response<Body> {
    let request_id = services.request_ids.next();
    if let Some(target) = request.headers().get(AMZ_TARGET).cloned() {
        let mut response = answer_json(services, &target, request).await;
        response.headers_mut().insert(AMZN_REQUEST_ID, request_id);
        return response;
    }
    let path = request.uri().path();
    if path == HEALTH_PATH {
        return health(request.method(), &services.state_dir);
    }
    if path.split('/').nth(1) == Some(CATALOG_PATH_SEGMENT) {
        let answered = services.catalog.clone().oneshot(request.map(Body::new)).await;
        return answered.unwrap_or_else(|never| match never {});
    }
    s3::answer(&services.s3, request, &request_id).await.map(Body::new)
}

async fn answer_json(services: &Services, target: &HeaderValue, request: Request<Incoming>) -> Response<Body> {
    let target = target.to_str().unwrap_or_default();
    let service = target.split_once('.').map_or(target, |(service, _)| service);
    let is_dynamodb = matches!(service, "DynamoDB_20120810" | "DynamoDBStreams_20120810");
    if !is_dynamodb && service != "Kinesis_20131202" {
        return unknown_target(target);
    }
    if request.headers().get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"cbor-1.1")) {
        return json_error("SerializationException", "CBOR is not implemented; use application/x-amz-json-1.1");
    }
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.to_owned();
    let body = match Limited::new(request.into_body(), JSON_BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return json_error("RequestEntityTooLargeException", "the request body is longer than any valid request");
        }
        Err(error) => return json_error("SerializationException", &format!("failed to read the body: {error}")),
    };
    let response = match is_dynamodb {
        true => services.dynamodb.handle(target, &host, body).await,
        false => services.kinesis.handle(target, body).await,
    };
    response.map(Body::from)
}

fn unknown_target(target: &str) -> Response<Body> {
    json_error("UnknownOperationException", &format!("no service here implements `{target}`"))
}

fn json_error(code: &str, message: &str) -> Response<Body> {
    json_response(StatusCode::BAD_REQUEST, &json!({ "__type": code, "message": message })).map(Body::from)
}

fn health(method: &Method, state_dir: &Path) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "message": "only GET" })).map(Body::from);
    }
    let body = json!({
        "status": "running",
        "version": env!("CARGO_PKG_VERSION"),
        "state_dir": state_dir.to_string_lossy(),
        "services": {
            "s3": "running", "dynamodb": "running", "dynamodbstreams": "running", "kinesis": "running",
            "iceberg": "running",
        },
    });
    json_response(StatusCode::OK, &body).map(Body::from)
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
