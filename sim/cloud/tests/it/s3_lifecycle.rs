//! Lifecycles through the real SDK, on a clock that the tests move: what is configured, what is announced, what goes.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration,
    Tag, Transition, TransitionStorageClass, VersioningConfiguration,
};

use crate::s3::{BUCKET, create_upload, get, put, start};
use crate::{Running, code};

/// The midnight behind the moment at which the clocks of these tests stand, 2023-11-14 22:13:20.
const FIRST_MIDNIGHT: i64 = 1_700_006_400;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Rounds run beside the requests: how often a test asks whether one is done.
const QUESTIONS_MAX: usize = 20_000;

fn rule(id: &str) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
    LifecycleRule::builder().id(id).status(ExpirationStatus::Enabled)
}

fn prefix(prefix: &str) -> LifecycleRuleFilter {
    LifecycleRuleFilter::builder().prefix(prefix).build()
}

fn days(days: i32) -> LifecycleExpiration {
    LifecycleExpiration::builder().days(days).build()
}

fn by_age(id: &str, of: &str, age: i32) -> LifecycleRule {
    rule(id).filter(prefix(of)).expiration(days(age)).build().expect("complete")
}

async fn configure(s3: &Client, bucket: &str, rules: Vec<LifecycleRule>) -> String {
    let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().expect("complete");
    let put = s3.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(configuration);
    code(put.send().await)
}

async fn keys(s3: &Client, bucket: &str) -> Vec<String> {
    let listed = s3.list_objects_v2().bucket(bucket).send().await.expect("listed");
    listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
}

