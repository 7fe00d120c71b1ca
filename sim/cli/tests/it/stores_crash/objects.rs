//! Objects: written over, deleted, and joined from parts.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use rand::Rng;

use super::life::Life;
use super::{Versions, answer, answered};

const BUCKET: &str = "crash";
/// Few, so that most writes replace something.
const KEYS: u32 = 6;
/// Around the borders of a read, of a chunk, and of what lies in the index.
const SIZES: [usize; 8] = [0, 1, 100, 4_096, 16_384, 16_385, 70_001, 300_000];
/// Every part but the last has at least this many bytes.
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
/// One join in so many has two parts; the others have one small one.
const LARGE_JOINS: u32 = 40;

/// The objects under one prefix, all written by one writer.
pub(super) struct Objects {
    prefix: &'static str,
    keys: BTreeMap<String, Versions<Vec<u8>>>,
    pub(super) acknowledged: u64,
}

pub(super) async fn create(s3: &Client) {
    answered(s3.create_bucket().bucket(BUCKET).send().await);
}

fn content(chance: &mut impl Rng, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    chance.fill_bytes(&mut content);
    content
}

impl Objects {
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, keys: BTreeMap::new(), acknowledged: 0 }
    }

    fn key(&self, chance: &mut impl Rng) -> String {
        format!("{}/{}", self.prefix, chance.random_range(0..KEYS))
    }

    fn send(&mut self, key: &str, content: Option<Vec<u8>>) {
        self.keys.entry(key.to_owned()).or_default().send(content);
    }

    fn acknowledge(&mut self, key: &str) {
        self.keys.get_mut(key).expect("sent before it is answered").acknowledge();
        self.acknowledged += 1;
    }

    /// Puts and deletes until the process is gone.
    pub(super) async fn put(&mut self, life: &Life, s3: &Client, mut chance: impl Rng) {
        while life.goes_on() {
            let key = self.key(&mut chance);
            let is_answered = if chance.random_ratio(1, 5) {
                self.send(&key, None);
                answer(s3.delete_object().bucket(BUCKET).key(&key).send().await).is_some()
            } else {
                let bytes = SIZES[chance.random_range(0..SIZES.len())];
                let content = content(&mut chance, bytes);
                self.send(&key, Some(content.clone()));
                answer(s3.put_object().bucket(BUCKET).key(&key).body(content.into()).send().await).is_some()
            };
            if !is_answered {
                return;
            }
            self.acknowledge(&key);
            life.acknowledged();
        }
    }

    /// Joins uploads until the process is gone.
    pub(super) async fn join(&mut self, life: &Life, s3: &Client, mut chance: impl Rng) {
        while life.goes_on() {
            let key = self.key(&mut chance);
            let mut parts = vec![content(&mut chance, 2_000)];
            if chance.random_ratio(1, LARGE_JOINS) {
                parts.insert(0, content(&mut chance, PART_BYTES_MIN));
            }
            if self.join_one(s3, &key, parts).await.is_none() {
                return;
            }
            self.acknowledge(&key);
            life.acknowledged();
        }
    }

    async fn join_one(&mut self, s3: &Client, key: &str, parts: Vec<Vec<u8>>) -> Option<()> {
        let created = answer(s3.create_multipart_upload().bucket(BUCKET).key(key).send().await)?;
        let upload = created.upload_id().expect("an upload id");
        let mut uploaded = CompletedMultipartUpload::builder();
        for (number, part) in (1..).zip(&parts) {
            let request = s3.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
            let tag = answer(request.body(part.clone().into()).send().await)?.e_tag.expect("a tag");
            uploaded = uploaded.parts(CompletedPart::builder().part_number(number).e_tag(tag).build());
        }
        // Only the join makes anything visible.
        self.send(key, Some(parts.concat()));
        let request = s3.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload);
        answer(request.multipart_upload(uploaded.build()).send().await).map(|_| ())
    }

    /// Compares what a new life has.
    pub(super) async fn check(&mut self, s3: &Client) {
        for (key, versions) in &mut self.keys {
            let found = s3.get_object().bucket(BUCKET).key(key).send().await;
            let is_absent = found.as_ref().err().and_then(|error| error.as_service_error());
            let found = match is_absent.is_some_and(|error| error.is_no_such_key()) {
                true => None,
                false => Some(answered(found).body.collect().await.expect("a whole body").to_vec()),
            };
            versions.settle(found, key);
        }
        let there = self.keys.iter().filter(|(_, versions)| versions.acknowledged.is_some());
        let there: BTreeSet<&str> = there.map(|(key, _)| key.as_str()).collect();
        let listed = answered(s3.list_objects_v2().bucket(BUCKET).prefix(format!("{}/", self.prefix)).send().await);
        let listed: BTreeSet<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
        assert_eq!(listed, there, "a listing shows what can be read");
    }
}
