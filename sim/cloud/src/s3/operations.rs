//! The S3 operations as `s3s` calls them: each unpacks its input, asks the store, packs the answer.
//!
//! What is not here is answered `NotImplemented` by `s3s`.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::buckets::REGION;
use super::listing::{self, Cursor, Page, Query};
use super::names::{Names, owner};
use super::notification::{self, Rule};
use super::parts::page_limit;
use super::store::S3Store;
use super::{
    attributes, blocking, bucket_defaults, buckets, completing, copying, encryption, lifecycle, multipart, part_copy,
    parts, reading, tagging, version_listing, versioning, writing,
};

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
        answer(lifecycle::get(&self.0, request.input).await?)
    }

    async fn put_bucket_lifecycle_configuration(
        &self,
        request: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        answer(lifecycle::put(&self.0, request.input).await?)
    }

    async fn delete_bucket_lifecycle(
        &self,
        request: S3Request<DeleteBucketLifecycleInput>,
    ) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
        answer(lifecycle::delete(&self.0, request.input).await?)
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
        answer(encryption::get(&self.0, request.input).await?)
    }

    async fn put_bucket_encryption(
        &self,
        request: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        answer(encryption::put(&self.0, request.input).await?)
    }

    async fn delete_bucket_encryption(
        &self,
        request: S3Request<DeleteBucketEncryptionInput>,
    ) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
        answer(encryption::delete(&self.0, request.input).await?)
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
        answer(versioning::get(&self.0, request.input).await?)
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        answer(versioning::put(&self.0, request.input).await?)
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        answer(version_listing::list(&self.0, request.input).await?)
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        answer(writing::put(&self.0, request).await?)
    }

    async fn post_object(&self, _request: S3Request<PostObjectInput>) -> S3Result<S3Response<PostObjectOutput>> {
        Err(s3_error!(NotImplemented, "PostObject is not implemented"))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        answer(copying::copy(&self.0, request).await?)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        answer(reading::get(&self.0, request.input).await?)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        reading::head(&self.0, request.input).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        answer(writing::delete(&self.0, request.input).await?)
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
        answer(multipart::create(&self.0, request).await?)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        answer(multipart::upload_part(&self.0, request).await?)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        copying::refuse_target_condition(&request.headers)?;
        answer(part_copy::upload_part_copy(&self.0, request.input).await?)
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
        answer(completing::complete(&self.0, request).await?)
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
        let skips_test = request.input.skip_destination_validation.unwrap_or_default();
        let rules = notification::rules_of(request.input.notification_configuration)?;
        if !rules.is_empty() && !self.0.delivers() {
            // Nobody would ever hear of these events; AWS says so as well when it cannot reach a destination.
            return Err(s3_error!(InvalidArgument, "Unable to validate the following destination configurations"));
        }
        let store = Arc::clone(&self.0);
        blocking(move || {
            let is_told = !rules.is_empty() && !skips_test;
            let event = is_told.then(|| notification::test_event(&bucket, store.clock.now()));
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
        let configuration = notification::configurations_of(Rule::parse_all(&bucket.rules)?);
        answer(GetBucketNotificationConfigurationOutput {
            event_bridge_configuration: configuration.event_bridge_configuration,
            lambda_function_configurations: configuration.lambda_function_configurations,
            queue_configurations: configuration.queue_configurations,
            topic_configurations: configuration.topic_configurations,
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
