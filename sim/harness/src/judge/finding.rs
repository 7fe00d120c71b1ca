//! What the judge says: a [`Finding`] per invariant, gathered in a [`Verdict`].
//!
//! Promises: an invariant nobody could check is `Unchecked`, never `Pass`; a check that found nothing to look at is
//! `Unchecked` too. Details carry counts, table and column names, object keys and bigint row keys, never other values.

use std::collections::BTreeMap;

use lakebed_contract::event::Outcome;
use serde::{Deserialize, Serialize};

/// The names of the invariants, in order.
pub const INVARIANTS: [&str; 10] = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"];

/// The judge's word on one invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The word.
    pub outcome: Outcome,
    /// Why, in counts and names.
    pub detail: String,
}

impl Finding {
    /// An invariant this run could not check.
    pub fn unchecked(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unchecked, detail: reason.into() }
    }
}

/// The judge's word on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `I1` … `I10`.
    pub invariants: BTreeMap<String, Finding>,
}

impl Verdict {
    /// Whether no invariant failed. Unchecked invariants do not fail a run; they show in the counts.
    pub fn passed(&self) -> bool {
        self.failed() == 0
    }

    /// How many invariants hold.
    pub fn held(&self) -> usize {
        self.count(Outcome::Pass)
    }

    /// How many do not.
    pub fn failed(&self) -> usize {
        self.count(Outcome::Fail)
    }

    /// How many this run could not check.
    pub fn unchecked(&self) -> usize {
        self.count(Outcome::Unchecked)
    }

    /// The findings from I1 to I10 (the map's own order puts I10 second).
    pub fn in_order(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        INVARIANTS.into_iter().filter_map(|name| Some((name, self.invariants.get(name)?)))
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.invariants.values().filter(|finding| finding.outcome == outcome).count()
    }
}

/// Gathers what the parts of one invariant's check say; one failure outweighs everything, one gap outweighs a pass.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    failures: Vec<String>,
    gaps: Vec<String>,
    holds: Vec<String>,
    notes: Vec<String>,
}

impl Evidence {
    /// Nothing could be checked, for this reason.
    pub(super) fn gap(why: &str) -> Self {
        Self { gaps: vec![why.to_owned()], ..Self::default() }
    }

    pub(super) fn fails(&mut self, why: impl Into<String>) {
        self.failures.push(why.into());
    }

    pub(super) fn cannot_check(&mut self, why: impl Into<String>) {
        self.gaps.push(why.into());
    }

    pub(super) fn holds(&mut self, what: impl Into<String>) {
        self.holds.push(what.into());
    }

    /// Something the reader should know that changes no outcome.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    pub(super) fn finding(self) -> Finding {
        let (outcome, mut parts) = if !self.failures.is_empty() {
            (Outcome::Fail, [self.failures, self.gaps].concat())
        } else if !self.gaps.is_empty() {
            (Outcome::Unchecked, [self.gaps, self.holds].concat())
        } else if self.holds.is_empty() {
            (Outcome::Unchecked, vec!["nothing to check".to_owned()])
        } else {
            (Outcome::Pass, self.holds)
        };
        parts.extend(self.notes);
        Finding { outcome, detail: parts.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_a_gap_and_a_gap_outweighs_a_pass() {
        let mut evidence = Evidence::default();
        assert_eq!(Evidence::default().finding().outcome, Outcome::Unchecked);
        evidence.holds("a");
        evidence.cannot_check("b");
        evidence.fails("c");
        let finding = evidence.finding();
        assert_eq!((finding.outcome, finding.detail.as_str()), (Outcome::Fail, "c; b"));
        let mut evidence = Evidence::default();
        evidence.holds("a");
        evidence.cannot_check("b");
        assert_eq!(evidence.finding().outcome, Outcome::Unchecked);
        let mut evidence = Evidence::default();
        evidence.holds("a");
        evidence.note("n");
        assert_eq!(evidence.finding(), Finding { outcome: Outcome::Pass, detail: "a; n".to_owned() });
    }

    #[test]
    fn a_verdict_passes_with_gaps_but_not_with_a_failure() {
        let mut verdict = Verdict { invariants: BTreeMap::from([("I7".to_owned(), Finding::unchecked("why"))]) };
        assert!(verdict.passed());
        assert_eq!((verdict.held(), verdict.failed(), verdict.unchecked()), (0, 0, 1));
        verdict.invariants.insert("I10".into(), Finding { outcome: Outcome::Fail, detail: String::new() });
        assert!(!verdict.passed());
        assert_eq!(verdict.in_order().map(|(name, _)| name).collect::<Vec<_>>(), ["I7", "I10"]);
    }
}
