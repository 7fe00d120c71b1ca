//! The compatibility matrix: the README says what the table says, and a running store does what the table says.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lakebed_cloud::matrix::{OPERATIONS, Operation, Service, Support, readme};
use md5::{Digest, Md5};

use crate::comprehend;
use crate::wire::{raw, send_json};

/// The line each S3 operation is asked by, on a bucket that need not exist.
const S3_REQUESTS: [(&str, &str); 116] = [
    ("AbortMultipartUpload", "DELETE /probe/key?uploadId=u"),
    ("CompleteMultipartUpload", "POST /probe/key?uploadId=u"),
    ("CopyObject", "PUT /probe/key"),
    ("CreateBucket", "PUT /probe"),
    ("CreateBucketMetadataConfiguration", "POST /probe?metadataConfiguration"),
    ("CreateBucketMetadataTableConfiguration", "POST /probe?metadataTable"),
    ("CreateMultipartUpload", "POST /probe/key?uploads"),
    ("CreateSession", "GET /probe?session"),
    ("DeleteBucket", "DELETE /probe"),
    ("DeleteBucketAnalyticsConfiguration", "DELETE /probe?analytics&id=x"),
    ("DeleteBucketCors", "DELETE /probe?cors"),
    ("DeleteBucketEncryption", "DELETE /probe?encryption"),
    ("DeleteBucketIntelligentTieringConfiguration", "DELETE /probe?intelligent-tiering&id=x"),
    ("DeleteBucketInventoryConfiguration", "DELETE /probe?inventory&id=x"),
    ("DeleteBucketLifecycle", "DELETE /probe?lifecycle"),
    ("DeleteBucketMetadataConfiguration", "DELETE /probe?metadataConfiguration"),
    ("DeleteBucketMetadataTableConfiguration", "DELETE /probe?metadataTable"),
    ("DeleteBucketMetricsConfiguration", "DELETE /probe?metrics&id=x"),
    ("DeleteBucketOwnershipControls", "DELETE /probe?ownershipControls"),
    ("DeleteBucketPolicy", "DELETE /probe?policy"),
    ("DeleteBucketReplication", "DELETE /probe?replication"),
    ("DeleteBucketTagging", "DELETE /probe?tagging"),
    ("DeleteBucketWebsite", "DELETE /probe?website"),
    ("DeleteObject", "DELETE /probe/key"),
    ("DeleteObjectAnnotation", "DELETE /probe/key?annotation&name=n"),
    ("DeleteObjectTagging", "DELETE /probe/key?tagging"),
    ("DeleteObjects", "POST /probe?delete"),
    ("DeletePublicAccessBlock", "DELETE /probe?publicAccessBlock"),
    ("GetBucketAbac", "GET /probe?abac"),
    ("GetBucketAccelerateConfiguration", "GET /probe?accelerate"),
    ("GetBucketAcl", "GET /probe?acl"),
    ("GetBucketAnalyticsConfiguration", "GET /probe?analytics&id=x"),
    ("GetBucketCors", "GET /probe?cors"),
    ("GetBucketEncryption", "GET /probe?encryption"),
    ("GetBucketIntelligentTieringConfiguration", "GET /probe?intelligent-tiering&id=x"),
    ("GetBucketInventoryConfiguration", "GET /probe?inventory&id=x"),
    ("GetBucketLifecycle", "GET /probe?lifecycle"),
    ("GetBucketLifecycleConfiguration", "GET /probe?lifecycle"),
    ("GetBucketLocation", "GET /probe?location"),
    ("GetBucketLogging", "GET /probe?logging"),
    ("GetBucketMetadataConfiguration", "GET /probe?metadataConfiguration"),
    ("GetBucketMetadataTableConfiguration", "GET /probe?metadataTable"),
    ("GetBucketMetricsConfiguration", "GET /probe?metrics&id=x"),
    ("GetBucketNotification", "GET /probe?notification"),
    ("GetBucketNotificationConfiguration", "GET /probe?notification"),
    ("GetBucketOwnershipControls", "GET /probe?ownershipControls"),
    ("GetBucketPolicy", "GET /probe?policy"),
    ("GetBucketPolicyStatus", "GET /probe?policyStatus"),
    ("GetBucketReplication", "GET /probe?replication"),
    ("GetBucketRequestPayment", "GET /probe?requestPayment"),
    ("GetBucketTagging", "GET /probe?tagging"),
    ("GetBucketVersioning", "GET /probe?versioning"),
    ("GetBucketWebsite", "GET /probe?website"),
    ("GetObject", "GET /probe/key"),
    ("GetObjectAcl", "GET /probe/key?acl"),
    ("GetObjectAnnotation", "GET /probe/key?annotation&name=n"),
    ("GetObjectAttributes", "GET /probe/key?attributes"),
    ("GetObjectLegalHold", "GET /probe/key?legal-hold"),
    ("GetObjectLockConfiguration", "GET /probe?object-lock"),
    ("GetObjectRetention", "GET /probe/key?retention"),
    ("GetObjectTagging", "GET /probe/key?tagging"),
    ("GetObjectTorrent", "GET /probe/key?torrent"),
    ("GetPublicAccessBlock", "GET /probe?publicAccessBlock"),
    ("HeadBucket", "HEAD /probe"),
    ("HeadObject", "HEAD /probe/key"),
    ("ListBucketAnalyticsConfigurations", "GET /probe?analytics"),
    ("ListBucketIntelligentTieringConfigurations", "GET /probe?intelligent-tiering"),
    ("ListBucketInventoryConfigurations", "GET /probe?inventory"),
    ("ListBucketMetricsConfigurations", "GET /probe?metrics"),
    ("ListBuckets", "GET /"),
    ("ListDirectoryBuckets", "GET /?x-id=ListDirectoryBuckets"),
    ("ListMultipartUploads", "GET /probe?uploads"),
    ("ListObjectAnnotations", "GET /probe/key?annotation"),
    ("ListObjectVersions", "GET /probe?versions"),
    ("ListObjects", "GET /probe"),
    ("ListObjectsV2", "GET /probe?list-type=2"),
    ("ListParts", "GET /probe/key?uploadId=u"),
    ("PutBucketAbac", "PUT /probe?abac"),
    ("PutBucketAccelerateConfiguration", "PUT /probe?accelerate"),
    ("PutBucketAcl", "PUT /probe?acl"),
    ("PutBucketAnalyticsConfiguration", "PUT /probe?analytics&id=x"),
    ("PutBucketCors", "PUT /probe?cors"),
    ("PutBucketEncryption", "PUT /probe?encryption"),
    ("PutBucketIntelligentTieringConfiguration", "PUT /probe?intelligent-tiering&id=x"),
    ("PutBucketInventoryConfiguration", "PUT /probe?inventory&id=x"),
    ("PutBucketLifecycle", "PUT /probe?lifecycle"),
    ("PutBucketLifecycleConfiguration", "PUT /probe?lifecycle"),
    ("PutBucketLogging", "PUT /probe?logging"),
    ("PutBucketMetricsConfiguration", "PUT /probe?metrics&id=x"),
    ("PutBucketNotification", "PUT /probe?notification"),
    ("PutBucketNotificationConfiguration", "PUT /probe?notification"),
    ("PutBucketOwnershipControls", "PUT /probe?ownershipControls"),
    ("PutBucketPolicy", "PUT /probe?policy"),
    ("PutBucketReplication", "PUT /probe?replication"),
    ("PutBucketRequestPayment", "PUT /probe?requestPayment"),
    ("PutBucketTagging", "PUT /probe?tagging"),
    ("PutBucketVersioning", "PUT /probe?versioning"),
    ("PutBucketWebsite", "PUT /probe?website"),
    ("PutObject", "PUT /probe/key"),
    ("PutObjectAcl", "PUT /probe/key?acl"),
    ("PutObjectAnnotation", "PUT /probe/key?annotation&name=n"),
    ("PutObjectLegalHold", "PUT /probe/key?legal-hold"),
    ("PutObjectLockConfiguration", "PUT /probe?object-lock"),
    ("PutObjectRetention", "PUT /probe/key?retention"),
    ("PutObjectTagging", "PUT /probe/key?tagging"),
    ("PutPublicAccessBlock", "PUT /probe?publicAccessBlock"),
    ("RenameObject", "PUT /probe/key?renameObject"),
    ("RestoreObject", "POST /probe/key?restore"),
    ("SelectObjectContent", "POST /probe/key?select&select-type=2"),
    ("UpdateBucketMetadataAnnotationTableConfiguration", "PUT /probe?metadataAnnotationTable"),
    ("UpdateBucketMetadataInventoryTableConfiguration", "PUT /probe?metadataInventoryTable"),
    ("UpdateBucketMetadataJournalTableConfiguration", "PUT /probe?metadataJournalTable"),
    ("UpdateObjectEncryption", "PUT /probe/key?encryption"),
    ("UploadPart", "PUT /probe/key?partNumber=1&uploadId=u"),
    ("UploadPartCopy", "PUT /probe/key?partNumber=1&uploadId=u"),
    ("WriteGetObjectResponse", "POST /probe"),
];

