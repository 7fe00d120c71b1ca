//! Multipart uploads through the real SDK: what is listed, what is copied into parts, and what is known of parts later.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType, ObjectAttributes,
    StorageClass,
};

use crate::s3::{BUCKET, PART, create_upload, get, noise, put, start, upload_part};
use crate::{Running, code};

/// Where the clock of these tests stands.
const NOW: i64 = 1_700_000_000;

async fn complete(s3: &Client, key: &str, upload: &str, parts: Vec<CompletedPart>) {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload).multipart_upload(parts);
    complete.send().await.expect("completed");
}

/// Copies a range of an object into a part.
async fn copy_part(s3: &Client, key: &str, upload: &str, number: i32, from: &str, range: &str) -> CompletedPart {
    let copy = s3.upload_part_copy().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
    let copied = copy.copy_source(format!("{BUCKET}/{from}")).copy_source_range(range).send().await.expect("copied");
    let result = copied.copy_part_result().expect("a result");
    assert_eq!(result.last_modified().map(DateTime::secs), Some(NOW));
    CompletedPart::builder().part_number(number).set_e_tag(result.e_tag().map(str::to_owned)).build()
}

#[tokio::test]
async fn parts_are_listed_to_the_last_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let upload = create_upload(s3, "k").await;
    let list = || s3.list_parts().bucket(BUCKET).key("k").upload_id(&upload);
    let empty = list().send().await.expect("listed");
    assert_eq!((empty.parts().len(), empty.is_truncated()), (0, Some(false)));

    let mut uploaded = Vec::new();
    for number in [7, 1, 3, 10_000, 2] {
        let part = upload_part(s3, "k", &upload, number, vec![b'x'; number as usize]).await;
        uploaded.push((number, part.e_tag().map(str::to_owned), Some(i64::from(number))));
    }
    uploaded.sort();
    let (mut found, mut sizes, mut marker) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let page = list().max_parts(2).set_part_number_marker(marker.clone()).send().await.expect("listed");
        assert_eq!((page.max_parts(), page.storage_class()), (Some(2), Some(&StorageClass::Standard)));
        assert_eq!(page.part_number_marker(), Some(marker.as_deref().unwrap_or("0")));
        sizes.push(page.parts().len());
        for part in page.parts() {
            assert_eq!(part.last_modified().map(DateTime::secs), Some(NOW));
            found.push((part.part_number().expect("a number"), part.e_tag().map(str::to_owned), part.size()));
        }
        marker = page.next_part_number_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!((found, sizes), (uploaded, vec![2, 2, 1]));
    assert_eq!(marker.as_deref(), Some("10000"));
    let behind_all = list().part_number_marker("10000").send().await.expect("listed");
    assert_eq!((behind_all.parts().len(), behind_all.is_truncated()), (0, Some(false)));

    assert_eq!(code(list().max_parts(-1).send().await), "InvalidArgument");
    assert_eq!(code(list().part_number_marker("-1").send().await), "InvalidArgument");
    assert_eq!(code(list().key("other").send().await), "NoSuchUpload");
    let unknown = list().upload_id("nothing").send().await.expect_err("no such upload");
    let message = unknown.as_service_error().and_then(|error| error.message()).unwrap_or_default();
    assert!(message.starts_with("The specified upload does not exist. The upload ID may be invalid"), "{message}");
    running.stop().await;
}

#[tokio::test]
async fn uploads_are_listed_by_key_then_by_beginning() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let none = s3.list_multipart_uploads().bucket(BUCKET).send().await.expect("listed");
    assert_eq!((none.uploads().len(), none.is_truncated()), (0, Some(false)));
    let mut ids = Vec::new();
    for key in ["b", "c/ü 1", "a/2", "b", "a/1", "b"] {
        ids.push((key.to_owned(), create_upload(s3, key).await));
    }
    let expected: Vec<_> = [4, 2, 0, 3, 5, 1].into_iter().map(|at: usize| ids[at].clone()).collect();

    let (mut found, mut key_marker, mut id_marker) = (Vec::new(), None, None);
    loop {
        let list = s3.list_multipart_uploads().bucket(BUCKET).max_uploads(2);
        let page = list.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await.expect("listed");
        for upload in page.uploads() {
            assert_eq!(upload.initiated().map(DateTime::secs), Some(NOW));
            assert!(upload.owner().is_some() && upload.initiator().is_some());
            let id = upload.upload_id().expect("an id").to_owned();
            found.push((upload.key().expect("a key").to_owned(), id));
        }
        (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        // Ending uploads while paging skips none of the others.
        let (key, id) = found.last().expect("found");
        s3.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id).send().await.expect("aborted");
        if page.is_truncated != Some(true) {
            break;
        }
    }
    assert_eq!(found, expected);
    assert_eq!((key_marker, id_marker), (None, None));
    let left = s3.list_multipart_uploads().bucket(BUCKET).send().await.expect("listed");
    assert_eq!(left.uploads().len(), 3);
    assert_eq!(code(s3.list_multipart_uploads().bucket("no-bucket").send().await), "NoSuchBucket");
    running.stop().await;
}