/// Asks until the bucket has these keys.
async fn until_keys(s3: &Client, bucket: &str, expected: &[&str]) {
    let mut found = Vec::new();
    for _ in 0..QUESTIONS_MAX {
        found = keys(s3, bucket).await;
        if found == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{found:?} instead of {expected:?}");
}

/// Versions and delete markers, in the order of the listing.
async fn versions(s3: &Client) -> (Vec<String>, Vec<String>) {
    let listed = s3.list_object_versions().bucket(BUCKET).send().await.expect("listed");
    let versions = listed.versions().iter().filter_map(|version| version.version_id().map(str::to_owned)).collect();
    let markers = listed.delete_markers().iter().filter_map(|marker| marker.key().map(str::to_owned)).collect();
    (versions, markers)
}

async fn until_versions(s3: &Client, expected: (&[&str], &[&str])) {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected = (owned(expected.0), owned(expected.1));
    let mut found = (Vec::new(), Vec::new());
    for _ in 0..QUESTIONS_MAX {
        found = versions(s3).await;
        if found == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{found:?} instead of {expected:?}");
}

#[tokio::test]
async fn a_configuration_is_given_back_and_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let lifecycle = || s3.get_bucket_lifecycle_configuration().bucket(BUCKET).send();
    assert_eq!(code(lifecycle().await), "NoSuchLifecycleConfiguration");
    let tag = |key: &str| Tag::builder().key(key).value("v").build().expect("complete");
    let and =
        LifecycleRuleAndOperator::builder().prefix("p/").tags(tag("a")).tags(tag("b")).object_size_greater_than(5);
    let non_current = NoncurrentVersionExpiration::builder().noncurrent_days(3).newer_noncurrent_versions(2).build();
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build();
    let at = LifecycleExpiration::builder().date(DateTime::from_secs(FIRST_MIDNIGHT)).build();
    let all = [
        rule("and").filter(LifecycleRuleFilter::builder().and(and.build()).build()).expiration(at).build(),
        rule("versions").filter(prefix("")).noncurrent_version_expiration(non_current).build(),
        rule("uploads").filter(LifecycleRuleFilter::builder().build()).abort_incomplete_multipart_upload(abort).build(),
    ];
    let all: Vec<_> = all.into_iter().map(|rule| rule.expect("complete")).collect();
    assert_eq!(configure(s3, BUCKET, all.clone()).await, "accepted");
    assert_eq!(lifecycle().await.expect("got").rules(), all);
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    let lifecycle = || s3.get_bucket_lifecycle_configuration().bucket(BUCKET).send();
    assert_eq!(lifecycle().await.expect("got").rules(), all);
    let transition = Transition::builder().days(1).storage_class(TransitionStorageClass::Glacier).build();
    let moves = rule("moves").filter(prefix("")).transitions(transition).build().expect("complete");
    for (expected, rules) in [
        ("NotImplemented", vec![moves]),
        ("InvalidArgument", vec![by_age("zero", "", 0)]),
        ("InvalidArgument", vec![by_age("same", "a", 1), by_age("same", "b", 1)]),
        ("InvalidRequest", vec![rule("idle").filter(prefix("")).build().expect("complete")]),
        ("MalformedXML", vec![rule("nowhere").expiration(days(1)).build().expect("complete")]),
    ] {
        assert_eq!(configure(s3, BUCKET, rules).await, expected);
    }
    assert_eq!(lifecycle().await.expect("still there").rules(), all);
    s3.delete_bucket_lifecycle().bucket(BUCKET).send().await.expect("deleted");
    s3.delete_bucket_lifecycle().bucket(BUCKET).send().await.expect("deleted again");
    assert_eq!(code(lifecycle().await), "NoSuchLifecycleConfiguration");

    // A bucket that is made anew has none.
    assert_eq!(configure(s3, BUCKET, all).await, "accepted");
    s3.delete_bucket().bucket(BUCKET).send().await.expect("deleted");
    s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    assert_eq!(code(lifecycle().await), "NoSuchLifecycleConfiguration");
    assert_eq!(configure(s3, "no-bucket", vec![by_age("r", "", 1)]).await, "NoSuchBucket");
    running.stop().await;
}

#[tokio::test]
async fn an_object_goes_at_the_midnight_that_was_announced() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    // Rounds take the buckets by name: when something is gone from the last, the others are done.
    s3.create_bucket().bucket("last-bucket").send().await.expect("created");
    s3.put_object().bucket("last-bucket").key("k").send().await.expect("put");
    let at = LifecycleExpiration::builder().date(DateTime::from_secs(FIRST_MIDNIGHT)).build();
    let by_date = rule("date").filter(prefix("")).expiration(at).build().expect("complete");
    assert_eq!(configure(s3, "last-bucket", vec![by_date]).await, "accepted");
    put(s3, "logs/before", b"x").await;
    let disabled = rule("off").status(ExpirationStatus::Disabled).filter(prefix("")).expiration(days(1));
    let rules = vec![by_age("by age", "logs/", 1), disabled.build().expect("complete")];
    assert_eq!(configure(s3, BUCKET, rules).await, "accepted");

    let announced = Some("expiry-date=\"Thu, 16 Nov 2023 00:00:00 GMT\", rule-id=\"by%20age\"");
    let after = s3.put_object().bucket(BUCKET).key("logs/after").send().await.expect("put");
    assert_eq!(after.expiration(), announced);
    let kept = s3.put_object().bucket(BUCKET).key("kept").send().await.expect("put");
    assert_eq!(kept.expiration(), None);
    let got = s3.get_object().bucket(BUCKET).key("logs/before").send().await.expect("got");
    let head = s3.head_object().bucket(BUCKET).key("logs/before").send().await.expect("head");
    assert_eq!((got.expiration(), head.expiration()), (announced, announced));

    running.clock.advance(2 * HOUR);
    until_keys(s3, "last-bucket", &[]).await;
    assert_eq!(keys(s3, BUCKET).await, ["kept", "logs/after", "logs/before"]);
    running.clock.advance(24 * HOUR);
    until_keys(s3, BUCKET, &["kept"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_due_when_the_store_starts_goes_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let clock = running.clock.clone();
    put(&running.s3, "a/small", b"x").await;
    put(&running.s3, "a/large", &[0; 100]).await;
    let sized = LifecycleRuleFilter::builder().object_size_greater_than(99).build();
    let sized = rule("large").filter(sized).expiration(days(1)).build().expect("complete");
    assert_eq!(configure(&running.s3, BUCKET, vec![sized]).await, "accepted");
    running.stop().await;
    clock.advance(72 * HOUR);
    let running = Running::start_with(dir.path(), clock, None).await;
    until_keys(&running.s3, BUCKET, &["a/small"]).await;
    assert_eq!(get(&running.s3, "a/small").await, b"x");
    running.stop().await;
}

#[tokio::test]
async fn more_objects_than_a_batch_go_and_those_between_them_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let tagged =
        LifecycleRuleFilter::builder().tag(Tag::builder().key("t").value("1").build().expect("complete")).build();
    let tagged = rule("tagged").filter(tagged).expiration(days(1)).build().expect("complete");
    assert_eq!(configure(s3, BUCKET, vec![tagged]).await, "accepted");
    for number in 0..1_010 {
        let tag = if number % 500 == 7 { "t=2" } else { "t=1" };
        let put = s3.put_object().bucket(BUCKET).key(format!("{number:04}")).tagging(tag);
        put.send().await.expect("put");
    }
    running.clock.advance(50 * HOUR);
    until_keys(s3, BUCKET, &["0007", "0507", "1007"]).await;
    running.stop().await;
}

#[tokio::test]
async fn versions_and_markers_go_as_the_rules_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(enabled).send().await.expect("versioned");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let put = s3.put_object().bucket(BUCKET).key("k").send().await.expect("put");
        ids.push(put.version_id().expect("a version").to_owned());
    }
    let [first, second, third] = ids.as_slice() else { panic!("three versions") };
    // A marker in front of nothing.
    let lone = s3.put_object().bucket(BUCKET).key("lone").send().await.expect("put");
    s3.delete_object().bucket(BUCKET).key("lone").send().await.expect("deleted");
    let lone = s3.delete_object().bucket(BUCKET).key("lone").set_version_id(lone.version_id);
    lone.send().await.expect("deleted");
    let non_current = NoncurrentVersionExpiration::builder().noncurrent_days(1).newer_noncurrent_versions(1).build();
    let both = rule("both").filter(prefix("")).expiration(days(1)).noncurrent_version_expiration(non_current);
    assert_eq!(configure(s3, BUCKET, vec![both.build().expect("complete")]).await, "accepted");
    assert_eq!(versions(s3).await, (vec![third.clone(), second.clone(), first.clone()], vec!["lone".to_owned()]));

    // Two days later a marker hides the current version; of the others the newest stays.
    running.clock.advance(26 * HOUR);
    until_versions(s3, (&[third, second], &["k"])).await;
    assert_eq!(code(s3.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    // Then the hidden one is the newest of the others.
    running.clock.advance(48 * HOUR);
    until_versions(s3, (&[third], &["k"])).await;
    let kept = s3.get_object().bucket(BUCKET).key("k").version_id(third).send().await.expect("got");
    assert_eq!(kept.version_id(), Some(third.as_str()));

    let clean = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
    let clean = rule("clean").filter(prefix("")).expiration(clean).build().expect("complete");
    assert_eq!(configure(s3, BUCKET, vec![clean]).await, "accepted");
    s3.delete_object().bucket(BUCKET).key("k").version_id(third).send().await.expect("deleted");
    running.clock.advance(24 * HOUR);
    until_versions(s3, (&[], &[])).await;
    running.stop().await;
}

#[tokio::test]
async fn uploads_that_nobody_completes_are_aborted() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build();
    let abort = rule("stale").filter(prefix("up/")).abort_incomplete_multipart_upload(abort).build().expect("complete");
    assert_eq!(configure(s3, BUCKET, vec![abort]).await, "accepted");
    let created = s3.create_multipart_upload().bucket(BUCKET).key("up/k").send().await.expect("created");
    let due = DateTime::from_secs(FIRST_MIDNIGHT + 7 * 24 * 60 * 60);
    assert_eq!((created.abort_date(), created.abort_rule_id()), (Some(&due), Some("stale")));
    let id = created.upload_id().expect("an id");
    crate::s3::upload_part(s3, "up/k", id, 1, b"x".to_vec()).await;
    let parts = s3.list_parts().bucket(BUCKET).key("up/k").upload_id(id).send().await.expect("listed");
    assert_eq!((parts.abort_date(), parts.abort_rule_id()), (Some(&due), Some("stale")));
    create_upload(s3, "other").await;

    running.clock.advance(7 * 24 * HOUR + 2 * HOUR);
    let mut left = Vec::new();
    for _ in 0..QUESTIONS_MAX {
        let uploads = s3.list_multipart_uploads().bucket(BUCKET).send().await.expect("listed");
        left = uploads.uploads().iter().filter_map(|upload| upload.key().map(str::to_owned)).collect();
        if left == ["other"] {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(left, ["other"]);
    running.stop().await;
    assert_eq!(std::fs::read_dir(dir.path().join("s3-parts")).expect("there").count(), 0);
}
