//! A client with next to nothing between the bench and the store: signed HTTP/1.1 over one connection.
//!
//! The AWS SDK takes about half a millisecond of the client's own processor time a call, more than most answers take; it
//! would measure itself. What is sent is what an SDK would send: a signature (of the body too, but for S3), no checksum.
//! Whoever closes the connection after an answer is connected to again, and that is part of the time. A request is made again
//! only if nothing of it was sent: whatever else fails is told, because it may have been done.

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

/// What one call asks.
pub(super) enum Ask {
    /// Of S3: method, path and body.
    Object(Method, String, Bytes),
    /// Of a JSON service: operation and body.
    Json(&'static str, Bytes),
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
        Err(HarnessError::stage(CALL)(format!("it answered {}: {shown}", self.status)))
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

    /// Connects, so that the first call need not.
    pub(super) async fn open(&mut self) -> Result<(), HarnessError> {
        self.connection = Some(self.connect().await?);
        Ok(())
    }

    pub(super) async fn ask(&mut self, ask: Ask) -> Result<Answer, HarnessError> {
        match ask {
            Ask::Object(method, path, body) => self.object(method, &path, body).await,
            Ask::Json(operation, body) => self.json(operation, body).await,
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

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, HarnessError> {
        if let Some(connection) = self.connection.take() {
            match self.send_over(connection, request).await? {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Closed(unsent) => request = *unsent,
            }
        }
        let connection = self.connect().await?;
        match self.send_over(connection, request).await? {
            Sent::Answered(answer) => Ok(answer),
            Sent::Closed(_) => {
                Err(HarnessError::stage(CALL)("it closed a new connection before it was asked anything"))
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, HarnessError> {
        let socket = TcpStream::connect(&self.authority).await.map_err(HarnessError::stage(CALL))?;
        socket.set_nodelay(true).map_err(HarnessError::stage(CALL))?;
        let (connection, driver) = handshake(TokioIo::new(socket)).await.map_err(HarnessError::stage(CALL))?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection of the bench ended early");
            }
        });
        Ok(connection)
    }

    /// Keeps the connection if it has answered.
    async fn send_over(
        &mut self,
        mut connection: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Sent, HarnessError> {
        // The only way not to become ready is to be closed.
        if connection.ready().await.is_err() {
            return Ok(Sent::Closed(Box::new(request)));
        }
        let answer = match connection.try_send_request(request).await {
            Ok(answer) => answer,
            // It is given back only if none of it was written.
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => return Ok(Sent::Closed(Box::new(unsent))),
                None => return Err(HarnessError::stage(CALL)(failed.into_error())),
            },
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(HarnessError::stage(CALL))?.to_bytes();
        self.connection = Some(connection);
        Ok(Sent::Answered(Answer { status: head.status, body }))
    }
}

/// What became of a request.
enum Sent {
    Answered(Answer),
    /// The connection was closed before; nothing was sent.
    Closed(Box<Request<Full<Bytes>>>),
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::Fault;

    async fn listener() -> (TcpListener, Wire) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let wire = Wire::new(Service::S3, &Endpoints::embedded(port), &Clock::wall());
        (listener, wire)
    }

    /// Reads a request without a body.
    async fn asked(socket: &mut TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.expect("a whole head"));
        }
    }

    async fn answer(socket: &mut TcpStream, headers: &str) {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok");
        socket.write_all(answer.as_bytes()).await.expect("answered");
    }

    #[tokio::test]
    async fn a_connection_that_ends_with_its_answer_is_made_anew() {
        let (listener, mut wire) = listener().await;
        let server = tokio::spawn(async move {
            for _ in 0..3 {
                let (mut socket, _) = listener.accept().await.expect("connected");
                asked(&mut socket).await;
                answer(&mut socket, "connection: close\r\n").await;
            }
        });
        for _ in 0..3 {
            let answered = wire.object(Method::PUT, "/bucket/key", Bytes::new()).await.expect("answered");
            assert_eq!(answered.success().expect("a success").body, "ok");
        }
        server.await.expect("three connections");
    }

    #[tokio::test]
    async fn a_request_that_may_have_been_done_is_not_made_again() {
        let (listener, mut wire) = listener().await;
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("connected");
            asked(&mut socket).await;
            answer(&mut socket, "").await;
            asked(&mut socket).await;
            drop(socket);
            // It would answer if it were asked again.
            let (mut socket, _) = listener.accept().await.expect("connected");
            asked(&mut socket).await;
            answer(&mut socket, "").await;
        });
        wire.object(Method::PUT, "/bucket/key", Bytes::new()).await.expect("answered");
        let Err(failed) = wire.object(Method::PUT, "/bucket/key", Bytes::new()).await else {
            panic!("made again, and the failure hidden");
        };
        assert_eq!(failed.fault(), Fault::Environment);
        server.abort();
    }

    #[test]
    fn a_refusal_is_no_mistake_of_the_user() {
        let refusal = Answer { status: StatusCode::SERVICE_UNAVAILABLE, body: Bytes::from_static(b"busy") };
        let Err(failed) = refusal.success() else { panic!("503 is no success") };
        assert_eq!(failed.fault(), Fault::Environment);
        let cause = std::error::Error::source(&failed).expect("a cause").to_string();
        assert!(cause.contains("503") && cause.contains("busy"), "{cause}");
    }
}