#[tokio::test]
async fn uploads_are_grouped_and_their_names_encoded() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    for key in ["a/1", "a/2", "b", "c/ü 1", "c/d/2"] {
        create_upload(s3, key).await;
    }
    let list = || s3.list_multipart_uploads().bucket(BUCKET);
    let (mut found, mut key_marker, mut id_marker) = (Vec::new(), None, None);
    loop {
        let page = list().delimiter("/").max_uploads(1).set_key_marker(key_marker).set_upload_id_marker(id_marker);
        let page = page.send().await.expect("listed");
        found.extend(page.uploads().iter().filter_map(|upload| upload.key().map(str::to_owned)));
        found.extend(page.common_prefixes().iter().filter_map(|group| group.prefix().map(str::to_owned)));
        (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) {
            break;
        }
    }
    assert_eq!(found, ["a/", "b", "c/"]);

    let inner = list().prefix("c/").delimiter("/").encoding_type(EncodingType::Url).send().await.expect("listed");
    assert_eq!(inner.common_prefixes().iter().filter_map(|group| group.prefix()).collect::<Vec<_>>(), ["c/d/"]);
    assert_eq!(inner.uploads().iter().filter_map(|upload| upload.key()).collect::<Vec<_>>(), ["c/%C3%BC%201"]);
    let behind = list().key_marker("a/1").send().await.expect("listed");
    assert_eq!(
        behind.uploads().iter().filter_map(|upload| upload.key()).collect::<Vec<_>>(),
        ["a/2", "b", "c/d/2", "c/ü 1"]
    );

    let of_b = list().prefix("b").send().await.expect("listed");
    let id = of_b.uploads()[0].upload_id().expect("an id");
    assert_eq!(code(list().key_marker("a/1").upload_id_marker(id).send().await), "InvalidArgument");
    assert_eq!(code(list().key_marker("b").upload_id_marker("x").send().await), "InvalidArgument");
    assert_eq!(list().upload_id_marker("x").send().await.expect("ignored without a key").uploads().len(), 5);
    assert_eq!(code(list().max_uploads(-1).send().await), "InvalidArgument");
    running.stop().await;
}

#[tokio::test]
async fn ranges_of_an_object_become_the_parts_of_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let body = noise(2 * PART + 100);
    put(s3, "from here", &body).await;
    let upload = create_upload(s3, "copy").await;
    let mut parts = Vec::new();
    for (number, first, behind) in [(1, 0, PART), (2, PART, 2 * PART), (3, 2 * PART, 2 * PART + 100)] {
        let range = format!("bytes={first}-{}", behind - 1);
        parts.push(copy_part(s3, "copy", &upload, number, "from%20here", &range).await);
    }
    complete(s3, "copy", &upload, parts).await;
    assert!(get(s3, "copy").await == body, "the parts are the source");

    let part = s3.get_object().bucket(BUCKET).key("copy").part_number(2).send().await.expect("got");
    let range = format!("bytes {PART}-{}/{}", 2 * PART - 1, body.len());
    assert_eq!((part.content_range(), part.parts_count()), (Some(range.as_str()), Some(3)));
    assert!(part.body.collect().await.expect("a body").to_vec() == body[PART..2 * PART]);
    let head = s3.head_object().bucket(BUCKET).key("copy").part_number(3).send().await.expect("head");
    assert_eq!((head.content_length(), head.parts_count()), (Some(100), Some(3)));
    let whole = s3.head_object().bucket(BUCKET).key("copy").send().await.expect("head");
    assert_eq!((whole.content_length(), whole.parts_count()), (Some(body.len() as i64), None));
    let read = |number| s3.get_object().bucket(BUCKET).key("copy").part_number(number);
    assert_eq!(code(read(4).send().await), "InvalidPartNumber");
    assert_eq!(code(read(0).send().await), "InvalidArgument");
    assert_eq!(code(read(1).range("bytes=0-1").send().await), "InvalidRequest");
    // An object that was written at once is its own first part.
    let first = s3.head_object().bucket(BUCKET).key("from here").part_number(1).send().await.expect("head");
    assert_eq!((first.content_length(), first.parts_count()), (Some(body.len() as i64), None));

    let attributes = s3.get_object_attributes().bucket(BUCKET).key("copy");
    let attributes = attributes
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::ObjectParts)
        .object_attributes(ObjectAttributes::ObjectSize)
        .send()
        .await
        .expect("attributes");
    assert_eq!(attributes.e_tag(), whole.e_tag().map(|etag| etag.trim_matches('"')));
    assert_eq!(attributes.object_size(), Some(body.len() as i64));
    let parts = attributes.object_parts().expect("parts");
    assert_eq!((parts.total_parts_count(), parts.parts().len()), (Some(3), 0), "copied parts have no checksums");
    assert!(attributes.checksum().is_none() && attributes.storage_class().is_none(), "not asked for");
    running.stop().await;
}

