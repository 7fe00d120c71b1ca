//! A client with next to nothing between the bench and the store: signed HTTP/1.1 over one connection.
//!
//! The AWS SDK takes about half a millisecond of the client's own processor time a call, more than most answers take; it
//! would measure itself. What is sent is what an SDK would send: a signature (of the body too, but for S3), no checksum.
//! Whoever closes the connection after an answer is connected to again, and that is part of the time.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use lakebed_contract::{Clock, Endpoints};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::error::HarnessError;

const CALL: &str = "call a store";

/// Whose requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    S3,
    DynamoDb,
    Kinesis,
}

impl Service {
    fn signed_as(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::DynamoDb => "dynamodb",
            Self::Kinesis => "kinesis",
        }
    }

    fn target(self, operation: &str) -> String {
        match self {
            Self::S3 => operation.to_owned(),
            Self::DynamoDb => format!("DynamoDB_20120810.{operation}"),
            Self::Kinesis => format!("Kinesis_20131202.{operation}"),
        }
    }
}

/// An answer with its whole body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Answer {
    /// The answer, if it says that the call succeeded.
    pub(super) fn success(self) -> Result<Self, HarnessError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned();
        Err(HarnessError::Input { message: format!("failed to {CALL}: it answered {}: {shown}", self.status) })
    }

    pub(super) fn json(&self) -> Result<Value, HarnessError> {
        serde_json::from_slice(&self.body).map_err(HarnessError::stage("read an answer"))
    }
}

/// One connection to one service.
pub(super) struct Wire {
    service: Service,
    authority: String,
    credentials: Credentials,
    region: String,
    clock: Clock,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Wire {
    /// Nothing is connected yet.
    pub(super) fn new(service: Service, endpoints: &Endpoints, clock: &Clock) -> Self {
        let secret = endpoints.secret_access_key.expose();
        Self {
            service,
            authority: endpoints.s3_url.trim_start_matches("http://").to_owned(),
            credentials: Credentials::new(&endpoints.access_key_id, secret, None, None, "lakebed-bench"),
            region: endpoints.region.clone(),
            clock: clock.clone(),
            connection: None,
        }
    }

    /// An S3 call.
    pub(super) async fn object(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer, HarnessError> {
        let request = self.signed(Request::builder().method(method).uri(path), body)?;
        self.send(request).await
    }

    /// A call of a JSON service.
    pub(super) async fn json(&mut self, operation: &str, body: Bytes) -> Result<Answer, HarnessError> {
        let kind =
            if self.service == Service::DynamoDb { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(CONTENT_TYPE, kind)
            .header("x-amz-target", self.service.target(operation));
        let request = self.signed(request, body)?;
        self.send(request).await
    }

    fn signed(&self, request: http::request::Builder, body: Bytes) -> Result<Request<Full<Bytes>>, HarnessError> {
        let request =
            request.header(HOST, self.authority.as_str()).header(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let mut request = request.body(body).map_err(HarnessError::stage(CALL))?;
        let mut settings = SigningSettings::default();
        if self.service == Service::S3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let identity = self.credentials.clone().into();
        let since_epoch = Duration::from_micros(u64::try_from(self.clock.now().0).unwrap_or(0));
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.signed_as())
            .time(SystemTime::UNIX_EPOCH + since_epoch)
            .settings(settings)
            .build()
            .map_err(HarnessError::stage(CALL))?
            .into();
        let uri = format!("http://{}{}", self.authority, request.uri());
        let headers = request.headers().iter().filter(|(name, _)| **name != CONTENT_LENGTH);
        let headers = headers.filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)));
        let signable = match self.service {
            Service::S3 => SignableBody::UnsignedPayload,
            Service::DynamoDb | Service::Kinesis => SignableBody::Bytes(request.body()),
        };
        let signable = SignableRequest::new(request.method().as_str(), uri, headers, signable);
        let signed = sign(signable.map_err(HarnessError::stage(CALL))?, &params).map_err(HarnessError::stage(CALL))?;
        let (instructions, _) = signed.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request.map(Full::new))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, HarnessError> {
        let again = request.clone();
        match self.try_send(request).await {
            Ok(answer) => Ok(answer),
            // A server that closes after each answer may do so after we looked.
            Err(_closed) => {
                self.connection = None;
                self.try_send(again).await
            }
        }
    }

    async fn try_send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, HarnessError> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => {
                let socket = TcpStream::connect(&self.authority).await.map_err(HarnessError::stage(CALL))?;
                socket.set_nodelay(true).map_err(HarnessError::stage(CALL))?;
                let (connection, driver) = handshake(TokioIo::new(socket)).await.map_err(HarnessError::stage(CALL))?;
                tokio::spawn(async move {
                    if let Err(error) = driver.await {
                        tracing::debug!(%error, "a connection of the bench ended early");
                    }
                });
                connection
            }
        };
        connection.ready().await.map_err(HarnessError::stage(CALL))?;
        let answer = connection.send_request(request).await.map_err(HarnessError::stage(CALL))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(HarnessError::stage(CALL))?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status: head.status, body })
    }
}
