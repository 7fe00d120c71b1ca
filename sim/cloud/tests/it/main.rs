//! The stores through the real AWS SDK: one module per store, one helper that starts a cloud on a free port.

mod auth;
mod catalog;
mod comprehend;
mod durability;
mod dynamodb;
mod dynamodb_batches;
mod dynamodb_expressions;
mod dynamodb_items;
mod dynamodb_lifecycle;
mod dynamodb_query;
mod dynamodb_streams;
mod dynamodb_tables;
mod dynamodb_transactions;
mod dynamodb_ttl;
mod dynamodb_unchanged;
mod faults;
mod front;
mod fuzz;
mod kinesis;
mod kinesis_cbor;
mod kinesis_consumers;
mod kinesis_modes;
mod kinesis_reshard;
mod kinesis_streams;
mod kms;
mod limits;
mod matrix;
mod model;
mod s3;
mod s3_buckets;
mod s3_checksums;
mod s3_concurrency;
mod s3_encryption;
mod s3_errors;
mod s3_host;
mod s3_lifecycle;
mod s3_multipart;
mod s3_notifications;
mod s3_notify_url;
mod s3_small;
mod s3_tagging;
mod s3_versioning;
mod server;
mod validation;
mod wire;

use std::path::Path;

use lakebed_cloud::{Cloud, CloudConfig, Limits};
use lakebed_contract::{Clock, Endpoints, Seed, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc;

/// A running cloud and its clients.
struct Running {
    cloud: Cloud,
    clock: Clock,
    s3: aws_sdk_s3::Client,
    kinesis: aws_sdk_kinesis::Client,
    dynamodb: aws_sdk_dynamodb::Client,
}

impl Running {
    /// Starts a cloud on `state_dir` with a clock that stands still.
    async fn start(state_dir: &Path) -> Self {
        Self::start_with(state_dir, Clock::virtual_at(Timestamp::from_seconds(1_700_000_000)), None).await
    }

    async fn start_with(state_dir: &Path, clock: Clock, notifications: Option<mpsc::Sender<Value>>) -> Self {
        Self::start_as(config(state_dir, 0, clock, notifications)).await
    }

    /// As [`Running::start`], with the limits of AWS.
    async fn start_limited(state_dir: &Path) -> Self {
        let mut config = config(state_dir, 0, Clock::virtual_at(Timestamp::from_seconds(1_700_000_000)), None);
        config.limits = Limits::Aws;
        Self::start_as(config).await
    }

    /// Starts what `config` says; the clients sign with the usual key.
    async fn start_as(config: CloudConfig) -> Self {
        let clock = config.clock.clone();
        let cloud = Cloud::start(config).await.expect("the cloud starts");
        let endpoints = Endpoints::embedded(cloud.port());
        let s3 = aws_sdk_s3::config::Builder::from(&endpoints.sdk_config(&endpoints.s3_url)).force_path_style(true);
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            kinesis: aws_sdk_kinesis::Client::new(&endpoints.sdk_config(&endpoints.kinesis_url)),
            dynamodb: aws_sdk_dynamodb::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url)),
            cloud,
            clock,
        }
    }

    async fn stop(self) {
        self.cloud.shutdown().await.expect("the cloud stops");
    }
}

fn config(state_dir: &Path, port: u16, clock: Clock, notifications: Option<mpsc::Sender<Value>>) -> CloudConfig {
    let mut config = CloudConfig::new(state_dir, clock, Seed(7));
    config.port = port;
    config.notifications = notifications;
    config
}

/// The AWS error code of a failed call.
fn code<T, E, R>(result: Result<T, aws_sdk_s3::error::SdkError<E, R>>) -> String
where
    E: aws_sdk_s3::error::ProvideErrorMetadata,
{
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.as_service_error().and_then(|error| error.code()).unwrap_or("no code").to_owned(),
    }
}

/// Code and message of a failed call.
fn refusal<T, E, R>(result: Result<T, aws_sdk_s3::error::SdkError<E, R>>) -> (String, String)
where
    E: aws_sdk_s3::error::ProvideErrorMetadata,
{
    match result {
        Ok(_) => ("accepted".to_owned(), String::new()),
        Err(error) => {
            let error = error.as_service_error().expect("an answer of the service");
            (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
        }
    }
}
