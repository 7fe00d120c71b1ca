//! Checksums through the real SDK: the default of AWS, and those of objects that were joined from parts.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, ObjectAttributes,
};

use crate::s3::{BUCKET, PART, get, noise, start};
use crate::{Running, code};

/// A client that sends no checksums of its own accord, as older ones.
fn plain(running: &Running) -> Client {
    let config = running.s3.config().to_builder();
    Client::from_conf(config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired).build())
}

/// For a call of [`plain`] that names its algorithm: such a client would not even compute that one.
fn computing() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
}

async fn create(s3: &Client, key: &str, algorithm: Option<ChecksumAlgorithm>, kind: Option<ChecksumType>) -> String {
    let create = s3.create_multipart_upload().bucket(BUCKET).key(key);
    let created = create.set_checksum_algorithm(algorithm.clone()).set_checksum_type(kind).send().await;
    let created = created.expect("created");
    assert_eq!(created.checksum_algorithm(), algorithm.as_ref());
    created.upload_id().expect("an id").to_owned()
}

async fn upload(
    s3: &Client,
    key: &str,
    upload: &str,
    number: i32,
    body: &[u8],
    algorithm: Option<ChecksumAlgorithm>,
) -> UploadPartOutput {
    let part = s3.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
    let part = part.set_checksum_algorithm(algorithm.clone()).body(ByteStream::from(body.to_vec())).customize();
    let part = if algorithm.is_some() { part.config_override(computing()) } else { part };
    part.send().await.expect("uploaded")
}

/// A part with its ETag alone.
fn bare(number: i32, part: &UploadPartOutput) -> CompletedPart {
    CompletedPart::builder().part_number(number).set_e_tag(part.e_tag.clone()).build()
}

fn completing(s3: &Client, key: &str, upload: &str, parts: Vec<CompletedPart>) -> CompleteMultipartUploadFluentBuilder {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    s3.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload).multipart_upload(parts)
}

async fn complete(s3: &Client, key: &str, upload: &str, parts: Vec<CompletedPart>) -> CompleteMultipartUploadOutput {
    completing(s3, key, upload, parts).send().await.expect("completed")
}

fn message<T, E: ProvideErrorMetadata, R>(result: Result<T, aws_sdk_s3::error::SdkError<E, R>>) -> String {
    let error = result.err().expect("refused");
    error.as_service_error().and_then(|error| error.message()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_object_without_a_checksum_gets_the_default() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = plain(&running);
    let body = ByteStream::from_static(b"123456789");
    let put = s3.put_object().bucket(BUCKET).key("k").body(body).send().await.expect("put");
    let default = (Some("rosUhgp5mIg="), Some(&ChecksumType::FullObject));
    assert_eq!((put.checksum_crc64_nvme(), put.checksum_type()), default);
    assert_eq!(put.checksum_crc32(), None);

    let head = || s3.head_object().bucket(BUCKET).key("k");
    let shown = head().checksum_mode(ChecksumMode::Enabled).send().await.expect("head");
    assert_eq!((shown.checksum_crc64_nvme(), shown.checksum_type()), default);
    let hidden = head().send().await.expect("head");
    assert_eq!((hidden.checksum_crc64_nvme(), hidden.checksum_type()), (None, None));
    let attributes = s3.get_object_attributes().bucket(BUCKET).key("k").object_attributes(ObjectAttributes::Checksum);
    let attributes = attributes.send().await.expect("attributes");
    let checksum = attributes.checksum().expect("a checksum");
    assert_eq!((checksum.checksum_crc64_nvme(), checksum.checksum_type()), default);
    let listed = s3.list_objects_v2().bucket(BUCKET).send().await.expect("listed");
    let listed = listed.contents().first().expect("one object");
    assert_eq!(listed.checksum_algorithm(), [ChecksumAlgorithm::Crc64Nvme]);
    assert_eq!(listed.checksum_type(), Some(&ChecksumType::FullObject));
    running.stop().await;
}

#[tokio::test]
async fn an_upload_that_says_nothing_gets_the_default_of_all_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = plain(&running);
    let body = noise(PART + 1000);
    let whole = s3.put_object().bucket(BUCKET).key("whole").body(ByteStream::from(body.clone())).send().await;
    let expected = whole.expect("put").checksum_crc64_nvme;
    assert!(expected.is_some());
    let id = create(&s3, "k", None, None).await;
    // Any checksum is welcome with a part, or none.
    let first = upload(&s3, "k", &id, 1, &body[..PART], Some(ChecksumAlgorithm::Crc32)).await;
    let second = upload(&s3, "k", &id, 2, &body[PART..], None).await;
    assert!(first.checksum_crc32().is_some() && first.checksum_crc64_nvme().is_none());
    let listed = s3.list_parts().bucket(BUCKET).key("k").upload_id(&id).send().await.expect("listed");
    assert_eq!((listed.checksum_algorithm(), listed.checksum_type()), (None, None));

    let parts = || vec![bare(1, &first), bare(2, &second)];
    let mut told = parts();
    told[0].checksum_crc32 = first.checksum_crc32.clone();
    assert_eq!(code(completing(&s3, "k", &id, told).send().await), "InvalidPart");
    let lie = completing(&s3, "k", &id, parts()).checksum_crc64_nvme("AAAAAAAAAAA=");
    assert_eq!(message(lie.send().await), "The CRC64NVME you specified did not match the calculated checksum.");
    let lie = completing(&s3, "k", &id, parts()).checksum_crc32("AAAAAA==");
    assert_eq!(code(lie.send().await), "BadDigest");
    let done = complete(&s3, "k", &id, parts()).await;
    assert_eq!(
        (done.checksum_crc64_nvme.as_deref(), done.checksum_type()),
        (expected.as_deref(), Some(&ChecksumType::FullObject))
    );
    // The SDK verifies what it reads.
    assert!(get(&running.s3, "k").await == body);
    let attributes =
        s3.get_object_attributes().bucket(BUCKET).key("k").object_attributes(ObjectAttributes::ObjectParts);
    let attributes = attributes.send().await.expect("attributes");
    let parts = attributes.object_parts().expect("parts");
    assert_eq!((parts.total_parts_count(), parts.parts().len()), (Some(2), 0));
    running.stop().await;
}

