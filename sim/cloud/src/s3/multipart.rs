//! Multipart uploads: parts wait as files of their own and are joined when the upload is completed.
//!
//! Every part but the last has at least [`PART_BYTES_MIN`] bytes; the ETag of the object is the MD5 of the parts' MD5s,
//! `-` and their number, as in AWS. A completion joins the parts it found when it began, even if they are replaced or
//! the upload is aborted meanwhile; of several ends of one upload (completions, an abort) the first wins and the others
//! are told that there is no such upload.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use md5::{Digest, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadOutput, ETag, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};
use uuid::Uuid;

use super::attributes;
use super::checksum::{self, Checksums};
use super::index::{Index, PartRecord, StoredHeaders, UploadRecord};
use super::notification::Created;
use super::part_files::Held;
use super::staging::{Announced, Staged, StagingFile, stage};
use super::store::{S3Store, Write, WriteCondition, found_bucket};
use super::{blocking, internal};

/// Smallest part that is not the last.
pub(super) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Highest part number.
const PART_NUMBER_MAX: i32 = 10_000;

/// CreateMultipartUpload.
pub(super) async fn create(
    store: &Arc<S3Store>,
    bucket: String,
    key: String,
    headers: StoredHeaders,
) -> S3Result<CreateMultipartUploadOutput> {
    let store = Arc::clone(store);
    blocking(move || {
        store.bucket(&bucket)?;
        let (now, seed) = (store.clock.now(), store.seed.child("upload").0);
        let index = store.index();
        let sequence = index.next_sequence(now).map_err(internal("number an upload"))?;
        let id = Uuid::from_u64_pair(seed, sequence.unsigned_abs()).simple().to_string();
        let upload = UploadRecord { bucket, key, headers, created_at: now };
        index.create_upload(&id, &upload).map_err(internal("record an upload"))?;
        let UploadRecord { bucket, key, .. } = upload;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
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
    let announced = Announced::by(&request);
    let UploadPartInput { body, bucket, key, part_number, upload_id, sse_customer_key, .. } = request.input;
    check_part_number(part_number)?;
    if sse_customer_key.is_some() {
        return Err(s3_error!(NotImplemented, "encryption with customer keys is not implemented"));
    }
    {
        let (store, bucket, key, upload_id) = (Arc::clone(store), bucket.clone(), key.clone(), upload_id.clone());
        blocking(move || found_upload(&store, &upload_id, &bucket, &key).map(drop)).await?;
    }
    let staged = stage(store.staging_file(), body, announced).await?;
    let store = Arc::clone(store);
    let part = blocking(move || keep_part(&store, &upload_id, &bucket, &key, part_number, staged)).await?;
    let checksums = checksum::to_dto(&part.checksums);
    Ok(UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        ..UploadPartOutput::default()
    })
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
    let mut index = store.index();
    // The upload may have ended while its part was on the way.
    upload_of(&index, upload_id, bucket, key)?;
    let sequence = index.next_sequence(now).map_err(internal("number a part"))?;
    let file = format!("{upload_id}-{number}-{sequence:x}");
    std::fs::rename(staged.file.path(), store.part_path(&file)).map_err(internal("rename a staging file"))?;
    let (size, etag, uploaded_at) = (staged.size, staged.md5, Some(now));
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

fn upload_of(index: &Index, id: &str, bucket: &str, key: &str) -> S3Result<UploadRecord> {
    let upload = index.upload(id).map_err(internal("look up an upload"))?;
    let upload = upload.filter(|upload| upload.bucket == bucket && upload.key == key);
    upload.ok_or_else(|| s3_error!(NoSuchUpload))
}

/// CompleteMultipartUpload.
pub(super) async fn complete(
    store: &Arc<S3Store>,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let announced: Checksums = checksum::announced(&request.headers)
        .into_iter()
        .filter_map(|(algorithm, value)| Some((algorithm, value?)))
        .collect();
    let input = request.input;
    if announced.values().any(|value| value.contains('-')) {
        return Err(s3_error!(NotImplemented, "composite checksums of a whole upload are not implemented"));
    }
    let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let expected_size = input.mpu_object_size;
    let condition = WriteCondition { if_match: input.if_match, if_none_match: input.if_none_match };
    let (bucket, key, upload_id) = (input.bucket, input.key, input.upload_id);
    let store = Arc::clone(store);
    blocking(move || {
        let Joining { headers, parts, _held } = begin_join(&store, &upload_id, &bucket, &key, &listed)?;
        let file = store.staging_file();
        let (size, checksums) = join(&store, &parts, &file, announced)?;
        if expected_size.is_some_and(|expected| u64::try_from(expected) != Ok(size)) {
            return Err(s3_error!(InvalidRequest, "the parts do not have the size of x-amz-mp-object-size"));
        }
        let etag = joined_etag(&parts);
        let created = Created::CompleteMultipartUpload;
        let parts = attributes::joined_parts(&listed, &parts);
        let write =
            Write { bucket: &bucket, key: &key, file, size, etag, checksums, headers, parts, created, condition };
        let record = store.commit_upload(&upload_id, write)?;
        Ok(CompleteMultipartUploadOutput {
            location: Some(format!("/{bucket}/{key}")),
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(ETag::Strong(record.etag)),
            ..CompleteMultipartUploadOutput::default()
        })
    })
    .await
}

/// What a completion works with: as it was when the completion began.
struct Joining<'a> {
    headers: StoredHeaders,
    parts: Vec<PartRecord>,
    /// The files of the parts stay until they are joined.
    _held: Held<'a>,
}

fn begin_join<'a>(
    store: &'a S3Store,
    id: &str,
    bucket: &str,
    key: &str,
    listed: &[CompletedPart],
) -> S3Result<Joining<'a>> {
    let index = store.index();
    found_bucket(&index, bucket)?;
    let headers = upload_of(&index, id, bucket, key)?.headers;
    let kept = index.parts(id).map_err(internal("look up parts"))?;
    let parts = chosen_parts(listed, &kept)?;
    // Under the lock: whoever replaces or removes one of these parts from now on leaves its file to us.
    let held = store.hold_parts(parts.iter().map(|part| part.file.clone()).collect());
    drop(index);
    Ok(Joining { headers, parts, _held: held })
}

