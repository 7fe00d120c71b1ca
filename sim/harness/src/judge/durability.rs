//! I9: the replication slot is never acknowledged beyond what the stream durably holds.
//!
//! Lays three things side by side: what was committed (counted by a slot of the judge's own), what the slot of change capture
//! had acknowledged at each look, and what the stream held right after that look. A change whose commit lies before an
//! acknowledged position would not be sent again, so it must have been in the stream by then. A repeated change is allowed.

use lakebed_contract::Lsn;
use serde::{Deserialize, Serialize};

use super::finding::Evidence;
use super::stream::{ShardPlaces, StreamContent};

/// Deviations named in a finding.
const SAMPLE_MAX: usize = 3;

/// One look at the slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSample {
    /// What the slot had acknowledged.
    pub acknowledged: Lsn,
    /// The last record of each shard, read after that.
    pub held: ShardPlaces,
}

/// One committed transaction with changes of the lake's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where its commit begins in the log.
    pub commit_lsn: Lsn,
    /// Inserted, updated and deleted rows.
    pub changes: u64,
}

/// What was seen of a slot while change capture ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotHistory {
    /// Transactions from here on are known to be sent by the stream; earlier ones came with the load.
    pub from: Lsn,
    /// Looks, oldest first.
    pub samples: Vec<SlotSample>,
    /// Transactions, in commit order.
    pub committed: Vec<Committed>,
    /// Why part of it could not be seen.
    pub gap: Option<String>,
    /// What the reader should know, such as a restart in between.
    pub notes: Vec<String>,
}

/// Judges the looks.
pub(super) fn judge(history: &SlotHistory, stream: &StreamContent) -> Evidence {
    let mut evidence = Evidence::default();
    if stream.unreadable > 0 {
        evidence.cannot_check(format!("{} records of the stream show no position", stream.unreadable));
    }
    if let Some(gap) = &history.gap {
        evidence.cannot_check(gap.as_str());
    }
    let mut samples: Vec<&SlotSample> = history.samples.iter().collect();
    samples.sort_by_key(|sample| sample.acknowledged);
    let mut committed: Vec<_> = history.committed.iter().filter(|one| one.commit_lsn >= history.from).collect();
    committed.sort_by_key(|one| one.commit_lsn);
    let (mut lost, mut late) = (Vec::new(), Vec::new());
    // What the stream must hold for everything acknowledged so far.
    let mut due = ShardPlaces::new();
    let (mut changes, mut transactions) = (0, committed.iter().peekable());
    for sample in &samples {
        while let Some(one) = transactions.next_if(|one| one.commit_lsn < sample.acknowledged) {
            changes += one.changes;
            let held = stream.transactions.get(&one.commit_lsn);
            let there = held.map_or(0, |held| held.changes());
            if there < one.changes {
                let missing = one.changes - there;
                lost.push(format!("{missing} of {} changes committed at {}", one.changes, one.commit_lsn));
            }
            for (shard, at) in held.into_iter().flat_map(|held| &held.complete_at) {
                let due = due.entry(shard.clone()).or_default();
                *due = at.clone().max(std::mem::take(due));
            }
        }
        if due.iter().any(|(shard, at)| sample.held.get(shard).is_none_or(|held| held < at)) {
            late.push(format!("{}", sample.acknowledged));
        }
    }
    if !lost.is_empty() {
        evidence.fails(format!("acknowledged but not in the stream: {}", first(&lost)));
    }
    if !late.is_empty() {
        evidence.fails(format!("acknowledged before the stream held everything up to there: {}", first(&late)));
    }
    let open = transactions.count();
    if open > 0 {
        evidence.note(format!("{open} transactions were never acknowledged"));
    }
    if changes > 0 {
        evidence.holds(format!(
            "{} acknowledged positions seen, {changes} changes before them were each in the stream by then",
            samples.len()
        ));
    }
    history.notes.iter().for_each(|note| evidence.note(note.as_str()));
    evidence
}

