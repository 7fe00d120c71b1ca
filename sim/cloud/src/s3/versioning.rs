//! Versioning of a bucket, and version ids.
//!
//! Versioning is off, on, or suspended, and never off again. A version id is derived from the seed and the sequence of
//! the write and holds the sequence, so it is never given twice and leads to its row. MFA delete is refused.

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use http::header::{ALLOW, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};
use lakebed_contract::Seed;
use s3s::dto::{
    BucketVersioningStatus, GetBucketVersioningInput, GetBucketVersioningOutput, MFADelete, PutBucketVersioningInput,
    PutBucketVersioningOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::index::{Index, NULL_VERSION, ObjectRecord, SqlResult};
use super::planning::Target;
use super::store::{S3Store, found_bucket};
use super::{blocking, internal};

/// The setting of a bucket that holds its state.
const SETTING: &str = "versioning";
const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");
const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
const ID_CHARACTERS: usize = 32;
const ID_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
/// Bytes of an id that look random; those of the sequence, hidden by them, follow.
const RANDOM_BYTES: usize = 16;

/// Whether a bucket keeps versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versioning {
    /// And never did.
    Off,
    Enabled,
    Suspended,
}

impl Versioning {
    pub(super) fn of(index: &Index, bucket: &str) -> S3Result<Self> {
        let setting = index.setting(bucket, SETTING).map_err(internal("look up the versioning of a bucket"))?;
        Ok(match setting.as_deref() {
            Some(BucketVersioningStatus::ENABLED) => Self::Enabled,
            Some(_) => Self::Suspended,
            None => Self::Off,
        })
    }

    /// Whether a version is kept when another takes its place as the current one.
    pub(super) fn keeps(self, record: &ObjectRecord) -> bool {
        match self {
            Self::Off => false,
            Self::Enabled => true,
            Self::Suspended => !record.is_null(),
        }
    }

    /// The id of a new version.
    pub(super) fn new_id(self, seed: Seed, sequence: i64) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Enabled => Some(id_of(seed, sequence)),
            Self::Suspended => Some(NULL_VERSION.to_owned()),
        }
    }
}

fn engine() -> GeneralPurpose {
    GeneralPurpose::new(&Alphabet::new(ID_ALPHABET).expect("64 different characters"), NO_PAD)
}

/// The bytes that hide a sequence behind the random ones.
fn mask(random: &[u8]) -> [u8; 8] {
    let digest = Sha256::digest(random);
    std::array::from_fn(|at| digest[at])
}

fn id_of(seed: Seed, sequence: i64) -> String {
    let sequence = sequence.to_be_bytes();
    let digest = Sha256::new().chain_update(seed.child("version").0.to_be_bytes()).chain_update(sequence).finalize();
    let random = &digest[..RANDOM_BYTES];
    let mut bytes = random.to_vec();
    bytes.extend(sequence.iter().zip(mask(random)).map(|(byte, mask)| byte ^ mask));
    engine().encode(bytes)
}

/// A version as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressed<'a> {
    Null,
    Id { id: &'a str, sequence: i64 },
}

impl<'a> Addressed<'a> {
    pub(super) fn parse(id: &'a str) -> S3Result<Self> {
        if id == NULL_VERSION {
            return Ok(Self::Null);
        }
        if id.is_empty() {
            return Err(s3_error!(InvalidArgument, "Version id cannot be the empty string"));
        }
        let bytes = if id.len() == ID_CHARACTERS { engine().decode(id).ok() } else { None };
        let bytes = bytes.ok_or_else(|| s3_error!(InvalidArgument, "Invalid version id specified"))?;
        let (random, hidden) = bytes.split_at(RANDOM_BYTES);
        let mask = mask(random);
        let sequence = std::array::from_fn(|at| hidden.get(at).copied().unwrap_or_default() ^ mask[at]);
        Ok(Self::Id { id, sequence: i64::from_be_bytes(sequence) })
    }
}

/// The version of a key that is addressed, wherever it is kept; a delete marker too.
pub(super) fn target(index: &Index, bucket: &str, key: &str, addressed: Addressed<'_>) -> S3Result<Option<Target>> {
    let look = || -> SqlResult<Option<Target>> {
        let is_it = |record: &ObjectRecord| match addressed {
            Addressed::Null => record.is_null(),
            Addressed::Id { id, .. } => record.version_id.as_deref() == Some(id),
        };
        if let Some(current) = index.object(bucket, key)?.filter(is_it) {
            return Ok(Some(Target::Current(current)));
        }
        let kept = match addressed {
            Addressed::Null => index.null_version(bucket, key)?,
            Addressed::Id { sequence, .. } => index.version(bucket, key, sequence)?,
        };
        Ok(kept.filter(|kept| is_it(&kept.record)).map(Target::Version))
    };
    look().map_err(internal("look up a version"))
}

