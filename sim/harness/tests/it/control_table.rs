//! The control table against DynamoDB: life cycle, leases and fences, bounded attempts, listing.
//!
//! Time is virtual: a lease expires when a test advances the clock, to the microsecond.

use std::time::Duration;

use lakebed_contract::Timestamp;
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_ingest::control::{ATTEMPTS_MAX, LEASE};
use lakebed_ingest::{ClaimAnswer, ControlTable, Finish, IngestError, Lease};

use crate::support::Stores;

/// The shortest time there is: the table counts microseconds.
const TICK: Duration = Duration::from_micros(1);

/// Enters a record of table `beer`.
async fn received(stores: &Stores, key: &str) -> ControlRecord {
    let record = ControlRecord::received("dm-stage", key, "\"e\"", "beer", "0A", 12, stores.clock.now().0);
    assert!(stores.control.receive(&record).await.expect("received"), "{key} is new");
    record
}

/// Claims a record that must be free.
async fn claimed(control: &ControlTable, pk: &str, owner: &str) -> ControlRecord {
    match control.claim(pk, owner, "lambda").await.expect("an answer") {
        ClaimAnswer::Claimed(record) => record,
        answer => panic!("`{pk}` is not free: {answer:?}"),
    }
}

/// Asks for a record that another worker must hold; until when.
async fn held_until(control: &ControlTable, pk: &str) -> Timestamp {
    match control.claim(pk, "late", "lambda").await.expect("an answer") {
        ClaimAnswer::HeldBy { until } => until,
        answer => panic!("`{pk}` is not held: {answer:?}"),
    }
}

/// Every way a worker can move its record must be closed to this lease.
async fn check_locked_out(control: &ControlTable, lease: &Lease) {
    let before = control.get(&lease.pk).await.expect("read");
    for (action, refused) in [
        ("finish", control.finish(lease, &bronze_done()).await.err()),
        ("fail", control.fail(lease, "too late").await.err()),
        ("renew", control.renew(lease).await.err()),
    ] {
        assert!(matches!(refused, Some(IngestError::LeaseLost { .. })), "{action}: {refused:?}");
    }
    assert_eq!(control.get(&lease.pk).await.expect("read"), before, "nothing has moved");
}

fn bronze_done() -> Finish {
    Finish {
        status: Status::BronzeDone,
        rows_in: 4,
        rows_good: 2,
        rows_bad: 1,
        rows_dropped: 1,
        outputs: vec!["bronze/b.parquet".to_owned()],
        error: String::new(),
    }
}

#[tokio::test]
async fn a_version_of_an_object_is_received_once() {
    let stores = Stores::start().await;
    let control = &stores.control;
    control.create().await.expect("creating the table again is harmless");
    let record = received(&stores, "raw/beer/a").await;
    assert!(!control.receive(&record).await.expect("an answer"), "known already");
    let other = ControlRecord::received("dm-stage", "raw/beer/a", "other", "beer", "0B", 12, 0);
    assert!(control.receive(&other).await.expect("an answer"), "another version is another record");
    assert_eq!(control.get(&record.pk).await.expect("read"), Some(record));
    assert_eq!(control.get("nothing").await.expect("read"), None);
    stores.stop().await;
}

#[tokio::test]
async fn a_record_goes_from_received_to_done() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    assert!(control.mark_done(&pk, 9).await.is_err(), "nothing to consume yet");

    let claim = claimed(control, &pk, "w1").await;
    assert_eq!((claim.status, claim.attempts, claim.fence), (Status::Claimed, 1, 1));
    assert_eq!((claim.lease_owner.as_str(), claim.route.as_str()), ("w1", "lambda"));
    assert_eq!(claim.lease_until, stores.clock.now().plus(LEASE).0);

    let done = control.finish(&Lease::of(&claim), &bronze_done()).await.expect("finished");
    assert_eq!((done.status, done.lease_owner.as_str(), done.lease_until), (Status::BronzeDone, "", 0));
    assert_eq!((done.rows_in, done.rows_good, done.rows_bad, done.rows_dropped), (4, 2, 1, 1));
    assert_eq!(done.outputs, bronze_done().outputs);

    control.mark_done(&pk, 9).await.expect("consumed");
    control.mark_done(&pk, 9).await.expect("the same again");
    assert!(control.mark_done(&pk, 10).await.is_err(), "a second snapshot must not consume it");
    let record = stores.record(&pk).await;
    assert_eq!((record.status, record.snapshot_id), (Status::Done, 9));
    stores.stop().await;
}

