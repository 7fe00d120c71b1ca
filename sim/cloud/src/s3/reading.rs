//! GetObject and HeadObject: conditions, ranges, and the stored headers given back.
//!
//! The bytes are opened together with the look-up, so the answer is one version of the object even if it is replaced while
//! it is being sent. Those that lie in the index, and others that are few, are read at once; more stream.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use s3s::dto::{
    ChecksumMode, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
    StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3Response, S3Result, s3_error};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::answering::with_status;
use super::attributes;
use super::bodies::Opened;
use super::checksum;
use super::index::ObjectRecord;
use super::store::{S3Store, dto_metadata, dto_timestamp, precondition_failed};
use super::{blocking, encryption, internal, lifecycle, versioning};

/// Size of a piece of a streamed body; a body of at most this size is read at once.
const PIECE_BYTES: usize = 256 * 1024;
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";
/// `s3s` has no such member for HeadObject.
const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

/// The conditions of a read, or of the source of a copy.
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
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

    /// As the condition on the source of a copy: whatever does not hold is a 412.
    pub(super) fn check_source(&self, source: &ObjectRecord) -> S3Result<()> {
        self.check(source).map_err(|_refused_or_not_modified| precondition_failed())
    }
}

fn not_modified(record: &ObjectRecord) -> S3Error {
    let mut answer = s3_error!(NotModified);
    let etag = HeaderValue::from_str(&format!("\"{}\"", record.etag)).expect("an ETag is hexadecimal");
    answer.set_headers([(http::header::ETAG, etag)].into_iter().collect());
    answer
}

/// Which bytes of an object are asked for, by range or as one of its parts: start, length, and `Content-Range` if one of
/// these was named.
fn slice_of(
    range: Option<Range>,
    part_number: Option<i32>,
    record: &ObjectRecord,
) -> S3Result<(u64, u64, Option<String>)> {
    let size = record.size;
    let Some(range) = range else {
        let Some(number) = part_number else { return Ok((0, size, None)) };
        let (start, length) = attributes::part_slice(record, number)?;
        // Nothing of nothing has no range.
        let content_range = (length > 0).then(|| format!("bytes {start}-{}/{size}", start + length - 1));
        return Ok((start, length, content_range));
    };
    if part_number.is_some() {
        return Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"));
    }
    let bytes =
        range.check(size).map_err(|error| s3_error!(error, InvalidRange, "The requested range is not satisfiable"))?;
    if bytes.is_empty() {
        return Err(s3_error!(InvalidRange, "The requested range is not satisfiable"));
    }
    let content_range = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
    Ok((bytes.start, bytes.end - bytes.start, Some(content_range)))
}

