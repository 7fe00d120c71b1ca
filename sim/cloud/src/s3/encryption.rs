//! Server-side encryption as S3 speaks of it: what requests and buckets ask for, and what answers say.
//!
//! Kept with every object and upload and given back, with AWS's rules and defaults: AES256 unless the request, or else
//! the bucket, asks for KMS. Nothing is encrypted here and our KMS is not asked: a key id is believed, an alias stands for a
//! key made up from the seed, and files lie on the disk as they came. As in AWS the ETag of an object under KMS is not
//! its MD5. Keys of the customer are refused ([`super::refused`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode};
use lakebed_contract::Seed;
use lakebed_contract::seed::uuid_from;
use s3s::dto::{
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::buckets::{ACCOUNT, REGION};
use super::index::{Index, StoredHeaders};
use super::store::{S3Store, found_bucket};
use super::{blocking, internal};

const METHOD: &str = "x-amz-server-side-encryption";
const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
/// The setting of a bucket that holds its [`BucketEncryption`].
const SETTING: &str = "encryption";
/// The key that AWS makes for S3 in every account.
const MANAGED_KEY: &str = "alias/aws/s3";

/// The two ways of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kms {
    Once,
    Twice,
}

/// What is said of an object under KMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredEncryption {
    kms: Kms,
    /// ARN.
    key: String,
    /// Base64 of a JSON object, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(default)]
    has_bucket_key: bool,
}

/// What a bucket does with objects whose requests say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct BucketEncryption {
    /// `None` is AES256.
    kms: Option<Kms>,
    /// ARN; `None` is the key AWS manages.
    key: Option<String>,
    has_bucket_key: bool,
}

/// What the headers of a request ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    method: Option<Method>,
    /// ARN.
    key: Option<String>,
    context: Option<String>,
    has_bucket_key: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Aes256,
    Kms(Kms),
}

impl Method {
    fn named(name: &str) -> Option<Self> {
        match name {
            ServerSideEncryption::AES256 => Some(Self::Aes256),
            ServerSideEncryption::AWS_KMS => Some(Self::Kms(Kms::Once)),
            ServerSideEncryption::AWS_KMS_DSSE => Some(Self::Kms(Kms::Twice)),
            _ => None,
        }
    }
}

fn dto(kms: Option<Kms>) -> ServerSideEncryption {
    ServerSideEncryption::from_static(match kms {
        None => ServerSideEncryption::AES256,
        Some(Kms::Once) => ServerSideEncryption::AWS_KMS,
        Some(Kms::Twice) => ServerSideEncryption::AWS_KMS_DSSE,
    })
}

/// Reads the headers of a request that writes; a key they name by id or alias gets its ARN.
pub(super) fn asked(headers: &HeaderMap, seed: Seed) -> S3Result<Asked> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
    let method = match text(METHOD) {
        None => None,
        Some(name) => Some(Method::named(&name).ok_or_else(|| {
            s3_error!(
                InvalidEncryptionAlgorithmError,
                "The encryption request you specified is not valid. The valid value is AES256."
            )
        })?),
    };
    let (key, context) = (text(KEY).filter(|key| !key.is_empty()), text(CONTEXT));
    let is_kms = matches!(method, Some(Method::Kms(_)));
    if !is_kms && (key.is_some() || context.is_some()) {
        return Err(s3_error!(
            InvalidArgument,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
        ));
    }
    if context.as_deref().is_some_and(|context| !is_context(context)) {
        return Err(s3_error!(
            InvalidArgument,
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which \
             represents a string-string map"
        ));
    }
    Ok(Asked {
        method,
        key: key.map(|key| key_arn(seed, &key)).transpose()?,
        context,
        has_bucket_key: text(BUCKET_KEY).map(|value| value.eq_ignore_ascii_case("true")),
    })
}

/// Refuses the header where the upload or the object has decided already.
pub(super) fn refuse_header(headers: &HeaderMap) -> S3Result<()> {
    let sent = [METHOD, KEY, CONTEXT, BUCKET_KEY].into_iter().find(|name| headers.contains_key(*name));
    sent.map_or(Ok(()), |name| Err(s3_error!(InvalidArgument, "{name} header is not supported for this operation.")))
}

fn is_context(context: &str) -> bool {
    let json = BASE64_STANDARD.decode(context);
    json.is_ok_and(|json| serde_json::from_slice::<BTreeMap<String, String>>(&json).is_ok())
}

