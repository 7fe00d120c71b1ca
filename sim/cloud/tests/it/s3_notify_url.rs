//! S3 event documents that are POSTed to an address: in order, none lost, whatever the receiver answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lakebed_cloud::{Cloud, CloudConfig, CloudError};
use lakebed_contract::{Clock, Secret, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::s3::{BUCKET, put};
use crate::s3_notifications::notify;
use crate::{Running, config};

/// A receiver behind HTTP that refuses what it is sent as long as it has refusals left.
struct Sink {
    url: String,
    refusals: Arc<AtomicUsize>,
    /// What was answered, and the document.
    asked: mpsc::UnboundedReceiver<(u16, Value)>,
}

impl Sink {
    async fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
        let url = format!("http://{}/hook?from=lakebed", listener.local_addr().expect("bound"));
        let refusals = Arc::new(AtomicUsize::new(refusals));
        let (sender, asked) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, Arc::clone(&refusals), sender));
        Self { url, refusals, asked }
    }

    /// The key of the next document that was taken; `None` is the test event's.
    async fn taken(&mut self) -> Option<String> {
        loop {
            let (status, document) = self.asked.recv().await.expect("the sink runs");
            if status == 200 {
                return key(&document);
            }
        }
    }
}

fn key(document: &Value) -> Option<String> {
    document["Records"][0]["s3"]["object"]["key"].as_str().map(str::to_owned)
}

async fn accept(listener: TcpListener, refusals: Arc<AtomicUsize>, asked: mpsc::UnboundedSender<(u16, Value)>) {
    loop {
        let (socket, _) = listener.accept().await.expect("accepted");
        let (refusals, asked) = (Arc::clone(&refusals), asked.clone());
        let service = service_fn(move |request| answer(request, Arc::clone(&refusals), asked.clone()));
        // Whether a client closes its connection in good order is of no interest.
        tokio::spawn(async move { drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await) });
    }
}

async fn answer(
    request: Request<Incoming>,
    refusals: Arc<AtomicUsize>,
    asked: mpsc::UnboundedSender<(u16, Value)>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/hook"));
    assert_eq!(request.uri().query(), Some("from=lakebed"));
    assert_eq!(request.headers()["content-type"], "application/json");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let document = serde_json::from_slice(&body).expect("JSON");
    let refuses = |left: usize| left.checked_sub(1);
    let is_refused = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuses).is_ok();
    let status = if is_refused { 500 } else { 200 };
    asked.send((status, document)).expect("the test listens");
    let mut response = Response::new(Full::new(Bytes::from_static(b"thanks")));
    *response.status_mut() = status.try_into().expect("a status");
    Ok(response)
}

fn sending_to(url: &str, dir: &tempfile::TempDir, notifications: Option<mpsc::Sender<Value>>) -> CloudConfig {
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let mut config = config(dir.path(), 0, clock, notifications);
    config.notify_url = Some(Secret::new(url.to_owned()));
    config
}

#[tokio::test]
async fn a_document_is_sent_until_it_is_taken_and_the_next_only_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sink = Sink::start(2).await;
    let running = Running::start_as(sending_to(&sink.url, &dir, None)).await;
    running.s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    notify(&running.s3, "raw/").await;
    for number in 0..5 {
        put(&running.s3, &format!("raw/{number}"), b"x").await;
    }
    let mut attempts = Vec::new();
    for _ in 0..2 + 1 + 5 {
        let (status, document) = sink.asked.recv().await.expect("the sink runs");
        attempts.push((status, key(&document)));
    }
    let expected = [(500, None), (500, None), (200, None)];
    let puts = (0..5).map(|number| (200, Some(format!("raw/{number}"))));
    assert_eq!(attempts, expected.into_iter().chain(puts).collect::<Vec<_>>());
    running.stop().await;
    assert!(sink.asked.try_recv().is_err(), "what was taken is not sent again");
}

#[tokio::test]
async fn what_was_not_taken_is_sent_by_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sink = Sink::start(usize::MAX).await;
    let running = Running::start_as(sending_to(&sink.url, &dir, None)).await;
    running.s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    notify(&running.s3, "raw/").await;
    for number in 0..3 {
        put(&running.s3, &format!("raw/{number}"), b"x").await;
    }
    let (refused, document) = sink.asked.recv().await.expect("the sink runs");
    assert_eq!((refused, &document["Event"]), (500, &Value::from("s3:TestEvent")));
    running.stop().await;

    sink.refusals.store(0, Ordering::SeqCst);
    let running = Running::start_as(sending_to(&sink.url, &dir, None)).await;
    assert_eq!(sink.taken().await, None, "the test event was first");
    for number in 0..3 {
        assert_eq!(sink.taken().await, Some(format!("raw/{number}")));
    }
    running.stop().await;

    let running = Running::start_as(sending_to(&sink.url, &dir, None)).await;
    assert_eq!(running.cloud.notifications_pending(), 0, "what all have is forgotten");
    running.stop().await;
    assert!(sink.asked.try_recv().is_err(), "what was taken is not sent again");
}

#[tokio::test]
async fn a_dead_address_does_not_hold_up_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
    let url = format!("http://{}/", closed.local_addr().expect("bound"));
    drop(closed);
    let (sender, mut events) = mpsc::channel(8);
    let running = Running::start_as(sending_to(&url, &dir, Some(sender))).await;
    running.s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    notify(&running.s3, "raw/").await;
    put(&running.s3, "raw/k", b"x").await;
    assert_eq!(key(&events.recv().await.expect("a document")), None);
    assert_eq!(key(&events.recv().await.expect("a document")).as_deref(), Some("raw/k"));
    assert_eq!(running.cloud.notifications_pending(), 2, "kept for the address");
    running.stop().await;

    // The process has them already; the address, which answers now, does not.
    let mut sink = Sink::start(0).await;
    let (sender, mut events) = mpsc::channel(8);
    let running = Running::start_as(sending_to(&sink.url, &dir, Some(sender))).await;
    assert_eq!((sink.taken().await, sink.taken().await), (None, Some("raw/k".to_owned())));
    running.stop().await;
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let started = Cloud::start(sending_to("https://127.0.0.1/hook", &dir, None)).await;
    match started {
        Err(error @ CloudError::NotifyUrl { .. }) => assert!(error.to_string().contains("https"), "{error}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
}
