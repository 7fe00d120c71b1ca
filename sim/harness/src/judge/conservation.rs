//! I4 and I5: no record is lost between a raw object and bronze.
//!
//! Per control record: its own sums agree; `rows_in` is what the judge counts in the raw object, `rows_good` what bronze's footers
//! say, `rows_bad` what quarantine's say (I5); and every record of the raw object, known by (generation, commit LSN, ordinal,
//! operation, key), lies in bronze, except as many as were quarantined, table events aside (I4). Looks from `raw/` on: what never
//! reached `raw/` shows in I1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::lake::Lake;
use lakebed_contract::layout;
use lakebed_contract::table::TableContract;

use super::bronze::{self, Identities};
use super::error::JudgeError;
use super::finding::Evidence;
use super::objects::{OBJECTS_AT_ONCE, Objects};
use super::raw_records::{self, RawContent};

/// Objects named in a finding.
const SAMPLE_MAX: usize = 5;

/// What belongs to one control record in the object store.
struct Belongings {
    raw: Option<(Bytes, String)>,
    bronze: Vec<(String, Option<Bytes>)>,
    quarantine: Option<Bytes>,
}

/// What the judge found about one raw object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    table: String,
    key: String,
    rows: [u64; 4],
    /// Breaches of conservation.
    breaches: Vec<String>,
    /// Distinct records of the raw object, and how many of them bronze lacks beyond the quarantined ones.
    accepted: u64,
    lost: u64,
    /// Why I4 could not be checked on this object.
    gap: Option<String>,
    quarantined_whole: bool,
}

/// Judges every control record; gives the evidence for I4 and for I5.
pub(super) async fn judge(
    lake: &Lake,
    objects: &Objects,
    records: &BTreeMap<String, ControlRecord>,
) -> Result<(Evidence, Evidence), JudgeError> {
    let contracts: HashMap<&str, Arc<TableContract>> =
        lake.tables.iter().map(|table| (table.name.as_str(), Arc::new(table.clone()))).collect();
    let finished =
        |record: &&ControlRecord| matches!(record.status, Status::BronzeDone | Status::Done | Status::Quarantined);
    let unfinished = records.len() - records.values().filter(finished).count();
    let accounts: Vec<Account> = stream::iter(records.values().filter(finished))
        .map(|record| {
            let contract = contracts.get(record.table.as_str()).cloned();
            async move {
                let belongings = fetch(objects, record, contract.as_deref()).await?;
                let record = record.clone();
                Ok::<_, JudgeError>(
                    tokio::task::spawn_blocking(move || account(&record, contract.as_deref(), &belongings)).await?,
                )
            }
        })
        .buffered(OBJECTS_AT_ONCE)
        .try_collect()
        .await?;
    let (mut accepted, mut conserved) = (judge_accepted(&accounts), judge_conserved(&accounts));
    if unfinished > 0 {
        for evidence in [&mut accepted, &mut conserved] {
            evidence.cannot_check(format!("{unfinished} raw objects are not through bronze"));
        }
    }
    Ok((accepted, conserved))
}

async fn fetch(
    objects: &Objects,
    record: &ControlRecord,
    contract: Option<&TableContract>,
) -> Result<Belongings, JudgeError> {
    let raw = objects.get(&record.bucket, &record.key).await?;
    let mut bronze = Vec::with_capacity(record.outputs.len());
    for output in &record.outputs {
        let key = output.strip_prefix("s3://").and_then(|path| path.split_once('/')).map_or(output.as_str(), |p| p.1);
        let found = objects.get(layout::LAKE_BUCKET, key).await?;
        bronze.push((key.to_owned(), found.map(|(bytes, _)| bytes)));
    }
    let quarantine = match contract {
        Some(contract) => {
            objects.get(layout::LAKE_BUCKET, &layout::quarantine_key(contract, &record.pk)).await?.map(|found| found.0)
        }
        None => None,
    };
    Ok(Belongings { raw, bronze, quarantine })
}

