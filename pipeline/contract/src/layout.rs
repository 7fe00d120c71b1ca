//! Names and keys: buckets, streams, tables, and where an object of each layer lies.
//!
//! ```text
//! dm-stage/raw/<table>/…                                                  what arrived
//! dm-stage/errors/<type>/…                                                what Firehose could not deliver
//! dm-datalake/bronze/<schema>/v1/<table>/object=<digest>/part-00000.parquet
//! dm-datalake/quarantine/<schema>/v1/<table>/object=<digest>/part-00000.parquet
//! dm-datalake/silver/<table>/{data,metadata}/…                            Iceberg
//! dm-datalake/gold/<table>/{data,metadata}/…                              Iceberg
//! ```
//!
//! Bronze keys follow from the raw object's identity alone, so a retry overwrites its own earlier attempt.

use sha2::{Digest, Sha256};

use crate::table::TableContract;

/// Bucket for what arrives.
pub const STAGE_BUCKET: &str = "dm-stage";
/// Bucket of bronze, quarantine, silver and gold.
pub const LAKE_BUCKET: &str = "dm-datalake";
/// Key prefix of raw objects in [`STAGE_BUCKET`].
pub const RAW_PREFIX: &str = "raw/";
/// Key prefix of Firehose's undeliverable records in [`STAGE_BUCKET`].
pub const ERROR_PREFIX: &str = "errors/";
/// Kinesis data stream between DMS and Firehose.
pub const KINESIS_STREAM: &str = "dm-kinesis-stream";
/// Firehose delivery stream.
pub const FIREHOSE_STREAM: &str = "dm-firehose-stream";
/// DynamoDB control table.
pub const CONTROL_TABLE: &str = "dm-processing-control";
/// Iceberg namespace of silver tables.
pub const SILVER: &str = "silver";
/// Iceberg namespace of gold tables.
pub const GOLD: &str = "gold";
/// Columns that silver adds to every table: when a row's life began, when it last changed, when it ended (NULL while it lives).
pub const SILVER_TIMES: [&str; 3] = ["created_at", "updated_at", "deleted_at"];
/// User-metadata key (`x-amz-meta-…`) of a raw object that carries a column mapping (TOML, base64).
pub const MAPPING_METADATA_KEY: &str = "lakebed-mapping";

/// The table a raw key belongs to: `raw/<table>/…` → `<table>`.
pub fn table_of_raw_key(key: &str) -> Option<&str> {
    let (table, rest) = key.strip_prefix(RAW_PREFIX)?.split_once('/')?;
    (!table.is_empty() && !rest.is_empty()).then_some(table)
}

/// Full-load generation named in a batch key (`raw/<table>/generation=<n>/…`); 1 when the key names none.
pub fn generation_of_raw_key(key: &str) -> u32 {
    key.split('/').find_map(|part| part.strip_prefix("generation=")?.parse().ok()).unwrap_or(1)
}

/// Identity of a raw object version: primary key of the control table. AWS quotes ETags; the quotes are not part of it.
pub fn control_key(bucket: &str, key: &str, etag: &str) -> String {
    format!("{bucket}#{key}#{}", etag.trim_matches('"'))
}

/// Short digest of a control key: names bronze folders and Step Functions executions.
pub fn object_digest(control_key: &str) -> String {
    let digest = Sha256::digest(control_key.as_bytes());
    digest[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bronze key of a raw object.
pub fn bronze_key(table: &TableContract, control_key: &str) -> String {
    format!(
        "bronze/{}/{}/{}/object={}/part-00000.parquet",
        table.schema,
        table.version_folder(),
        table.name,
        object_digest(control_key)
    )
}

/// Quarantine key of a raw object.
pub fn quarantine_key(table: &TableContract, control_key: &str) -> String {
    format!(
        "quarantine/{}/{}/{}/object={}/part-00000.parquet",
        table.schema,
        table.version_folder(),
        table.name,
        object_digest(control_key)
    )
}

/// Location of an Iceberg table.
pub fn iceberg_location(namespace: &str, table: &str) -> String {
    format!("s3://{LAKE_BUCKET}/{namespace}/{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_keys_name_table_and_generation() {
        assert_eq!(table_of_raw_key("raw/review/2026/x.gz"), Some("review"));
        for not_raw in ["raw/review", "raw//x.gz", "raw/review/", "errors/review/x.gz", "xraw/review/y"] {
            assert_eq!(table_of_raw_key(not_raw), None, "{not_raw}");
        }
        assert_eq!(generation_of_raw_key("raw/review/generation=3/a.csv.gz"), 3);
        assert_eq!(generation_of_raw_key("raw/review/a.csv.gz"), 1);
    }

    #[test]
    fn control_keys_ignore_the_quotes_of_an_etag() {
        assert_eq!(control_key("b", "k", "\"e\""), control_key("b", "k", "e"));
        assert_ne!(object_digest("b#k#e"), object_digest("b#k#f"));
        assert_eq!(object_digest("b#k#e").len(), 24);
    }
}