/// AbortMultipartUpload.
pub(super) async fn abort(store: &Arc<S3Store>, input: AbortMultipartUploadInput) -> S3Result<()> {
    let store = Arc::clone(store);
    blocking(move || {
        let mut index = store.index();
        found_bucket(&index, &input.bucket)?;
        upload_of(&index, &input.upload_id, &input.bucket, &input.key)?;
        let files = index.remove_upload(&input.upload_id).map_err(internal("forget an upload"))?;
        drop(index);
        store.remove_parts(&files);
        Ok(())
    })
    .await
}

/// The parts the client listed, in its order, which must be ascending.
fn chosen_parts(listed: &[CompletedPart], kept: &[(i32, PartRecord)]) -> S3Result<Vec<PartRecord>> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let numbers =
        listed.iter().map(|part| part.part_number.ok_or_else(|| s3_error!(MalformedXML, "a part has no number")));
    let numbers = numbers.collect::<S3Result<Vec<_>>>()?;
    if !numbers.is_sorted_by(|one, two| one < two) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let mut chosen = Vec::with_capacity(listed.len());
    for (at, (part, number)) in listed.iter().zip(numbers).enumerate() {
        let found = kept.iter().find(|(kept_number, _)| *kept_number == number).map(|(_, record)| record);
        let found = found.filter(|record| is_the_same(part, record));
        let found = found.ok_or_else(|| s3_error!(InvalidPart))?;
        if found.size < PART_BYTES_MIN && at + 1 < listed.len() {
            return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
        }
        chosen.push(found.clone());
    }
    Ok(chosen)
}

