//! Which store answers a request, and the answers that belong to no store.
//!
//! AWS JSON requests name their service in `x-amz-target`, or at least in the scope of their credential; `/iceberg/…` is
//! the catalog; `/_lakebed/health` says what runs here and, where only this machine can ask, in which folder its state
//! lies; `/_lakebed/events` tells what happens; everything else is S3, and so is every path of a host that names a bucket.
//! So no bucket can be called `iceberg`. A request is authenticated here, before its store sees it (see [`crate::auth`]).
//! An error is answered in the protocol it was asked in.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use lakebed_contract::{Clock, Seed};
use s3s::service::S3Service;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::{Denial, Guard, Rendered, Service};
use crate::buffering::{Buffers, Unread};
use crate::catalog_door;
use crate::comprehend::Comprehend;
use crate::dynamodb::DynamoDb;
use crate::event_feed::EventFeed;
use crate::hook::Hook;
use crate::kinesis::{Kinesis, Wire};
use crate::kms::Kms;
use crate::{matrix, s3};

/// Largest AWS JSON body: ten MiB of Kinesis records in base64, and room for the rest.
const JSON_BODY_BYTES_MAX: usize = 16 * 1024 * 1024 + 1024 * 1024;

const AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const AMZ_ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");
/// First path segment of the catalog; S3 never sees it.
pub(crate) const CATALOG_PATH_SEGMENT: &str = "iceberg";
const HEALTH_PATH: &str = "/_lakebed/health";
const EVENTS_PATH: &str = "/_lakebed/events";
const JSON: &str = "application/json";
/// The JSON protocols, as a request names them and its answer must where no service is known.
const JSON_TYPES: [&str; 2] = ["application/x-amz-json-1.0", "application/x-amz-json-1.1"];

/// What the port tells of itself.
pub(crate) struct About {
    /// Only for those on this machine.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) feed: EventFeed,
    /// The server is to end.
    pub(crate) finish: CancellationToken,
}

/// What is opened from the state directory.
pub(crate) struct Stores {
    pub(crate) s3: S3Service,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) kinesis: Kinesis,
    pub(crate) kms: Kms,
}

/// The stores behind the port.
pub(crate) struct Services {
    stores: Stores,
    comprehend: Comprehend,
    catalog: axum::Router,
    request_ids: RequestIds,
    about: About,
    guard: Guard,
    buffers: Buffers,
    hook: Hook,
}

impl Services {
    /// `seed` makes request ids; it should differ from start to start.
    pub(crate) fn new(stores: Stores, catalog: axum::Router, seed: Seed, about: About, guard: Guard) -> Self {
        let catalog = axum::Router::new().nest(&format!("/{CATALOG_PATH_SEGMENT}"), catalog);
        let request_ids = RequestIds { high: seed.0, count: AtomicU64::new(0) };
        Self {
            stores,
            comprehend: Comprehend::new(None),
            catalog,
            request_ids,
            about,
            guard,
            buffers: Buffers::new(Clock::wall()),
            hook: Hook::default(),
        }
    }

    /// With the faults that are planned for the JSON services.
    pub(crate) fn hooked(self, hook: Hook) -> Self {
        Self { hook, ..self }
    }

    /// With a Comprehend that has something to detect with.
    pub(crate) fn detecting(self, comprehend: Comprehend) -> Self {
        Self { comprehend, ..self }
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
    if let Some(target) = request.headers().get(AMZ_TARGET) {
        let target = target.to_str().unwrap_or_default().to_owned();
        return answer_json(services, &target, request, request_id).await;
    }
    // The whole path of a bucket's own host names an object.
    if s3::names_bucket(&request) {
        return answer_s3(services, request, &request_id).await;
    }
    let path = request.uri().path();
    if path == HEALTH_PATH {
        let state_dir = services.about.state_dir.as_deref();
        return health(request.method(), state_dir, services.comprehend.is_served());
    }
    if path == EVENTS_PATH {
        return answer_events(services, request);
    }
    if path.split('/').nth(1) == Some(CATALOG_PATH_SEGMENT) {
        let mut response = catalog_door::answer(&services.guard, &services.buffers, &services.catalog, request).await;
        response.headers_mut().insert(AMZN_REQUEST_ID, request_id);
        return response;
    }
    if path == "/" {
        let (parts, body) = request.into_parts();
        let service = Service::of_scope(&parts);
        let request = Request::from_parts(parts, body);
        // Signed for a JSON protocol, and without the header that names the operation.
        return match service {
            Some(Service::DynamoDb | Service::Kinesis | Service::Comprehend | Service::Kms) => {
                answer_json(services, "", request, request_id).await
            }
            _ => answer_s3(services, request, &request_id).await,
        };
    }
    answer_s3(services, request, &request_id).await
}

async fn answer_s3(services: &Services, request: Request<Incoming>, request_id: &HeaderValue) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let response = match services.guard.admit_s3(&parts) {
        Ok(signed) => {
            if let Some(signed) = signed {
                parts.extensions.insert(signed);
            }
            s3::answer(&services.stores.s3, Request::from_parts(parts, body), request_id).await
        }
        Err(denial) => s3::refuse(Request::from_parts(parts, ()), &denial, request_id),
    };
    response.map(Body::new)
}

