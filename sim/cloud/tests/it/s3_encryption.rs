//! Encryption as the real SDK sees it: what is asked for is given back, and what does not go together is refused.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

use crate::s3::{BUCKET, create_upload, get, put, start, upload_part};
use crate::{Running, code};

const MD5_OF_X: &str = "\"9dd4e461268c8034f5c8564e155c67a6\"";
const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// `{"a":"b"}`.
const CONTEXT: &str = "eyJhIjoiYiJ9";

async fn put_as(s3: &Client, key: &str, method: ServerSideEncryption) -> PutObjectOutput {
    let put = s3.put_object().bucket(BUCKET).key(key).server_side_encryption(method);
    put.body(ByteStream::from_static(b"x")).send().await.expect("put")
}

fn default_of(method: ServerSideEncryption, key: Option<&str>, bucket_key: bool) -> ServerSideEncryptionConfiguration {
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(method);
    let default = default.set_kms_master_key_id(key.map(str::to_owned)).build().expect("complete");
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default);
    let rule = rule.bucket_key_enabled(bucket_key).build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build().expect("complete")
}

async fn default_rule(s3: &Client) -> (ServerSideEncryption, Option<String>, Option<bool>) {
    let got = s3.get_bucket_encryption().bucket(BUCKET).send().await.expect("got");
    let rule = got.server_side_encryption_configuration().expect("a configuration").rules()[0].clone();
    let default = rule.apply_server_side_encryption_by_default.expect("a default");
    (default.sse_algorithm, default.kms_master_key_id, rule.bucket_key_enabled)
}

#[tokio::test]
async fn what_nobody_asked_about_is_aes256() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let aes256 = Some(&ServerSideEncryption::Aes256);
    assert_eq!(default_rule(s3).await, (ServerSideEncryption::Aes256, None, Some(false)));
    let asked = put_as(s3, "k", ServerSideEncryption::Aes256).await;
    assert_eq!((asked.server_side_encryption(), asked.ssekms_key_id(), asked.e_tag()), (aes256, None, Some(MD5_OF_X)));
    let silent = s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"x")).send().await.expect("put");
    assert_eq!((silent.server_side_encryption(), silent.bucket_key_enabled()), (aes256, None));
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    assert_eq!((head.server_side_encryption(), head.ssekms_key_id()), (aes256, None));
    running.stop().await;
}

#[tokio::test]
async fn kms_is_given_back_and_hides_the_md5() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let kms = Some(&ServerSideEncryption::AwsKms);
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id("1234abcd-12ab-34cd-56ef-1234567890ab")
        .ssekms_encryption_context(CONTEXT)
        .bucket_key_enabled(true)
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .expect("put");
    assert_eq!((put.server_side_encryption(), put.ssekms_key_id()), (kms, Some(KEY)));
    assert_eq!((put.ssekms_encryption_context(), put.bucket_key_enabled()), (Some(CONTEXT), Some(true)));
    let etag = put.e_tag().expect("an ETag").to_owned();
    assert!(etag != MD5_OF_X && etag.len() == MD5_OF_X.len(), "{etag}");
    let twice = put_as(s3, "twice", ServerSideEncryption::AwsKmsDsse).await;
    assert_eq!(twice.server_side_encryption(), Some(&ServerSideEncryption::AwsKmsDsse));
    assert_ne!(twice.e_tag(), Some(etag.as_str()));
    let managed = twice.ssekms_key_id().expect("the key of AWS").to_owned();
    assert!(managed.starts_with("arn:aws:kms:us-east-1:000000000000:key/") && managed != KEY, "{managed}");
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    let got = s3.get_object().bucket(BUCKET).key("k").if_match(&etag).send().await.expect("got");
    assert_eq!(
        (got.server_side_encryption(), got.ssekms_key_id(), got.bucket_key_enabled()),
        (kms, Some(KEY), Some(true))
    );
    assert_eq!(get(s3, "k").await, b"x");
    let again = put_as(s3, "again", ServerSideEncryption::AwsKms).await;
    assert_eq!(again.ssekms_key_id(), Some(managed.as_str()), "it is the same after a restart");
    running.stop().await;
}