#[tokio::test]
async fn a_composite_checksum_needs_that_of_each_part() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = plain(&running);
    let body = noise(PART + 1000);
    let sha256 = Some(ChecksumAlgorithm::Sha256);
    let id = create(&s3, "k", sha256.clone(), None).await;
    let part =
        || s3.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(1).body(ByteStream::from_static(b"x"));
    let begins = "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: ";
    assert_eq!(message(part().send().await), format!("{begins}null"));
    let other =
        part().checksum_algorithm(ChecksumAlgorithm::Crc32).customize().config_override(computing()).send().await;
    assert_eq!(message(other), format!("{begins}crc32"));
    let first = upload(&s3, "k", &id, 1, &body[..PART], sha256.clone()).await;
    let second = upload(&s3, "k", &id, 2, &body[PART..], sha256.clone()).await;
    let listed = s3.list_parts().bucket(BUCKET).key("k").upload_id(&id).send().await.expect("listed");
    assert_eq!(
        (listed.checksum_algorithm(), listed.checksum_type()),
        (sha256.as_ref(), Some(&ChecksumType::Composite))
    );
    assert_eq!(listed.parts()[1].checksum_sha256(), second.checksum_sha256());
    let uploads = s3.list_multipart_uploads().bucket(BUCKET).send().await.expect("listed");
    assert_eq!(uploads.uploads()[0].checksum_algorithm(), sha256.as_ref());

    let missing = message(completing(&s3, "k", &id, vec![bare(1, &first), bare(2, &second)]).send().await);
    assert_eq!(
        missing,
        "The upload was created using a sha256 checksum. The complete request must include the checksum for each part. \
         It was missing for part 1 in the request."
    );
    let parts = || {
        let mut parts = vec![bare(1, &first), bare(2, &second)];
        parts[0].checksum_sha256 = first.checksum_sha256.clone();
        parts[1].checksum_sha256 = second.checksum_sha256.clone();
        parts
    };
    let mut wrong = parts();
    wrong[0].checksum_sha256 = second.checksum_sha256.clone();
    assert_eq!(code(completing(&s3, "k", &id, wrong).send().await), "InvalidPart");
    let other_type = completing(&s3, "k", &id, parts()).checksum_type(ChecksumType::FullObject).send().await;
    assert_eq!(code(other_type), "BadDigest");
    let other_algorithm = completing(&s3, "k", &id, parts()).checksum_crc32("AAAAAA==").send().await;
    assert_eq!(message(other_algorithm), format!("{begins}crc32"));
    let wrong_size = completing(&s3, "k", &id, parts()).mpu_object_size(7).send().await;
    assert_eq!(code(wrong_size), "InvalidRequest");

    let done = complete(&s3, "k", &id, parts()).await;
    let value = done.checksum_sha256().expect("a checksum").to_owned();
    assert!(value.ends_with("=-2"), "{value}");
    assert_eq!(done.checksum_type(), Some(&ChecksumType::Composite));
    let head = s3.head_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await;
    let head = head.expect("head");
    assert_eq!((head.checksum_sha256(), head.checksum_type()), (Some(value.as_str()), Some(&ChecksumType::Composite)));
    let attributes = s3.get_object_attributes().bucket(BUCKET).key("k");
    let attributes = attributes
        .object_attributes(ObjectAttributes::Checksum)
        .object_attributes(ObjectAttributes::ObjectParts)
        .send()
        .await
        .expect("attributes");
    let checksum = attributes.checksum().expect("a checksum");
    assert_eq!(checksum.checksum_sha256(), value.strip_suffix("-2"));
    let parts = attributes.object_parts().expect("parts");
    let sums: Vec<_> = parts.parts().iter().map(|part| part.checksum_sha256()).collect();
    assert_eq!(sums, [first.checksum_sha256(), second.checksum_sha256()]);
    running.stop().await;
}

