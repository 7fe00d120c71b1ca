//! S3 against a model: keys with versions, newest first.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, VersioningConfiguration,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Restartable, over};
use crate::code;
use crate::s3_small::BOUND;

const CASES: u32 = 40;
const KEYS: [&str; 5] = ["a", "a/b", "a/c d", "b%2B", "é/ü"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8),
    PutIfAbsent(usize, u8),
    /// With the ETag that is there, or another.
    PutIfMatch(usize, u8, bool),
    Upload(usize, u8),
    /// From a key, or beyond those from the nth object that is there.
    Copy(usize, usize),
    Delete(usize),
    /// The nth of all versions.
    DeleteVersion(usize),
    DeleteMany(usize, usize),
    Versioning(bool),
    List(usize, i32, bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        6 => (key.clone(), any::<u8>()).prop_map(|(key, byte)| Step::Put(key, byte)),
        2 => (key.clone(), any::<u8>()).prop_map(|(key, byte)| Step::PutIfAbsent(key, byte)),
        2 => (key.clone(), any::<u8>(), any::<bool>()).prop_map(|(key, byte, right)| Step::PutIfMatch(key, byte, right)),
        1 => (key.clone(), any::<u8>()).prop_map(|(key, byte)| Step::Upload(key, byte)),
        2 => (0..2 * KEYS.len(), key.clone()).prop_map(|(from, to)| Step::Copy(from, to)),
        3 => key.clone().prop_map(Step::Delete),
        2 => (0..50usize).prop_map(Step::DeleteVersion),
        1 => (key.clone(), key).prop_map(|(one, other)| Step::DeleteMany(one, other)),
        2 => any::<bool>().prop_map(Step::Versioning),
        2 => (0..4usize, 1..4i32, any::<bool>()).prop_map(|(prefix, page, grouped)| Step::List(prefix, page, grouped)),
        1 => Just(Step::Restart),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Version {
    /// `null` for one written while versioning was not on.
    id: String,
    /// None for a delete marker.
    body: Option<Vec<u8>>,
    /// Made of parts, which shows in its ETag.
    parted: bool,
}

#[derive(Default)]
struct Model {
    /// None before versioning was ever switched on.
    versioning: Option<bool>,
    /// Newest first.
    keys: BTreeMap<&'static str, Vec<Version>>,
}

impl Model {
    fn current(&self, key: &str) -> Option<&Vec<u8>> {
        self.keys.get(key)?.first()?.body.as_ref()
    }

    fn current_etag(&self, key: &str) -> Option<String> {
        let version = self.keys.get(key)?.first()?;
        version.body.as_deref().map(if version.parted { parted_etag } else { etag })
    }

    /// What a write or a marker does; `id` is what the store called it.
    fn add(&mut self, key: &'static str, id: Option<&str>, body: Option<Vec<u8>>) -> Result<(), TestCaseError> {
        let versions = self.keys.entry(key).or_default();
        let id = match self.versioning {
            Some(true) => {
                let id = id.ok_or_else(|| TestCaseError::fail("no version id while versioning is on"))?;
                prop_assert!(
                    id != "null" && versions.iter().all(|version| version.id != id),
                    "version {} is not new",
                    id
                );
                id.to_owned()
            }
            Some(false) => {
                prop_assert_eq!(id, Some("null"));
                "null".to_owned()
            }
            None => {
                prop_assert_eq!(id, None);
                "null".to_owned()
            }
        };
        if id == "null" {
            versions.retain(|version| version.id != "null");
        }
        versions.insert(0, Version { id, body, parted: false });
        Ok(())
    }
}

struct World<'a> {
    store: &'a mut Restartable,
    bucket: String,
    model: Model,
}

/// Few or many, and as likely as not right at the border of index and file; no two alike.
fn bytes(byte: u8) -> Vec<u8> {
    let size = match byte % 6 {
        0 => BOUND - 1,
        1 => BOUND,
        2 => BOUND + 1,
        3 => BOUND + usize::from(byte),
        // Nothing, too.
        _ => usize::from(byte.saturating_sub(4)),
    };
    vec![byte; size]
}

fn etag(body: &[u8]) -> String {
    use md5::Digest;
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&md5::Md5::digest(body)))
}

/// Of an object of one part.
fn parted_etag(body: &[u8]) -> String {
    use md5::Digest;
    format!("\"{}-1\"", data_encoding::HEXLOWER.encode(&md5::Md5::digest(md5::Md5::digest(body))))
}