#[tokio::test]
async fn a_bucket_decides_for_those_who_say_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "before", b"x").await;
    let set = |configuration: ServerSideEncryptionConfiguration| {
        s3.put_bucket_encryption().bucket(BUCKET).server_side_encryption_configuration(configuration).send()
    };
    set(default_of(ServerSideEncryption::AwsKms, Some(KEY), true)).await.expect("set");
    let expected = (ServerSideEncryption::AwsKms, Some(KEY.to_owned()), Some(true));
    assert_eq!(default_rule(s3).await, expected);

    let silent = s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"x")).send().await.expect("put");
    assert_eq!((silent.ssekms_key_id(), silent.bucket_key_enabled()), (Some(KEY), Some(true)));
    let said = put_as(s3, "said", ServerSideEncryption::Aes256).await;
    assert_eq!((said.server_side_encryption(), said.e_tag()), (Some(&ServerSideEncryption::Aes256), Some(MD5_OF_X)));
    let managed = put_as(s3, "managed", ServerSideEncryption::AwsKms).await;
    assert!(managed.ssekms_key_id().is_some_and(|key| key != KEY), "a request without a key means that of AWS");
    let before = s3.head_object().bucket(BUCKET).key("before").send().await.expect("head");
    assert_eq!(before.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    let copied = s3.copy_object().bucket(BUCKET).key("copy").copy_source(format!("{BUCKET}/before")).send().await;
    assert_eq!(copied.expect("copied").ssekms_key_id(), Some(KEY));

    s3.delete_bucket_encryption().bucket(BUCKET).send().await.expect("deleted");
    assert_eq!(default_rule(s3).await, (ServerSideEncryption::Aes256, None, Some(false)));
    let aes_with_key = set(default_of(ServerSideEncryption::Aes256, Some(KEY), false)).await;
    assert_eq!(code(aes_with_key), "InvalidArgument");
    assert_eq!(code(set(default_of("aws:other".into(), None, false)).await), "MalformedXML");
    running.stop().await;
}

#[tokio::test]
async fn an_upload_keeps_what_it_began_with() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let created = s3.create_multipart_upload().bucket(BUCKET).key("k");
    let created = created.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(KEY).send().await;
    let created = created.expect("created");
    assert_eq!(created.ssekms_key_id(), Some(KEY));
    let id = created.upload_id().expect("an id");
    let part = s3.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(1);
    let part = part.body(ByteStream::from_static(b"x")).send().await.expect("uploaded");
    assert_eq!((part.ssekms_key_id(), part.server_side_encryption()), (Some(KEY), Some(&ServerSideEncryption::AwsKms)));
    assert_ne!(part.e_tag(), Some(MD5_OF_X));
    let parts = vec![upload_part(s3, "k", id, 1, b"y".to_vec()).await];
    let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let done =
        s3.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(id).multipart_upload(parts).send().await;
    let done = done.expect("completed");
    assert_eq!(done.ssekms_key_id(), Some(KEY));
    assert!(done.e_tag().is_some_and(|etag| etag.ends_with("-1\"")), "{done:?}");
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    assert_eq!(head.ssekms_key_id(), Some(KEY));
    assert_eq!(get(s3, "k").await, b"y");
    // One that asked for nothing.
    let id = create_upload(s3, "plain").await;
    let part = s3.upload_part().bucket(BUCKET).key("plain").upload_id(&id).part_number(1);
    let part = part.body(ByteStream::from_static(b"x")).send().await.expect("uploaded");
    assert_eq!((part.server_side_encryption(), part.e_tag()), (Some(&ServerSideEncryption::Aes256), Some(MD5_OF_X)));
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let request = || running.s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"x"));
    let kms = || request().server_side_encryption(ServerSideEncryption::AwsKms);
    assert_eq!(code(request().server_side_encryption("AES512".into()).send().await), "InvalidEncryptionAlgorithmError");
    assert_eq!(code(request().ssekms_key_id(KEY).send().await), "InvalidArgument");
    let aes_with_key = request().server_side_encryption(ServerSideEncryption::Aes256).ssekms_key_id(KEY);
    assert_eq!(code(aes_with_key.send().await), "InvalidArgument");
    assert_eq!(code(kms().ssekms_encryption_context("no base64").send().await), "InvalidArgument");
    let elsewhere = "arn:aws:kms:eu-west-1:000000000000:key/1";
    assert_eq!(code(kms().ssekms_key_id(elsewhere).send().await), "KMS.NotFoundException");
    let customer = request().sse_customer_algorithm("AES256").sse_customer_key("a").sse_customer_key_md5("b");
    assert_eq!(code(customer.send().await), "NotImplemented");
    assert_eq!(code(running.s3.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    assert_eq!(code(running.s3.get_bucket_encryption().bucket("no-bucket").send().await), "NoSuchBucket");
    running.stop().await;
}
