//! Making, listing and removing buckets, and whose they are.
//!
//! All buckets belong to one account, [`ACCOUNT`], in the region they were made in. The endpoint is that of us-east-1,
//! where AWS lets a bucket of any region be made. Directory buckets, and tags that come with a new bucket, are refused.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, ListBucketsInput, ListBucketsOutput,
};
use s3s::{S3Error, S3Result, s3_error};

use super::names::owner;
use super::store::{S3Store, dto_timestamp, found_bucket};
use super::versioning::Versioning;
use super::{blocking, internal};
pub(super) use crate::place::{ACCOUNT, REGION};

/// Most buckets of a page of ListBuckets.
const PAGE_BUCKETS_MAX: usize = 10_000;
const EXPECTED_OWNERS: [&str; 2] = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];

/// Location constraints that AWS knows: every region but the one that must not be named, and the old name of Ireland.
const LOCATIONS: [&str; 38] = [
    "EU",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Refuses a request that expects its bucket to belong to somebody else. Does not look whether the bucket is there.
pub(super) fn check_expected_owner(headers: &HeaderMap) -> S3Result<()> {
    for value in EXPECTED_OWNERS.iter().filter_map(|name| headers.get(*name)) {
        let value = value.as_bytes();
        if value.len() != ACCOUNT.len() || !value.iter().all(u8::is_ascii_digit) {
            return Err(s3_error!(InvalidBucketOwnerAWSAccountID));
        }
        if value != ACCOUNT.as_bytes() {
            return Err(s3_error!(AccessDenied));
        }
    }
    Ok(())
}

/// CreateBucket.
pub(super) async fn create(store: &Arc<S3Store>, input: CreateBucketInput) -> S3Result<CreateBucketOutput> {
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(s3_error!(NotImplemented, "directory buckets are not implemented"));
    }
    let region = region_of(configuration.location_constraint.as_ref())?;
    let (store, bucket) = (Arc::clone(store), input.bucket);
    let location = format!("/{bucket}");
    let existing = blocking(move || store.create_bucket(&bucket, region)).await?;
    // In us-east-1 alone, and there only for a bucket of us-east-1, AWS lets its owner create it again.
    if existing.is_some_and(|existing| existing.region != REGION || region != REGION) {
        return Err(s3_error!(BucketAlreadyOwnedByYou));
    }
    Ok(CreateBucketOutput { location: Some(location) })
}

fn region_of(constraint: Option<&BucketLocationConstraint>) -> S3Result<&'static str> {
    let Some(constraint) = constraint else { return Ok(REGION) };
    let known = LOCATIONS.iter().find(|known| **known == constraint.as_str());
    known.copied().ok_or_else(|| s3_error!(InvalidLocationConstraint))
}

/// `s3s` drops the tags of a new bucket. Better no bucket than one without the tags that were asked for.
pub(super) fn refuse_tags(configuration: &[u8]) -> S3Result<()> {
    if configuration.windows(b"<Tags".len()).any(|window| window == b"<Tags") {
        return Err(s3_error!(NotImplemented, "tags of a new bucket are not implemented; tag it after it was made"));
    }
    Ok(())
}

/// ListBuckets. A continuation token is the name of the last bucket before.
pub(super) async fn list(store: &Arc<S3Store>, input: ListBucketsInput) -> S3Result<ListBucketsOutput> {
    let limit = match input.max_buckets {
        None => PAGE_BUCKETS_MAX,
        Some(limit) => usize::try_from(limit).unwrap_or_default(),
    };
    if !(1..=PAGE_BUCKETS_MAX).contains(&limit) {
        return Err(s3_error!(InvalidArgument, "Argument max-buckets must be an integer between 1 and 10000."));
    }
    let behind = input.continuation_token.as_deref().map(name_of).transpose()?.unwrap_or_default();
    let store = Arc::clone(store);
    let mut buckets = blocking(move || store.index().buckets().map_err(internal("list buckets"))).await?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let region = input.bucket_region.as_deref();
    buckets.retain(|bucket| {
        bucket.name > behind && bucket.name.starts_with(prefix) && region.is_none_or(|wanted| wanted == bucket.region)
    });
    let is_truncated = buckets.len() > limit;
    buckets.truncate(limit);
    let last = buckets.last().filter(|_| is_truncated);
    let continuation_token = last.map(|last| BASE64_URL_SAFE_NO_PAD.encode(&last.name));
    let buckets = buckets.into_iter().map(|bucket| Bucket {
        name: Some(bucket.name),
        creation_date: Some(dto_timestamp(bucket.created_at)),
        bucket_region: Some(bucket.region),
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token,
        owner: Some(owner()),
        prefix: input.prefix,
    })
}

impl S3Store {
    /// Removes an empty bucket.
    pub(super) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let mut index = self.index();
        found_bucket(&index, name)?;
        if !index.scan(name, &[], None, 1).map_err(internal("scan a bucket"))?.is_empty() {
            // Versions, if there are any, are in the way as well.
            return Err(if Versioning::of(&index, name)? == Versioning::Off {
                s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty")
            } else {
                versions_in_the_way()
            });
        }
        if index.has_versions(name).map_err(internal("scan a bucket"))? {
            return Err(versions_in_the_way());
        }
        let parts = index.delete_bucket(name).map_err(internal("delete a bucket"))?;
        self.lifecycles.set(name, None);
        // Under the lock: a bucket of the same name, made at once, would lose its first objects.
        fs::remove_dir_all(self.bucket_dir(name)).map_err(internal("remove a bucket directory"))?;
        drop(index);
        self.remove_parts(&parts);
        Ok(())
    }
}

fn versions_in_the_way() -> S3Error {
    s3_error!(
        BucketNotEmpty,
        "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    )
}

fn name_of(token: &str) -> S3Result<String> {
    let refused = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let name = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|error| with_source(refused(), error))?;
    let name = String::from_utf8(name).map_err(|error| with_source(refused(), error))?;
    if name.is_empty() { Err(refused()) } else { Ok(name) }
}

fn with_source(mut refusal: S3Error, source: impl std::error::Error + Send + Sync + 'static) -> S3Error {
    refusal.set_source(Box::new(source));
    refusal
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_expected_owner_is_the_only_one_there_is() {
        let refusal = |name: &'static str, value: &'static str| {
            let header = (HeaderName::from_static(name), HeaderValue::from_static(value));
            check_expected_owner(&[header].into_iter().collect()).err().map(|error| error.code().as_str().to_owned())
        };
        assert_eq!(refusal("x-amz-expected-bucket-owner", ACCOUNT), None);
        for name in EXPECTED_OWNERS {
            assert_eq!(refusal(name, "111122223333").as_deref(), Some("AccessDenied"));
            assert_eq!(refusal(name, "lakebed").as_deref(), Some("InvalidBucketOwnerAWSAccountID"));
        }
        assert_eq!(refusal("x-amz-meta-owner", "111122223333"), None);
    }

    #[test]
    fn the_oldest_region_is_not_named() {
        let region = |name: &str| region_of(Some(&BucketLocationConstraint::from(name.to_owned()))).ok();
        assert_eq!(region_of(None).ok(), Some("us-east-1"));
        assert_eq!((region("eu-west-1"), region("EU")), (Some("eu-west-1"), Some("EU")));
        assert_eq!((region("us-east-1"), region(""), region("mars-1")), (None, None, None));
    }
}
