//! Faults on purpose: what may go wrong where, and a plan that decides when it does.
//!
//! A [`FaultPlan`] is asked at each [`FaultPoint`] whether to strike. Its answer follows from the seed and from how often the
//! point was reached, never from time or threads, so the same run meets the same faults. The default plan never strikes and
//! costs one comparison. Points are named by stage and operation; those of the path are listed here, those of the stores are
//! the operations they serve, which only the stores know: they ask with [`FaultPlan::strike_at`], and there a fault may name
//! [`ANY_OPERATION`]. Knows nothing of how a fault is carried out: that is the work of whoever owns the point.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The operation fails as if the other side had not answered; it may be tried again.
    Error,
    /// The operation takes place twice.
    Duplicate,
    /// The operation waits until a later one has been done.
    Reorder,
    /// The operation never takes place and nobody is told.
    Lose,
    /// A torn copy, cut in half, is left beside the whole.
    Truncate,
    /// A copy with one unreadable line is left beside the whole.
    Garble,
    /// The process that reaches the point is killed, as by `kill -9`.
    Kill,
    /// The operation takes place later; how much later is the fault's [`Delay`].
    Delay,
    /// The operation takes place, and whoever asked for it never hears so.
    DropAnswer,
}

impl FaultKind {
    /// The word in a scenario file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Lose => "lose",
            Self::Truncate => "truncate",
            Self::Garble => "garble",
            Self::Kill => "kill",
            Self::Delay => "delay",
            Self::DropAnswer => "drop-answer",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place where a plan is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPoint {
    /// Stage, as a scenario names it.
    pub stage: &'static str,
    /// Operation of that stage.
    pub operation: &'static str,
    /// What can be done there.
    pub kinds: &'static [FaultKind],
    /// What counts as one occurrence, for people.
    pub about: &'static str,
}

/// Firehose puts an object.
pub const FIREHOSE_PUT_OBJECT: FaultPoint = FaultPoint {
    stage: "firehose",
    operation: "put_object",
    kinds: &[FaultKind::Duplicate, FaultKind::Truncate, FaultKind::Garble, FaultKind::Error],
    about: "one data object put under raw/",
};
/// An S3 notification reaches the controller.
pub const NOTIFICATION_DELIVER: FaultPoint = FaultPoint {
    stage: "notification",
    operation: "deliver",
    kinds: &[FaultKind::Duplicate, FaultKind::Reorder, FaultKind::Lose],
    about: "one S3 event document handed to the controller",
};
/// An ECS worker has written a batch of Parquet.
pub const ECS_WRITE_PARQUET: FaultPoint = FaultPoint {
    stage: "ecs",
    operation: "write_parquet",
    kinds: &[FaultKind::Kill],
    about: "one batch of rows written by an ECS worker, before its file is complete",
};
/// Silver has committed a snapshot, and its objects are not marked yet.
pub const SILVER_COMMIT: FaultPoint = FaultPoint {
    stage: "silver",
    operation: "commit",
    kinds: &[FaultKind::Kill],
    about: "one Iceberg commit of a silver table, before the control table hears of it",
};
/// Gold has committed a snapshot.
pub const GOLD_COMMIT: FaultPoint = FaultPoint {
    stage: "gold",
    operation: "commit",
    kinds: &[FaultKind::Kill],
    about: "one Iceberg commit of a gold table",
};
/// Anything at all has happened.
pub const ANY_EVENT: FaultPoint = FaultPoint {
    stage: "any",
    operation: "event",
    kinds: &[FaultKind::Kill],
    about: "one event of the run, whatever it tells",
};

/// In place of an operation's name: a fault at any operation of its stage. Only stages that are asked with
/// [`FaultPlan::strike_at`] know it.
pub const ANY_OPERATION: &str = "*";

/// Every point of the path. Those of the stores are not among them.
pub const POINTS: [FaultPoint; 6] =
    [FIREHOSE_PUT_OBJECT, NOTIFICATION_DELIVER, ECS_WRITE_PARQUET, SILVER_COMMIT, GOLD_COMMIT, ANY_EVENT];

/// When a fault strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At these occurrences, counted from 1.
    Occurrences(Vec<u64>),
    /// At each occurrence with this probability.
    Probability(f64),
}

/// How long a [`FaultKind::Delay`] lasts: the seed chooses from this span, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// Shortest, in milliseconds.
    pub ms_min: u64,
    /// Longest, in milliseconds.
    pub ms_max: u64,
}