/// Headers that make a request the operation's own.
fn headers(name: &str) -> &'static str {
    match name {
        "CopyObject" | "UploadPartCopy" => "x-amz-copy-source: /probe/other\r\n",
        "RenameObject" => "x-amz-rename-source: /probe/other\r\n",
        "GetObjectAttributes" => "x-amz-object-attributes: ETag\r\n",
        "WriteGetObjectResponse" => "x-amz-request-route: r\r\nx-amz-request-token: t\r\n",
        _ => "",
    }
}

/// A valid document where one is read before anything is decided.
fn document(name: &str) -> &'static str {
    match name {
        "CreateBucketMetadataTableConfiguration" => {
            "<MetadataTableConfiguration><S3TablesDestination><TableBucketArn>arn:aws:s3tables:us-east-1:1:bucket/b\
             </TableBucketArn><TableName>t</TableName></S3TablesDestination></MetadataTableConfiguration>"
        }
        "PutBucketAccelerateConfiguration" => {
            "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>"
        }
        "PutBucketAnalyticsConfiguration" => {
            "<AnalyticsConfiguration><Id>x</Id><StorageClassAnalysis></StorageClassAnalysis></AnalyticsConfiguration>"
        }
        "PutBucketCors" => {
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>\
             </CORSRule></CORSConfiguration>"
        }
        "PutBucketEncryption" => {
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256\
             </SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        }
        "PutBucketIntelligentTieringConfiguration" => {
            "<IntelligentTieringConfiguration><Id>x</Id><Status>Enabled</Status><Tiering><AccessTier>ARCHIVE_ACCESS\
             </AccessTier><Days>90</Days></Tiering></IntelligentTieringConfiguration>"
        }
        "PutBucketInventoryConfiguration" => {
            "<InventoryConfiguration><Destination><S3BucketDestination><Bucket>arn:aws:s3:::b</Bucket><Format>CSV\
             </Format></S3BucketDestination></Destination><IsEnabled>true</IsEnabled><Id>x</Id>\
             <IncludedObjectVersions>All</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule>\
             </InventoryConfiguration>"
        }
        "PutBucketLifecycle" | "PutBucketLifecycleConfiguration" => {
            "<LifecycleConfiguration><Rule><ID>x</ID><Filter><Prefix>a</Prefix></Filter><Status>Enabled</Status>\
             <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
        }
        "PutBucketLogging" => "<BucketLoggingStatus></BucketLoggingStatus>",
        "PutBucketMetricsConfiguration" => "<MetricsConfiguration><Id>x</Id></MetricsConfiguration>",
        "PutBucketOwnershipControls" => {
            "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>"
        }
        "PutBucketPolicy" => r#"{"Version":"2012-10-17","Statement":[]}"#,
        "PutBucketReplication" => {
            "<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Destination>\
             <Bucket>arn:aws:s3:::b</Bucket></Destination></Rule></ReplicationConfiguration>"
        }
        "PutBucketRequestPayment" => {
            "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>"
        }
        "PutBucketVersioning" => "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        "PutBucketWebsite" => {
            "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>"
        }
        "PutObjectLegalHold" => "<LegalHold><Status>ON</Status></LegalHold>",
        "PutObjectRetention" => {
            "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>"
        }
        "PutPublicAccessBlock" => {
            "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls></PublicAccessBlockConfiguration>"
        }
        "SelectObjectContent" => {
            "<SelectObjectContentRequest><Expression>select * from s3object</Expression><ExpressionType>SQL\
             </ExpressionType><InputSerialization><CSV></CSV></InputSerialization><OutputSerialization><CSV></CSV>\
             </OutputSerialization></SelectObjectContentRequest>"
        }
        _ => "",
    }
}