impl S3Store {
    /// A version of an object; without `version` the current one.
    pub(super) fn object_version(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<ObjectRecord> {
        let index = self.index();
        self.check_finished(&index, bucket, key)?;
        versioning::found(&index, bucket, key, version)
    }

    /// The same with its bytes; they stay the same whatever happens to the key afterwards.
    pub(super) fn open_version(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<(ObjectRecord, Opened)> {
        let index = self.index();
        self.check_finished(&index, bucket, key)?;
        let record = versioning::found(&index, bucket, key, version)?;
        let bytes = match record.own_file() {
            Some(file) => {
                let file = File::open(self.bucket_dir(bucket).join(file));
                Opened::File(file.map_err(internal("open an object"))?)
            }
            None => {
                let bytes = index.body(record.sequence).map_err(internal("read an object"))?;
                let bytes = bytes.ok_or_else(|| s3_error!(InternalError, "an object has no bytes in the index"))?;
                Opened::Small(Cursor::new(bytes))
            }
        };
        drop(index);
        let size = bytes.size().map_err(internal("look at an object's bytes"))?;
        if size != record.size {
            // Somebody else wrote to the state directory, or a power cut took bytes that were not flushed.
            return Err(s3_error!(InternalError, "the bytes of an object are not as many as they should be"));
        }
        Ok((record, bytes))
    }
}

/// GetObject.
pub(super) async fn get(store: &Arc<S3Store>, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    let condition = ReadCondition {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let (store, bucket, key, range) = (Arc::clone(store), input.bucket, input.key, input.range);
    let part_number = input.part_number;
    let (record, body, length, content_range, expiration) = blocking(move || {
        let (record, bytes) = store.open_version(&bucket, &key, input.version_id.as_deref())?;
        condition.check(&record)?;
        let (start, length, content_range) = slice_of(range, part_number, &record)?;
        let expiration = lifecycle::expiration_header(&store, &bucket, &key, &record);
        // A version that is named may not be the one that expires.
        let expiration = expiration.filter(|_| input.version_id.is_none());
        Ok((record, body_of(bytes, start, length)?, length, content_range, expiration))
    })
    .await?;
    let is_whole = content_range.is_none();
    let tag_count = tag_count(&record);
    let parts_count = part_number.and_then(|_| attributes::parts_count(&record));
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
        expiration,
        expires: head.expires,
        last_modified: head.last_modified,
        metadata: head.metadata,
        parts_count,
        server_side_encryption: head.server_side_encryption,
        ssekms_key_id: head.ssekms_key_id,
        bucket_key_enabled: head.bucket_key_enabled,
        tag_count,
        version_id: head.version_id,
        ..GetObjectOutput::default()
    })
}

/// HeadObject.
pub(super) async fn head(store: &Arc<S3Store>, input: HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
    let condition = ReadCondition {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let (store, bucket, key) = (Arc::clone(store), input.bucket, input.key);
    let (record, expiration) = blocking(move || {
        let record = store.object_version(&bucket, &key, input.version_id.as_deref())?;
        let expiration = lifecycle::expiration_header(&store, &bucket, &key, &record);
        // A version that is named may not be the one that expires.
        let expiration = expiration.filter(|_| input.version_id.is_none());
        Ok((record, expiration))
    })
    .await?;
    condition.check(&record)?;
    let (_, length, content_range) = slice_of(input.range, input.part_number, &record)?;
    let with_checksums = content_range.is_none() && is_enabled(input.checksum_mode.as_ref());
    let tag_count = tag_count(&record);
    let parts_count = input.part_number.and_then(|_| attributes::parts_count(&record));
    let mut output = head_output(record, with_checksums);
    output.content_length = Some(i64::try_from(length).unwrap_or(i64::MAX));
    output.content_range = content_range;
    output.expiration = expiration;
    output.parts_count = parts_count;
    let status = if output.content_range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = with_status(output, status);
    if let Some(count) = tag_count {
        answer.headers.insert(TAGGING_COUNT, HeaderValue::from(count));
    }
    Ok(answer)
}

/// `x-amz-tagging-count`, which an object without tags does not have.
fn tag_count(record: &ObjectRecord) -> Option<i32> {
    i32::try_from(record.headers.tags.len()).ok().filter(|count| *count > 0)
}

fn is_enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

fn head_output(record: ObjectRecord, with_checksums: bool) -> HeadObjectOutput {
    let version_id = record.shown_version();
    let headers = record.headers;
    let encryption = encryption::shown(&headers);
    let checksums = if with_checksums { record.checksums } else { checksum::Checksums::new() };
    let mut output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: headers.cache_control,
        checksum_type: checksum::type_of(&checksums),
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        content_type: Some(headers.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
        e_tag: Some(ETag::Strong(record.etag)),
        expires: headers.expires,
        last_modified: Some(dto_timestamp(record.last_modified)),
        metadata: dto_metadata(&headers.metadata),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        version_id,
        ..HeadObjectOutput::default()
    };
    checksum::say!(&checksums, in output);
    output
}

/// `length` bytes from `start` on, which there are.
fn body_of(bytes: Opened, start: u64, length: u64) -> S3Result<StreamingBlob> {
    let mut file = match bytes {
        Opened::Small(bytes) => {
            let bytes = bytes.into_inner();
            let ends = usize::try_from(start).ok().zip(usize::try_from(start + length).ok());
            let slice = ends.and_then(|(start, end)| bytes.get(start..end)).map(|slice| bytes.slice_ref(slice));
            let slice = slice.ok_or_else(|| s3_error!(InternalError, "an object has fewer bytes than it should"))?;
            return Ok(StreamingBlob::from(s3s::Body::from(slice)));
        }
        Opened::File(file) => file,
    };
    file.seek(SeekFrom::Start(start)).map_err(internal("read an object"))?;
    if let Some(length) = usize::try_from(length).ok().filter(|length| *length <= PIECE_BYTES) {
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(internal("read an object"))?;
        return Ok(StreamingBlob::from(s3s::Body::from(Bytes::from(bytes))));
    }
    let file = tokio::fs::File::from_std(file).take(length);
    Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file, PIECE_BYTES)))
}
