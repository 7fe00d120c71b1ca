//! Multipart uploads: parts wait as files of their own until [`super::completing`] joins them.
//!
//! Every part has at most [`PART_BYTES_MAX`] bytes, and its number is at most [`PART_NUMBER_MAX`]. Which checksum the object
//! gets is decided when the upload begins ([`super::composed`]), and so is its encryption. Of several ends of one upload
//! (completions, an abort) the first wins and the others are told that there is no such upload.

use std::sync::Arc;

use s3s::dto::{
    AbortMultipartUploadInput, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};
use uuid::Uuid;

use super::announced::Announced;
use super::checksum;
use super::composed::UploadChecksum;
use super::index::{Index, PartRecord, StoredHeaders, UploadRecord};
use super::staging::{Staged, stage};
use super::store::{S3Store, dto_timestamp, found_bucket};
use super::writing::{check_metadata, stored_headers};
use super::{blocking, encryption, internal, lifecycle, tagging};

/// Largest part.
const PART_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Highest part number, and so the most parts of an upload.
const PART_NUMBER_MAX: i32 = 10_000;

/// CreateMultipartUpload.
pub(super) async fn create(
    store: &Arc<S3Store>,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let asked = encryption::asked(&request.headers, store.seed)?;
    let mut input = request.input;
    let checksum = UploadChecksum::asked(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
    let tags = tagging::of_header(input.tagging.as_deref())?;
    let mut headers = StoredHeaders { tags, ..stored_headers!(input) };
    check_metadata(&headers)?;
    let (bucket, key) = (input.bucket, input.key);
    let store = Arc::clone(store);
    blocking(move || {
        let (now, seed) = (store.clock.now(), store.seed.child("upload").0);
        let index = store.index();
        found_bucket(&index, &bucket)?;
        headers.encryption = encryption::resolved(&index, store.seed, &bucket, asked)?;
        let shown = encryption::shown(&headers);
        let (abort_date, abort_rule_id) = lifecycle::abort_of(&store, &bucket, &key, now).unzip();
        let sequence = index.next_sequence(now).map_err(internal("number an upload"))?;
        let id = Uuid::from_u64_pair(seed, sequence.unsigned_abs()).simple().to_string();
        let upload = UploadRecord { bucket, key, headers, checksum, created_at: now };
        index.create_upload(&id, &upload).map_err(internal("record an upload"))?;
        drop(index);
        let UploadRecord { bucket, key, .. } = upload;
        let (checksum_algorithm, checksum_type) = checksum.shown();
        Ok(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            abort_date: abort_date.map(dto_timestamp),
            abort_rule_id,
            checksum_algorithm,
            checksum_type,
            server_side_encryption: shown.algorithm,
            ssekms_key_id: shown.key,
            ssekms_encryption_context: shown.context,
            bucket_key_enabled: shown.bucket_key,
            ..CreateMultipartUploadOutput::default()
        })
    })
    .await
}

/// UploadPart.
pub(super) async fn upload_part(
    store: &Arc<S3Store>,
    request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    encryption::refuse_header(&request.headers)?;
    let announced = Announced::by(&request);
    let UploadPartInput { body, bucket, key, part_number, upload_id, .. } = request.input;
    check_part_number(part_number)?;
    check_part_size(announced.length().unwrap_or(0))?;
    let upload = {
        let (store, bucket, key, upload_id) = (Arc::clone(store), bucket.clone(), key.clone(), upload_id.clone());
        blocking(move || found_upload(&store, &upload_id, &bucket, &key)).await?
    };
    let sent = announced.algorithm();
    upload.checksum.check_sent(sent)?;
    let staged = stage(store.staging_file(), body, announced.with(upload.checksum.algorithm)).await?;
    check_part_size(staged.size)?;
    let UploadRecord { headers, checksum, .. } = upload;
    let shown = encryption::shown(&headers);
    let store = Arc::clone(store);
    let part = blocking(move || keep_part(&store, &upload_id, &bucket, &key, part_number, staged)).await?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        server_side_encryption: shown.algorithm,
        ssekms_key_id: shown.key,
        bucket_key_enabled: shown.bucket_key,
        ..UploadPartOutput::default()
    };
    checksum::say!(&checksum.shown_of_part(&part.checksums, sent), in output);
    Ok(output)
}

/// `EntityTooLarge` beyond the largest part.
fn check_part_size(size: u64) -> S3Result<()> {
    if size <= PART_BYTES_MAX {
        return Ok(());
    }
    Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"))
}

/// `InvalidArgument` for a number that no part can have.
pub(super) fn check_part_number(number: i32) -> S3Result<()> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
}

/// Makes a staged body a part of an upload, in place of the part that had its number.
pub(super) fn keep_part(
    store: &S3Store,
    upload_id: &str,
    bucket: &str,
    key: &str,
    number: i32,
    staged: Staged,
) -> S3Result<PartRecord> {
    let now = store.clock.now();
    store.sync_staged(&staged.file)?;
    let mut index = store.index();
    // The upload may have ended while its part was on the way.
    let upload = upload_of(&index, upload_id, bucket, key)?;
    let sequence = index.next_sequence(now).map_err(internal("number a part"))?;
    let file = format!("{upload_id}-{number}-{sequence:x}");
    store.place_part(&staged.file, &file)?;
    let etag = encryption::etag(store.seed, &upload.headers, sequence, staged.md5);
    let (size, uploaded_at) = (staged.size, Some(now));
    let part = PartRecord { file, size, etag, checksums: staged.checksums, uploaded_at };
    let replaced = index.put_part(upload_id, number, &part).map_err(internal("record a part"))?;
    drop(index);
    if let Some(replaced) = replaced {
        store.remove_parts(&[replaced.file]);
    }
    Ok(part)
}

/// The upload of this id, if it is one of this key.
pub(super) fn found_upload(store: &S3Store, id: &str, bucket: &str, key: &str) -> S3Result<UploadRecord> {
    let index = store.index();
    found_bucket(&index, bucket)?;
    upload_of(&index, id, bucket, key)
}

pub(super) fn upload_of(index: &Index, id: &str, bucket: &str, key: &str) -> S3Result<UploadRecord> {
    let upload = index.upload(id).map_err(internal("look up an upload"))?;
    let upload = upload.filter(|upload| upload.bucket == bucket && upload.key == key);
    upload.ok_or_else(|| s3_error!(NoSuchUpload))
}

/// AbortMultipartUpload.
pub(super) async fn abort(store: &Arc<S3Store>, input: AbortMultipartUploadInput) -> S3Result<()> {
    let store = Arc::clone(store);
    blocking(move || abort_now(&store, &input.upload_id, &input.bucket, &input.key)).await
}

/// Ends an upload and forgets its parts.
pub(super) fn abort_now(store: &S3Store, id: &str, bucket: &str, key: &str) -> S3Result<()> {
    let mut index = store.index();
    found_bucket(&index, bucket)?;
    upload_of(&index, id, bucket, key)?;
    let files = index.remove_upload(id).map_err(internal("forget an upload"))?;
    drop(index);
    store.remove_parts(&files);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_at_most_five_gibibytes() {
        assert!(check_part_size(PART_BYTES_MAX).is_ok());
        assert_eq!(check_part_size(PART_BYTES_MAX + 1).expect_err("too large").code().as_str(), "EntityTooLarge");
        assert!(check_part_number(PART_NUMBER_MAX).is_ok() && check_part_number(PART_NUMBER_MAX + 1).is_err());
    }
}
