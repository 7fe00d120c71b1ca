//! Calls of S3. What is timed goes over the bare wire; everything around it through the SDK.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use http::Method;

use super::connections::Plan;
use super::wire::{Answer, Ask, Service};
use super::{Calls, content, key, reply};
use crate::bench::order::Reply;
use crate::error::HarnessError;

/// Objects that are at least so large are deleted after a round.
const DELETED_BYTES_MIN: usize = 1024 * 1024;

/// Objects that a reading benchmark reads in turn: no more than 16 MiB of them, and at least one.
fn objects_read(bytes: usize) -> u32 {
    u32::try_from((16 * 1024 * 1024 / bytes).clamp(1, 64)).unwrap_or(1)
}

impl Calls {
    pub(super) fn put_object_calls(&self, size: usize) -> Plan {
        let bucket = self.name.clone();
        let ask = move |at: u32| Ask::Object(Method::PUT, path(&bucket, at), Bytes::from(content(at, size)));
        Plan::new(Service::S3, self.operations, ask)
    }

    pub(super) fn get_object_calls(&self, size: usize) -> Plan {
        let bucket = self.name.clone();
        let ask = move |at: u32| Ask::Object(Method::GET, path(&bucket, at % objects_read(size)), Bytes::new());
        Plan::new(Service::S3, self.operations, ask)
    }

    async fn bucket(&self) -> Result<aws_sdk_s3::Client, HarnessError> {
        let config = aws_sdk_s3::config::Builder::from(&self.endpoints.sdk_config(&self.endpoints.s3_url))
            .force_path_style(true)
            .retry_config(RetryConfig::disabled());
        let s3 = aws_sdk_s3::Client::from_conf(config.build());
        s3.create_bucket().bucket(&self.name).send().await.map_err(HarnessError::stage("create a bucket"))?;
        Ok(s3)
    }

    /// PutObject, each of a new key.
    pub(super) async fn put_objects(self, size: usize) -> Result<Reply, HarnessError> {
        let s3 = self.bucket().await?;
        let (_, figures) = self.make(self.put_object_calls(size), |_, answer| answer.success().map(drop)).await?;
        let (mut objects, mut bytes) = (0, 0);
        let mut pages = s3.list_objects_v2().bucket(&self.name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(HarnessError::stage("list the objects"))?;
            objects += page.contents().len();
            bytes += page.contents().iter().filter_map(aws_sdk_s3::types::Object::size).sum::<i64>();
        }
        // Large objects are not left to fill the disk. Small ones stay: a file system takes its time to give out again what
        // was just deleted, and the next round would pay for it.
        let deleted = if size < DELETED_BYTES_MIN { 0 } else { self.operations };
        for at in 0..deleted {
            let delete = s3.delete_object().bucket(&self.name).key(key(at)).send().await;
            delete.map_err(HarnessError::stage("delete an object"))?;
        }
        Ok(reply([("objects", objects as i64), ("bytes", bytes)], figures))
    }

    /// GetObject, of a few objects in turn; each answer is compared byte for byte.
    pub(super) async fn get_objects(self, size: usize) -> Result<Reply, HarnessError> {
        let s3 = self.bucket().await?;
        let objects: Vec<Vec<u8>> = (0..objects_read(size)).map(|at| content(at, size)).collect();
        for (at, object) in (0..).zip(&objects) {
            let body = ByteStream::from(object.clone());
            let put = s3.put_object().bucket(&self.name).key(key(at)).body(body).send().await;
            put.map_err(HarnessError::stage("put an object"))?;
        }
        // Compared at once, not kept: they may be large.
        let compare = move |at: u32, answer: Answer| {
            let body = answer.success()?.body;
            Ok((body.len() as i64, i64::from(body == objects[at as usize % objects.len()])))
        };
        let (compared, figures) = self.make(self.get_object_calls(size), compare).await?;
        let bytes = compared.iter().map(|(bytes, _)| bytes).sum();
        let equal = compared.iter().map(|(_, equal)| equal).sum();
        Ok(reply([("bytes", bytes), ("equal", equal)], figures))
    }
}

fn path(bucket: &str, at: u32) -> String {
    format!("/{bucket}/{}", key(at))
}