/// Longest delay, in milliseconds: longer ones are refused where plans are read.
pub const DELAY_MS_MAX: u64 = 60_000;

impl Default for Delay {
    /// 100 ms: felt by every client and longer than no client waits.
    fn default() -> Self {
        Self { ms_min: 100, ms_max: 100 }
    }
}

/// One fault of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Stage of the point.
    pub stage: String,
    /// Operation of the point, or [`ANY_OPERATION`].
    pub operation: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// When.
    pub when: When,
    /// How long, for a [`FaultKind::Delay`].
    #[serde(default)]
    pub delay: Delay,
}

impl Fault {
    fn is_at(&self, stage: &str, operation: &str) -> bool {
        self.stage == stage && (self.operation == operation || self.operation == ANY_OPERATION)
    }
}

/// A fault that strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How long a [`FaultKind::Delay`] lasts.
    pub delay: Duration,
    /// A number of the seed, for whoever has more than one way to carry the fault out.
    pub draw: u64,
}

/// How often a fault could have struck, and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strikes {
    /// Stage.
    pub stage: String,
    /// Operation.
    pub operation: String,
    /// Kind.
    pub kind: FaultKind,
    /// How often its point was reached.
    pub offered: u64,
    /// How often it struck.
    pub struck: u64,
}

/// Decides when faults strike. Cheap to clone; clones share their counters. The default never strikes.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan(Option<Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    seed: Seed,
    faults: Vec<Fault>,
    counts: Mutex<BTreeMap<usize, (u64, u64)>>,
}

impl FaultPlan {
    /// A plan of `faults`. The same seed decides the same.
    pub fn new(seed: Seed, faults: Vec<Fault>) -> Self {
        if faults.is_empty() {
            return Self::default();
        }
        Self(Some(Arc::new(Plan { seed: seed.child("fault-plan"), faults, counts: Mutex::default() })))
    }

    /// The faults of the plan.
    pub fn faults(&self) -> &[Fault] {
        self.0.as_ref().map_or(&[], |plan| plan.faults.as_slice())
    }

    /// Asks at `point`: what goes wrong this time. Each fault of the plan counts for itself; the first that strikes wins.
    pub fn strike(&self, point: &FaultPoint) -> Option<FaultKind> {
        self.strike_at(point.stage, point.operation, point.kinds).map(|strike| strike.kind)
    }

    /// As [`Self::strike`], at an operation that no [`FaultPoint`] of [`POINTS`] names. Faults of other kinds than `kinds`
    /// are left alone and do not count it as an occurrence.
    pub fn strike_at(&self, stage: &str, operation: &str, kinds: &[FaultKind]) -> Option<Strike> {
        let plan = self.0.as_ref()?;
        let mut counts = plan.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut struck = None;
        let here = |fault: &Fault| fault.is_at(stage, operation) && kinds.contains(&fault.kind);
        for (at, fault) in plan.faults.iter().enumerate().filter(|(_, fault)| here(fault)) {
            let (offered, strikes) = counts.entry(at).or_default();
            *offered += 1;
            if struck.is_none() && plan.decide(at, &fault.when, *offered) {
                *strikes += 1;
                struck = Some(plan.strike(at, fault, *offered));
            }
        }
        struck
    }

    /// What has struck so far, in the plan's order.
    pub fn strikes(&self) -> Vec<Strikes> {
        let Some(plan) = self.0.as_ref() else { return Vec::new() };
        let counts = plan.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = |(at, fault): (usize, &Fault)| {
            let (offered, struck) = counts.get(&at).copied().unwrap_or_default();
            let (stage, operation) = (fault.stage.clone(), fault.operation.clone());
            Strikes { stage, operation, kind: fault.kind, offered, struck }
        };
        plan.faults.iter().enumerate().map(tell).collect()
    }
}

impl Plan {
    fn decide(&self, at: usize, when: &When, occurrence: u64) -> bool {
        match when {
            When::Occurrences(occurrences) => occurrences.contains(&occurrence),
            When::Probability(probability) => {
                self.seed.rng(&format!("{at}/{occurrence}")).random::<f64>() < *probability
            }
        }
    }