#[tokio::test]
async fn a_finished_record_is_closed() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    let lease = Lease::of(&claimed(control, &pk, "w1").await);
    let finished = control.finish(&lease, &bronze_done()).await.expect("finished");
    let answer = control.claim(&pk, "w2", "ecs").await.expect("an answer");
    assert!(matches!(&answer, ClaimAnswer::AlreadyFinished(record) if *record == finished), "{answer:?}");
    assert_eq!(control.mark_failed(&pk, "late").await.expect("an answer"), finished);
    let refused = control.retry(&pk).await.expect_err("there is nothing to repeat");
    assert!(matches!(refused, IngestError::WrongStatus { status: "BRONZE_DONE", .. }), "{refused}");
    check_locked_out(control, &lease).await;
    stores.stop().await;
}

#[tokio::test]
async fn a_lease_ends_with_its_term() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    claimed(control, &pk, "w1").await;
    let end = stores.clock.now().plus(LEASE);
    assert_eq!(held_until(control, &pk).await, end);
    stores.clock.advance(LEASE);
    assert_eq!(held_until(control, &pk).await, end, "the last moment still belongs to the holder");
    stores.clock.advance(TICK);
    let next = claimed(control, &pk, "w2").await;
    assert_eq!((next.attempts, next.fence, next.lease_owner.as_str()), (2, 2, "w2"));
    stores.stop().await;
}

#[tokio::test]
async fn a_renewed_lease_begins_a_new_term() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    let lease = Lease::of(&claimed(control, &pk, "w1").await);
    stores.clock.advance(LEASE - TICK);
    control.renew(&lease).await.expect("renewed");
    stores.clock.advance(LEASE - TICK);
    assert_eq!(held_until(control, &pk).await, stores.clock.now().plus(TICK));
    let record = control.finish(&lease, &bronze_done()).await.expect("still the holder");
    assert_eq!((record.attempts, record.fence), (1, 1), "renewing is no attempt");
    stores.stop().await;
}

#[tokio::test]
async fn a_zombie_worker_is_locked_out_by_the_fence() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    // Both bear the same name, as two attempts of one worker may: the fence alone tells them apart.
    let zombie = Lease::of(&claimed(control, &pk, "w").await);
    stores.clock.advance(LEASE + TICK);
    let successor = Lease::of(&claimed(control, &pk, "w").await);
    check_locked_out(control, &zombie).await;
    control.finish(&successor, &bronze_done()).await.expect("the successor is undisturbed");
    check_locked_out(control, &zombie).await;
    stores.stop().await;
}

#[tokio::test]
async fn an_impostor_with_the_right_fence_is_locked_out() {
    let stores = Stores::start().await;
    let pk = received(&stores, "raw/beer/a").await.pk;
    let lease = Lease::of(&claimed(&stores.control, &pk, "w1").await);
    check_locked_out(&stores.control, &Lease { owner: "w2".to_owned(), ..lease }).await;
    stores.stop().await;
}

#[tokio::test]
async fn marking_a_record_failed_takes_it_from_its_worker() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    let lease = Lease::of(&claimed(control, &pk, "w1").await);
    let marked = control.mark_failed(&pk, "States.Timeout").await.expect("marked");
    assert_eq!((marked.status, marked.error.as_str(), marked.attempts), (Status::Failed, "States.Timeout", 1));
    check_locked_out(control, &lease).await;
    claimed(control, &pk, "w2").await;
    stores.stop().await;
}

#[tokio::test]
async fn a_failed_record_keeps_the_words_of_its_worker() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    let lease = Lease::of(&claimed(control, &pk, "w1").await);
    let failed = control.fail(&lease, "no space left").await.expect("given back");
    assert_eq!((failed.status, failed.lease_owner.as_str(), failed.lease_until), (Status::Failed, "", 0));
    let marked = control.mark_failed(&pk, "States.TaskFailed").await.expect("marked");
    assert_eq!((marked.status, marked.error.as_str(), marked.attempts), (Status::Failed, "no space left", 1));
    stores.stop().await;
}

