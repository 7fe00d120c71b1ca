//! The object store as the judge sees it: list and get, nothing else.
//!
//! Promises: listings are complete (all pages); an object that vanished between listing and reading is `None`, not an error.

use aws_sdk_s3::Client;
use bytes::Bytes;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::layout::{LAKE_BUCKET, STAGE_BUCKET};

use super::error::JudgeError;

/// Objects read at the same time; each lies in memory as a whole.
pub(super) const OBJECTS_AT_ONCE: usize = 4;

/// One listed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) bucket: String,
    pub(super) key: String,
    /// Without quotes.
    pub(super) etag: String,
}

/// An S3 client that reads.
#[derive(Clone)]
pub(super) struct Objects {
    client: Client,
    whole_account: bool,
}

impl Objects {
    pub(super) fn open(endpoints: &Endpoints, whole_account: bool) -> Self {
        let config = endpoints.sdk_config(&endpoints.s3_url);
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(endpoints.s3_path_style);
        Self { client: Client::from_conf(config.build()), whole_account }
    }

    /// Names of all buckets; of the lake's two where others are not ours to look into.
    pub(super) async fn buckets(&self) -> Result<Vec<String>, JudgeError> {
        if !self.whole_account {
            return Ok(vec![STAGE_BUCKET.to_owned(), LAKE_BUCKET.to_owned()]);
        }
        let answer = self.client.list_buckets().send().await.map_err(|error| JudgeError::store("buckets", error))?;
        Ok(answer.buckets().iter().filter_map(|bucket| bucket.name()).map(str::to_owned).collect())
    }

    /// All objects of a bucket under a prefix.
    pub(super) async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>, JudgeError> {
        let mut pages = self.client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| JudgeError::store(format!("s3://{bucket}/{prefix}"), error))?;
            listed.extend(page.contents().iter().filter_map(|object| {
                Some(Listed {
                    bucket: bucket.to_owned(),
                    key: object.key()?.to_owned(),
                    etag: object.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
                })
            }));
        }
        Ok(listed)
    }

    /// The bytes of an object and the ETag of the version they belong to.
    pub(super) async fn get(&self, bucket: &str, key: &str) -> Result<Option<(Bytes, String)>, JudgeError> {
        let what = || format!("s3://{bucket}/{key}");
        let answer = match self.client.get_object().bucket(bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(JudgeError::store(what(), error)),
        };
        let etag = answer.e_tag().unwrap_or_default().trim_matches('"').to_owned();
        let body = answer.body.collect().await.map_err(|error| JudgeError::store(what(), error))?;
        Ok(Some((body.into_bytes(), etag)))
    }
}
