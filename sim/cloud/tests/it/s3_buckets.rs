//! Buckets through the real SDK: how they are made and listed, and what a fresh one says about its settings.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CompletedMultipartUpload, CreateBucketConfiguration, ObjectOwnership, Payer, Permission,
    ServerSideEncryption, Tag,
};

use crate::code;
use crate::s3::{BUCKET, create_upload, put, start, upload_part};

/// What each read of a setting of `bucket`, which has an object `k` if it is there, is answered with.
async fn reads(s3: &Client, bucket: &str) -> Vec<(&'static str, String)> {
    vec![
        ("policy", code(s3.get_bucket_policy().bucket(bucket).send().await)),
        ("policy status", code(s3.get_bucket_policy_status().bucket(bucket).send().await)),
        ("cors", code(s3.get_bucket_cors().bucket(bucket).send().await)),
        ("website", code(s3.get_bucket_website().bucket(bucket).send().await)),
        ("replication", code(s3.get_bucket_replication().bucket(bucket).send().await)),
        ("object lock", code(s3.get_object_lock_configuration().bucket(bucket).send().await)),
        ("lifecycle", code(s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await)),
        ("tags", code(s3.get_bucket_tagging().bucket(bucket).send().await)),
        ("acl", code(s3.get_bucket_acl().bucket(bucket).send().await)),
        ("object acl", code(s3.get_object_acl().bucket(bucket).key("k").send().await)),
        ("ownership", code(s3.get_bucket_ownership_controls().bucket(bucket).send().await)),
        ("public access", code(s3.get_public_access_block().bucket(bucket).send().await)),
        ("payment", code(s3.get_bucket_request_payment().bucket(bucket).send().await)),
        ("logging", code(s3.get_bucket_logging().bucket(bucket).send().await)),
        ("acceleration", code(s3.get_bucket_accelerate_configuration().bucket(bucket).send().await)),
        ("versioning", code(s3.get_bucket_versioning().bucket(bucket).send().await)),
        ("encryption", code(s3.get_bucket_encryption().bucket(bucket).send().await)),
        ("notification", code(s3.get_bucket_notification_configuration().bucket(bucket).send().await)),
        ("location", code(s3.get_bucket_location().bucket(bucket).send().await)),
    ]
}

#[tokio::test]
async fn every_setting_of_a_fresh_bucket_can_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    put(&running.s3, "k", b"x").await;
    let never_set = [
        ("policy", "NoSuchBucketPolicy"),
        ("policy status", "NoSuchBucketPolicy"),
        ("cors", "NoSuchCORSConfiguration"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("object lock", "ObjectLockConfigurationNotFoundError"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("tags", "NoSuchTagSet"),
    ];
    for (setting, answered) in reads(&running.s3, BUCKET).await {
        let code = never_set.iter().find(|(name, _)| *name == setting).map_or("accepted", |(_, code)| *code);
        assert_eq!(answered, code, "{setting}");
    }
    for (setting, answered) in reads(&running.s3, "no-such-bucket").await {
        assert_eq!(answered, "NoSuchBucket", "{setting}");
    }
    assert_eq!(code(running.s3.get_object_acl().bucket(BUCKET).key("nothing").send().await), "NoSuchKey");
    running.stop().await;
}

#[tokio::test]
async fn a_fresh_bucket_is_private_unversioned_and_its_owners() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "k", b"x").await;
    let acl = s3.get_bucket_acl().bucket(BUCKET).send().await.expect("an ACL");
    let grant = &acl.grants()[0];
    assert_eq!((acl.grants().len(), grant.permission()), (1, Some(&Permission::FullControl)));
    let owner = acl.owner().and_then(|owner| owner.id());
    assert!(owner.is_some());
    assert_eq!(grant.grantee().and_then(|grantee| grantee.id()), owner);
    let object = s3.get_object_acl().bucket(BUCKET).key("k").send().await.expect("an ACL");
    assert_eq!((object.grants(), object.owner()), (acl.grants(), acl.owner()));

    let controls = s3.get_bucket_ownership_controls().bucket(BUCKET).send().await.expect("controls");
    let rules = controls.ownership_controls().expect("there").rules();
    assert_eq!(rules[0].object_ownership(), &ObjectOwnership::BucketOwnerEnforced);
    let block = s3.get_public_access_block().bucket(BUCKET).send().await.expect("a block");
    let block = block.public_access_block_configuration().expect("there");
    let blocks = [
        block.block_public_acls(),
        block.block_public_policy(),
        block.ignore_public_acls(),
        block.restrict_public_buckets(),
    ];
    assert_eq!(blocks, [Some(true); 4]);
    let payer = s3.get_bucket_request_payment().bucket(BUCKET).send().await.expect("a payer");
    assert_eq!(payer.payer(), Some(&Payer::BucketOwner));
    let versioning = s3.get_bucket_versioning().bucket(BUCKET).send().await.expect("versioning");
    assert_eq!((versioning.status(), versioning.mfa_delete()), (None, None), "it was never enabled");
    let logging = s3.get_bucket_logging().bucket(BUCKET).send().await.expect("logging");
    assert_eq!(logging.logging_enabled(), None);
    let encryption = s3.get_bucket_encryption().bucket(BUCKET).send().await.expect("encryption");
    let rule = &encryption.server_side_encryption_configuration().expect("there").rules()[0];
    let default = rule.apply_server_side_encryption_by_default().expect("a default");
    assert_eq!(default.sse_algorithm(), &ServerSideEncryption::Aes256);
    assert_eq!(rule.bucket_key_enabled(), Some(false));
    running.stop().await;
}

