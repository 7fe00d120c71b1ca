//! What a bucket says about settings that nobody can change here: the reads that the AWS CLI and Terraform make.
//!
//! The answers are those of a bucket that AWS has just made, and they hold: no policy, CORS rule, website, replication
//! or lock can be set; all objects belong to the owner of the bucket; nothing is public, because grants to others are
//! refused. Every answer needs the bucket to be there.

use std::sync::Arc;

use s3s::dto::{
    GetBucketAclOutput, GetBucketOwnershipControlsOutput, GetBucketRequestPaymentOutput, GetObjectAclInput,
    GetObjectAclOutput, GetPublicAccessBlockOutput, Grant, Grantee, ObjectOwnership, Owner, OwnershipControls,
    OwnershipControlsRule, Payer, Permission, PublicAccessBlockConfiguration, Type,
};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::blocking;
use super::names::owner;
use super::store::S3Store;

/// `output`, if the bucket is there.
pub(super) async fn of<T>(store: &Arc<S3Store>, bucket: String, output: T) -> S3Result<T> {
    let store = Arc::clone(store);
    blocking(move || store.bucket(&bucket).map(drop)).await?;
    Ok(output)
}

/// The refusal `code`, which says that a setting was never made, if the bucket is there.
pub(super) async fn never_set<T>(store: &Arc<S3Store>, bucket: String, code: S3ErrorCode) -> S3Result<T> {
    of(store, bucket, ()).await?;
    Err(S3Error::new(code))
}

fn grants() -> Vec<Grant> {
    let Owner { display_name, id } = owner();
    let grantee =
        Grantee { display_name, email_address: None, id, type_: Type::from_static(Type::CANONICAL_USER), uri: None };
    vec![Grant { grantee: Some(grantee), permission: Some(Permission::from_static(Permission::FULL_CONTROL)) }]
}

/// GetBucketAcl.
pub(super) fn bucket_acl() -> GetBucketAclOutput {
    GetBucketAclOutput { grants: Some(grants()), owner: Some(owner()) }
}

/// GetObjectAcl.
pub(super) async fn object_acl(store: &Arc<S3Store>, input: GetObjectAclInput) -> S3Result<GetObjectAclOutput> {
    let store = Arc::clone(store);
    blocking(move || store.object_version(&input.bucket, &input.key, input.version_id.as_deref()).map(drop)).await?;
    Ok(GetObjectAclOutput { grants: Some(grants()), owner: Some(owner()), request_charged: None })
}

/// GetBucketOwnershipControls.
pub(super) fn ownership_controls() -> GetBucketOwnershipControlsOutput {
    let object_ownership = ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED);
    let rules = vec![OwnershipControlsRule { object_ownership }];
    GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules }) }
}

/// GetPublicAccessBlock.
pub(super) fn public_access_block() -> GetPublicAccessBlockOutput {
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(true),
        block_public_policy: Some(true),
        ignore_public_acls: Some(true),
        restrict_public_buckets: Some(true),
    };
    GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) }
}

/// GetBucketRequestPayment.
pub(super) fn request_payment() -> GetBucketRequestPaymentOutput {
    GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) }
}
