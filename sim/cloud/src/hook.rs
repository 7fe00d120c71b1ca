//! Faults of a plan at the operations of the stores: asked before each operation, carried out here.
//!
//! ```text
//! error        nothing is done; the answer is the service's own for a failure of its (S3 half of the time: SlowDown)
//! delay        the operation is done later
//! duplicate    the operation is done twice, one after the other, as when the network delivers a request again; the client
//!              gets the first answer. Not in S3, whose bodies stream and cannot be played again, nor where the answer streams
//! drop-answer  the operation is done and the client never hears so: its connection ends, with HTTP/2 its stream
//! ```
//!
//! Promises: what an empty plan costs is one comparison; a plan that names what cannot be hit is refused at the start; each
//! strike is told by an event. A delay lasts on the configured clock, so on a virtual one it lasts until somebody advances
//! the clock: a request that nobody lets go is cut off by the end of the stores. A request counts as an occurrence once its
//! operation is known, in the order in which requests come to this point: among requests at the same time chance decides
//! which one is the n-th. Knows nothing of what an operation does.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use http::Response;
use lakebed_contract::fault::{ANY_OPERATION, Fault, FaultPoint};
use lakebed_contract::{Clock, EventSink, FaultKind, FaultPlan};

use crate::config::CloudConfig;
use crate::error::CloudError;
use crate::matrix::{OPERATIONS, Service, Support};

const OF_BUFFERED: &[FaultKind] = &[FaultKind::Error, FaultKind::Delay, FaultKind::Duplicate, FaultKind::DropAnswer];
const OF_STREAMING: &[FaultKind] = &[FaultKind::Error, FaultKind::Delay, FaultKind::DropAnswer];

/// The operation whose answer never ends.
const SUBSCRIBE_TO_SHARD: &str = "SubscribeToShard";
/// Older names of operations: requests are never told apart by them.
const ALIASES: [&str; 4] =
    ["GetBucketLifecycle", "GetBucketNotification", "PutBucketLifecycle", "PutBucketNotification"];

/// Every point of the stores at which a plan is asked: each operation that is served, and first [`ANY_OPERATION`] of each
/// service.
pub fn fault_points() -> Vec<FaultPoint> {
    let mut points = Vec::new();
    for service in Service::ALL {
        points.push(point(service, ANY_OPERATION));
        let of_service = OPERATIONS.iter().filter(|operation| operation.service == service);
        points.extend(of_service.map(|operation| operation.name).filter_map(|name| served(service, name)));
    }
    points
}

fn point(service: Service, operation: &'static str) -> FaultPoint {
    let kinds = match service {
        Service::S3 => OF_STREAMING,
        _ if operation == SUBSCRIBE_TO_SHARD => OF_STREAMING,
        _ => OF_BUFFERED,
    };
    FaultPoint { stage: stage(service), operation, kinds, about: "one request, before it is done" }
}

/// The point of an operation; `None` for one that is refused anyway.
fn served(service: Service, name: &str) -> Option<FaultPoint> {
    let is_it = |operation: &&crate::matrix::Operation| operation.service == service && operation.name == name;
    let operation = OPERATIONS.iter().find(is_it)?;
    let is_point = operation.support != Support::Refused && !ALIASES.contains(&operation.name);
    is_point.then(|| point(service, operation.name))
}

/// A service as a fault plan names it.
fn stage(service: Service) -> &'static str {
    match service {
        Service::S3 => "s3",
        Service::DynamoDb => "dynamodb",
        Service::DynamoDbStreams => "dynamodbstreams",
        Service::Kinesis => "kinesis",
        Service::Comprehend => "comprehend",
        Service::Kms => "kms",
    }
}

/// What is left to do about a fault that strikes. A delay is over by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Struck {
    /// Answer with an error and do nothing.
    Error {
        /// A number of the seed.
        draw: u64,
    },
    /// Do it twice.
    Duplicate,
    /// Do it and do not answer.
    DropAnswer,
}

/// Asks the plan at operations. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hook(Option<Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    faults: FaultPlan,
    clock: Clock,
    events: EventSink,
}

impl Hook {
    /// The faults that `config` plans for the stores; those of other stages are somebody else's.
    pub(crate) fn new(config: &CloudConfig) -> Result<Self, CloudError> {
        let is_ours = |fault: &&Fault| Service::ALL.iter().any(|service| stage(*service) == fault.stage);
        let ours: Vec<&Fault> = config.faults.faults().iter().filter(is_ours).collect();
        if ours.is_empty() {
            return Ok(Self(None));
        }
        let mut points = fault_points();
        if config.pii_detector.is_none() {
            points.retain(|point| point.stage != stage(Service::Comprehend));
        }
        ours.into_iter().try_for_each(|fault| check(fault, &points))?;
        let CloudConfig { faults, clock, events, .. } = config;
        let plan = Plan { faults: faults.clone(), clock: clock.clone(), events: events.clone() };
        Ok(Self(Some(Arc::new(plan))))
    }

    /// Whether anything can ever strike.
    pub(crate) fn is_armed(&self) -> bool {
        self.0.is_some()
    }

    /// What strikes this request; comes back when a delay is over.
    pub(crate) async fn ask(&self, service: Service, operation: &str) -> Option<Struck> {
        let plan = self.0.as_ref()?;
        let point = served(service, operation)?;
        let strike = plan.faults.strike_at(point.stage, point.operation, point.kinds)?;
        plan.events.log(format!("cloud: fault {} strikes {}/{}", strike.kind, point.stage, point.operation));
        match strike.kind {
            FaultKind::Delay => {
                plan.clock.sleep(strike.delay).await;
                None
            }
            FaultKind::Error => Some(Struck::Error { draw: strike.draw }),
            FaultKind::Duplicate => Some(Struck::Duplicate),
            FaultKind::DropAnswer => Some(Struck::DropAnswer),
            // No point of the stores knows them.
            FaultKind::Reorder | FaultKind::Lose | FaultKind::Truncate | FaultKind::Garble | FaultKind::Kill => None,
        }
    }