fn s3_request(name: &str) -> String {
    let (_, line) = S3_REQUESTS.iter().find(|(known, _)| *known == name).unwrap();
    let (headers, body) = (headers(name), document(name));
    let md5 = match body {
        "" => String::new(),
        body => format!("content-md5: {}\r\n", BASE64_STANDARD.encode(Md5::digest(body))),
    };
    let length = body.len();
    format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}{md5}content-length: {length}\r\n\r\n{body}")
}

async fn is_refused(port: u16, operation: &Operation) -> (bool, String) {
    let ask = async |prefix: &str| send_json(port, &format!("{prefix}.{}", operation.name), "{}").await;
    let answer = match operation.service {
        Service::S3 => raw(port, &s3_request(operation.name)).await,
        Service::DynamoDb => ask("DynamoDB_20120810").await,
        Service::DynamoDbStreams => ask("DynamoDBStreams_20120810").await,
        Service::Kinesis => ask("Kinesis_20131202").await,
        Service::Comprehend => ask("Comprehend_20171127").await,
        Service::Kms => ask("TrentService").await,
    };
    assert!(answer.starts_with("HTTP/1.1 "), "{}: {answer}", operation.name);
    // An answer to HEAD has no body to name the refusal.
    let is_refused = answer.contains(operation.service.refusal()) || answer.starts_with("HTTP/1.1 501");
    (is_refused, answer)
}

