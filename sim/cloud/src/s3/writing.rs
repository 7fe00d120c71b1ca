//! PutObject, DeleteObject and DeleteObjects over the store.

use std::sync::Arc;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition,
    Error, PutObjectInput, PutObjectOutput,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::announced::Announced;
use super::checksum;
use super::index::StoredHeaders;
use super::notification::Created;
use super::removing::{Deletion, Removal};
use super::staging::{SMALL_BYTES, receive};
use super::store::{S3Store, Write, WriteCondition};
use super::{blocking, encryption, error_body, lifecycle, tagging};

/// Most keys of a DeleteObjects.
const DELETED_KEYS_MAX: usize = 1000;
/// Most bytes of user metadata, names and values together.
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// PutObject.
pub(super) async fn put(store: &Arc<S3Store>, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    store.outbox().admit()?;
    let announced = Announced::by(&request);
    let asked = encryption::asked(&request.headers, store.seed)?;
    let mut input = request.input;
    let tags = tagging::of_header(input.tagging.as_deref())?;
    let headers = StoredHeaders { tags, ..stored_headers!(input) };
    check_metadata(&headers)?;
    let (bucket, key, body) = (input.bucket, input.key, input.body);
    let condition = WriteCondition::new(input.if_match, input.if_none_match);
    let condition = store.watches.watch(&bucket, &key, condition);
    if announced.length().is_none_or(|length| length > SMALL_BYTES) {
        // Refused before the body is read, so that a client with a long body learns it early.
        let (store, bucket) = (Arc::clone(store), bucket.clone());
        blocking(move || store.bucket(&bucket).map(drop)).await?;
    }
    let received = receive(store.staging_file(), body, announced).await?;
    let store = Arc::clone(store);
    let (record, expiration) = blocking(move || {
        // That the bucket is not there is said before what is wrong with the body.
        let complete = received.complete().or_else(|refusal| store.bucket(&bucket).and(Err(refusal)))?;
        let record = store.commit(Write {
            bucket: &bucket,
            key: &key,
            body: complete.body,
            size: complete.size,
            etag: complete.md5,
            checksums: complete.checksums,
            headers,
            encryption: Some(asked),
            parts: Vec::new(),
            created: Created::Put,
            condition,
        })?;
        let expiration = lifecycle::expiration_header(&store, &bucket, &key, &record);
        Ok((record, expiration))
    })
    .await?;
    let encryption = encryption::shown(&record.headers);
    let version_id = record.shown_version();
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(record.etag)),
        checksum_type: checksum::type_of(&record.checksums),
        expiration,
        version_id,
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        ssekms_encryption_context: encryption.context,
        bucket_key_enabled: encryption.bucket_key,
        ..PutObjectOutput::default()
    };
    checksum::say!(&record.checksums, in output);
    Ok(output)
}

/// What an input says about the object that is given back with it; three inputs of `s3s` have these members. Tags and
/// encryption are read apart.
macro_rules! stored_headers {
    ($input:expr) => {
        $crate::s3::index::StoredHeaders {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            content_disposition: $input.content_disposition.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            metadata: $input.metadata.take().unwrap_or_default().into_iter().collect(),
            tags: $crate::s3::tagging::Tags::new(),
            encryption: None,
        }
    };
}

pub(super) use stored_headers;

/// `MetadataTooLarge` beyond S3's bound.
pub(super) fn check_metadata(headers: &StoredHeaders) -> S3Result<()> {
    let bytes: usize = headers.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size"));
    }
    Ok(())
}

/// DeleteObject. Deleting what is not there succeeds.
pub(super) async fn delete(store: &Arc<S3Store>, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
    store.outbox().admit()?;
    let condition = WriteCondition::new(input.if_match, None);
    let store = Arc::clone(store);
    let deletion = blocking(move || {
        let version = input.version_id.as_deref();
        store.delete_object(&input.bucket, &input.key, version, &condition, Removal::Request)
    })
    .await?;
    Ok(DeleteObjectOutput {
        delete_marker: deletion.is_marker.then_some(true),
        version_id: deletion.version_id,
        request_charged: None,
    })
}

/// DeleteObjects.
pub(super) async fn delete_many(store: &Arc<S3Store>, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    store.outbox().admit()?;
    if input.delete.objects.is_empty() || input.delete.objects.len() > DELETED_KEYS_MAX {
        return Err(s3_error!(MalformedXML, "a DeleteObjects names between 1 and {DELETED_KEYS_MAX} keys"));
    }
    let is_quiet = input.delete.quiet.unwrap_or(false);
    let store = Arc::clone(store);
    blocking(move || {
        store.bucket(&input.bucket)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let condition = WriteCondition::new(object.e_tag.map(ETagCondition::ETag), None);
            let (key, version) = (object.key, object.version_id);
            let done = if object.size.is_some() || object.last_modified_time.is_some() {
                Err(s3_error!(NotImplemented, "deleting by size or time is not implemented"))
            } else {
                store.delete_object(&input.bucket, &key, version.as_deref(), &condition, Removal::Request)
            };
            match done {
                Ok(_) if is_quiet => (),
                Ok(deletion) => deleted.push(listed_deletion(key, version, deletion)),
                Err(error) => errors.push(listed_error(key, version, &error)),
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

/// `asked` is the version the client named. A marker is told apart, whether it came or went.
fn listed_deletion(key: String, asked: Option<String>, deletion: Deletion) -> DeletedObject {
    DeletedObject {
        key: Some(key),
        version_id: asked,
        delete_marker: deletion.is_marker.then_some(true),
        delete_marker_version_id: deletion.version_id.filter(|_| deletion.is_marker),
    }
}

fn listed_error(key: String, version_id: Option<String>, error: &S3Error) -> Error {
    let code = Some(error.code().as_str().to_owned());
    let message = error.message().or_else(|| error_body::message_of(error.code().as_str()));
    Error { code, key: Some(key), message: message.map(str::to_owned), version_id }
}