#[tokio::test]
async fn failures_use_up_the_attempts_and_a_retry_grants_new_ones() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    for attempt in 1..=ATTEMPTS_MAX {
        let claim = claimed(control, &pk, "w").await;
        assert_eq!(claim.attempts, attempt);
        let failed = control.fail(&Lease::of(&claim), "no").await.expect("given back");
        let expected = if attempt == ATTEMPTS_MAX { Status::Quarantined } else { Status::Failed };
        assert_eq!(failed.status, expected, "attempt {attempt}");
    }
    let answer = control.claim(&pk, "w", "lambda").await.expect("an answer");
    assert!(matches!(answer, ClaimAnswer::AlreadyFinished(_)), "{answer:?}");

    let again = control.retry(&pk).await.expect("put back");
    assert_eq!((again.status, again.error.as_str()), (Status::Received, "no"));
    assert_eq!((again.attempts, again.fence), (ATTEMPTS_MAX, ATTEMPTS_MAX + 1), "neither goes back");
    // These workers die without a word.
    for attempt in ATTEMPTS_MAX + 1..=2 * ATTEMPTS_MAX {
        assert_eq!(claimed(control, &pk, "w").await.attempts, attempt);
        stores.clock.advance(LEASE + TICK);
    }
    let answer = control.claim(&pk, "w", "lambda").await.expect("an answer");
    assert!(matches!(answer, ClaimAnswer::Exhausted(_)), "{answer:?}");
    assert_eq!(control.mark_failed(&pk, "given up").await.expect("marked").status, Status::Quarantined);
    stores.stop().await;
}

#[tokio::test]
async fn failures_before_any_claim_are_bounded_too() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let pk = received(&stores, "raw/beer/a").await.pk;
    for attempt in 1..ATTEMPTS_MAX {
        let failed = control.mark_failed(&pk, "the probe failed").await.expect("marked");
        assert_eq!((failed.status, failed.attempts), (Status::Failed, attempt));
        let again = control.retry(&pk).await.expect("put back");
        assert_eq!((again.status, again.attempts), (Status::Received, attempt));
    }
    let last = control.mark_failed(&pk, "the probe failed").await.expect("marked");
    assert_eq!((last.status, last.attempts), (Status::Quarantined, ATTEMPTS_MAX));
    stores.stop().await;
}

#[tokio::test]
async fn records_are_listed_by_table_and_status() {
    let stores = Stores::start().await;
    let control = &stores.control;
    let first = received(&stores, "raw/beer/a").await;
    let second = received(&stores, "raw/beer/b").await;
    let review = ControlRecord::received("dm-stage", "raw/review/a", "e", "review", "0A", 12, 0);
    control.receive(&review).await.expect("received");
    claimed(control, &second.pk, "w").await;
    for (table, status, expected) in [
        (None, None, vec![&first.pk, &second.pk, &review.pk]),
        (Some("beer"), None, vec![&first.pk, &second.pk]),
        (None, Some(Status::Received), vec![&first.pk, &review.pk]),
        (Some("beer"), Some(Status::Claimed), vec![&second.pk]),
        (Some("review"), Some(Status::Claimed), vec![]),
        (Some("wine"), None, vec![]),
    ] {
        let listed = control.list(table, status).await.expect("listed");
        let mut keys: Vec<&String> = listed.iter().map(|record| &record.pk).collect();
        keys.sort();
        assert_eq!(keys, expected, "{table:?} {status:?}");
    }
    stores.stop().await;
}

#[tokio::test]
async fn nothing_can_be_done_with_a_record_that_does_not_exist() {
    let stores = Stores::start().await;
    let control = &stores.control;
    for (action, refused) in [
        ("claim", control.claim("nothing", "w", "lambda").await.err()),
        ("mark failed", control.mark_failed("nothing", "no").await.err()),
        ("retry", control.retry("nothing").await.err()),
        ("mark done", control.mark_done("nothing", 9).await.err()),
    ] {
        assert!(matches!(refused, Some(IngestError::NoRecord { .. })), "{action}: {refused:?}");
    }
    assert_eq!(control.list(None, None).await.expect("listed"), [], "and none came into being");
    stores.stop().await;
}
