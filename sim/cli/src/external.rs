//! Where `--backend external` goes, and where KMS is for mask keys: the standard AWS environment variables and profiles, and
//! `DATABASE_URL`.
//!
//! Promises: the AWS SDK's own rules and precedence (`AWS_ENDPOINT_URL_S3` before `AWS_ENDPOINT_URL`, environment before
//! profile), with one addition: DynamoDB Streams follows DynamoDB unless it has an address of its own. Asks no instance
//! metadata service. Credentials are read once: temporary ones must outlive the run.

use aws_config::BehaviorVersion;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_credential_types::provider::ProvideCredentials;
use aws_types::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use lakebed_contract::Secret;
use lakebed_harness::backend::external::postgres_endpoint;
use lakebed_harness::backend::{ExternalConfig, ExternalStores};

use crate::environment::Environment;
use crate::exit::InputError;

/// Region of a store elsewhere when nobody names one; emulators take any.
const REGION_DEFAULT: &str = "us-east-1";

/// Stores and source; nothing is contacted yet.
pub(crate) fn config(environment: &Environment) -> anyhow::Result<ExternalConfig> {
    let Some(database_url) = &environment.database_url else {
        return Err(InputError::because(
            "failed to start backend `external`: DATABASE_URL is not set",
            "export DATABASE_URL=postgres://USER:PASSWORD@HOST:PORT/DATABASE; the role needs REPLICATION",
        ));
    };
    Ok(ExternalConfig { postgres: postgres_endpoint(database_url)?, stores: stores()? })
}

/// The AWS side alone.
pub(crate) fn stores() -> anyhow::Result<ExternalStores> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sdk, credentials) = runtime.block_on(async {
        let credentials =
            CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("Profile", ProfileFileCredentialsProvider::builder().build());
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(REGION_DEFAULT);
        let loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
        let sdk = loader.no_credentials().load().await;
        (sdk, credentials.provide_credentials().await)
    });
    let credentials = credentials.map_err(|error| {
        InputError::because(
            format!("failed to find AWS credentials: {:#}", anyhow::Error::new(error)),
            "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (an emulator takes any), or name a profile in AWS_PROFILE",
        )
    })?;
    let dynamodb_url = endpoint_url(&sdk, "DynamoDB");
    Ok(ExternalStores {
        region: sdk.region().map_or(REGION_DEFAULT, |region| region.as_ref()).to_owned(),
        s3_url: endpoint_url(&sdk, "S3"),
        dynamodb_streams_url: endpoint_url(&sdk, "DynamoDB Streams").or_else(|| dynamodb_url.clone()),
        dynamodb_url,
        kinesis_url: endpoint_url(&sdk, "Kinesis"),
        kms_url: endpoint_url(&sdk, "KMS"),
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: Secret::new(credentials.secret_access_key().to_owned()),
        session_token: credentials.session_token().map(|token| Secret::new(token.to_owned())),
    })
}

/// What the environment or the profile says of one service; nothing means AWS's own endpoint.
fn endpoint_url(sdk: &SdkConfig, service_id: &str) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id(service_id).profile("endpoint_url").env("AWS_ENDPOINT_URL").build();
    let found = sdk.service_config()?.load_config(key.ok()?);
    found.map(|url| url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty())
}