#[tokio::test]
async fn a_part_is_copied_only_if_the_source_is_as_expected() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let etag = put(s3, "from", b"0123456789").await;
    let upload = create_upload(s3, "to").await;
    let copy = || {
        let copy = s3.upload_part_copy().bucket(BUCKET).key("to").upload_id(&upload).part_number(1);
        copy.copy_source(format!("{BUCKET}/from"))
    };
    copy().copy_source_if_match(&etag).send().await.expect("it matches");
    assert_eq!(code(copy().copy_source_if_match("\"other\"").send().await), "PreconditionFailed");
    assert_eq!(code(copy().copy_source_if_none_match(&etag).send().await), "PreconditionFailed");
    let (then, later) = (DateTime::from_secs(NOW - 1), DateTime::from_secs(NOW + 1));
    copy().copy_source_if_modified_since(then).send().await.expect("modified since");
    assert_eq!(code(copy().copy_source_if_modified_since(later).send().await), "PreconditionFailed");
    copy().copy_source_if_unmodified_since(later).send().await.expect("not modified since");
    assert_eq!(code(copy().copy_source_if_unmodified_since(then).send().await), "PreconditionFailed");
    let both = copy().copy_source_if_match(&etag).copy_source_if_unmodified_since(then);
    both.send().await.expect("the ETag beats the date");
    let object = s3.copy_object().bucket(BUCKET).key("other").copy_source(format!("{BUCKET}/from"));
    assert_eq!(code(object.copy_source_if_unmodified_since(then).send().await), "PreconditionFailed");

    for (range, expected) in [
        ("bytes=3-", "InvalidArgument"),
        ("bytes=4-3", "InvalidArgument"),
        ("3-4", "InvalidArgument"),
        ("bytes=0-10", "InvalidArgument"),
        ("bytes=10-11", "InvalidRequest"),
    ] {
        assert_eq!(code(copy().copy_source_range(range).send().await), expected, "{range}");
    }
    assert_eq!(code(copy().copy_source(format!("{BUCKET}/nothing")).send().await), "NoSuchKey");
    assert_eq!(code(copy().copy_source("no-bucket/from").send().await), "NoSuchBucket");
    assert_eq!(code(copy().upload_id("nothing").send().await), "NoSuchUpload");
    assert_eq!(code(copy().part_number(10_001).send().await), "InvalidArgument");

    let part = copy_part(s3, "to", &upload, 2, "from", "bytes=2-4").await;
    complete(s3, "to", &upload, vec![part]).await;
    assert_eq!(get(s3, "to").await, b"234");
    // The only part kept its number.
    let part = s3.get_object().bucket(BUCKET).key("to").part_number(2).send().await.expect("got");
    assert_eq!(part.body.collect().await.expect("a body").to_vec(), b"234");
    let left = std::fs::read_dir(dir.path().join("s3-staging")).expect("there").count();
    assert_eq!(left, 0, "refused copies leave nothing behind");
    running.stop().await;
}

