//! A receiver of events behind an `http://` address: each document is POSTed as `application/json`, one after another.
//!
//! A document is taken when the answer is 2xx; anything else, silence included, is a failure, and the same document is
//! due again after a pause that doubles from [`PAUSE_MIN`] to [`PAUSE_MAX`]. Time is real time: sockets do not live in
//! simulated time. The first failure of a row is logged, and its end. Does not follow redirects, does not speak TLS.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lakebed_contract::{Clock, EventSink};
use tokio::net::TcpStream;

use crate::error::CloudError;

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Most that is read of an answer; one that is longer costs its connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const HTTP_PORT: u16 = 80;

/// The address, and the connection to it while it lasts.
pub(super) struct HttpReceiver {
    host: String,
    port: u16,
    /// As in the `Host` header, and in the log.
    authority: HeaderValue,
    target: Uri,
    connection: Option<SendRequest<Full<Bytes>>>,
    failures: u32,
}

/// Why a document was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("failed: {0}")]
    Broken(#[from] hyper::Error),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("did not answer within {} s", ATTEMPT_TIMEOUT.as_secs())]
    Silent,
}

impl HttpReceiver {
    /// At `http://host[:port][/path]`.
    pub(super) fn at(url: &str) -> Result<Self, CloudError> {
        let unusable = |reason: &'static str| CloudError::NotifyUrl { reason };
        let url: Uri = url.parse().map_err(|_invalid| unusable("it is no URL"))?;
        match url.scheme_str() {
            Some("http") => (),
            Some("https") => return Err(unusable("https:// is not implemented, only http:// is")),
            _ => return Err(unusable("it must begin with http://")),
        }
        let authority = url.authority().ok_or_else(|| unusable("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(unusable("credentials in it are not implemented"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(unusable("it names no host"));
        }
        let target = url.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(HTTP_PORT),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_invalid| unusable("it is no URL"))?,
            target: target.parse().map_err(|_invalid| unusable("it is no URL"))?,
            connection: None,
            failures: 0,
        })
    }

    /// Sends one document; gives the pause before the next attempt if it was not taken.
    pub(super) async fn post(&mut self, document: &str, events: &EventSink) -> Result<(), Duration> {
        let wall = Clock::wall();
        let answered = tokio::select! {
            answered = self.attempt(document) => answered,
            () = wall.sleep(ATTEMPT_TIMEOUT) => Err(Refusal::Silent),
        };
        let authority = self.authority.to_str().unwrap_or_default();
        let Err(refusal) = answered else {
            if self.failures > 0 {
                events.log(format!("cloud: {authority} takes S3 notifications again"));
            }
            self.failures = 0;
            return Ok(());
        };
        tracing::warn!(%refusal, authority, failures = self.failures, "an S3 notification was not taken");
        if self.failures == 0 {
            events.log(format!("cloud: the receiver of S3 notifications at {authority} {refusal}; they wait for it"));
        }
        self.failures = self.failures.saturating_add(1);
        Err(pause_after(self.failures))
    }

    async fn attempt(&mut self, document: &str) -> Result<(), Refusal> {
        // Taken out, so that a connection that fails or is given up does not come back.
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await?;
        let mut request = Request::new(Full::new(Bytes::from(document.to_owned())));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.target.clone();
        request.headers_mut().insert(HOST, self.authority.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = connection.send_request(request).await?;
        let status = response.status();
        // The connection carries the next request only when this answer is read.
        if Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.is_ok() {
            self.connection = Some(connection);
        }
        if status.is_success() { Ok(()) } else { Err(Refusal::Status(status)) }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Refusal> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // Ends with the sender.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the receiver of S3 notifications ended early");
            }
        });
        Ok(sender)
    }
}

fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_http_address_is_taken() {
        let at = |url: &str| match HttpReceiver::at(url) {
            Ok(receiver) => format!("{} {} {}", receiver.host, receiver.port, receiver.target),
            Err(error) => error.to_string(),
        };
        assert_eq!(at("http://127.0.0.1:9000/hook?a=b"), "127.0.0.1 9000 /hook?a=b");
        assert_eq!(at("http://sink"), "sink 80 /");
        assert_eq!(at("http://[::1]:9000"), "::1 9000 /");
        for (url, reason) in [
            ("https://sink/", "https"),
            ("ftp://sink/", "begin with http://"),
            ("/hook", "begin with http://"),
            ("http://user:secret@sink/", "credentials"),
            ("http://si nk/", "no URL"),
        ] {
            let error = at(url);
            assert!(error.contains(reason) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<u128> = [1, 2, 3, 7, 8, u32::MAX].map(|failures| pause_after(failures).as_millis()).into();
        assert_eq!(pauses, [100, 200, 400, 6_400, 10_000, 10_000]);
    }
}