/// The encryption of what is about to be written: as the request asks, or else as the bucket, which is there, does.
pub(super) fn resolved(index: &Index, seed: Seed, bucket: &str, asked: Asked) -> S3Result<Option<StoredEncryption>> {
    let of_bucket = of_bucket(index, bucket)?;
    let is_of_bucket = asked.method.is_none();
    let kms = match asked.method {
        None => of_bucket.kms,
        Some(Method::Aes256) => None,
        Some(Method::Kms(kms)) => Some(kms),
    };
    let Some(kms) = kms else { return Ok(None) };
    let key = if is_of_bucket { of_bucket.key } else { asked.key };
    let key = key.map_or_else(|| key_arn(seed, MANAGED_KEY), Ok)?;
    // AWS has no bucket keys for two layers.
    let has_bucket_key = asked.has_bucket_key.unwrap_or(of_bucket.has_bucket_key) && kms == Kms::Once;
    Ok(Some(StoredEncryption { kms, key, context: asked.context, has_bucket_key }))
}

fn of_bucket(index: &Index, bucket: &str) -> S3Result<BucketEncryption> {
    let setting = index.setting(bucket, SETTING).map_err(internal("look up the encryption of a bucket"))?;
    let Some(setting) = setting else { return Ok(BucketEncryption::default()) };
    serde_json::from_str(&setting).map_err(internal("read the encryption of a bucket"))
}

/// The ARN of a key that is named by id, alias or ARN.
fn key_arn(seed: Seed, named: &str) -> S3Result<String> {
    let arn = |id: &str| format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}");
    let of_alias = |alias: &str| arn(&uuid_from(&mut seed.rng(&format!("kms/{alias}"))).to_string());
    if !named.starts_with("arn:") {
        return Ok(if named.starts_with("alias/") { of_alias(named) } else { arn(named) });
    }
    let parts: Vec<&str> = named.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", "aws", "kms", region, _, _] if *region != REGION => Err(no_such_key(format!("Invalid arn {region}"))),
        ["arn", "aws", "kms", _, _, resource] if resource.starts_with("alias/") => Ok(of_alias(resource)),
        ["arn", "aws", "kms", _, _, resource] if resource.starts_with("key/") => Ok(named.to_owned()),
        _ => Err(no_such_key(format!("Invalid keyId '{named}'"))),
    }
}

fn no_such_key(message: String) -> S3Error {
    let mut refusal = S3Error::with_message(S3ErrorCode::Custom("KMS.NotFoundException".into()), message);
    refusal.set_status_code(StatusCode::BAD_REQUEST);
    refusal
}

/// What answers about an object or an upload say.
pub(super) struct Shown {
    pub(super) algorithm: Option<ServerSideEncryption>,
    pub(super) key: Option<String>,
    /// Only for answers to writes.
    pub(super) context: Option<String>,
    pub(super) bucket_key: Option<bool>,
}

/// What answers say of the encryption that was kept.
pub(super) fn shown(headers: &StoredHeaders) -> Shown {
    let kept = headers.encryption.as_ref();
    Shown {
        algorithm: Some(dto(kept.map(|kept| kept.kms))),
        key: kept.map(|kept| kept.key.clone()),
        context: kept.and_then(|kept| kept.context.clone()),
        bucket_key: kept.filter(|kept| kept.has_bucket_key).map(|_| true),
    }
}

/// The ETag of bytes with this MD5 (both in hexadecimal) that are written under this number: under KMS any other number,
/// never the same twice.
pub(super) fn etag(seed: Seed, headers: &StoredHeaders, sequence: i64, md5: String) -> String {
    if headers.encryption.is_none() {
        return md5;
    }
    let half = |name: &str| seed.child(&format!("etag/{name}/{sequence}")).0;
    format!("{:016x}{:016x}", half("first"), half("second"))
}

/// PutBucketEncryption.
pub(super) async fn put(store: &Arc<S3Store>, input: PutBucketEncryptionInput) -> S3Result<PutBucketEncryptionOutput> {
    let encryption = of_document(store.seed, input.server_side_encryption_configuration)?;
    let setting = serde_json::to_string(&encryption).map_err(internal("write the encryption of a bucket"))?;
    set(store, input.bucket, Some(setting)).await?;
    Ok(PutBucketEncryptionOutput {})
}

fn of_document(seed: Seed, document: ServerSideEncryptionConfiguration) -> S3Result<BucketEncryption> {
    let mut rules = document.rules.into_iter();
    let (Some(rule), None) = (rules.next(), rules.next()) else { return Err(s3_error!(MalformedXML)) };
    let Some(default) = rule.apply_server_side_encryption_by_default else { return Err(s3_error!(MalformedXML)) };
    let kms = match Method::named(default.sse_algorithm.as_str()) {
        None => return Err(s3_error!(MalformedXML)),
        Some(Method::Aes256) => None,
        Some(Method::Kms(kms)) => Some(kms),
    };
    let key = default.kms_master_key_id.filter(|key| !key.is_empty());
    if kms.is_none() && key.is_some() {
        return Err(s3_error!(
            InvalidArgument,
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        ));
    }
    let key = key.map(|key| key_arn(seed, &key)).transpose()?;
    Ok(BucketEncryption { kms, key, has_bucket_key: rule.bucket_key_enabled.unwrap_or(false) })
}