fn account(record: &ControlRecord, contract: Option<&TableContract>, belongings: &Belongings) -> Account {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let rows = [record.rows_in, record.rows_good, record.rows_bad, record.rows_dropped].map(count);
    let mut account = Account { table: record.table.clone(), key: record.key.clone(), rows, ..Account::default() };
    let [rows_in, good, bad, dropped] = rows;
    if rows_in != good + bad + dropped {
        account.breaches.push(format!("{rows_in} in, but {good} good + {bad} bad + {dropped} dropped"));
    }
    let in_bronze = footer_rows(&belongings.bronze, &mut account.breaches);
    if in_bronze.is_some_and(|rows| rows != good) {
        account.breaches.push(format!("{good} good, but bronze holds {} rows", in_bronze.unwrap_or(0)));
    }
    match belongings.quarantine.as_ref().map_or(Ok(0), |bytes| bronze::footer_rows(bytes.clone())) {
        Ok(rows) if rows == bad => {}
        Ok(rows) => account.breaches.push(format!("{bad} bad, but quarantine holds {rows} rows")),
        Err(reason) => account.breaches.push(format!("quarantine is unreadable ({reason})")),
    }
    if record.status == Status::Quarantined && rows_in == 0 {
        account.quarantined_whole = true;
        let readable = belongings.raw.as_ref().filter(|(_, etag)| contract.is_some() && *etag == record.etag);
        if let Some(content) = readable.and_then(|(raw, _)| raw_records::read(&record.key, raw, contract).ok())
            && content.records > 0
        {
            account.breaches.push(format!("given up as a whole, but it holds {} readable records", content.records));
        }
        return account;
    }
    match &belongings.raw {
        Some((raw, etag)) if *etag == record.etag => {
            let content = raw_records::read(&record.key, raw, contract);
            let events = belongings.quarantine.as_ref().map_or(Ok(0), |bytes| bronze::table_events(bytes.clone()));
            let events = events.unwrap_or_else(|reason| {
                account.breaches.push(format!("quarantine is unreadable ({reason})"));
                0
            });
            weigh(&mut account, content, contract, &belongings.bronze, bad.saturating_sub(events));
        }
        // The version this record speaks of is gone; its successor has a record of its own.
        Some(_) => account.gap = Some("was overwritten".to_owned()),
        None => account.gap = Some("is gone".to_owned()),
    }
    account
}

fn footer_rows(bronze: &[(String, Option<Bytes>)], breaches: &mut Vec<String>) -> Option<u64> {
    let mut rows = Some(0);
    for (key, bytes) in bronze {
        let read = match bytes {
            Some(bytes) => bronze::footer_rows(bytes.clone()),
            None => Err("missing".to_owned()),
        };
        match read {
            Ok(more) => rows = rows.map(|rows| rows + more),
            Err(reason) => {
                breaches.push(format!("bronze {key} is unreadable ({reason})"));
                rows = None;
            }
        }
    }
    rows
}

/// Compares what the raw object holds with the counts and with bronze. `bad`: changes that were quarantined.
fn weigh(
    account: &mut Account,
    content: Result<RawContent, String>,
    contract: Option<&TableContract>,
    bronze: &[(String, Option<Bytes>)],
    bad: u64,
) {
    let rows_in = account.rows[0];
    let content = match content {
        Ok(content) => content,
        Err(reason) => {
            account.breaches.push(format!("finished, but its text is unreadable ({reason})"));
            return;
        }
    };
    if content.records != rows_in {
        account.breaches.push(format!("{rows_in} in, but the object holds {} records", content.records));
    }
    let (Some(identities), Some(contract)) = (content.identities, contract) else {
        account.gap = Some("has no readable key".to_owned());
        return;
    };
    account.accepted = identities.len() as u64;
    let mut held = Identities::default();
    for bytes in bronze.iter().filter_map(|(_, bytes)| bytes.clone()) {
        if let Err(reason) = bronze::identities(bytes, contract, &mut held) {
            account.gap = Some(format!("has bronze the judge cannot match ({reason})"));
            return;
        }
    }
    let absent = identities.difference(&held).count() as u64 + content.unidentified;
    // Rows dropped by rule are no changes: they were never counted among the identities.
    account.lost = absent.saturating_sub(bad);
}

fn judge_accepted(accounts: &[Account]) -> Evidence {
    let mut evidence = Evidence::default();
    let (mut records, mut objects) = (0, 0);
    for account in accounts {
        if account.lost > 0 {
            evidence.fails(format!("bronze lacks {} records of {}", account.lost, account.key));
        } else if let Some(gap) = &account.gap {
            evidence.cannot_check(format!("{} {gap}", account.key));
        } else if !account.quarantined_whole {
            records += account.accepted;
            objects += 1;
        }
    }
    if objects > 0 {
        evidence.holds(format!("bronze holds all {records} distinct records of {objects} raw objects"));
    }
    evidence
}

