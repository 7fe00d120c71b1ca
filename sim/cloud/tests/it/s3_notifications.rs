//! S3 event notifications through the real SDK: what is told, what waits for the next start, what is refused.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, Event, EventBridgeConfiguration, FilterRule, FilterRuleName,
    LambdaFunctionConfiguration, NotificationConfiguration, NotificationConfigurationFilter, QueueConfiguration,
    S3KeyFilter, Tag, Tagging, TopicConfiguration, VersioningConfiguration,
};
use lakebed_contract::{Clock, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::s3::{BUCKET, create_upload, put, start, upload_part};
use crate::{Running, code};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:dm-processing-controller";
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:told";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:told";

pub(crate) async fn notify(s3: &Client, prefix: &str) {
    notify_of(s3, "s3:ObjectCreated:*", prefix).await;
}

async fn notify_of(s3: &Client, event: &str, prefix: &str) {
    let configuration = NotificationConfiguration::builder().lambda_function_configurations(function(event, prefix));
    let set =
        s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration.build());
    set.send().await.expect("set");
}

fn function(event: &str, prefix: &str) -> LambdaFunctionConfiguration {
    let function = LambdaFunctionConfiguration::builder().lambda_function_arn(FUNCTION).events(Event::from(event));
    function.filter(below(prefix)).build().expect("complete")
}

fn below(prefix: &str) -> NotificationConfigurationFilter {
    let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
    NotificationConfigurationFilter::builder().key(S3KeyFilter::builder().filter_rules(rule).build()).build()
}

/// The next document's record.
async fn record(events: &mut mpsc::Receiver<Value>) -> Value {
    events.recv().await.expect("a document")["Records"][0].clone()
}

fn clock() -> Clock {
    Clock::virtual_at(Timestamp::from_seconds(1_700_000_000))
}

#[tokio::test]
async fn created_objects_under_the_prefix_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, mut events) = mpsc::channel::<Value>(1);
    let running = Running::start_with(dir.path(), clock(), Some(sender)).await;
    let s3 = &running.s3;
    s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    put(s3, "raw/before", b"x").await;
    notify(s3, "raw/").await;
    let test = events.recv().await.expect("a document");
    assert_eq!((test["Event"].as_str(), test.get("Records")), (Some("s3:TestEvent"), None));
    let read_back = s3.get_bucket_notification_configuration().bucket(BUCKET).send().await.expect("got");
    assert_eq!(read_back.lambda_function_configurations()[0].events(), [Event::from("s3:ObjectCreated:*")]);

    // The channel holds one document: writers must not wait for the reader.
    let etag = put(s3, "raw/t=a/b c.gz", b"hello").await;
    put(s3, "raw/t=a/b c.gz", b"hello again").await;
    put(s3, "errors/x", b"x").await;
    s3.copy_object()
        .bucket(BUCKET)
        .copy_source(format!("{BUCKET}/errors/x"))
        .key("raw/copy")
        .send()
        .await
        .expect("copied");
    let upload = create_upload(s3, "raw/parts").await;
    let part = upload_part(s3, "raw/parts", &upload, 1, b"x".to_vec()).await;
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete =
        s3.complete_multipart_upload().bucket(BUCKET).key("raw/parts").upload_id(upload).multipart_upload(parts);
    complete.send().await.expect("completed");

    let mut records = Vec::new();
    for _ in 0..4 {
        records.push(events.recv().await.expect("a document")["Records"][0].clone());
    }
    let first = &records[0];
    assert_eq!(first["eventVersion"], "2.1");
    assert_eq!(first["eventName"], "ObjectCreated:Put");
    assert_eq!(first["s3"]["bucket"]["name"], BUCKET);
    assert_eq!(first["s3"]["object"]["key"], "raw/t%3Da/b+c.gz");
    assert_eq!(first["s3"]["object"]["size"], 5);
    assert_eq!(first["s3"]["object"]["eTag"], etag.trim_matches('"'));
    let sequencer = |record: &Value| record["s3"]["object"]["sequencer"].as_str().expect("text").to_owned();
    assert!(sequencer(first) < sequencer(&records[1]), "a later write of a key has a greater sequencer");
    assert_eq!(records[2]["eventName"], "ObjectCreated:Copy");
    assert_eq!(records[3]["eventName"], "ObjectCreated:CompleteMultipartUpload");
    running.stop().await;
    assert!(events.try_recv().is_err(), "nothing else is told");
}