    /// Does the operation that `target` names, whose request is in memory, as far as the plan lets it be done;
    /// `failure` is how the service answers when something of its own went wrong.
    pub(crate) async fn around<Run, Answer>(
        &self,
        target: &str,
        run: Run,
        failure: impl FnOnce() -> Response<Body>,
    ) -> Response<Body>
    where
        Run: Fn() -> Answer,
        Answer: Future<Output = Response<Body>>,
    {
        // Most have no plan, and need not take the target apart.
        let named = if self.is_armed() { Service::of_target(target) } else { None };
        let struck = match named {
            Some((service, operation)) => self.ask(service, operation).await,
            None => None,
        };
        match struck {
            None => run().await,
            Some(Struck::Error { .. }) => failure(),
            Some(Struck::Duplicate) => {
                let first = run().await;
                let second = run().await;
                tracing::debug!(first = %first.status(), second = %second.status(), target, "done twice");
                first
            }
            Some(Struck::DropAnswer) => unanswered(run().await),
        }
    }
}

fn check(fault: &Fault, points: &[FaultPoint]) -> Result<(), CloudError> {
    let refused = |reason: String| CloudError::Fault {
        stage: fault.stage.clone(),
        operation: fault.operation.clone(),
        kind: fault.kind,
        reason,
    };
    let is_it = |point: &&FaultPoint| point.stage == fault.stage && point.operation == fault.operation;
    let Some(point) = points.iter().find(is_it) else {
        return Err(refused("no such operation is served".to_owned()));
    };
    if point.kinds.contains(&fault.kind) {
        return Ok(());
    }
    let kinds: Vec<&str> = point.kinds.iter().map(|kind| kind.as_str()).collect();
    Err(refused(format!("only {} can strike there", kinds.join(", "))))
}

/// The mark of an answer that is not to be sent.
#[derive(Clone, Copy, Debug)]
struct Unanswered;

/// An answer that its client is not to get.
pub(crate) fn unanswered<B>(mut response: Response<B>) -> Response<B> {
    response.extensions_mut().insert(Unanswered);
    response
}

/// An answer was dropped on purpose.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer was dropped by a planned fault")]
pub(crate) struct AnswerDropped;

/// The answer, unless it is not to be sent: an error here makes the HTTP server end the connection, or the one stream of an
/// HTTP/2 connection, without an answer.
pub(crate) fn sent(response: Response<Body>) -> Result<Response<Body>, AnswerDropped> {
    if response.extensions().get::<Unanswered>().is_some() { Err(AnswerDropped) } else { Ok(response) }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;
    use lakebed_contract::fault::When;

    use super::*;

    fn refused(stage: &str, operation: &str, kind: FaultKind) -> Option<String> {
        let (stage, operation) = (stage.to_owned(), operation.to_owned());
        let fault = Fault { stage, operation, kind, when: When::Probability(1.0), delay: Default::default() };
        let mut config = CloudConfig::new("nowhere", Clock::wall(), Seed(7));
        config.faults = FaultPlan::new(Seed(7), vec![fault]);
        Hook::new(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn a_plan_that_can_never_strike_is_refused() {
        assert_eq!(refused("s3", "PutObject", FaultKind::DropAnswer), None);
        assert_eq!(refused("kinesis", "*", FaultKind::Duplicate), None);
        assert_eq!(refused("firehose", "put_object", FaultKind::Garble), None, "not of the stores");
        let told = refused("s3", "PutObject", FaultKind::Duplicate).expect("refused");
        assert!(told.contains("s3/PutObject") && told.contains("error, delay, drop-answer"), "{told}");
        for (stage, operation) in [
            ("s3", "SelectObjectContent"),
            ("dynamodb", "GetRecords"),
            ("kinesis", "putRecord"),
            // There is no detector in this configuration.
            ("comprehend", "DetectPiiEntities"),
        ] {
            let told = refused(stage, operation, FaultKind::Error).expect(operation);
            assert!(told.contains("no such operation is served"), "{told}");
        }
    }

    #[tokio::test]
    async fn operations_nobody_serves_are_no_occurrences() {
        let any = Fault {
            stage: "kinesis".to_owned(),
            operation: ANY_OPERATION.to_owned(),
            kind: FaultKind::Error,
            when: When::Occurrences(vec![1]),
            delay: Default::default(),
        };
        let mut config = CloudConfig::new("nowhere", Clock::wall(), Seed(7));
        config.faults = FaultPlan::new(Seed(7), vec![any]);
        let hook = Hook::new(&config).expect("a plan");
        assert_eq!(hook.ask(Service::Kinesis, "Nonsense").await, None);
        assert_eq!(hook.ask(Service::DynamoDb, "ListTables").await, None);
        assert!(matches!(hook.ask(Service::Kinesis, "ListStreams").await, Some(Struck::Error { .. })));
        assert_eq!(hook.ask(Service::Kinesis, "ListStreams").await, None);
    }

    #[test]
    fn points_are_told_apart() {
        let points = fault_points();
        let names: std::collections::BTreeSet<_> = points.iter().map(|point| (point.stage, point.operation)).collect();
        assert_eq!(names.len(), points.len());
    }
}
