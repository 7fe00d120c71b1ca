//! What the stores are told when they start: where to listen, where to keep their state, whom to believe, how safe a
//! write is, and what goes wrong on purpose.
//!
//! Everything but place, time and chance has a default, and the default is what a developer wants on a laptop: any
//! credential, loopback only, no limits, no faults.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use lakebed_contract::{Clock, EventSink, FaultPlan, PiiDetector, Secret, Seed};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::event_feed::EventFeed;

/// What to serve, where, and from which state.
#[derive(Debug)]
#[non_exhaustive]
pub struct CloudConfig {
    /// Address to listen on; anything but a loopback address needs [`Auth::Enforce`].
    pub bind: IpAddr,
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Everything the stores keep; made when missing.
    pub state_dir: PathBuf,
    /// Time of objects, records and expiries.
    pub clock: Clock,
    /// Chance.
    pub seed: Seed,
    /// Where log lines go.
    pub events: EventSink,
    /// Receiver of S3 event documents (`{"Records":[..]}`, and `s3:TestEvent`) in this process.
    pub notifications: Option<mpsc::Sender<Value>>,
    /// `http://` address that S3 event documents are POSTed to; such addresses may hold a secret. Without it and without a
    /// receiver, notification configurations are refused.
    pub notify_url: Option<Secret<String>>,
    /// Whose requests are answered.
    pub auth: Auth,
    /// What an acknowledged write survives.
    pub fsync: Fsync,
    /// Throughput limits.
    pub limits: Limits,
    /// What goes wrong on purpose, at points `s3/<Operation>`, `dynamodb/<Operation>`, `dynamodbstreams/<Operation>`,
    /// `kinesis/<Operation>`, `kms/<Operation>` and, with a detector, `comprehend/<Operation>`.
    pub faults: FaultPlan,
    /// What `GET /_lakebed/events` tells; the default tells nothing but that the stores are there.
    pub feed: EventFeed,
    /// What finds personal data for Comprehend's operations; without it, Comprehend is a service that nobody knows here.
    pub pii_detector: Option<Arc<dyn PiiDetector>>,
}

impl CloudConfig {
    /// Loopback, any free port, every credential, [`Fsync::Never`], no limits, no faults, nobody who hears, no detector.
    pub fn new(state_dir: impl Into<PathBuf>, clock: Clock, seed: Seed) -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            state_dir: state_dir.into(),
            clock,
            seed,
            events: EventSink::default(),
            notifications: None,
            notify_url: None,
            auth: Auth::default(),
            fsync: Fsync::default(),
            limits: Limits::default(),
            faults: FaultPlan::default(),
            feed: EventFeed::default(),
            pii_detector: None,
        }
    }
}

/// Whose requests are answered.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everybody's; signatures are not looked at.
    #[default]
    Accept,
    /// Only those with a valid Signature Version 4 of one of these keys; in the catalog and for events, a bearer token of
    /// one will do. The first key is the one that lakebed's own parts sign with.
    Enforce(Vec<AccessKey>),
}

/// An access key: the id is public, the secret is not.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// `AWS_ACCESS_KEY_ID`.
    pub id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: Secret<String>,
}

/// What an acknowledged write survives. Every policy survives `kill -9` of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// A power cut too: each write is on the disk before it is answered.
    Always,
    /// A power cut costs at most the last second: what was written is flushed once a second.
    Interval,
    /// A power cut costs what the operating system had not written yet.
    #[default]
    Never,
}

/// Throughput limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// As fast as the machine is. Size limits hold all the same.
    #[default]
    None,
    /// AWS's: what is above them is throttled as AWS throttles it.
    Aws,
}