fn judge_conserved(accounts: &[Account]) -> Evidence {
    let mut evidence = Evidence::default();
    let breached: Vec<_> = accounts.iter().filter(|account| !account.breaches.is_empty()).collect();
    for account in breached.iter().take(SAMPLE_MAX) {
        evidence.fails(format!("{}: {}", account.key, account.breaches.join(", ")));
    }
    if breached.len() > SAMPLE_MAX {
        evidence.fails(format!("and {} more objects", breached.len() - SAMPLE_MAX));
    }
    let mut tables: BTreeMap<&str, (u64, [u64; 4])> = BTreeMap::new();
    for account in accounts {
        let (objects, rows) = tables.entry(&account.table).or_default();
        *objects += 1;
        rows.iter_mut().zip(account.rows).for_each(|(sum, more)| *sum += more);
    }
    for (table, (objects, [rows_in, good, bad, dropped])) in tables {
        evidence.holds(format!(
            "{table}: {rows_in} in = {good} good + {bad} quarantined + {dropped} dropped, {objects} objects"
        ));
    }
    let whole = accounts.iter().filter(|account| account.quarantined_whole).count();
    if whole > 0 {
        evidence.note(format!("{whole} objects quarantined whole, their records not counted"));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use lakebed_contract::event::Outcome;

    use super::super::bronze::tests::{BronzeRow, bronze_file, quarantine_file};
    use super::*;

    const CSV: &str = "brewery_id,brewery_name,city,state\n1,a,,\n2,\"b\nc\",,\n3,d,,\nx,bad,,\n";

    fn brewery() -> TableContract {
        Lake::beer().tables.into_iter().find(|table| table.name == "brewery").expect("brewery")
    }

    fn load(key: i64) -> BronzeRow {
        BronzeRow { key, operation: "load", generation: 2, commit_lsn: 0, ordinal: 0 }
    }

    fn sound() -> (ControlRecord, Belongings) {
        let key = "raw/brewery/generation=2/brewery-full.csv.gz";
        let mut record = ControlRecord::received("dm-stage", key, "e", "brewery", "", 9, 1);
        record.status = Status::Done;
        (record.rows_in, record.rows_good, record.rows_bad) = (4, 3, 1);
        let belongings = Belongings {
            raw: Some((Bytes::from_static(CSV.as_bytes()), "e".to_owned())),
            bronze: vec![("bronze/x".to_owned(), Some(bronze_file(&[load(1), load(2), load(3)])))],
            quarantine: Some(quarantine_file(&["load"])),
        };
        (record, belongings)
    }

    fn words(record: &ControlRecord, belongings: &Belongings) -> (Outcome, Outcome, String) {
        let accounts = [account(record, Some(&brewery()), belongings)];
        let (accepted, conserved) = (judge_accepted(&accounts).finding(), judge_conserved(&accounts).finding());
        (accepted.outcome, conserved.outcome, format!("{} | {}", accepted.detail, conserved.detail))
    }

    #[test]
    fn a_sound_object_passes() {
        let (record, belongings) = sound();
        let (accepted, conserved, detail) = words(&record, &belongings);
        assert_eq!((accepted, conserved), (Outcome::Pass, Outcome::Pass), "{detail}");
        assert!(detail.contains("brewery: 4 in = 3 good + 1 quarantined + 0 dropped, 1 objects"), "{detail}");
    }

    #[test]
    fn sums_that_do_not_agree_are_found() {
        for spoil in [
            (|record: &mut ControlRecord| record.rows_dropped = 1) as fn(&mut ControlRecord),
            |record| (record.rows_in, record.rows_dropped) = (5, 1),
            |record| (record.rows_good, record.rows_dropped) = (2, 1),
            |record| (record.rows_bad, record.rows_dropped) = (0, 1),
        ] {
            let (mut record, belongings) = sound();
            spoil(&mut record);
            assert_eq!(words(&record, &belongings).1, Outcome::Fail);
        }
    }

    #[test]
    fn a_record_bronze_lacks_is_found_even_when_the_counts_agree() {
        let (record, mut belongings) = sound();
        belongings.bronze[0].1 = Some(bronze_file(&[load(1), load(2), load(2)]));
        let (accepted, conserved, detail) = words(&record, &belongings);
        assert_eq!((accepted, conserved), (Outcome::Fail, Outcome::Pass), "{detail}");
        // A table event in quarantine accounts for no row.
        let (record, mut belongings) = sound();
        belongings.quarantine = Some(quarantine_file(&["add-column"]));
        assert_eq!(words(&record, &belongings).0, Outcome::Fail);
    }

    #[test]
    fn a_missing_bronze_file_and_unreadable_text_are_found() {
        let (record, mut belongings) = sound();
        belongings.bronze[0].1 = None;
        assert_eq!(words(&record, &belongings).1, Outcome::Fail);
        let (record, mut belongings) = sound();
        belongings.raw = Some((Bytes::from_static(&[0x1f, 0x8b, 8, 0]), "e".to_owned()));
        assert_eq!(words(&record, &belongings).1, Outcome::Fail);
    }

    #[test]
    fn an_object_quarantined_whole_is_named_and_an_overwritten_one_is_a_gap() {
        let (mut record, mut belongings) = sound();
        belongings.raw = Some((Bytes::new(), "other".to_owned()));
        assert_eq!(words(&record, &belongings).0, Outcome::Unchecked);
        record.status = Status::Quarantined;
        (record.rows_in, record.rows_good, record.rows_bad) = (0, 0, 0);
        let belongings = Belongings { raw: None, bronze: Vec::new(), quarantine: None };
        let (_, conserved, detail) = words(&record, &belongings);
        assert_eq!(conserved, Outcome::Pass);
        assert!(detail.contains("1 objects quarantined whole"), "{detail}");
    }
}