#[tokio::test]
async fn a_checksum_of_all_bytes_is_combined_from_the_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = plain(&running);
    let body = noise(2 * PART + 17);
    let crc32c = Some(ChecksumAlgorithm::Crc32C);
    let whole = s3.put_object().bucket(BUCKET).key("whole").set_checksum_algorithm(crc32c.clone());
    let whole = whole.body(ByteStream::from(body.clone())).customize().config_override(computing());
    let expected = whole.send().await.expect("put").checksum_crc32_c;
    assert!(expected.is_some());
    let id = create(&s3, "k", crc32c.clone(), Some(ChecksumType::FullObject)).await;
    // What a part does not bring is computed, and so is that of a copied one.
    let first = upload(&s3, "k", &id, 1, &body[..PART], None).await;
    assert!(first.checksum_crc32_c().is_some());
    let second = s3.upload_part_copy().bucket(BUCKET).key("k").upload_id(&id).part_number(2);
    let second =
        second.copy_source(format!("{BUCKET}/whole")).copy_source_range(format!("bytes={PART}-{}", 2 * PART - 1));
    let second = second.send().await.expect("copied").copy_part_result.expect("a result");
    assert!(second.checksum_crc32_c().is_some());
    let second = CompletedPart::builder().part_number(2).set_e_tag(second.e_tag).build();
    let third = upload(&s3, "k", &id, 3, &body[2 * PART..], crc32c).await;
    let parts = vec![bare(1, &first), second, bare(3, &third)];
    let done = completing(&s3, "k", &id, parts).set_checksum_crc32_c(expected.clone()).send().await.expect("completed");
    assert_eq!((done.checksum_crc32_c, done.checksum_type), (expected, Some(ChecksumType::FullObject)));
    assert!(get(&running.s3, "k").await == body);
    running.stop().await;
}

#[tokio::test]
async fn an_upload_begins_with_what_goes_together() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let create = |algorithm: Option<ChecksumAlgorithm>, kind: ChecksumType| {
        let create = running.s3.create_multipart_upload().bucket(BUCKET).key("k");
        create.set_checksum_algorithm(algorithm).checksum_type(kind).send()
    };
    assert_eq!(
        message(create(Some(ChecksumAlgorithm::Sha1), ChecksumType::FullObject).await),
        "The FULL_OBJECT checksum type cannot be used with the sha1 checksum algorithm."
    );
    assert_eq!(
        message(create(Some(ChecksumAlgorithm::Crc64Nvme), ChecksumType::Composite).await),
        "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm."
    );
    assert_eq!(
        message(create(None, ChecksumType::Composite).await),
        "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
    );
    running.stop().await;
}
