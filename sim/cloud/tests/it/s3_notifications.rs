//! S3 event notifications through the real SDK: what is told, what waits for the next start, what is refused.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, Event, FilterRule, FilterRuleName, LambdaFunctionConfiguration,
    NotificationConfiguration, NotificationConfigurationFilter, S3KeyFilter,
};
use lakebed_contract::{Clock, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::s3::{BUCKET, create_upload, put, start, upload_part};
use crate::{Running, code};

async fn notify(s3: &Client, prefix: &str) {
    let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
    let filter =
        NotificationConfigurationFilter::builder().key(S3KeyFilter::builder().filter_rules(rule).build()).build();
    let lambda = LambdaFunctionConfiguration::builder()
        .lambda_function_arn("arn:aws:lambda:us-east-1:000000000000:function:dm-processing-controller")
        .events(Event::from("s3:ObjectCreated:*"))
        .filter(filter)
        .build()
        .expect("complete");
    let configuration = NotificationConfiguration::builder().lambda_function_configurations(lambda).build();
    let set = s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration);
    set.send().await.expect("set");
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
        LambdaFunctionConfiguration::builder().lambda_function_arn("arn").events(Event::from("s3:ObjectCreated:*"));
    let configuration =
        NotificationConfiguration::builder().lambda_function_configurations(lambda.build().expect("complete")).build();
    let set =
        running.s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration);
    assert_eq!(code(set.send().await), "InvalidArgument");
    running.stop().await;
}