#[test]
fn the_readme_is_rendered_from_the_table() {
    let expected = readme();
    let found = include_str!("../../README.md");
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert_eq!(differs, None, "the README should say the left, and says the right");
    assert_eq!(found.lines().count(), expected.lines().count(), "the README should have as many lines as the table");
}

#[test]
fn every_operation_of_the_models_is_in_the_table_once() {
    // botocore 1.44.8: len(botocore.session.get_session().get_service_model(s).operation_names), s being s3, dynamodb,
    // dynamodbstreams, kinesis, comprehend, kms.
    for (service, count) in [
        (Service::S3, 116),
        (Service::DynamoDb, 62),
        (Service::DynamoDbStreams, 4),
        (Service::Kinesis, 57),
        (Service::Comprehend, 85),
        (Service::Kms, 56),
    ] {
        let of_service = OPERATIONS.iter().filter(|operation| operation.service == service);
        let names: Vec<&str> = of_service.map(|operation| operation.name).collect();
        assert_eq!(names.len(), count, "{service:?}");
        assert!(names.is_sorted_by(|one, next| one < next), "{service:?}");
    }
}

#[tokio::test]
async fn a_running_store_refuses_what_the_table_refuses_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let running = comprehend::start(dir.path()).await;
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        let (refused, answer) = is_refused(running.cloud.port(), operation).await;
        if refused != (operation.support == Support::Refused) {
            wrong.push(format!("{} {}: {answer}", operation.service.title(), operation.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    running.stop().await;
}
