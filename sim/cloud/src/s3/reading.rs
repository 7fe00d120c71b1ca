//! GetObject and HeadObject: conditions, ranges, and the stored headers given back.
//!
//! The file is opened together with the look-up, so the answer is one version of the object even if it is replaced while
//! it is being sent. Small bodies are read at once, large ones stream.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use s3s::dto::{
    ChecksumMode, ChecksumType, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, Range, StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3Result, s3_error};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::checksum;
use super::index::ObjectRecord;
use super::store::{S3Store, dto_metadata, dto_timestamp, precondition_failed};
use super::{blocking, internal};

/// Size of a piece of a streamed body; a body of at most this size is read at once.
const PIECE_BYTES: usize = 256 * 1024;
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// The conditions of a read.
struct ReadCondition {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// 412 or 304 where HTTP wants one; an ETag condition beats the date condition of its kind.
    fn check(&self, record: &ObjectRecord) -> S3Result<()> {
        let is_current = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(etag) => etag.value() == record.etag,
        };
        // HTTP dates have whole seconds.
        let modified = dto_timestamp(lakebed_contract::Timestamp::from_seconds(record.last_modified.seconds()));
        let matches = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => is_current(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !matches {
            return Err(precondition_failed());
        }
        let is_new = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => !is_current(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => true,
        };
        if is_new { Ok(()) } else { Err(not_modified(record)) }
    }
}

fn not_modified(record: &ObjectRecord) -> S3Error {
    let mut answer = s3_error!(NotModified);
    let etag = http::HeaderValue::from_str(&format!("\"{}\"", record.etag)).expect("an ETag is hexadecimal");
    answer.set_headers([(http::header::ETAG, etag)].into_iter().collect());
    answer
}

/// Which bytes of an object are asked for: start, length, and `Content-Range` if it is a part of it.
fn slice_of(range: Option<Range>, size: u64) -> S3Result<(u64, u64, Option<String>)> {
    let Some(range) = range else { return Ok((0, size, None)) };
    let bytes =
        range.check(size).map_err(|error| s3_error!(error, InvalidRange, "The requested range is not satisfiable"))?;
    if bytes.is_empty() {
        return Err(s3_error!(InvalidRange, "The requested range is not satisfiable"));
    }
    let content_range = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
    Ok((bytes.start, bytes.end - bytes.start, Some(content_range)))
}

fn refuse_versions_and_parts(version_id: Option<&str>, part_number: Option<i32>) -> S3Result<()> {
    if version_id.is_some_and(|version| version != "null") {
        return Err(s3_error!(NoSuchVersion, "versioning is not implemented"));
    }
    if part_number.is_some() {
        return Err(s3_error!(NotImplemented, "reading by part number is not implemented"));
    }
    Ok(())
}

/// GetObject.
pub(super) async fn get(store: &Arc<S3Store>, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    refuse_versions_and_parts(input.version_id.as_deref(), input.part_number)?;
    let condition = ReadCondition {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let (store, bucket, key, range) = (Arc::clone(store), input.bucket, input.key, input.range);
    let (record, body, length, content_range) = blocking(move || {
        let (record, mut file) = store.open_object(&bucket, &key)?;
        condition.check(&record)?;
        let (start, length, content_range) = slice_of(range, record.size)?;
        file.seek(SeekFrom::Start(start)).map_err(internal("read an object"))?;
        Ok((record, body_of(file, length)?, length, content_range))
    })
    .await?;
    let is_whole = content_range.is_none();
    let head = head_output(record, is_whole && is_enabled(input.checksum_mode.as_ref()));
    Ok(GetObjectOutput {
        body: Some(body),
        content_length: Some(i64::try_from(length).unwrap_or(i64::MAX)),
        content_range,
        accept_ranges: head.accept_ranges,
        cache_control: head.cache_control,
        checksum_crc32: head.checksum_crc32,
        checksum_crc32c: head.checksum_crc32c,
        checksum_crc64nvme: head.checksum_crc64nvme,
        checksum_sha1: head.checksum_sha1,
        checksum_sha256: head.checksum_sha256,
        checksum_type: head.checksum_type,
        content_disposition: head.content_disposition,
        content_encoding: head.content_encoding,
        content_language: head.content_language,
        content_type: head.content_type,
        e_tag: head.e_tag,
        expires: head.expires,
        last_modified: head.last_modified,
        metadata: head.metadata,
        ..GetObjectOutput::default()
    })
}

/// HeadObject.
pub(super) async fn head(store: &Arc<S3Store>, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
    refuse_versions_and_parts(input.version_id.as_deref(), input.part_number)?;
    let condition = ReadCondition {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let (store, bucket, key) = (Arc::clone(store), input.bucket, input.key);
    let record = blocking(move || store.object(&bucket, &key)).await?;
    condition.check(&record)?;
    let (_, length, content_range) = slice_of(input.range, record.size)?;
    let with_checksums = content_range.is_none() && is_enabled(input.checksum_mode.as_ref());
    let mut output = head_output(record, with_checksums);
    output.content_length = Some(i64::try_from(length).unwrap_or(i64::MAX));
    output.content_range = content_range;
    Ok(output)
}

fn is_enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

fn head_output(record: ObjectRecord, with_checksums: bool) -> HeadObjectOutput {
    let headers = record.headers;
    let checksums = if with_checksums { record.checksums } else { checksum::Checksums::new() };
    let checksum_type = (!checksums.is_empty()).then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT));
    let checksums = checksum::to_dto(&checksums);
    HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: headers.cache_control,
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        checksum_type,
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        content_type: Some(headers.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
        e_tag: Some(ETag::Strong(record.etag)),
        expires: headers.expires,
        last_modified: Some(dto_timestamp(record.last_modified)),
        metadata: dto_metadata(&headers.metadata),
        ..HeadObjectOutput::default()
    }
}

/// `length` bytes from where `file` stands.
fn body_of(mut file: File, length: u64) -> S3Result<StreamingBlob> {
    if let Some(length) = usize::try_from(length).ok().filter(|length| *length <= PIECE_BYTES) {
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(internal("read an object"))?;
        return Ok(StreamingBlob::from(s3s::Body::from(Bytes::from(bytes))));
    }
    let file = tokio::fs::File::from_std(file).take(length);
    Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file, PIECE_BYTES)))
}
