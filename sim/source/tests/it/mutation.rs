//! What a mutation does to the tables, checked against Postgres's own log of changes.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_contract::{EventSink, Lake, Seed};
use lakebed_source::{MutationPlan, clear, load, mutate, read_truth};

use crate::shared::{beer_database, digests, number};

fn plan(seed: u64, changes: u64) -> MutationPlan {
    MutationPlan::new(Seed(seed), changes)
}

#[tokio::test]
async fn the_report_equals_what_postgres_logged() {
    let (endpoint, client, mut truth) = beer_database(21).await;
    client.batch_execute("CREATE PUBLICATION p FOR TABLES IN SCHEMA dm_core").await.expect("publishes");
    let slot = format!("slot_{}", endpoint.database);
    number(&client, &format!("SELECT 1::bigint FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    let report =
        mutate(&endpoint, &Lake::beer(), plan(1, 1_000), &mut truth, &EventSink::default()).await.expect("mutates");
    assert_eq!(report.total(), 1_000);
    assert_eq!(report.cases.len(), 8, "{:?}", report.cases);

    let messages = format!(
        "FROM pg_logical_slot_peek_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', 'p')"
    );
    let mut logged = BTreeMap::new();
    for (kind, letter) in [("insert", 'I'), ("update", 'U'), ("delete", 'D')] {
        let query = format!("SELECT count(*) {messages} WHERE get_byte(data, 0) = {}", u32::from(letter));
        logged.insert(kind, number(&client, &query).await);
    }
    let booked = |kind: &str| report.changes.values().filter_map(|kinds| kinds.get(kind)).sum::<u64>() as i64;
    for (kind, count) in &logged {
        assert_eq!(*count, booked(kind), "{kind}");
    }
    let key_updates = (report.cases["key_update"] + report.cases["key_update_toasted"]) as i64;
    let old_keys = format!("SELECT count(*) {messages} WHERE get_byte(data, 0) = 85 AND get_byte(data, 5) = 75");
    assert_eq!(number(&client, &old_keys).await, key_updates, "updates with an old key");
    client.batch_execute(&format!("SELECT pg_drop_replication_slot('{slot}')")).await.expect("drops the slot");
}

#[tokio::test]
async fn keys_ever_cover_the_live_ones_and_no_reference_dangles() {
    let (endpoint, client, mut truth) = beer_database(22).await;
    let before = truth.clone();
    mutate(&endpoint, &Lake::beer(), plan(2, 1_500), &mut truth, &EventSink::default()).await.expect("mutates");
    for (table, keys) in &truth.keys_ever {
        let rows = client.query(&format!("SELECT {table}_id FROM dm_core.{table}"), &[]).await.expect("answers");
        let live: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert!(live.is_subset(keys), "{table}");
        assert!(before.keys_ever[table].is_subset(keys) && before.keys_ever[table].len() < keys.len(), "{table}");
    }
    let lost = "SELECT count(*) FROM dm_core.review r LEFT JOIN dm_core.beer b USING (beer_id) \
                LEFT JOIN dm_core.profile p USING (profile_id) LEFT JOIN dm_core.brewery w ON w.brewery_id = r.brewery_id \
                WHERE b.beer_id IS NULL OR p.profile_id IS NULL OR w.brewery_id IS NULL OR b.brewery_id <> r.brewery_id";
    assert_eq!(number(&client, lost).await, 0);
    // Each address at the source was planted, whoever wrote it.
    let planted: BTreeSet<&str> = truth.planted.iter().map(|planted| planted.value.as_str()).collect();
    for row in client.query("SELECT email FROM dm_core.profile", &[]).await.expect("answers") {
        assert!(planted.contains(row.get::<_, &str>(0)), "an address is missing from the truth");
    }
}

#[tokio::test]
async fn the_ledger_gives_the_whole_truth_back() {
    let (endpoint, client, mut truth) = beer_database(24).await;
    mutate(&endpoint, &Lake::beer(), plan(3, 1_200), &mut truth, &EventSink::default()).await.expect("mutates");
    assert!(read_truth(&endpoint, &Lake::beer()).await.expect("reads") == truth, "the truths differ");
    // What somebody else does is noted, too; what is rolled back is not.
    let change = "BEGIN; DELETE FROM dm_core.brewery WHERE brewery_id = 1; ROLLBACK; \
                  UPDATE dm_core.brewery SET brewery_id = 900001 WHERE brewery_id = 2";
    client.batch_execute(change).await.expect("changes");
    let gone = client.query("SELECT key FROM lakebed.key_gone WHERE table_name = 'brewery'", &[]).await.expect("reads");
    let gone: BTreeSet<i64> = gone.iter().map(|row| row.get(0)).collect();
    assert!(gone.contains(&2) && !gone.contains(&1) && !gone.contains(&900_001), "{gone:?}");
    clear(&client, &Lake::beer()).await.expect("empties");
    let empty = read_truth(&endpoint, &Lake::beer()).await.expect("reads");
    assert!(empty.planted.is_empty() && empty.keys_ever.values().all(BTreeSet::is_empty));
    load(&endpoint, &Lake::beer(), 0.0005, Seed(1), &EventSink::default()).await.expect("loads again");
}

#[tokio::test]
async fn the_same_seed_ends_in_the_same_rows() {
    let (one, client_one, mut truth_one) = beer_database(23).await;
    let (two, client_two, mut truth_two) = beer_database(23).await;
    for changes in [400, 300] {
        let report = mutate(&one, &Lake::beer(), plan(5, changes), &mut truth_one, &EventSink::default())
            .await
            .expect("mutates");
        let again = mutate(&two, &Lake::beer(), plan(5, changes), &mut truth_two, &EventSink::default())
            .await
            .expect("mutates");
        assert_eq!(report, again);
        assert_eq!(digests(&client_one).await, digests(&client_two).await);
    }
    assert!(truth_one == truth_two, "the truths differ");
}
