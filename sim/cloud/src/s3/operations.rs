//! The S3 operations as `s3s` calls them: each unpacks its input, asks the store, packs the answer.
//!
//! What is not here is answered `NotImplemented` by `s3s`.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::buckets::REGION;
use super::index::StoredHeaders;
use super::listing::{self, Cursor, Entry, Page, Query};
use super::notification::{self, Rule};
use super::parts::page_limit;
use super::store::{S3Store, dto_timestamp};
use super::{attributes, blocking, bucket_defaults, buckets, multipart, part_copy, parts, reading, tagging, writing};

/// Name and canonical id of who owns everything.
const OWNER: &str = "lakebed";
/// What `encoding-type=url` leaves alone.
const URL_LEFT_ALONE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The operations over one store.
pub(super) struct Operations(pub(super) Arc<S3Store>);

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        answer(buckets::create(&self.0, request.input).await?)
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let store = Arc::clone(&self.0);
        let bucket = blocking(move || store.bucket(&request.input.bucket)).await?;
        answer(HeadBucketOutput { bucket_region: Some(bucket.region), ..HeadBucketOutput::default() })
    }

    async fn list_buckets(&self, request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        answer(buckets::list(&self.0, request.input).await?)
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let store = Arc::clone(&self.0);
        let region = blocking(move || store.bucket(&request.input.bucket)).await?.region;
        // us-east-1 is the null location.
        let location_constraint = (region != REGION).then(|| BucketLocationConstraint::from(region));
        answer(GetBucketLocationOutput { location_constraint })
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        let store = Arc::clone(&self.0);
        blocking(move || store.delete_bucket(&request.input.bucket)).await?;
        answer(DeleteBucketOutput {})
    }

    async fn get_bucket_acl(&self, request: S3Request<GetBucketAclInput>) -> S3Result<S3Response<GetBucketAclOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, bucket_defaults::bucket_acl()).await?)
    }

    async fn get_object_acl(&self, request: S3Request<GetObjectAclInput>) -> S3Result<S3Response<GetObjectAclOutput>> {
        answer(bucket_defaults::object_acl(&self.0, request.input).await?)
    }

    async fn get_bucket_policy(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        bucket_defaults::never_set(&self.0, request.input.bucket, S3ErrorCode::NoSuchBucketPolicy).await
    }

    async fn get_bucket_policy_status(
        &self,
        request: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        bucket_defaults::never_set(&self.0, request.input.bucket, S3ErrorCode::NoSuchBucketPolicy).await
    }

    async fn get_bucket_cors(
        &self,
        request: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        bucket_defaults::never_set(&self.0, request.input.bucket, S3ErrorCode::NoSuchCORSConfiguration).await
    }

    async fn get_bucket_website(
        &self,
        request: S3Request<GetBucketWebsiteInput>,
    ) -> S3Result<S3Response<GetBucketWebsiteOutput>> {
        bucket_defaults::never_set(&self.0, request.input.bucket, S3ErrorCode::NoSuchWebsiteConfiguration).await
    }

    async fn get_bucket_replication(
        &self,
        request: S3Request<GetBucketReplicationInput>,
    ) -> S3Result<S3Response<GetBucketReplicationOutput>> {
        let code = S3ErrorCode::ReplicationConfigurationNotFoundError;
        bucket_defaults::never_set(&self.0, request.input.bucket, code).await
    }

    async fn get_object_lock_configuration(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        let code = S3ErrorCode::ObjectLockConfigurationNotFoundError;
        bucket_defaults::never_set(&self.0, request.input.bucket, code).await
    }

    async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        bucket_defaults::never_set(&self.0, request.input.bucket, S3ErrorCode::NoSuchLifecycleConfiguration).await
    }

    async fn get_bucket_ownership_controls(
        &self,
        request: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, bucket_defaults::ownership_controls()).await?)
    }

    async fn get_public_access_block(
        &self,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, bucket_defaults::public_access_block()).await?)
    }

    async fn get_bucket_request_payment(
        &self,
        request: S3Request<GetBucketRequestPaymentInput>,
    ) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, bucket_defaults::request_payment()).await?)
    }

    async fn get_bucket_encryption(
        &self,
        request: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, bucket_defaults::bucket_encryption()).await?)
    }

    async fn get_bucket_logging(
        &self,
        request: S3Request<GetBucketLoggingInput>,
    ) -> S3Result<S3Response<GetBucketLoggingOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, GetBucketLoggingOutput::default()).await?)
    }

    async fn get_bucket_accelerate_configuration(
        &self,
        request: S3Request<GetBucketAccelerateConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketAccelerateConfigurationOutput>> {
        let never_set = GetBucketAccelerateConfigurationOutput::default();
        answer(bucket_defaults::of(&self.0, request.input.bucket, never_set).await?)
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        answer(bucket_defaults::of(&self.0, request.input.bucket, GetBucketVersioningOutput::default()).await?)
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        answer(writing::put(&self.0, request).await?)
    }

    async fn post_object(&self, _request: S3Request<PostObjectInput>) -> S3Result<S3Response<PostObjectOutput>> {
        Err(s3_error!(NotImplemented, "PostObject is not implemented"))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        answer(writing::copy(&self.0, request.input).await?)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        answer(reading::get(&self.0, request.input).await?)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        reading::head(&self.0, request.input).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        writing::delete(&self.0, request.input).await?;
        answer(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        answer(writing::delete_many(&self.0, request.input).await?)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let from = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => Cursor::from_token(token)?,
            (None, Some(start_after)) => Cursor::after(start_after),
            (None, None) => Cursor::default(),
        };
        let (delimiter, limit) = (input.delimiter.as_deref(), page_limit(input.max_keys, "max-keys")?);
        let page = self.page(&input.bucket, input.prefix.as_deref(), delimiter, from, limit).await?;
        let owner = input.fetch_owner.unwrap_or(false).then(owner);
        let names = Names::of(input.encoding_type.as_ref())?;
        let key_count = i32::try_from(page.entries.len()).ok();
        let next_continuation_token = page.next.as_ref().map(Cursor::to_token);
        let (contents, common_prefixes) = names.entries(page.entries, owner.as_ref());
        answer(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(names.name(input.prefix.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.as_deref().map(|delimiter| names.name(delimiter)),
            start_after: input.start_after.as_deref().map(|key| names.name(key)),
            max_keys: i32::try_from(limit).ok(),
            key_count,
            continuation_token: input.continuation_token,
            is_truncated: Some(next_continuation_token.is_some()),
            next_continuation_token,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let (prefix, delimiter) = (input.prefix.as_deref().unwrap_or_default(), input.delimiter.as_deref());
        let marker = input.marker.as_deref().filter(|marker| !marker.is_empty());
        let from = marker.map_or_else(Cursor::default, |marker| Cursor::after_marker(marker, prefix, delimiter));
        let limit = page_limit(input.max_keys, "max-keys")?;
        let page = self.page(&input.bucket, Some(prefix), delimiter, from, limit).await?;
        let names = Names::of(input.encoding_type.as_ref())?;
        let is_truncated = page.next.is_some();
        let last = page.entries.last().filter(|_| is_truncated && delimiter.is_some());
        let next_marker = last.map(|last| names.name(last.name()));
        let (contents, common_prefixes) = names.entries(page.entries, Some(&owner()));
        answer(ListObjectsOutput {
            prefix: Some(names.name(prefix)),
            delimiter: delimiter.map(|delimiter| names.name(delimiter)),
            marker: Some(names.name(marker.unwrap_or_default())),
            name: Some(input.bucket),
            max_keys: i32::try_from(limit).ok(),
            is_truncated: Some(is_truncated),
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            next_marker,
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        if input.checksum_type.as_ref().is_some_and(|kind| kind.as_str() != ChecksumType::FULL_OBJECT) {
            return Err(s3_error!(NotImplemented, "composite checksums of a whole upload are not implemented"));
        }
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
        writing::check_metadata(&headers)?;
        let mut output = multipart::create(&self.0, input.bucket, input.key, headers).await?;
        output.checksum_algorithm = input.checksum_algorithm;
        output.checksum_type = input.checksum_type;
        output.server_side_encryption = Some(bucket_defaults::encryption());
        answer(output)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let mut output = multipart::upload_part(&self.0, request).await?;
        output.server_side_encryption = Some(bucket_defaults::encryption());
        answer(output)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let mut output = part_copy::upload_part_copy(&self.0, request.input).await?;
        output.server_side_encryption = Some(bucket_defaults::encryption());
        answer(output)
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        answer(parts::list_parts(&self.0, request.input).await?)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        answer(parts::list_uploads(&self.0, request.input).await?)
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        attributes::get(&self.0, request.input).await
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        tagging::put_object(&self.0, request.input).await
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        tagging::get_object(&self.0, request.input).await
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        tagging::delete_object(&self.0, request.input).await
    }

    async fn put_bucket_tagging(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        tagging::put_bucket(&self.0, request.input).await
    }

    async fn get_bucket_tagging(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        tagging::get_bucket(&self.0, request.input).await
    }

    async fn delete_bucket_tagging(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        tagging::delete_bucket(&self.0, request.input).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.0.outbox().admit()?;
        let mut output = multipart::complete(&self.0, request).await?;
        output.server_side_encryption = Some(bucket_defaults::encryption());
        answer(output)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        if request.input.if_match_initiated_time.is_some() {
            return Err(s3_error!(NotImplemented, "aborting by time is not implemented"));
        }
        multipart::abort(&self.0, request.input).await?;
        answer(AbortMultipartUploadOutput::default())
    }

    async fn put_bucket_notification_configuration(
        &self,
        request: S3Request<PutBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
        let bucket = request.input.bucket;
        let rules = notification::rules_of(request.input.notification_configuration)?;
        if !rules.is_empty() && !self.0.delivers() {
            // Nobody would ever hear of these events; AWS says so as well when it cannot reach a destination.
            return Err(s3_error!(InvalidArgument, "Unable to validate the following destination configurations"));
        }
        let store = Arc::clone(&self.0);
        blocking(move || {
            let event = (!rules.is_empty()).then(|| notification::test_event(&bucket, store.clock.now()));
            store.set_rules(&bucket, &rules, event.as_ref())
        })
        .await?;
        answer(PutBucketNotificationConfigurationOutput {})
    }

    async fn get_bucket_notification_configuration(
        &self,
        request: S3Request<GetBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
        let store = Arc::clone(&self.0);
        let bucket = blocking(move || store.bucket(&request.input.bucket)).await?;
        let (lambdas, queues) = notification::configurations_of(Rule::parse_all(&bucket.rules)?);
        answer(GetBucketNotificationConfigurationOutput {
            lambda_function_configurations: (!lambdas.is_empty()).then_some(lambdas),
            queue_configurations: (!queues.is_empty()).then_some(queues),
            ..GetBucketNotificationConfigurationOutput::default()
        })
    }
}

impl Operations {
    async fn page(
        &self,
        bucket: &str,
        prefix: Option<&str>,
        delimiter: Option<&str>,
        from: Cursor,
        limit: usize,
    ) -> S3Result<Page> {
        let owned = |text: &str| text.to_owned();
        let (bucket, prefix) = (bucket.to_owned(), prefix.map(owned).unwrap_or_default());
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty()).map(owned);
        let store = Arc::clone(&self.0);
        blocking(move || {
            let delimiter = delimiter.as_deref();
            listing::list(&store, &Query { bucket: &bucket, prefix: &prefix, delimiter, from, limit })
        })
        .await
    }
}

/// Who owns everything here.
pub(super) fn owner() -> Owner {
    Owner { display_name: Some(OWNER.to_owned()), id: Some(OWNER.to_owned()) }
}

/// How names are written into a listing.
#[derive(Clone, Copy)]
pub(super) enum Names {
    Plain,
    UrlEncoded,
}

impl Names {
    pub(super) fn of(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::UrlEncoded),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::UrlEncoded => utf8_percent_encode(name, URL_LEFT_ALONE).to_string(),
        }
    }

    fn entries(self, entries: Vec<Entry>, owner: Option<&Owner>) -> (Vec<Object>, Vec<CommonPrefix>) {
        let (mut contents, mut common_prefixes) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Object(key, record) => contents.push(Object {
                    key: Some(self.name(&key)),
                    size: i64::try_from(record.size).ok(),
                    e_tag: Some(ETag::Strong(record.etag)),
                    last_modified: Some(dto_timestamp(record.last_modified)),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                    owner: owner.cloned(),
                    ..Object::default()
                }),
                Entry::Group(group) => common_prefixes.push(CommonPrefix { prefix: Some(self.name(&group)) }),
            }
        }
        (contents, common_prefixes)
    }
}
