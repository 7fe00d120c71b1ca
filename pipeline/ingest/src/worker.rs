//! What the handlers share: the clients, the payload they pass around, and how a raw object is opened.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use lakebed_contract::{TableContract, layout};
use serde::Deserialize;
use serde_json::Value;

use crate::IngestContext;
use crate::control::ControlTable;
use crate::engine::{CsvFormat, Format};
use crate::error::{IngestError, with_sources};
use crate::mapping::Mapping;

/// Context and clients.
pub(crate) struct Worker {
    pub(crate) context: std::sync::Arc<IngestContext>,
    pub(crate) control: ControlTable,
    s3: aws_sdk_s3::Client,
}

/// The dispatcher's input: which version of which object.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ObjectInput {
    pub(crate) pk: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) etag: String,
    pub(crate) table: String,
}

impl ObjectInput {
    pub(crate) fn read(handler: &'static str, payload: Value) -> Result<Self, IngestError> {
        // The parser's words may quote the payload; they are not passed on.
        serde_json::from_value(payload).map_err(|_| IngestError::Payload {
            handler,
            reason: "expected an object with the texts pk, bucket, key, etag and table".to_owned(),
        })
    }
}

/// An object that can be read.
pub(crate) struct OpenObject {
    pub(crate) body: ByteStream,
    pub(crate) length: Option<u64>,
    /// Microseconds since the epoch.
    pub(crate) last_modified: i64,
    mapping: Option<String>,
}

/// What can never be read, and why; the reason goes into the control record.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl Worker {
    pub(crate) fn new(context: std::sync::Arc<IngestContext>) -> Self {
        let sdk_config = context.endpoints.sdk_config(&context.endpoints.s3_url);
        let s3 = aws_sdk_s3::config::Builder::from(&sdk_config);
        let s3 = s3.force_path_style(context.endpoints.s3_path_style).build();
        Self {
            control: ControlTable::new(&context.endpoints, context.clock.clone()),
            s3: aws_sdk_s3::Client::from_conf(s3),
            context,
        }
    }

    /// The contract of a table.
    pub(crate) fn table(&self, name: &str) -> Result<&TableContract, Refusal> {
        let known = self.context.lake.table(name);
        known.ok_or_else(|| Refusal(format!("lake `{}` has no table `{name}`", self.context.lake.name)))
    }

    /// Opens the version of the object that the control record is about.
    pub(crate) async fn open(&self, input: &ObjectInput) -> Result<Result<OpenObject, Refusal>, IngestError> {
        let got = self.s3.get_object().bucket(&input.bucket).key(&input.key).send().await;
        let object = match got {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                return Ok(Err(Refusal("the object is gone".to_owned())));
            }
            Err(error) => return Err(store_failure("read", &input.bucket, &input.key, Box::new(error))),
        };
        let found = object.e_tag().unwrap_or_default().trim_matches('"');
        if found != input.etag.trim_matches('"') {
            return Ok(Err(Refusal("the object was replaced before this version of it could be read".to_owned())));
        }
        let mapping = object.metadata().and_then(|metadata| metadata.get(layout::MAPPING_METADATA_KEY)).cloned();
        let last_modified =
            object.last_modified().map_or(0, |at| at.secs() * 1_000_000 + i64::from(at.subsec_nanos()) / 1_000);
        let length = object.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(Ok(OpenObject { body: object.body, length, last_modified, mapping }))
    }

    /// Puts a spooled file.
    pub(crate) async fn put(&self, key: &str, file: &Path) -> Result<(), IngestError> {
        let failed = |error| store_failure("write", layout::LAKE_BUCKET, key, error);
        let body = ByteStream::from_path(file).await.map_err(|error| failed(Box::new(error)))?;
        let put = self.s3.put_object().bucket(layout::LAKE_BUCKET).key(key).body(body).send().await;
        put.map(drop).map_err(|error| failed(Box::new(error)))
    }
}

impl OpenObject {
    /// How the records of this object are written, from its key and its metadata.
    pub(crate) fn format(&self, key: &str, table: &TableContract) -> Result<Format, Refusal> {
        let refused = |error| Refusal(with_sources(&error));
        match (&self.mapping, Format::is_csv_key(key)) {
            (None, false) => Ok(Format::Json),
            (None, true) => Ok(Format::Csv(CsvFormat::default())),
            (Some(value), true) => {
                let mapping = Mapping::from_metadata(value).map_err(refused)?;
                Ok(Format::Csv(mapping.csv_format(table).map_err(refused)?))
            }
            (Some(_), false) => Err(Refusal("the object has a column mapping, but is no CSV by its key".to_owned())),
        }
    }
}

fn store_failure(
    action: &'static str,
    bucket: &str,
    key: &str,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> IngestError {
    IngestError::Store { action, key: format!("{bucket}/{key}"), source }
}
