//! The S3 client of the services that list and read: addressed as the endpoints say, with the SDK's own retries.
//!
//! Firehose has one of its own, because it counts its attempts itself.

use lakebed_contract::Endpoints;

/// An S3 client for the stores.
pub fn s3_client(endpoints: &Endpoints) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&endpoints.sdk_config(&endpoints.s3_url));
    aws_sdk_s3::Client::from_conf(config.force_path_style(endpoints.s3_path_style).build())
}
