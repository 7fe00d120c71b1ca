//! The lifecycle of a bucket: the three operations on its configuration, and what answers announce by it.
//!
//! A configuration is a setting of the bucket and is kept in memory as well, so that answers about objects of a bucket
//! without one cost a look into a map. It is changed under the lock of the index only, together with the setting. Rules
//! are carried out by [`super::sweeper`].

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use lakebed_contract::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
    TransitionDefaultMinimumObjectSize,
};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::index::{Index, ObjectRecord, SqlResult};
use super::lifecycle_document::{document_of, rules_of};
use super::lifecycle_rules::{self, Place, Rule, Version};
use super::store::{S3Store, found_bucket};
use super::{blocking, internal};

/// The setting of a bucket that holds its [`Configuration`].
const SETTING: &str = "lifecycle";
/// What `rule-id` leaves alone.
const ID_LEFT_ALONE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a client configured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Configuration {
    pub(super) rules: Vec<Rule>,
    /// Only given back: nothing moves to another storage class.
    transition_minimum: String,
}

/// The configurations of all buckets that have one.
#[derive(Debug, Default)]
pub(super) struct Lifecycles(RwLock<BTreeMap<String, Arc<Configuration>>>);

impl Lifecycles {
    /// Those in the index.
    pub(super) fn load(index: &Index) -> SqlResult<Self> {
        let mut configurations = BTreeMap::new();
        for bucket in index.buckets()? {
            let Some(setting) = index.setting(&bucket.name, SETTING)? else { continue };
            let configuration = serde_json::from_str(&setting).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
            })?;
            configurations.insert(bucket.name, Arc::new(configuration));
        }
        Ok(Self(RwLock::new(configurations)))
    }

    /// That of a bucket.
    pub(super) fn of(&self, bucket: &str) -> Option<Arc<Configuration>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned()
    }

    /// All, by bucket.
    pub(super) fn all(&self) -> BTreeMap<String, Arc<Configuration>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes that of a bucket; to be called under the lock of the index that keeps it.
    pub(super) fn set(&self, bucket: &str, configuration: Option<Arc<Configuration>>) {
        let mut configurations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match configuration {
            Some(configuration) => configurations.insert(bucket.to_owned(), configuration),
            None => configurations.remove(bucket),
        };
    }
}

/// `x-amz-expiration`: when the current version expires, and by which rule.
pub(super) fn expiration_header(store: &S3Store, bucket: &str, key: &str, record: &ObjectRecord) -> Option<String> {
    let configuration = store.lifecycles.of(bucket)?;
    let version = version_of(key, record, Place::Latest { is_only: false });
    let (at, rule) = lifecycle_rules::expiry(&configuration.rules, &version)?;
    let date = at.to_datetime().format("%a, %d %b %Y %H:%M:%S GMT");
    let rule = utf8_percent_encode(rule, ID_LEFT_ALONE);
    Some(format!("expiry-date=\"{date}\", rule-id=\"{rule}\""))
}

/// When an upload that began then is aborted, and by which rule.
pub(super) fn abort_of(store: &S3Store, bucket: &str, key: &str, began_at: Timestamp) -> Option<(Timestamp, String)> {
    let configuration = store.lifecycles.of(bucket)?;
    let (at, rule) = lifecycle_rules::upload_expiry(&configuration.rules, key, began_at)?;
    Some((at, rule.to_owned()))
}

/// A version as rules look at it.
pub(super) fn version_of<'a>(key: &'a str, record: &'a ObjectRecord, place: Place) -> Version<'a> {
    Version {
        key,
        size: record.size,
        tags: &record.headers.tags,
        is_marker: record.is_marker,
        written_at: record.last_modified,
        place,
    }
}

/// PutBucketLifecycleConfiguration.
pub(super) async fn put(
    store: &Arc<S3Store>,
    input: PutBucketLifecycleConfigurationInput,
) -> S3Result<PutBucketLifecycleConfigurationOutput> {
    let Some(document) = input.lifecycle_configuration else { return Err(s3_error!(MissingRequestBodyError)) };
    let minimum = minimum_of(input.transition_default_minimum_object_size)?;
    let (bucket, transition_minimum) = (input.bucket, minimum.as_str().to_owned());
    let store = Arc::clone(store);
    blocking(move || {
        let index = store.index();
        found_bucket(&index, &bucket)?;
        let sequence = index.next_sequence(store.clock.now()).map_err(internal("number a lifecycle"))?;
        let seed = store.seed.child("lifecycle");
        let rules = rules_of(document.rules, |at| {
            let half = |name: &str| seed.child(&format!("{name}/{sequence}/{at}")).0;
            format!("{:016x}{:016x}", half("first"), half("second"))
        })?;
        let configuration = Configuration { rules, transition_minimum };
        let setting = serde_json::to_string(&configuration).map_err(internal("write a lifecycle"))?;
        index.set_setting(&bucket, SETTING, Some(&setting)).map_err(internal("record a lifecycle"))?;
        store.lifecycles.set(&bucket, Some(Arc::new(configuration)));
        drop(index);
        Ok(PutBucketLifecycleConfigurationOutput { transition_default_minimum_object_size: Some(minimum) })
    })
    .await
}

fn minimum_of(said: Option<TransitionDefaultMinimumObjectSize>) -> S3Result<TransitionDefaultMinimumObjectSize> {
    let usual =
        TransitionDefaultMinimumObjectSize::from_static(TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K);
    let said = said.unwrap_or(usual);
    match said.as_str() {
        TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K
        | TransitionDefaultMinimumObjectSize::VARIES_BY_STORAGE_CLASS => Ok(said),
        _ => Err(s3_error!(InvalidRequest, "Invalid TransitionDefaultMinimumObjectSize found")),
    }
}

/// GetBucketLifecycleConfiguration.
pub(super) async fn get(
    store: &Arc<S3Store>,
    input: GetBucketLifecycleConfigurationInput,
) -> S3Result<GetBucketLifecycleConfigurationOutput> {
    let store = Arc::clone(store);
    let configuration = blocking(move || {
        store.bucket(&input.bucket)?;
        Ok(store.lifecycles.of(&input.bucket))
    })
    .await?;
    let Some(configuration) = configuration else { return Err(s3_error!(NoSuchLifecycleConfiguration)) };
    Ok(GetBucketLifecycleConfigurationOutput {
        rules: Some(configuration.rules.iter().map(document_of).collect()),
        transition_default_minimum_object_size: Some(configuration.transition_minimum.clone().into()),
    })
}

/// DeleteBucketLifecycle; without a configuration it succeeds too.
pub(super) async fn delete(
    store: &Arc<S3Store>,
    input: DeleteBucketLifecycleInput,
) -> S3Result<DeleteBucketLifecycleOutput> {
    let store = Arc::clone(store);
    blocking(move || {
        let index = store.index();
        found_bucket(&index, &input.bucket)?;
        index.set_setting(&input.bucket, SETTING, None).map_err(internal("remove a lifecycle"))?;
        store.lifecycles.set(&input.bucket, None);
        drop(index);
        Ok(DeleteBucketLifecycleOutput {})
    })
    .await
}
