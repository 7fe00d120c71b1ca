//! CopyObject: a new object whose bytes are those of another, or of a version of it.
//!
//! The source is opened together with its look-up, so the copy is of one version, whole. The bytes are copied, into memory
//! if the copy is to lie in the index, and their MD5 and checksum computed on the way: the ETag of a copy is its MD5 even
//! if the source came in parts. Conditions on the source are decided when it is opened, those on the target when the copy
//! is committed.

use std::fs::File;
use std::sync::Arc;

use s3s::dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, MetadataDirective};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

use super::bodies::{Body, Opened, is_small};
use super::checksum::{self, Algorithm};
use super::conditional::WriteCondition;
use super::index::{ObjectRecord, StoredHeaders};
use super::notification::Created;
use super::part_copy::copy_bytes;
use super::reading::ReadCondition;
use super::staging::Complete;
use super::store::{S3Store, Write, dto_timestamp};
use super::writing::{check_metadata, stored_headers};
use super::{blocking, encryption, internal, lifecycle, tagging};

/// Most bytes one call may copy.
pub(super) const COPY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// What `x-amz-copy-source` names.
pub(super) struct Source {
    bucket: Box<str>,
    key: Box<str>,
    version: Option<Box<str>>,
}

impl Source {
    pub(super) fn of(source: CopySource) -> S3Result<Self> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "access points are not implemented"));
        };
        Ok(Self { bucket, key, version: version_id })
    }

    /// The source and its bytes.
    pub(super) fn open(&self, store: &S3Store) -> S3Result<(ObjectRecord, Opened)> {
        let opened = store.open_version(&self.bucket, &self.key, self.version.as_deref());
        opened.map_err(|error| match error.code() {
            S3ErrorCode::MethodNotAllowed => s3_error!(
                InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by version id."
            ),
            _ => error,
        })
    }

    /// Whether it is the current version of this key.
    fn is(&self, bucket: &str, key: &str) -> bool {
        self.version.is_none() && *self.bucket == *bucket && *self.key == *key
    }
}

/// `InvalidRequest` beyond what one call may copy.
pub(super) fn check_size(size: u64) -> S3Result<()> {
    if size <= COPY_BYTES_MAX {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "The specified copy source is larger than the maximum allowable size for a copy source: {COPY_BYTES_MAX}"
    ))
}

/// CopyObject.
pub(super) async fn copy(store: &Arc<S3Store>, request: S3Request<CopyObjectInput>) -> S3Result<CopyObjectOutput> {
    store.outbox().admit()?;
    // `s3s` hands the conditions on the target on in the headers only.
    let target_condition = WriteCondition::of_headers(&request.headers)?;
    let asked = encryption::asked(&request.headers, store.seed)?;
    let changes_encryption = request.headers.contains_key("x-amz-server-side-encryption");
    let mut input = request.input;
    let replaced = replaced_headers(&mut input);
    let source = Source::of(input.copy_source)?;
    let replaced_tags = tagging::of_copy(input.tagging_directive.as_ref(), input.tagging.as_deref())?;
    replaced.as_ref().map_or(Ok(()), check_metadata)?;
    let algorithm = input.checksum_algorithm.as_ref().map(|name| {
        let known = Algorithm::named(name.as_str());
        known.ok_or_else(|| s3_error!(NotImplemented, "the checksum algorithm of the copy is not implemented"))
    });
    let algorithm = algorithm.transpose()?;
    let (bucket, key) = (input.bucket, input.key);
    if replaced.is_none() && !changes_encryption && source.is(&bucket, &key) {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let condition = ReadCondition {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let store = Arc::clone(store);
    let (record, source_version, expiration) = blocking(move || {
        let (original, mut bytes) = source.open(&store)?;
        condition.check_source(&original)?;
        check_size(original.size)?;
        let target_condition = store.watches.watch(&bucket, &key, target_condition);
        // Before the bytes are copied; the commit looks again.
        store.bucket(&bucket)?;
        let source_version = original.shown_version();
        let Complete { body, size, md5, checksums } = copied(&store, &original, &mut bytes, algorithm)?;
        let tags = replaced_tags.unwrap_or_else(|| original.headers.tags.clone());
        let headers = StoredHeaders { tags, ..replaced.unwrap_or(original.headers) };
        let record = store.commit(Write {
            bucket: &bucket,
            key: &key,
            body,
            size,
            etag: md5,
            checksums,
            headers,
            encryption: Some(asked),
            parts: Vec::new(),
            created: Created::Copy,
            condition: target_condition,
        })?;
        let expiration = lifecycle::expiration_header(&store, &bucket, &key, &record);
        Ok((record, source_version, expiration))
    })
    .await?;
    Ok(output(record, source_version, expiration))
}

/// A copy of everything.
fn copied(
    store: &S3Store,
    source: &ObjectRecord,
    bytes: &mut Opened,
    algorithm: Option<Algorithm>,
) -> S3Result<Complete> {
    let (size, algorithms) = (source.size, algorithms_of(algorithm, source));
    if is_small(size) {
        let mut copy = Vec::new();
        let copied = copy_bytes(bytes, &mut copy, algorithms);
        let (md5, checksums) = copied.map_err(internal("copy an object"))?;
        return Ok(Complete { body: Body::Small(copy.into()), size, md5, checksums });
    }
    let file = store.staging_file();
    let mut out = File::create(file.path()).map_err(internal("create a staging file"))?;
    let copied = copy_bytes(bytes, &mut out, algorithms);
    let (md5, checksums) = copied.map_err(internal("copy an object"))?;
    Ok(Complete { body: Body::File(file), size, md5, checksums })
}

/// The headers of a copy that does not keep those of its source.
fn replaced_headers(input: &mut CopyObjectInput) -> Option<StoredHeaders> {
    let directive = input.metadata_directive.as_ref().map(MetadataDirective::as_str);
    (directive == Some(MetadataDirective::REPLACE)).then(|| stored_headers!(input))
}

/// The checksums of a copy: the one asked for, or else those of the source, or else the usual one.
fn algorithms_of(asked: Option<Algorithm>, source: &ObjectRecord) -> Vec<Algorithm> {
    let kept = || source.checksums.keys().copied().collect::<Vec<_>>();
    let algorithms = asked.map_or_else(kept, |asked| vec![asked]);
    if algorithms.is_empty() { vec![Algorithm::DEFAULT] } else { algorithms }
}

fn output(record: ObjectRecord, source_version: Option<String>, expiration: Option<String>) -> CopyObjectOutput {
    let shown = encryption::shown(&record.headers);
    let version_id = record.shown_version();
    let mut result = CopyObjectResult {
        checksum_type: checksum::type_of(&record.checksums),
        e_tag: Some(ETag::Strong(record.etag)),
        last_modified: Some(dto_timestamp(record.last_modified)),
        ..CopyObjectResult::default()
    };
    checksum::say!(&record.checksums, in result);
    CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source_version,
        expiration,
        version_id,
        server_side_encryption: shown.algorithm,
        ssekms_key_id: shown.key,
        ssekms_encryption_context: shown.context,
        bucket_key_enabled: shown.bucket_key,
        ..CopyObjectOutput::default()
    }
}

/// A condition on the target of UploadPartCopy, which `s3s` would ignore.
pub(super) fn refuse_target_condition(headers: &http::HeaderMap) -> S3Result<()> {
    if headers.contains_key(http::header::IF_MATCH) || headers.contains_key(http::header::IF_NONE_MATCH) {
        return Err(S3Error::with_message(
            S3ErrorCode::NotImplemented,
            "a condition on a part is not implemented; put it on the completion",
        ));
    }
    Ok(())
}