impl World<'_> {
    fn s3(&self) -> Client {
        self.store.running().s3.clone()
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Put(key, byte) => self.put(KEYS[key], byte, None),
            Step::PutIfAbsent(key, byte) => self.put(KEYS[key], byte, Some(None)),
            Step::PutIfMatch(key, byte, right) => self.put(KEYS[key], byte, Some(Some(right))),
            Step::Upload(key, byte) => self.upload(KEYS[key], byte),
            Step::Copy(from, to) => self.copy(self.source(from), KEYS[to]),
            Step::Delete(key) => self.delete(KEYS[key]),
            Step::DeleteVersion(nth) => self.delete_version(nth),
            Step::DeleteMany(one, other) => self.delete_many(KEYS[one], KEYS[other]),
            Step::Versioning(on) => self.switch(on),
            Step::List(prefix, page, grouped) => self.list(["", "a", "a/", "é"][prefix], page, grouped),
            Step::Restart => {
                self.store.restart();
                Ok(())
            }
        }
    }

    /// `condition`: `Some(None)` = must be absent; `Some(Some(right))` = must have the ETag that is (or is not) there.
    fn put(&mut self, key: &'static str, byte: u8, condition: Option<Option<bool>>) -> Result<(), TestCaseError> {
        let current = self.model.current(key).cloned();
        let mut put = self.s3().put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes(byte)));
        let expected = match condition {
            None => "accepted",
            Some(None) => {
                put = put.if_none_match("*");
                self.store.met(if current.is_some() { "if-none-match fails" } else { "if-none-match holds" });
                if current.is_some() { "PreconditionFailed" } else { "accepted" }
            }
            Some(Some(right)) => {
                let there = self.model.current_etag(key).unwrap_or_else(|| etag(b"absent"));
                put = put.if_match(if right { there } else { etag(b"another") });
                let (met, expected) = match (&current, right) {
                    (None, _) => ("if-match of nothing", "NoSuchKey"),
                    (Some(_), true) => ("if-match holds", "accepted"),
                    (Some(_), false) => ("if-match fails", "PreconditionFailed"),
                };
                self.store.met(met);
                expected
            }
        };
        let answer = self.store.block_on(put.send());
        let id = answer.as_ref().ok().and_then(|put| put.version_id()).map(str::to_owned);
        if let Ok(put) = &answer {
            let expected = etag(&bytes(byte));
            prop_assert_eq!(put.e_tag(), Some(expected.as_str()));
        }
        let accepted = answer.is_ok();
        prop_assert_eq!(code(answer), expected);
        if accepted {
            let is_small = |body: &[u8]| body.len() <= BOUND;
            self.store.met(match (current.as_deref().map(is_small), is_small(&bytes(byte))) {
                (None, _) => "new",
                (Some(true), true) => "small over small",
                (Some(true), false) => "file over small",
                (Some(false), true) => "small over file",
                (Some(false), false) => "file over file",
            });
        }
        if accepted { self.model.add(key, id.as_deref(), Some(bytes(byte))) } else { Ok(()) }
    }

    fn upload(&mut self, key: &'static str, byte: u8) -> Result<(), TestCaseError> {
        let (s3, bucket) = (self.s3(), self.bucket.clone());
        let done = self.store.block_on(async {
            let begun = s3.create_multipart_upload().bucket(&bucket).key(key).send().await.expect("begun");
            let upload = begun.upload_id().expect("an upload id");
            let part = s3.upload_part().bucket(&bucket).key(key).upload_id(upload).part_number(7);
            let part = part.body(ByteStream::from(bytes(byte))).send().await.expect("a part");
            let part = CompletedPart::builder().part_number(7).e_tag(part.e_tag().expect("an ETag")).build();
            let parts = CompletedMultipartUpload::builder().parts(part).build();
            let complete = s3.complete_multipart_upload().bucket(&bucket).key(key).upload_id(upload);
            complete.multipart_upload(parts).send().await.expect("completed")
        });
        prop_assert_eq!(done.e_tag().map(str::to_owned), Some(parted_etag(&bytes(byte))));
        self.model.add(key, done.version_id(), Some(bytes(byte)))?;
        self.model.keys.entry(key).and_modify(|versions| versions[0].parted = true);
        Ok(())
    }

    fn source(&self, nth: usize) -> &'static str {
        let there: Vec<&str> = KEYS.into_iter().filter(|key| self.model.current(key).is_some()).collect();
        match nth {
            nth if nth < KEYS.len() || there.is_empty() => KEYS[nth % KEYS.len()],
            nth => there[nth % there.len()],
        }
    }

    fn copy(&mut self, from: &'static str, to: &'static str) -> Result<(), TestCaseError> {
        let source = format!(
            "{}/{}",
            self.bucket,
            percent_encoding::utf8_percent_encode(from, percent_encoding::NON_ALPHANUMERIC)
        );
        let copy = self.s3().copy_object().bucket(&self.bucket).key(to).copy_source(source);
        let copy = copy.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace).metadata("of", "copy").send();
        let answer = self.store.block_on(copy);
        match self.model.current(from).cloned() {
            Some(body) => {
                self.store.met("copied");
                let copied = answer.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                self.model.add(to, copied.version_id(), Some(body))
            }
            None => {
                self.store.met("copy of nothing");
                prop_assert_eq!(code(answer), "NoSuchKey");
                Ok(())
            }
        }
    }

    fn delete(&mut self, key: &'static str) -> Result<(), TestCaseError> {
        let delete = self.s3().delete_object().bucket(&self.bucket).key(key).send();
        let deleted = self.store.block_on(delete).expect("deleting always succeeds");
        self.mark_deleted(key, deleted.version_id(), deleted.delete_marker())
    }

    fn mark_deleted(
        &mut self,
        key: &'static str,
        id: Option<&str>,
        is_marker: Option<bool>,
    ) -> Result<(), TestCaseError> {
        if self.model.versioning.is_none() {
            prop_assert!(id.is_none() && is_marker != Some(true));
            self.model.keys.remove(key);
            return Ok(());
        }
        prop_assert_eq!(is_marker, Some(true));
        self.store.met("marker");
        self.model.add(key, id, None)
    }

    fn delete_version(&mut self, nth: usize) -> Result<(), TestCaseError> {
        let of_key = |(key, versions): (&&'static str, &Vec<Version>)| {
            versions.iter().enumerate().map(|(at, version)| (*key, at, version.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.model.keys.iter().flat_map(of_key).collect();
        if all.is_empty() {
            return Ok(());
        }
        let (key, at, version) = all[nth % all.len()].clone();
        self.store.met(match (at, &version.body) {
            (_, None) => "marker removed",
            (0, Some(_)) => "current version removed",
            (_, Some(_)) => "old version removed",
        });
        let delete = self.s3().delete_object().bucket(&self.bucket).key(key).version_id(&version.id).send();
        let deleted = self.store.block_on(delete).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        if self.model.versioning.is_some() {
            prop_assert_eq!(deleted.version_id(), Some(version.id.as_str()));
            prop_assert_eq!(deleted.delete_marker().unwrap_or(false), version.body.is_none());
        }
        let versions = self.model.keys.entry(key).or_default();
        versions.retain(|kept| kept.id != version.id);
        Ok(())
    }

    fn delete_many(&mut self, one: &'static str, other: &'static str) -> Result<(), TestCaseError> {
        let keys = if one == other { vec![one] } else { vec![one, other] };
        let named = keys.iter().map(|key| ObjectIdentifier::builder().key(*key).build().expect("a key"));
        let delete = Delete::builder().set_objects(Some(named.collect())).build().expect("keys");
        let deleted = self.s3().delete_objects().bucket(&self.bucket).delete(delete).send();
        let deleted = self.store.block_on(deleted).expect("a batch delete succeeds");
        prop_assert!(deleted.errors().is_empty());
        prop_assert_eq!(deleted.deleted().len(), keys.len());
        for (key, told) in keys.into_iter().zip(deleted.deleted()) {
            prop_assert_eq!(told.key(), Some(key));
            self.mark_deleted(key, told.delete_marker_version_id(), told.delete_marker())?;
        }
        Ok(())
    }

    fn switch(&mut self, on: bool) -> Result<(), TestCaseError> {
        let status = if on { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
        let wanted = VersioningConfiguration::builder().status(status.clone()).build();
        let (s3, bucket) = (self.s3(), self.bucket.clone());
        let told = self.store.block_on(async {
            let put = s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(wanted);
            put.send().await.expect("versioning is switched");
            s3.get_bucket_versioning().bucket(&bucket).send().await.expect("versioning is told")
        });
        prop_assert_eq!(told.status(), Some(&status));
        self.model.versioning = Some(on);
        Ok(())
    }

    /// Pages of `page` entries give exactly the model's keys, in order.
    fn list(&self, prefix: &str, page: i32, grouped: bool) -> Result<(), TestCaseError> {
        let mut keys = Vec::new();
        let mut groups = Vec::new();
        let mut token = None;
        loop {
            let mut list = self.s3().list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(page);
            list = list.set_continuation_token(token).set_delimiter(grouped.then(|| "/".to_owned()));
            let answer = self.store.block_on(list.send()).expect("a page");
            prop_assert!(answer.key_count().unwrap_or(0) <= page);
            keys.extend(answer.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            groups.extend(answer.common_prefixes().iter().filter_map(|group| group.prefix().map(str::to_owned)));
            token = answer.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        let (mut expected, mut expected_groups) = (Vec::new(), Vec::new());
        let present = self.model.keys.keys().filter(|key| self.model.current(key).is_some() && key.starts_with(prefix));
        for key in present {
            match key[prefix.len()..].find('/').filter(|_| grouped) {
                Some(at) => expected_groups.push(key[..=prefix.len() + at].to_owned()),
                None => expected.push((*key).to_owned()),
            }
        }
        expected_groups.dedup();
        prop_assert_eq!(keys, expected);
        prop_assert_eq!(groups, expected_groups);
        Ok(())
    }

    /// Every key and every version is as the model says.
    fn compare(&self) -> Result<(), TestCaseError> {
        let (s3, bucket) = (self.s3(), self.bucket.as_str());
        for key in KEYS {
            let got = self.store.block_on(async {
                match s3.get_object().bucket(bucket).key(key).send().await {
                    Ok(got) => Ok(got.body.collect().await.expect("a body").to_vec()),
                    refused => Err(code(refused)),
                }
            });
            prop_assert_eq!(got, self.model.current(key).cloned().ok_or_else(|| "NoSuchKey".to_owned()), "{}", key);
        }
        let listed = s3.list_object_versions().bucket(bucket).send();
        let listed = self.store.block_on(listed).expect("versions are listed");
        let mut told: BTreeMap<String, Vec<(String, bool, bool)>> = BTreeMap::new();
        for version in listed.versions() {
            let entry = (version.version_id().unwrap_or_default().to_owned(), true, version.is_latest() == Some(true));
            told.entry(version.key().unwrap_or_default().to_owned()).or_default().push(entry);
        }
        for marker in listed.delete_markers() {
            let entry = (marker.version_id().unwrap_or_default().to_owned(), false, marker.is_latest() == Some(true));
            told.entry(marker.key().unwrap_or_default().to_owned()).or_default().push(entry);
        }
        let mut expected: BTreeMap<String, Vec<(String, bool, bool)>> = BTreeMap::new();
        for (key, versions) in self.model.keys.iter().filter(|(_, versions)| !versions.is_empty()) {
            let entries = versions.iter().enumerate();
            let entries = entries.map(|(at, version)| (version.id.clone(), version.body.is_some(), at == 0));
            expected.insert((*key).to_owned(), entries.collect());
        }
        // The answer has versions and markers apart: their order among each other is not told.
        for entries in told.values_mut().chain(expected.values_mut()) {
            entries.sort();
        }
        prop_assert_eq!(told, expected);
        for (key, versions) in &self.model.keys {
            for version in versions {
                let get = s3.get_object().bucket(bucket).key(*key).version_id(&version.id).send();
                match (self.store.block_on(get), &version.body) {
                    (Ok(got), Some(body)) => {
                        let got = self.store.block_on(got.body.collect()).expect("a body").to_vec();
                        prop_assert_eq!(&got, body);
                    }
                    (got, None) => prop_assert_eq!(code(got), "MethodNotAllowed"),
                    (got, Some(_)) => prop_assert_eq!(code(got), "accepted"),
                }
            }
        }
        Ok(())
    }
}

#[test]
fn buckets_do_what_the_model_does() {
    let mut store = Restartable::start();
    let outcome = over(CASES, &prop::collection::vec(step(), 10..50), |case, steps| {
        let bucket = format!("model-{case}");
        let create = store.running().s3.create_bucket().bucket(&bucket).send();
        store.block_on(create).expect("a bucket");
        let mut world = World { store: &mut store, bucket, model: Model::default() };
        for step in &steps {
            world.take(step)?;
        }
        world.compare()?;
        world.store.restart();
        world.compare()
    });
    assert_eq!(outcome, Ok(()));
    store.assert_met(2, &["marker removed", "old version removed"]);
    store.assert_met(
        5,
        &["if-match holds", "if-match fails", "if-match of nothing", "copied", "copy of nothing", "marker"],
    );
    store.assert_met(5, &["small over small", "file over small", "small over file", "file over file"]);
    store.assert_met(5, &["if-none-match holds", "if-none-match fails", "current version removed"]);
    store.stop();
}
