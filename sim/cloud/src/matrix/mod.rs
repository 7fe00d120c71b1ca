//! The compatibility matrix: which operations of AWS are served, and how far.
//!
//! [`OPERATIONS`] is the source. [`readme`] renders the crate's README from it; tests compare the file with that text
//! and ask a running store for every operation, so neither can drift. Knows nothing of how an operation is done.

mod table;

use std::fmt::Write as _;

pub use table::OPERATIONS;

/// An AWS service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3.
    S3,
    /// Amazon DynamoDB.
    DynamoDb,
    /// Amazon DynamoDB Streams.
    DynamoDbStreams,
    /// Amazon Kinesis Data Streams.
    Kinesis,
    /// Amazon Comprehend.
    Comprehend,
    /// AWS Key Management Service.
    Kms,
}

impl Service {
    /// In the order of the README.
    pub const ALL: [Self; 6] =
        [Self::S3, Self::DynamoDb, Self::DynamoDbStreams, Self::Kinesis, Self::Comprehend, Self::Kms];

    /// The service and the operation that an `X-Amz-Target` names; a target without a dot names no operation.
    pub(crate) fn of_target(target: &str) -> Option<(Self, &str)> {
        let (service, operation) = target.split_once('.').unwrap_or((target, ""));
        let service = match service {
            "DynamoDB_20120810" => Self::DynamoDb,
            "DynamoDBStreams_20120810" => Self::DynamoDbStreams,
            "Kinesis_20131202" => Self::Kinesis,
            "Comprehend_20171127" => Self::Comprehend,
            "TrentService" => Self::Kms,
            _ => return None,
        };
        Some((service, operation))
    }

    /// Its name for a reader.
    pub fn title(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::DynamoDb => "DynamoDB",
            Self::DynamoDbStreams => "DynamoDB Streams",
            Self::Kinesis => "Kinesis Data Streams",
            Self::Comprehend => "Comprehend",
            Self::Kms => "KMS",
        }
    }

    /// The error code a refused operation is answered with.
    pub fn refusal(self) -> &'static str {
        match self {
            Self::S3 => "NotImplemented",
            Self::DynamoDb | Self::DynamoDbStreams | Self::Kinesis | Self::Comprehend | Self::Kms => {
                "UnknownOperationException"
            }
        }
    }
}

/// How far an operation is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As AWS documents it.
    Full,
    /// All but this. What is missing is refused when a request asks for it, unless the text says otherwise.
    Partial(&'static str),
    /// Not at all.
    Refused,
}

/// One operation of a service's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Whose.
    pub service: Service,
    /// As the model names it.
    pub name: &'static str,
    /// How far.
    pub support: Support,
}

const INTRODUCTION: &str = "\
# lakebed-cloud

S3, DynamoDB with Streams, Kinesis Data Streams, Comprehend's detection of personal data, the symmetric keys of KMS and an
Iceberg REST catalog on one port of this machine. Any AWS client works with it: give it the endpoint and any key; S3 buckets in the path, or in a host below `localhost`.
`lakebed up --stores-only` runs them; `lakebed up --help` tells of signatures, limits, durability and notifications.

Server-side encryption is spoken, not done: what a request or a bucket asks for (`AES256`, `aws:kms`, `aws:kms:dsse`) is
kept and given back, but objects lie on the disk as they came and KMS is not asked.

KMS encrypts in earnest, and protects nothing against whoever reads the state directory: its keys lie there in clear
(`kms/keys.json`, readable by its owner only). It is for trying the path that a program takes with AWS's.

What AWS documents is what happens here; what is not done is refused by name. Each operation of the services' models is
full, partial or refused; the last column says what a partial one lacks, and what it keeps or ignores without effect.
A test renders this page from `src/matrix/` and compares, another asks a running store for each operation.
";

/// The text of the crate's README.
pub fn readme() -> String {
    let mut text = INTRODUCTION.to_owned();
    for service in Service::ALL {
        section(&mut text, service).expect("writing to a string does not fail");
    }
    text
}

fn section(text: &mut String, service: Service) -> std::fmt::Result {
    let of_service: Vec<&Operation> = OPERATIONS.iter().filter(|operation| operation.service == service).collect();
    let (mut full, mut rows, mut refused) = (0, String::new(), Vec::new());
    for operation in &of_service {
        match operation.support {
            Support::Full => {
                full += 1;
                writeln!(rows, "| {} | full | |", operation.name)?;
            }
            Support::Partial(missing) => writeln!(rows, "| {} | partial | {missing} |", operation.name)?,
            Support::Refused => refused.push(operation.name),
        }
    }
    let (all, partial) = (of_service.len(), of_service.len() - full - refused.len());
    writeln!(text, "\n## {}\n", service.title())?;
    writeln!(text, "{all} operations: {full} full, {partial} partial, {} refused.\n", refused.len())?;
    writeln!(text, "| operation | support | what is missing |\n| --- | --- | --- |")?;
    text.push_str(&rows);
    if !refused.is_empty() {
        writeln!(text, "\nRefused with `{}`: {}.", service.refusal(), refused.join(", "))?;
    }
    Ok(())
}