#[tokio::test]
async fn undelivered_events_wait_for_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, receiver) = mpsc::channel::<Value>(1);
    let running = Running::start_with(dir.path(), clock(), Some(sender)).await;
    running.s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    notify(&running.s3, "raw/").await;
    drop(receiver);
    put(&running.s3, "raw/1", b"x").await;
    assert!(running.cloud.notifications_pending() > 0);
    running.stop().await;

    let (sender, mut events) = mpsc::channel::<Value>(8);
    let running = Running::start_with(dir.path(), clock(), Some(sender)).await;
    loop {
        let event = events.recv().await.expect("a document");
        if event["Records"][0]["s3"]["object"]["key"] == "raw/1" {
            break;
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn notifications_that_nobody_would_get_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let lambda =
        LambdaFunctionConfiguration::builder().lambda_function_arn(FUNCTION).events(Event::from("s3:ObjectCreated:*"));
    let configuration =
        NotificationConfiguration::builder().lambda_function_configurations(lambda.build().expect("complete")).build();
    let set =
        running.s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration);
    assert_eq!(code(set.send().await), "InvalidArgument");
    running.stop().await;
}

#[tokio::test]
async fn removals_markers_and_tags_are_told_each_in_its_form() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, mut events) = mpsc::channel::<Value>(64);
    let running = Running::start_with(dir.path(), clock(), Some(sender)).await;
    let s3 = &running.s3;
    s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    let queue = QueueConfiguration::builder().id("gone").queue_arn(QUEUE).events(Event::from("s3:ObjectRemoved:*"));
    let topic = TopicConfiguration::builder().id("tags").topic_arn(TOPIC).events(Event::from("s3:ObjectTagging:*"));
    let configuration = NotificationConfiguration::builder()
        .queue_configurations(queue.build().expect("complete"))
        .topic_configurations(topic.build().expect("complete"))
        .lambda_function_configurations(function("s3:ObjectCreated:Put", ""))
        .build();
    let set = s3
        .put_bucket_notification_configuration()
        .bucket(BUCKET)
        .notification_configuration(configuration)
        .skip_destination_validation(true);
    set.send().await.expect("set");
    let got = s3.get_bucket_notification_configuration().bucket(BUCKET).send().await.expect("got");
    assert_eq!(got.topic_configurations()[0].topic_arn(), TOPIC);
    assert_eq!(got.queue_configurations()[0].id(), Some("gone"));

    // No test event: the first document is that of the first write.
    let put = s3.put_object().bucket(BUCKET).key("k").send().await.expect("put");
    let created = record(&mut events).await;
    assert_eq!(created["eventName"], "ObjectCreated:Put");
    assert_eq!(created["responseElements"]["x-amz-request-id"].as_str(), put.request_id(), "the answer's id");
    assert_eq!(created["s3"]["object"].get("versionId"), None);

    let tag = Tag::builder().key("a").value("b").build().expect("complete");
    let tagging = Tagging::builder().tag_set(tag).build().expect("complete");
    s3.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging).send().await.expect("tagged");
    s3.delete_object_tagging().bucket(BUCKET).key("k").send().await.expect("untagged");
    for name in ["ObjectTagging:Put", "ObjectTagging:Delete"] {
        let told = record(&mut events).await;
        assert_eq!((&told["eventName"], &told["eventVersion"]), (&Value::from(name), &Value::from("2.3")));
        assert_eq!(told["s3"]["configurationId"], "tags");
        assert_eq!(told["s3"]["object"]["eTag"], created["s3"]["object"]["eTag"]);
        assert_eq!(told["s3"]["object"].get("sequencer"), None);
    }

    s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    s3.delete_object().bucket(BUCKET).key("never-there").send().await.expect("deleted");
    let removed = record(&mut events).await;
    assert_eq!(
        (removed["eventName"].as_str(), removed["eventVersion"].as_str()),
        (Some("ObjectRemoved:Delete"), Some("2.1"))
    );
    let object = &removed["s3"]["object"];
    assert_eq!((&object["key"], object.get("size"), object.get("eTag")), (&Value::from("k"), None, None));
    assert!(object["sequencer"].as_str() > created["s3"]["object"]["sequencer"].as_str(), "the removal is later");
    running.stop().await;
    assert!(events.try_recv().is_err(), "what was not there is not told to be removed");
}