#[tokio::test]
async fn answers_about_objects_say_how_they_are_encrypted() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let aes = Some(ServerSideEncryption::Aes256);
    let put = s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"x")).send().await.expect("put");
    assert_eq!(put.server_side_encryption, aes);
    let got = s3.get_object().bucket(BUCKET).key("k").send().await.expect("got");
    assert_eq!(got.server_side_encryption, aes);
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    assert_eq!(head.server_side_encryption, aes);
    let copy = s3.copy_object().bucket(BUCKET).key("c").copy_source(format!("{BUCKET}/k")).send().await;
    assert_eq!(copy.expect("copied").server_side_encryption, aes);
    let created = s3.create_multipart_upload().bucket(BUCKET).key("m").send().await.expect("created");
    assert_eq!(created.server_side_encryption, aes);
    let upload = create_upload(s3, "m").await;
    let parts = CompletedMultipartUpload::builder().parts(upload_part(s3, "m", &upload, 1, b"x".to_vec()).await);
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("m").upload_id(upload);
    let completed = complete.multipart_upload(parts.build()).send().await.expect("completed");
    assert_eq!(completed.server_side_encryption, aes);
    running.stop().await;
}

#[tokio::test]
async fn buckets_are_listed_in_pages() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    for name in ["logs-a", "logs-b", "logs-c", "other"] {
        s3.create_bucket().bucket(name).send().await.expect("created");
    }
    let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let page = s3.list_buckets().prefix("logs-").max_buckets(2).set_continuation_token(token).send().await;
        let page = page.expect("listed");
        assert_eq!(page.prefix(), Some("logs-"));
        sizes.push(page.buckets().len());
        found.extend(page.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned)));
        token = page.continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!((found.join(" "), sizes), ("logs-a logs-b logs-c".to_owned(), vec![2, 1]));
    let exact = s3.list_buckets().max_buckets(5).send().await.expect("listed");
    assert_eq!((exact.buckets().len(), exact.continuation_token()), (5, None));
    let all = s3.list_buckets().send().await.expect("listed");
    assert_eq!((all.buckets().len(), all.prefix()), (5, None));
    for wrong in [0, 10_001, -1] {
        assert_eq!(code(s3.list_buckets().max_buckets(wrong).send().await), "InvalidArgument", "{wrong}");
    }
    assert_eq!(code(s3.list_buckets().continuation_token("!").send().await), "InvalidArgument");
    running.stop().await;
}

#[tokio::test]
async fn a_bucket_is_made_in_its_region_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let create = |name: &str, region: Option<&str>| {
        let place = region.map(|region| {
            let region = BucketLocationConstraint::from(region);
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        s3.create_bucket().bucket(name).set_create_bucket_configuration(place).send()
    };
    assert_eq!(code(create("in-frankfurt", Some("eu-central-1")).await), "accepted");
    let located = s3.get_bucket_location().bucket("in-frankfurt").send().await.expect("located");
    assert_eq!(located.location_constraint(), Some(&BucketLocationConstraint::EuCentral1));
    for region in ["us-east-1", "mars-1"] {
        assert_eq!(code(create("nowhere", Some(region)).await), "InvalidLocationConstraint", "{region}");
    }
    assert!(s3.head_bucket().bucket("nowhere").send().await.is_err());
    // Once more: only a bucket of us-east-1, and only as one.
    assert_eq!(code(create(BUCKET, None).await), "accepted");
    assert_eq!(code(create(BUCKET, Some("eu-central-1")).await), "BucketAlreadyOwnedByYou");
    assert_eq!(code(create("in-frankfurt", Some("eu-central-1")).await), "BucketAlreadyOwnedByYou");
    assert_eq!(code(create("in-frankfurt", None).await), "BucketAlreadyOwnedByYou");
    running.stop().await;
}

#[tokio::test]
async fn a_new_bucket_is_not_made_without_the_tags_it_was_to_have() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let tag = Tag::builder().key("team").value("data").build().expect("complete");
    let configuration = CreateBucketConfiguration::builder().tags(tag).build();
    let create = running.s3.create_bucket().bucket("tagged").create_bucket_configuration(configuration);
    assert_eq!(code(create.send().await), "NotImplemented");
    assert!(running.s3.head_bucket().bucket("tagged").send().await.is_err());
    running.stop().await;
}