fn answer_events(services: &Services, request: Request<Incoming>) -> Response<Body> {
    let (parts, _no_body) = request.into_parts();
    let guard = &services.guard;
    let entered = guard.begin(&parts, Service::Front).and_then(|entry| guard.finish(&entry, &parts, b""));
    if let Err(denial) = entered {
        let Rendered { status, message, .. } = denial.for_catalog();
        let mut response = json_response(status, JSON, &json!({ "message": message }));
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    if parts.method != Method::GET {
        return only_get("GET");
    }
    services.about.feed.answer(services.about.finish.clone())
}

/// The service that a target names.
fn json_service(target: &str) -> Option<Service> {
    match matrix::Service::of_target(target)?.0 {
        matrix::Service::DynamoDb | matrix::Service::DynamoDbStreams => Some(Service::DynamoDb),
        matrix::Service::Kinesis => Some(Service::Kinesis),
        matrix::Service::Comprehend => Some(Service::Comprehend),
        matrix::Service::Kms => Some(Service::Kms),
        matrix::Service::S3 => None,
    }
}

async fn answer_json(
    services: &Services,
    target: &str,
    request: Request<Incoming>,
    request_id: HeaderValue,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let service = json_service(target);
    let mut response = match service {
        Some(service) => match handle_json(services, service, target, &parts, body).await {
            Ok(response) => response,
            Err(refusal) => *refusal,
        },
        None => {
            let message = format!("no service here implements `{target}`");
            json_error(&parts, Service::of_scope(&parts), "UnknownOperationException", &message)
        }
    };
    if service.or_else(|| Service::of_scope(&parts)) == Some(Service::Kinesis) {
        let id = s3::host_id(request_id.to_str().unwrap_or_default());
        response.headers_mut().insert(AMZ_ID_2, HeaderValue::from_str(&id).expect("base64 is ASCII"));
    }
    response.headers_mut().insert(AMZN_REQUEST_ID, request_id);
    response
}

/// Both are answers; the error is one that the store never saw.
async fn handle_json(
    services: &Services,
    service: Service,
    target: &str,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Box<Response<Body>>> {
    let refused = |code: &'static str, message: &str| Box::new(json_error(parts, Some(service), code, message));
    let denied = |denial: Denial| {
        let Rendered { code, message, .. } = denial.for_json(service);
        refused(code, &message)
    };
    let wire = Wire::of(parts.headers.get(CONTENT_TYPE));
    let only_json = match service {
        Service::DynamoDb => Some("DynamoDB does not speak CBOR; use application/x-amz-json-1.0"),
        Service::Comprehend => Some("Comprehend does not speak CBOR; use application/x-amz-json-1.1"),
        Service::Kms => Some("KMS does not speak CBOR here; use application/x-amz-json-1.1"),
        _ => None,
    };
    if let Some(message) = only_json.filter(|_| wire == Wire::Cbor) {
        return Err(refused("SerializationException", message));
    }
    let entry = services.guard.begin(parts, service).map_err(denied)?;
    let body = services.buffers.read(body, JSON_BODY_BYTES_MAX).await.map_err(|unread| match unread {
        Unread::TooLong => {
            refused("RequestEntityTooLargeException", "the request body is longer than any valid request")
        }
        Unread::TooSlow => refused("RequestTimeoutException", "the request body did not come in time"),
        Unread::Broken(why) => refused("SerializationException", &format!("failed to read the body: {why}")),
    })?;
    services.guard.finish(&entry, parts, &body.bytes).map_err(denied)?;
    let bytes = body.bytes.clone();
    let Stores { dynamodb, kinesis, kms, .. } = &services.stores;
    let run = || async {
        match service {
            Service::DynamoDb => dynamodb.handle(target, &host_of(parts), bytes.clone()).await.map(Body::from),
            Service::Comprehend => services.comprehend.handle(target, bytes.clone()).await,
            Service::Kms => kms.handle(target, bytes.clone()).await,
            _ => kinesis.handle(target, bytes.clone(), wire).await,
        }
    };
    let failure = || match service {
        Service::DynamoDb => DynamoDb::failure().map(Body::from),
        Service::Comprehend => Comprehend::failure(),
        Service::Kms => Kms::failure(),
        _ => Kinesis::failure(wire),
    };
    Ok(services.hook.around(target, run, failure).await)
}

/// HTTP/2 has the host in its URI.
fn host_of(parts: &Parts) -> String {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| Some(parts.uri.authority()?.as_str())).unwrap_or_default().to_owned()
}

/// An error of the JSON protocols, as the service words and dresses its own.
fn json_error(parts: &Parts, service: Option<Service>, code: &'static str, message: &str) -> Response<Body> {
    let kind = parts.headers.get(CONTENT_TYPE);
    match service {
        Some(Service::DynamoDb) => DynamoDb::refused(code, message).map(Body::from),
        Some(Service::Kinesis) => Kinesis::refused(code, message, Wire::of(kind)),
        Some(Service::Comprehend) => Comprehend::refused(code, message),
        Some(Service::Kms) => Kms::refused(code, message),
        _ => {
            let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next()).unwrap_or_default().trim();
            let kind = JSON_TYPES.into_iter().find(|known| *known == kind).unwrap_or(JSON);
            json_response(StatusCode::BAD_REQUEST, kind, &json!({ "__type": code, "message": message }))
        }
    }
}

fn only_get(allowed: &'static str) -> Response<Body> {
    let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, JSON, &json!({ "message": "only GET" }));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn health(method: &Method, state_dir: Option<&Path>, detects: bool) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return only_get("GET, HEAD");
    }
    let mut body = json!({
        "status": "running",
        "version": env!("CARGO_PKG_VERSION"),
        "services": {
            "s3": "running", "dynamodb": "running", "dynamodbstreams": "running", "kinesis": "running",
            "kms": "running", "iceberg": "running",
        },
    });
    if detects {
        body["services"]["comprehend"] = "running".into();
    }
    if let Some(state_dir) = state_dir {
        body["state_dir"] = state_dir.to_string_lossy().into();
    }
    json_response(StatusCode::OK, JSON, &body)
}

fn json_response(status: StatusCode, kind: &'static str, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
