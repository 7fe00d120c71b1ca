//! I7: running any stage again changes nothing.
//!
//! Compares what a lake held before its stages ran again with what it holds after: every row of silver and gold with all its
//! columns, every bronze and quarantine object byte for byte, every control record's counts. Objects and records of repeated
//! deliveries may be new; those that were there must be as they were. The running itself is the harness's work.

use lakebed_contract::lake::Lake;
use lakebed_contract::layout;

use super::digest::{LakeDigest, TableDigest, columns, names};
use super::error::JudgeError;
use super::finding::Evidence;
use super::gold::key_text;
use super::lakehouse::{Lakehouse, scan_at, typed};
use super::rows::{Comparison, ExpectedRows};

/// Names in a finding.
const SAMPLE_MAX: usize = 5;

/// A lake before and after its stages ran again.
#[derive(Clone, Debug, Default)]
pub struct Rerun {
    /// Before.
    pub before: LakeDigest,
    /// After.
    pub after: LakeDigest,
    /// What ran again, in counts and names.
    pub ran: Vec<String>,
    /// What did not, and why.
    pub left_out: Vec<String>,
}

/// Judges a rerun; reads tables only to name the rows that differ.
pub(super) async fn judge(lake: &Lake, lakehouse: &Lakehouse, rerun: &Rerun) -> Result<Evidence, JudgeError> {
    let mut evidence = Evidence::default();
    for (namespace, name) in names(lake) {
        let what = format!("{namespace}.{name}");
        if let Some(reason) = rerun.before.unreadable.get(&what) {
            evidence.cannot_check(format!("{what} {reason}"));
            continue;
        }
        match (rerun.before.tables.get(&what), rerun.after.tables.get(&what)) {
            (Some(before), Some(after)) if same_rows(before, after) => {}
            (None, None) => evidence.cannot_check(format!("there was no {what}")),
            (Some(before), Some(after)) => {
                let differ = explain(lake, lakehouse, namespace, name, before.snapshot, after.snapshot).await?;
                evidence.fails(format!("{what} changed: {differ}"));
            }
            (before, _) => {
                let word = if before.is_some() { "vanished" } else { "appeared" };
                evidence.fails(format!("{what} {word}"));
            }
        }
    }
    judge_objects(&rerun.before, &rerun.after, &mut evidence);
    judge_records(&rerun.before, &rerun.after, &mut evidence);
    if rerun.ran.is_empty() {
        evidence.cannot_check("no stage ran again");
    }
    evidence.holds(format!(
        "{} silver rows, {} gold rows, {} bronze and quarantine objects and {} control records as before, after {}",
        rerun.before.rows(layout::SILVER),
        rerun.before.rows(layout::GOLD),
        rerun.before.objects.len(),
        rerun.before.records.len(),
        rerun.ran.join(", ")
    ));
    rerun.left_out.iter().for_each(|what| evidence.note(format!("left out: {what}")));
    Ok(evidence)
}

fn same_rows(before: &TableDigest, after: &TableDigest) -> bool {
    (before.rows, before.live, before.whole) == (after.rows, after.live, after.whole)
}

fn judge_objects(before: &LakeDigest, after: &LakeDigest, evidence: &mut Evidence) {
    let (mut lost, mut rewritten) = (Vec::new(), Vec::new());
    for (key, etag) in &before.objects {
        match after.objects.get(key) {
            None => lost.push(key.as_str()),
            Some(found) if found != etag => rewritten.push(key.as_str()),
            Some(_) => {}
        }
    }
    for (word, keys) in [("vanished", lost), ("were written anew with other bytes", rewritten)] {
        if !keys.is_empty() {
            evidence.fails(format!("{} objects {word}: {}", keys.len(), first(&keys)));
        }
    }
}

fn judge_records(before: &LakeDigest, after: &LakeDigest, evidence: &mut Evidence) {
    let moved: Vec<&str> = before
        .records
        .iter()
        .filter(|(pk, record)| after.records.get(*pk) != Some(record))
        .map(|(pk, _)| pk.as_str())
        .collect();
    if !moved.is_empty() {
        evidence.fails(format!("{} control records changed: {}", moved.len(), first(&moved)));
    }
}

fn first(names: &[&str]) -> String {
    names.iter().take(SAMPLE_MAX).copied().collect::<Vec<_>>().join(", ")
}