#[tokio::test]
async fn versions_and_delete_markers_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, mut events) = mpsc::channel::<Value>(64);
    let running = Running::start_with(dir.path(), clock(), Some(sender)).await;
    let s3 = &running.s3;
    s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(enabled).send().await.expect("enabled");
    notify_of(s3, "s3:ObjectRemoved:*", "").await;
    assert_eq!(events.recv().await.expect("a document")["Event"], "s3:TestEvent");

    let version = s3.put_object().bucket(BUCKET).key("k").send().await.expect("put");
    let version = version.version_id().expect("a version").to_owned();
    let marker = s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    let told = record(&mut events).await;
    assert_eq!(told["eventName"], "ObjectRemoved:DeleteMarkerCreated");
    assert_eq!(told["s3"]["object"]["versionId"].as_str(), marker.version_id());
    assert_eq!(told["s3"]["object"].get("size"), None);
    s3.delete_object().bucket(BUCKET).key("k").version_id(&version).send().await.expect("deleted");
    let told = record(&mut events).await;
    assert_eq!(told["eventName"], "ObjectRemoved:Delete");
    assert_eq!(told["s3"]["object"]["versionId"], version.as_str());
    running.stop().await;
}

#[tokio::test]
async fn configurations_that_mean_nothing_here_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, _events) = mpsc::channel::<Value>(8);
    let running = Running::start_with(dir.path(), clock(), Some(sender)).await;
    let s3 = &running.s3;
    s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    let configuration = NotificationConfiguration::builder;
    let put = |configuration| {
        s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration).send()
    };
    let bridge = configuration().event_bridge_configuration(EventBridgeConfiguration::builder().build()).build();
    assert_eq!(code(put(bridge).await), "NotImplemented");
    for (event, expected) in [
        ("s3:ObjectRestore:Post", "NotImplemented"),
        ("s3:Replication:*", "NotImplemented"),
        ("s3:ObjectAcl:Put", "NotImplemented"),
        ("s3:ObjectCreated:Nonsense", "InvalidArgument"),
        ("s3:ObjectCreated:Post", "accepted"),
        ("s3:LifecycleExpiration:*", "accepted"),
    ] {
        let one = configuration().lambda_function_configurations(function(event, "")).build();
        assert_eq!(code(put(one).await), expected, "{event}");
    }
    let queue = QueueConfiguration::builder().queue_arn(QUEUE).events(Event::from("s3:ObjectCreated:Put"));
    let queue = queue.filter(below("raw/review/")).build().expect("complete");
    let overlapping = configuration()
        .queue_configurations(queue.clone())
        .lambda_function_configurations(function("s3:ObjectCreated:*", "raw/"));
    let refused = put(overlapping.build()).await.expect_err("refused").into_service_error();
    let text = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are \
                overlapping for the same event type.";
    assert_eq!(refused.message(), Some(text));
    let apart = configuration()
        .queue_configurations(queue)
        .lambda_function_configurations(function("s3:ObjectRemoved:*", "raw/"));
    assert_eq!(code(put(apart.build()).await), "accepted");
    let of_a_topic = QueueConfiguration::builder().queue_arn(TOPIC).events(Event::from("s3:ObjectCreated:Put"));
    let of_a_topic = configuration().queue_configurations(of_a_topic.build().expect("complete")).build();
    assert_eq!(code(put(of_a_topic).await), "InvalidArgument");
    running.stop().await;
}