fn first(all: &[String]) -> String {
    let shown = all.iter().take(SAMPLE_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > SAMPLE_MAX { format!("{shown} and {} more", all.len() - SAMPLE_MAX) } else { shown }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::event::Outcome;

    use super::super::finding::Finding;
    use super::super::stream::SequenceNumber;
    use super::*;

    fn at(number: u64) -> SequenceNumber {
        SequenceNumber(number.to_string())
    }

    fn look(acknowledged: u64, held: u64) -> SlotSample {
        SlotSample { acknowledged: Lsn(acknowledged), held: [("a".to_owned(), at(held))].into() }
    }

    /// Commits at 10 (two changes), 20 and 30 (one each); the stream holds them as its records 1, 2, 3, 4.
    fn sound() -> (SlotHistory, StreamContent) {
        let mut stream = StreamContent::default();
        for (number, (commit, ordinal)) in (1..).zip([(10, 1), (10, 2), (20, 1), (30, 1)]) {
            stream.transactions.entry(Lsn(commit)).or_default().add(ordinal, "a", &at(number));
        }
        let committed = [(10, 2), (20, 1), (30, 1)].map(|(at, changes)| Committed { commit_lsn: Lsn(at), changes });
        let samples = vec![look(5, 0), look(15, 2), look(15, 3), look(25, 3), look(35, 4)];
        (SlotHistory { from: Lsn(5), samples, committed: committed.into(), ..SlotHistory::default() }, stream)
    }

    fn word(history: &SlotHistory, stream: &StreamContent) -> Finding {
        judge(history, stream).finding()
    }

    #[test]
    fn acknowledged_in_step_with_the_stream_passes() {
        let (mut history, mut stream) = sound();
        let finding = word(&history, &stream);
        assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
        assert!(finding.detail.contains("5 acknowledged positions seen, 4 changes"), "{}", finding.detail);
        // Sent again after a restart.
        stream.transactions.entry(Lsn(10)).or_default().add(1, "a", &at(5));
        history.samples.push(look(35, 5));
        assert_eq!(word(&history, &stream).outcome, Outcome::Pass);
    }

    #[test]
    fn a_position_acknowledged_one_record_too_early_is_caught() {
        let (mut history, stream) = sound();
        history.samples[1] = look(15, 1);
        let finding = word(&history, &stream);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.detail.contains("before the stream held everything up to there: 0/F"), "{}", finding.detail);
        history.samples[1] = SlotSample { acknowledged: Lsn(15), held: ShardPlaces::new() };
        assert_eq!(word(&history, &stream).outcome, Outcome::Fail);
        // The commit at 10 would be sent again to a slot that stands exactly there.
        history.samples[1] = look(10, 0);
        assert_eq!(word(&history, &stream).outcome, Outcome::Pass);
    }

    #[test]
    fn a_change_that_never_arrived_is_caught_even_if_its_neighbour_did() {
        let (mut history, stream) = sound();
        history.committed[0].changes = 3;
        let finding = word(&history, &stream);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.detail.contains("1 of 3 changes committed at 0/A"), "{}", finding.detail);
        // What came with the load is not sent.
        history.from = Lsn(11);
        assert_eq!(word(&history, &stream).outcome, Outcome::Pass);
    }

    #[test]
    fn nothing_seen_is_no_pass() {
        let (mut history, mut stream) = sound();
        stream.unreadable = 1;
        assert_eq!(word(&history, &stream).outcome, Outcome::Unchecked);
        stream.unreadable = 0;
        history.gap = Some("the watch ended early".to_owned());
        assert_eq!(word(&history, &stream).outcome, Outcome::Unchecked);
        assert_eq!(word(&SlotHistory::default(), &stream).outcome, Outcome::Unchecked);
        history.gap = None;
        history.samples.truncate(1);
        assert_eq!(word(&history, &stream).outcome, Outcome::Unchecked, "nothing was acknowledged");
    }
}