/// Compares two snapshots of a table row by row.
async fn explain(
    lake: &Lake,
    lakehouse: &Lakehouse,
    namespace: &str,
    name: &str,
    before: i64,
    after: i64,
) -> Result<String, JudgeError> {
    if before == after {
        return Ok("its snapshot is the same, so a data file was written over".to_owned());
    }
    let Some(table) = lakehouse.table(namespace, name).await? else { return Ok("it is gone".to_owned()) };
    let all = match columns(&table) {
        Ok(all) => all,
        Err(reason) => return Ok(reason),
    };
    let names: Vec<String> = all.iter().map(|column| column.name.clone()).collect();
    let key: Vec<usize> =
        key_names(lake, namespace, name).iter().filter_map(|key| names.iter().position(|name| name == key)).collect();
    let mut rows = ExpectedRows::new(names.clone());
    let mut twice = 0_u64;
    for (snapshot, is_before) in [(before, true), (after, false)] {
        let scanned = scan_at(&table, Some(snapshot), &names, |batch| {
            let arrays = typed(batch, &all)?;
            for row in 0..batch.num_rows() {
                let fingerprints: Vec<u64> = arrays.iter().map(|array| array.cell(row).fingerprint()).collect();
                let key = key_text(&all, &key, |at| arrays[at].cell(row));
                if !is_before {
                    rows.compare(key, &fingerprints);
                } else if !rows.expect(key, &fingerprints) {
                    twice += 1;
                }
            }
            Ok(())
        })
        .await?;
        if let Err(reason) = scanned {
            return Ok(reason);
        }
    }
    let comparison: Comparison = rows.finish();
    Ok(if twice > 0 { format!("{comparison}, {twice} keys were there twice before") } else { comparison.to_string() })
}

fn key_names<'l>(lake: &'l Lake, namespace: &str, name: &str) -> Vec<&'l str> {
    if let Some(table) = lake.table(name).filter(|_| namespace == layout::SILVER) {
        return table.key_columns().map(|column| column.name.as_str()).collect();
    }
    let models = lake.silver.iter().chain(&lake.gold);
    models.filter(|model| model.name == name).flat_map(|model| model.key.iter().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use lakebed_contract::control::Status;
    use lakebed_contract::event::Outcome;

    use super::super::digest::RecordDigest;
    use super::*;

    fn digest() -> LakeDigest {
        let record = RecordDigest { status: Status::Done, rows: [3, 2, 1, 0], outputs: vec!["bronze/a".to_owned()] };
        LakeDigest {
            objects: [("bronze/a".to_owned(), "1".to_owned())].into(),
            records: [("pk".to_owned(), record)].into(),
            ..LakeDigest::default()
        }
    }

    fn word(before: &LakeDigest, after: &LakeDigest) -> (Outcome, String) {
        let mut evidence = Evidence::default();
        judge_objects(before, after, &mut evidence);
        judge_records(before, after, &mut evidence);
        evidence.holds("h");
        let finding = evidence.finding();
        (finding.outcome, finding.detail)
    }

    #[test]
    fn new_objects_are_allowed_and_changed_ones_are_not() {
        let before = digest();
        let mut after = digest();
        after.objects.insert("bronze/b".to_owned(), "2".to_owned());
        after.records.insert("other".to_owned(), before.records["pk"].clone());
        assert_eq!(word(&before, &after).0, Outcome::Pass);
        after.objects.insert("bronze/a".to_owned(), "9".to_owned());
        assert_eq!(
            word(&before, &after),
            (Outcome::Fail, "1 objects were written anew with other bytes: bronze/a".into())
        );
        after.objects.remove("bronze/a");
        assert_eq!(word(&before, &after), (Outcome::Fail, "1 objects vanished: bronze/a".into()));
    }

    #[test]
    fn a_control_record_must_end_as_it_was() {
        let before = digest();
        let change = |change: fn(&mut RecordDigest)| {
            let mut after = digest();
            change(after.records.get_mut("pk").expect("there"));
            word(&before, &after).0
        };
        assert_eq!(change(|record| record.rows[1] = 3), Outcome::Fail);
        assert_eq!(change(|record| record.status = Status::BronzeDone), Outcome::Fail);
        assert_eq!(change(|record| record.outputs.clear()), Outcome::Fail);
        assert_eq!(change(|_| {}), Outcome::Pass);
    }
}
