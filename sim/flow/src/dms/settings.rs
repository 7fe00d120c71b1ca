//! Endpoint and task settings of a DMS task with a Kinesis target, by the names AWS gives them, and two profiles.
//!
//! [`DmsSettings::aws_default`] is what AWS does when nobody sets anything, warts included: pretty-printed JSON, NULLs and
//! empty strings dropped, big integers in scientific notation, no ordering position. [`DmsSettings::lakebed_recommended`] is
//! what a lake needs. Settings that could not have an effect here (KMS, compression, parallel apply) do not exist.
//! Source: DMS API reference, `KinesisSettings`; DMS user guide, "before image task settings".

/// `MessageFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// `JSON`: indented, several lines a record.
    Json,
    /// `JSON_UNFORMATTED`: one line a record.
    JsonUnformatted,
}

/// `BeforeImageSettings.ColumnFilter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeImageFilter {
    /// `pk-only`.
    PkOnly,
    /// `non-lob`.
    NonLob,
    /// `all`.
    All,
}

/// What a record looks like. Every `bool` is the AWS setting of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmsSettings {
    /// `MessageFormat`.
    pub message_format: MessageFormat,
    /// `IncludeTransactionDetails`: transaction members, commit timestamp, stream position.
    pub include_transaction_details: bool,
    /// `IncludePartitionValue`: shown for control records; the type `schema-table` never shows one.
    pub include_partition_value: bool,
    /// `IncludeTableAlterOperations`: control records for added, dropped and retyped columns.
    pub include_table_alter_operations: bool,
    /// `IncludeControlDetails`: table definitions in control records.
    pub include_control_details: bool,
    /// `IncludeNullAndEmpty`: NULL as `null` and empty strings as `""`; otherwise both are absent.
    pub include_null_and_empty: bool,
    /// `NoHexPrefix`: bytea without `0x`.
    pub no_hex_prefix: bool,
    /// `UseLargeIntegerValue`: integers with all their digits; otherwise more than 16 digits become `1.2E+17`.
    pub use_large_integer_value: bool,
    /// `MapBooleanAsBoolean` of the Postgres source: `true`; otherwise `"true"`.
    pub map_boolean_as_boolean: bool,
    /// `BeforeImageSettings`, with the field name `before-image`; `None` = not enabled.
    pub before_image: Option<BeforeImageFilter>,
    /// Extension: `load-generation` in every record. DMS has no such member.
    pub load_generation: bool,
}

impl DmsSettings {
    /// Nothing set: the defaults of AWS.
    pub fn aws_default() -> Self {
        Self {
            message_format: MessageFormat::Json,
            include_transaction_details: false,
            include_partition_value: false,
            include_table_alter_operations: false,
            include_control_details: false,
            include_null_and_empty: false,
            no_hex_prefix: false,
            use_large_integer_value: false,
            map_boolean_as_boolean: false,
            before_image: None,
            load_generation: false,
        }
    }

    /// What a lake that must equal its source needs.
    pub fn lakebed_recommended() -> Self {
        Self {
            message_format: MessageFormat::JsonUnformatted,
            include_transaction_details: true,
            include_partition_value: true,
            include_table_alter_operations: true,
            include_control_details: true,
            include_null_and_empty: true,
            no_hex_prefix: false,
            use_large_integer_value: true,
            map_boolean_as_boolean: true,
            before_image: Some(BeforeImageFilter::PkOnly),
            load_generation: true,
        }
    }
}

impl Default for DmsSettings {
    /// [`DmsSettings::lakebed_recommended`].
    fn default() -> Self {
        Self::lakebed_recommended()
    }
}