/// Whether the ETag and the checksums the client lists are those of the part.
fn is_the_same(listed: &CompletedPart, kept: &PartRecord) -> bool {
    let checksums = checksum::from_dto(s3s::dto::Checksum {
        checksum_crc32: listed.checksum_crc32.clone(),
        checksum_crc32c: listed.checksum_crc32c.clone(),
        checksum_crc64nvme: listed.checksum_crc64nvme.clone(),
        checksum_sha1: listed.checksum_sha1.clone(),
        checksum_sha256: listed.checksum_sha256.clone(),
        checksum_type: None,
    });
    let mut listed_checksums = checksums.iter();
    listed.e_tag.as_ref().is_some_and(|etag| etag.value() == kept.etag)
        && listed_checksums.all(|(algorithm, value)| kept.checksums.get(algorithm).is_none_or(|kept| kept == value))
}

/// Writes the parts behind each other; gives the size and the verified checksums of the whole.
fn join(store: &S3Store, parts: &[PartRecord], file: &StagingFile, announced: Checksums) -> S3Result<(u64, Checksums)> {
    let mut out = File::create(file.path()).map_err(internal("create a staging file"))?;
    let mut size = 0;
    for part in parts {
        let mut part = File::open(store.part_path(&part.file)).map_err(internal("open a part"))?;
        size += io::copy(&mut part, &mut out).map_err(internal("join parts"))?;
    }
    out.flush().map_err(internal("join parts"))?;
    if announced.is_empty() {
        return Ok((size, announced));
    }
    let mut hasher = checksum::hasher(announced.keys().copied());
    let mut joined = File::open(file.path()).map_err(internal("read a staging file"))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match io::Read::read(&mut joined, &mut buffer).map_err(internal("read a staging file"))? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    if checksum::from_dto(hasher.finalize()) != announced {
        return Err(s3_error!(BadDigest, "the checksum you specified did not match the joined parts"));
    }
    Ok((size, announced))
}

fn joined_etag(parts: &[PartRecord]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(data_encoding::HEXLOWER.decode(part.etag.as_bytes()).expect("a part's ETag is hexadecimal MD5"));
    }
    format!("{}-{}", data_encoding::HEXLOWER.encode(&md5.finalize()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(size: u64) -> PartRecord {
        let (file, etag) = (String::new(), "00".repeat(16));
        PartRecord { file, size, etag, checksums: Checksums::new(), uploaded_at: None }
    }

    fn listed(number: i32) -> CompletedPart {
        let e_tag = Some(ETag::Strong("00".repeat(16)));
        CompletedPart { part_number: Some(number), e_tag, ..CompletedPart::default() }
    }

    fn refusal(parts: &[CompletedPart], kept: &[(i32, PartRecord)]) -> String {
        match chosen_parts(parts, kept) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn only_the_last_part_may_be_small() {
        let kept = [(1, part(PART_BYTES_MIN)), (2, part(1)), (3, part(1))];
        assert_eq!(refusal(&[listed(1), listed(2)], &kept), "accepted");
        assert_eq!(refusal(&[listed(1), listed(2), listed(3)], &kept), "EntityTooSmall");
        assert_eq!(refusal(&[listed(2), listed(1)], &kept), "InvalidPartOrder");
        assert_eq!(refusal(&[listed(4)], &kept), "InvalidPart");
        let other = CompletedPart { e_tag: Some(ETag::Strong("x".to_owned())), ..listed(1) };
        assert_eq!(refusal(&[other], &kept), "InvalidPart");
        assert_eq!(refusal(&[], &kept), "MalformedXML");
    }

    #[test]
    fn the_etag_of_two_empty_parts_is_known() {
        let mut empty = part(0);
        empty.etag = "d41d8cd98f00b204e9800998ecf8427e".to_owned();
        assert_eq!(joined_etag(&[empty.clone(), empty]), "5873dd45edd01f09c1ef2e7819369e8e-2");
    }
}