#[tokio::test]
async fn parts_with_checksums_of_their_own_are_attributes() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let body = noise(PART + 10);
    let create = s3.create_multipart_upload().bucket(BUCKET).key("k").checksum_algorithm(ChecksumAlgorithm::Crc32);
    let upload = create.send().await.expect("created").upload_id.expect("an id");
    let upload_part = async |number: i32, body: &[u8]| {
        let part = s3.upload_part().bucket(BUCKET).key("k").upload_id(&upload).part_number(number);
        let part = part.body(ByteStream::from(body.to_vec())).send().await.expect("uploaded");
        let completed = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
        completed.set_checksum_crc32(part.checksum_crc32).build()
    };
    let (first, second) = (upload_part(1, &body[..PART]).await, upload_part(2, &body[PART..]).await);
    let sums = [&first, &second].map(|part| part.checksum_crc32().map(str::to_owned)).to_vec();
    assert!(sums.iter().all(Option::is_some), "the SDK sends a checksum with every part: {sums:?}");
    complete(s3, "k", &upload, vec![first, second]).await;

    let attributes =
        || s3.get_object_attributes().bucket(BUCKET).key("k").object_attributes(ObjectAttributes::ObjectParts);
    let all = attributes().send().await.expect("attributes");
    let all = all.object_parts().expect("parts");
    let found: Vec<_> = all.parts().iter().map(|part| part.checksum_crc32().map(str::to_owned)).collect();
    assert_eq!((found, all.is_truncated(), all.total_parts_count()), (sums.clone(), Some(false), Some(2)));
    let page = attributes().max_parts(1).send().await.expect("attributes");
    let page = page.object_parts().expect("parts");
    assert_eq!((page.parts()[0].size(), page.is_truncated()), (Some(PART as i64), Some(true)));
    let next = page.next_part_number_marker().expect("a marker");
    let page = attributes().max_parts(1).part_number_marker(next).send().await.expect("attributes");
    let page = page.object_parts().expect("parts");
    assert_eq!((page.parts()[0].part_number(), page.parts()[0].size()), (Some(2), Some(10)));
    assert_eq!(page.is_truncated(), Some(false));

    let put =
        s3.put_object().bucket(BUCKET).key("whole").body(ByteStream::from_static(b"x")).send().await.expect("put");
    let whole = s3.get_object_attributes().bucket(BUCKET).key("whole");
    let whole = whole
        .object_attributes(ObjectAttributes::Checksum)
        .object_attributes(ObjectAttributes::ObjectParts)
        .object_attributes(ObjectAttributes::StorageClass)
        .send()
        .await
        .expect("attributes");
    let checksum = whole.checksum().expect("a checksum");
    assert_eq!(
        (checksum.checksum_crc32(), checksum.checksum_type()),
        (put.checksum_crc32(), Some(&ChecksumType::FullObject))
    );
    assert!(whole.object_parts().is_none() && whole.e_tag().is_none());
    assert_eq!(whole.storage_class(), Some(&StorageClass::Standard));
    let missing = s3.get_object_attributes().bucket(BUCKET).key("no").object_attributes(ObjectAttributes::Etag);
    assert_eq!(code(missing.send().await), "NoSuchKey");
    let unknown = s3.get_object_attributes().bucket(BUCKET).key("k").object_attributes("Colour".into());
    assert_eq!(code(unknown.send().await), "InvalidArgument");
    running.stop().await;
}

#[tokio::test]
async fn uploads_and_the_parts_of_objects_are_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    put(&running.s3, "from", &noise(PART + 5)).await;
    let done = create_upload(&running.s3, "done").await;
    let range = format!("bytes=0-{}", PART - 1);
    let first = copy_part(&running.s3, "done", &done, 1, "from", &range).await;
    let second = copy_part(&running.s3, "done", &done, 2, "from", "bytes=0-4").await;
    complete(&running.s3, "done", &done, vec![first, second]).await;
    let open = create_upload(&running.s3, "open").await;
    let part = copy_part(&running.s3, "open", &open, 1, "from", "bytes=5-9").await;
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    let second = s3.get_object().bucket(BUCKET).key("done").part_number(2).send().await.expect("got");
    assert_eq!(second.parts_count(), Some(2));
    assert_eq!(second.body.collect().await.expect("a body").to_vec(), noise(5));
    let uploads = s3.list_multipart_uploads().bucket(BUCKET).send().await.expect("listed");
    let uploads: Vec<_> = uploads.uploads().iter().map(|upload| (upload.key(), upload.initiated())).collect();
    assert_eq!(uploads, [(Some("open"), Some(&DateTime::from_secs(NOW)))]);
    let parts = s3.list_parts().bucket(BUCKET).key("open").upload_id(&open).send().await.expect("listed");
    assert_eq!(parts.parts().iter().map(|part| part.size()).collect::<Vec<_>>(), [Some(5)]);
    complete(s3, "open", &open, vec![part]).await;
    assert_eq!(get(s3, "open").await, noise(10)[5..].to_vec());
    running.stop().await;
}
