//! PutObject, CopyObject, DeleteObject and DeleteObjects over the store.

use std::io::Read;
use std::sync::Arc;

use md5::{Digest, Md5};
use s3s::dto::{
    ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, Error, MetadataDirective,
    PutObjectInput, PutObjectOutput,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::checksum;
use super::index::StoredHeaders;
use super::notification::Created;
use super::reading::ReadCondition;
use super::staging::{Announced, stage};
use super::store::{S3Store, Write, WriteCondition, dto_timestamp};
use super::tagging::{self, Tags};
use super::{blocking, bucket_defaults, error_body, internal};

/// Most keys of a DeleteObjects.
const DELETED_KEYS_MAX: usize = 1000;
/// Most bytes of user metadata, names and values together.
const METADATA_BYTES_MAX: usize = 2 * 1024;
const COPY_BUFFER_BYTES: usize = 256 * 1024;

/// PutObject.
pub(super) async fn put(store: &Arc<S3Store>, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    store.outbox().admit()?;
    let announced = Announced::by(&request);
    let input = request.input;
    let headers = StoredHeaders {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        content_language: input.content_language,
        content_disposition: input.content_disposition,
        cache_control: input.cache_control,
        expires: input.expires,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        tags: tagging::of_header(input.tagging.as_deref())?,
    };
    check_metadata(&headers)?;
    let (bucket, key, body) = (input.bucket, input.key, input.body);
    let condition = WriteCondition { if_match: input.if_match, if_none_match: input.if_none_match };
    {
        // Refused before the body is read, so that a client with a long body learns it early.
        let (store, bucket) = (Arc::clone(store), bucket.clone());
        blocking(move || store.bucket(&bucket).map(drop)).await?;
    }
    let staged = stage(store.staging_file(), body, announced).await?;
    let store = Arc::clone(store);
    let record = blocking(move || {
        store.commit(Write {
            bucket: &bucket,
            key: &key,
            file: staged.file,
            size: staged.size,
            etag: staged.md5,
            checksums: staged.checksums,
            headers,
            parts: Vec::new(),
            created: Created::Put,
            condition,
        })
    })
    .await?;
    let has_checksum = !record.checksums.is_empty();
    let checksums = checksum::to_dto(&record.checksums);
    Ok(PutObjectOutput {
        e_tag: Some(ETag::Strong(record.etag)),
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        checksum_type: has_checksum.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        server_side_encryption: Some(bucket_defaults::encryption()),
        ..PutObjectOutput::default()
    })
}

/// `MetadataTooLarge` beyond S3's bound.
pub(super) fn check_metadata(headers: &StoredHeaders) -> S3Result<()> {
    let bytes: usize = headers.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size"));
    }
    Ok(())
}

/// CopyObject.
pub(super) async fn copy(store: &Arc<S3Store>, input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
    store.outbox().admit()?;
    let (from_bucket, from_key) = copied_from(input.copy_source)?;
    let replaced_tags = tagging::of_copy(input.tagging_directive.as_ref(), input.tagging.as_deref())?;
    let replaced = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        Some(MetadataDirective::REPLACE) => Some(StoredHeaders {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            expires: input.expires,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            tags: Tags::new(),
        }),
        _ => None,
    };
    replaced.as_ref().map_or(Ok(()), check_metadata)?;
    if input.checksum_algorithm.is_some() {
        return Err(s3_error!(NotImplemented, "CopyObject does not compute checksums"));
    }
    let (bucket, key) = (input.bucket, input.key);
    if replaced.is_none() && *from_bucket == *bucket && *from_key == *key {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing its metadata."
        ));
    }
    let condition = ReadCondition {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let store = Arc::clone(store);
    let record = blocking(move || {
        let (source, mut bytes) = store.open_object(&from_bucket, &from_key)?;
        condition.check_source(&source)?;
        let file = store.staging_file();
        let mut out = std::fs::File::create(file.path()).map_err(internal("create a staging file"))?;
        let md5 = copy_bytes(&mut bytes, &mut out).map_err(internal("copy an object"))?;
        let tags = replaced_tags.unwrap_or_else(|| source.headers.tags.clone());
        let headers = StoredHeaders { tags, ..replaced.unwrap_or(source.headers) };
        store.commit(Write {
            bucket: &bucket,
            key: &key,
            file,
            size: source.size,
            etag: md5,
            checksums: source.checksums,
            headers,
            parts: Vec::new(),
            created: Created::Copy,
            condition: WriteCondition::default(),
        })
    })
    .await?;
    let result = CopyObjectResult {
        e_tag: Some(ETag::Strong(record.etag)),
        last_modified: Some(dto_timestamp(record.last_modified)),
        ..CopyObjectResult::default()
    };
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        server_side_encryption: Some(bucket_defaults::encryption()),
        ..CopyObjectOutput::default()
    })
}

/// Bucket and key that `x-amz-copy-source` names.
pub(super) fn copied_from(source: CopySource) -> S3Result<(Box<str>, Box<str>)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(NotImplemented, "access points are not implemented"));
    };
    refuse_version(version_id.as_deref())?;
    Ok((bucket, key))
}

/// Copies everything; gives the MD5 in hexadecimal. The ETag of a copy is its MD5 even if the source came in parts.
pub(super) fn copy_bytes(from: &mut impl Read, to: &mut impl std::io::Write) -> std::io::Result<String> {
    let mut md5 = Md5::new();
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            to.flush()?;
            return Ok(data_encoding::HEXLOWER.encode(&md5.finalize()));
        }
        md5.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// DeleteObject. Deleting what is not there succeeds.
pub(super) async fn delete(store: &Arc<S3Store>, input: DeleteObjectInput) -> S3Result<()> {
    refuse_version(input.version_id.as_deref())?;
    let condition = WriteCondition { if_match: input.if_match, if_none_match: None };
    let store = Arc::clone(store);
    blocking(move || store.delete_object(&input.bucket, &input.key, &condition)).await
}

/// `NoSuchVersion` for any version but the one there is.
pub(super) fn refuse_version(version_id: Option<&str>) -> S3Result<()> {
    match version_id {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "versioning is not implemented")),
    }
}

/// DeleteObjects.
pub(super) async fn delete_many(store: &Arc<S3Store>, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    if input.delete.objects.is_empty() || input.delete.objects.len() > DELETED_KEYS_MAX {
        return Err(s3_error!(MalformedXML, "a DeleteObjects names between 1 and {DELETED_KEYS_MAX} keys"));
    }
    let is_quiet = input.delete.quiet.unwrap_or(false);
    let store = Arc::clone(store);
    blocking(move || {
        store.bucket(&input.bucket)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let if_match = object.e_tag.map(ETagCondition::ETag);
            let condition = WriteCondition { if_match, if_none_match: None };
            let done = if object.size.is_some() || object.last_modified_time.is_some() {
                Err(s3_error!(NotImplemented, "deleting by size or time is not implemented"))
            } else {
                refuse_version(object.version_id.as_deref())
                    .and_then(|()| store.delete_object(&input.bucket, &object.key, &condition))
            };
            match done {
                Ok(()) if is_quiet => (),
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
                Err(error) => errors.push(listed_error(object.key, &error)),
            }
        }
        Ok(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            request_charged: None,
        })
    })
    .await
}

fn listed_error(key: String, error: &S3Error) -> Error {
    let code = Some(error.code().as_str().to_owned());
    let message = error.message().or_else(|| error_body::message_of(error.code().as_str()));
    Error { code, key: Some(key), message: message.map(str::to_owned), version_id: None }
}