/// GetBucketEncryption; a bucket on which it was never set says AES256.
pub(super) async fn get(store: &Arc<S3Store>, input: GetBucketEncryptionInput) -> S3Result<GetBucketEncryptionOutput> {
    let store = Arc::clone(store);
    let encryption = blocking(move || {
        let index = store.index();
        found_bucket(&index, &input.bucket)?;
        of_bucket(&index, &input.bucket)
    })
    .await?;
    let default =
        ServerSideEncryptionByDefault { kms_master_key_id: encryption.key, sse_algorithm: dto(encryption.kms) };
    let rules = vec![ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(default),
        bucket_key_enabled: Some(encryption.has_bucket_key),
    }];
    let configuration = ServerSideEncryptionConfiguration { rules };
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) })
}

/// DeleteBucketEncryption: back to AES256.
pub(super) async fn delete(
    store: &Arc<S3Store>,
    input: DeleteBucketEncryptionInput,
) -> S3Result<DeleteBucketEncryptionOutput> {
    set(store, input.bucket, None).await?;
    Ok(DeleteBucketEncryptionOutput {})
}

async fn set(store: &Arc<S3Store>, bucket: String, setting: Option<String>) -> S3Result<()> {
    let store = Arc::clone(store);
    blocking(move || {
        let index = store.index();
        found_bucket(&index, &bucket)?;
        let set = index.set_setting(&bucket, SETTING, setting.as_deref());
        set.map_err(internal("record the encryption of a bucket"))
    })
    .await
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Asked, String> {
        let pairs = headers.iter();
        let pairs = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        asked(&pairs.collect(), Seed(7)).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn headers_say_a_known_method_and_what_belongs_to_it() {
        assert_eq!(read(&[]), Ok(Asked::default()));
        assert_eq!(read(&[(METHOD, "AES256")]).map(|asked| asked.method), Ok(Some(Method::Aes256)));
        let twice = read(&[(METHOD, "aws:kms:dsse"), (KEY, "k"), (CONTEXT, "eyJhIjoiYiJ9")]).expect("valid");
        let key = Some("arn:aws:kms:us-east-1:000000000000:key/k");
        assert_eq!((twice.method, twice.key.as_deref()), (Some(Method::Kms(Kms::Twice)), key));
        let abroad = "arn:aws:kms:eu-west-1:000000000000:key/k";
        assert_eq!(read(&[(METHOD, "aws:kms"), (KEY, abroad)]), Err("KMS.NotFoundException".to_owned()));
        assert_eq!(read(&[(METHOD, "aes256")]), Err("InvalidEncryptionAlgorithmError".to_owned()));
        let wrong: [&[(&'static str, &'static str)]; 5] = [
            &[(KEY, "k")],
            &[(METHOD, "AES256"), (KEY, "k")],
            &[(METHOD, "AES256"), (CONTEXT, "eyJhIjoiYiJ9")],
            &[(METHOD, "aws:kms"), (CONTEXT, "{}")],
            &[(METHOD, "aws:kms"), (CONTEXT, "eyJhIjoxfQ==")],
        ];
        for headers in wrong {
            assert_eq!(read(headers), Err("InvalidArgument".to_owned()), "{headers:?}");
        }
    }

    #[test]
    fn keys_are_named_by_id_alias_or_arn() {
        let arn = |named: &str| key_arn(Seed(7), named).map_err(|error| error.code().as_str().to_owned());
        let prefix = "arn:aws:kms:us-east-1:000000000000:key/";
        assert_eq!(arn("1234"), Ok(format!("{prefix}1234")));
        let managed = arn(MANAGED_KEY).expect("made up");
        assert!(managed.starts_with(prefix) && managed.len() == prefix.len() + 36, "{managed}");
        assert_eq!(arn("arn:aws:kms:us-east-1:000000000000:alias/aws/s3"), Ok(managed.clone()));
        assert_ne!(arn("alias/other"), Ok(managed));
        let other_account = "arn:aws:kms:us-east-1:111122223333:key/1234";
        assert_eq!(arn(other_account), Ok(other_account.to_owned()));
        for wrong in ["arn:aws:kms:eu-west-1:000000000000:key/1", "arn:aws:s3:::bucket", "arn:aws:kms:us-east-1:0:x/1"]
        {
            assert_eq!(arn(wrong), Err("KMS.NotFoundException".to_owned()), "{wrong}");
        }
    }
}