    /// How a fault strikes. Drawn apart from whether it does, so that neither changes the other.
    fn strike(&self, at: usize, fault: &Fault, occurrence: u64) -> Strike {
        let mut rng = self.seed.rng(&format!("{at}/{occurrence}/how"));
        let Delay { ms_min, ms_max } = fault.delay;
        let delay = Duration::from_millis(rng.random_range(ms_min..=ms_max.max(ms_min)));
        Strike { kind: fault.kind, delay, draw: rng.random() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, when: When) -> Fault {
        let point = FIREHOSE_PUT_OBJECT;
        let (stage, operation) = (point.stage.to_owned(), point.operation.to_owned());
        Fault { stage, operation, kind, when, delay: Delay::default() }
    }

    fn struck(seed: u64, when: &When, occurrences: usize) -> Vec<bool> {
        let plan = FaultPlan::new(Seed(seed), vec![fault(FaultKind::Duplicate, when.clone())]);
        (0..occurrences).map(|_| plan.strike(&FIREHOSE_PUT_OBJECT).is_some()).collect()
    }

    #[test]
    fn exact_occurrences_strike_exactly() {
        assert_eq!(struck(7, &When::Occurrences(vec![2, 3]), 4), [false, true, true, false]);
    }

    #[test]
    fn a_probability_follows_from_the_seed() {
        let when = When::Probability(0.3);
        let first = struck(7, &when, 1_000);
        assert_eq!(first, struck(7, &when, 1_000));
        assert_ne!(first, struck(8, &when, 1_000));
        let strikes = first.iter().filter(|struck| **struck).count();
        assert!((200..400).contains(&strikes), "{strikes} of 1,000 at 0.3");
        assert!(struck(7, &When::Probability(0.0), 100).iter().all(|struck| !struck));
        assert!(struck(7, &When::Probability(1.0), 100).iter().all(|struck| *struck));
    }

    #[test]
    fn other_points_are_left_alone_and_strikes_are_counted() {
        let plan = FaultPlan::new(
            Seed(1),
            vec![
                fault(FaultKind::Error, When::Occurrences(vec![1])),
                fault(FaultKind::Truncate, When::Occurrences(vec![1, 2])),
            ],
        );
        assert_eq!(plan.strike(&NOTIFICATION_DELIVER), None);
        assert_eq!(plan.strike(&FIREHOSE_PUT_OBJECT), Some(FaultKind::Error));
        assert_eq!(plan.strike(&FIREHOSE_PUT_OBJECT), Some(FaultKind::Truncate));
        let strikes: Vec<_> = plan.strikes().iter().map(|s| (s.kind, s.offered, s.struck)).collect();
        assert_eq!(strikes, [(FaultKind::Error, 2, 1), (FaultKind::Truncate, 2, 1)]);
    }

    #[test]
    fn any_operation_of_a_stage_is_hit_by_the_kinds_it_knows() {
        let delay = Delay { ms_min: 10, ms_max: 20 };
        let any = |kind| Fault {
            stage: "s3".to_owned(),
            operation: ANY_OPERATION.to_owned(),
            kind,
            when: When::Probability(1.0),
            delay,
        };
        let plan = FaultPlan::new(Seed(1), vec![any(FaultKind::Duplicate), any(FaultKind::Delay)]);
        let strike = plan.strike_at("s3", "PutObject", &[FaultKind::Delay]).expect("struck");
        assert_eq!(strike.kind, FaultKind::Delay);
        assert!((10..=20).contains(&strike.delay.as_millis()), "{strike:?}");
        assert_eq!(plan.strike_at("kinesis", "PutRecords", &[FaultKind::Delay]), None);
        let counted: Vec<_> = plan.strikes().iter().map(|s| (s.offered, s.struck)).collect();
        assert_eq!(counted, [(0, 0), (1, 1)]);
        let again = FaultPlan::new(Seed(1), vec![any(FaultKind::Duplicate), any(FaultKind::Delay)]);
        assert_eq!(again.strike_at("s3", "GetObject", &[FaultKind::Delay]), Some(strike), "the same seed");
    }

    #[test]
    fn the_default_plan_never_strikes() {
        assert_eq!(FaultPlan::default().strike(&FIREHOSE_PUT_OBJECT), None);
        assert!(FaultPlan::default().strikes().is_empty());
    }

    #[test]
    fn points_are_told_apart() {
        let names: std::collections::BTreeSet<_> = POINTS.iter().map(|p| (p.stage, p.operation)).collect();
        assert_eq!(names.len(), POINTS.len());
        assert!(POINTS.iter().all(|point| !point.kinds.is_empty()));
    }
}