/// A version that has bytes, or the answer that says why there is none: of the current object, or of the version named.
pub(super) fn found(index: &Index, bucket: &str, key: &str, version: Option<&str>) -> S3Result<ObjectRecord> {
    let Some(version) = version else { return found_current(index, bucket, key) };
    let addressed = Addressed::parse(version)?;
    let Some(target) = target(index, bucket, key, addressed)? else {
        found_bucket(index, bucket)?;
        return Err(s3_error!(NoSuchVersion, "The specified version does not exist."));
    };
    if target.record().is_marker {
        return Err(is_a_marker(target.record()));
    }
    named(index, bucket, target.record().clone())
}

fn found_current(index: &Index, bucket: &str, key: &str) -> S3Result<ObjectRecord> {
    if let Some(current) = index.object(bucket, key).map_err(internal("look up an object"))? {
        return named(index, bucket, current);
    }
    found_bucket(index, bucket)?;
    let mut refusal = s3_error!(NoSuchKey, "The specified key does not exist.");
    if let Some(marker) = index.latest_marker(bucket, key).map_err(internal("look up a delete marker"))? {
        refusal.set_headers(marker_headers(&marker));
    }
    Err(refusal)
}

/// In a bucket with versions, what was written before it had any is shown as the null version.
fn named(index: &Index, bucket: &str, mut record: ObjectRecord) -> S3Result<ObjectRecord> {
    if record.version_id.is_none() && Versioning::of(index, bucket)? != Versioning::Off {
        record.version_id = Some(NULL_VERSION.to_owned());
    }
    Ok(record)
}

fn is_a_marker(marker: &ObjectRecord) -> S3Error {
    let mut headers = marker_headers(marker);
    headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
    let date = marker.last_modified.to_datetime().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.insert(LAST_MODIFIED, HeaderValue::from_str(&date).expect("a date is ASCII"));
    let text = "The specified method is not allowed against this resource.";
    let mut refusal = S3Error::with_message(S3ErrorCode::MethodNotAllowed, text);
    refusal.set_headers(headers);
    refusal
}

fn marker_headers(marker: &ObjectRecord) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(DELETE_MARKER, HeaderValue::from_static("true"));
    let id = marker.shown_version().unwrap_or_default();
    headers.insert(VERSION_ID, HeaderValue::from_str(&id).expect("a version id is ASCII"));
    headers
}

/// PutBucketVersioning.
pub(super) async fn put(store: &Arc<S3Store>, input: PutBucketVersioningInput) -> S3Result<PutBucketVersioningOutput> {
    let configuration = input.versioning_configuration;
    let wants_mfa = configuration.mfa_delete.is_some_and(|mfa_delete| mfa_delete.as_str() != MFADelete::DISABLED);
    if wants_mfa || input.mfa.is_some() {
        return Err(s3_error!(NotImplemented, "MFA delete is not implemented"));
    }
    let status = configuration.status.filter(|status| {
        [BucketVersioningStatus::ENABLED, BucketVersioningStatus::SUSPENDED].contains(&status.as_str())
    });
    let Some(status) = status else {
        return Err(s3_error!(IllegalVersioningConfigurationException, "The Versioning element must be specified"));
    };
    let store = Arc::clone(store);
    blocking(move || {
        let index = store.index();
        found_bucket(&index, &input.bucket)?;
        let set = index.set_setting(&input.bucket, SETTING, Some(status.as_str()));
        set.map_err(internal("record the versioning of a bucket"))
    })
    .await?;
    Ok(PutBucketVersioningOutput {})
}

/// GetBucketVersioning.
pub(super) async fn get(store: &Arc<S3Store>, input: GetBucketVersioningInput) -> S3Result<GetBucketVersioningOutput> {
    let store = Arc::clone(store);
    let versioning = blocking(move || {
        let index = store.index();
        found_bucket(&index, &input.bucket)?;
        Versioning::of(&index, &input.bucket)
    })
    .await?;
    let status = match versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(GetBucketVersioningOutput { mfa_delete: None, status: status.map(BucketVersioningStatus::from_static) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_sequence_whatever_the_seed() {
        for sequence in [0, 1, 1_700_000_000_000_000, i64::MAX] {
            let (one, two) = (id_of(Seed(1), sequence), id_of(Seed(2), sequence));
            assert_ne!(one, two);
            for id in [&one, &two] {
                assert_eq!(id.len(), ID_CHARACTERS);
                assert!(id.bytes().all(|byte| ID_ALPHABET.as_bytes().contains(&byte)), "{id}");
                assert_eq!(Addressed::parse(id).ok(), Some(Addressed::Id { id, sequence }));
            }
        }
        assert_eq!(id_of(Seed(1), 5), id_of(Seed(1), 5));
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        assert_eq!(Addressed::parse("null").ok(), Some(Addressed::Null));
        let long = "a".repeat(ID_CHARACTERS + 1);
        for id in ["", "v1", &"-".repeat(ID_CHARACTERS), &long] {
            let refusal = Addressed::parse(id).expect_err("no id");
            assert_eq!(refusal.code().as_str(), "InvalidArgument", "{id}");
        }
    }
}
