//! Column mappings: how a CSV file with its own header, encoding and habits fills the tables of a lake.
//!
//! TOML, carried base64-encoded in the object's user metadata ([`layout::MAPPING_METADATA_KEY`]), so the object explains itself:
//!
//! ```toml
//! [source]
//! encoding = "latin1"      # utf-8 (default), latin1, windows-1252, utf-16, utf-16le, utf-16be
//! delimiter = ","          # default
//! header = true            # default; false: columns are named "1", "2", …
//! null = "NA"              # an unquoted text that means NULL, beside the empty one
//!
//! [tables.review.columns]
//! beer_id = { column = "beer_beerid" }
//! profile_id = { column = "review_profilename", transform = "hash63" }
//! review_time = { column = "review_time", transform = "epoch_seconds" }
//! source = { constant = "beeradvocate" }
//! ```
//!
//! Columns a table section leaves out are NULL. Checked against the contracts before a row is read; knows no object and no row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lakebed_contract::{Column, ColumnType, Lake, TableContract, layout};
use serde::Deserialize;

use crate::engine::{ColumnSource, CsvFormat, Encoding, FieldTransform, Value};

/// S3's limit on the user metadata of an object, names and values together.
pub const METADATA_BYTES_MAX: usize = 2_048;

/// A mapping that has been read, but not yet held against a lake.
#[derive(Clone, Debug)]
pub struct Mapping {
    format: CsvFormat,
    tables: BTreeMap<String, BTreeMap<String, ColumnSource>>,
}

/// What is wrong with a mapping.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The metadata value is not base64 of UTF-8 text.
    #[error("failed to decode the mapping: expected base64 of UTF-8 TOML")]
    Encoding,
    /// Not TOML, or not of the mapping's shape.
    #[error("failed to parse the mapping")]
    Syntax(#[source] Box<toml::de::Error>),
    /// Well-formed, but not something that can be done.
    #[error("failed to accept the mapping: {reason}")]
    Invalid {
        /// What, and what is allowed.
        reason: String,
    },
}

fn invalid<T>(reason: impl Into<String>) -> Result<T, MappingError> {
    Err(MappingError::Invalid { reason: reason.into() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    #[serde(default)]
    source: SourceSection,
    tables: BTreeMap<String, TableSection>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SourceSection {
    encoding: Option<String>,
    delimiter: Option<String>,
    header: Option<bool>,
    null: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableSection {
    columns: BTreeMap<String, ColumnEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnEntry {
    column: Option<String>,
    transform: Option<String>,
    constant: Option<String>,
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// Not TOML of the shape above, an unknown encoding or transform, or a column with no source or two.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let file: MappingFile = toml::from_str(text).map_err(|error| MappingError::Syntax(Box::new(error)))?;
        let mut tables = BTreeMap::new();
        for (table, section) in file.tables {
            let mut columns = BTreeMap::new();
            for (name, entry) in section.columns {
                let source = column_source(&format!("{table}.{name}"), entry)?;
                columns.insert(name, source);
            }
            tables.insert(table, columns);
        }
        Ok(Self { format: csv_format(file.source)?, tables })
    }

    /// Reads the value of the object metadata [`layout::MAPPING_METADATA_KEY`].
    ///
    /// # Errors
    /// As [`Mapping::parse`], and a value that is not base64.
    pub fn from_metadata(value: &str) -> Result<Self, MappingError> {
        let bytes = BASE64_STANDARD.decode(value.trim()).map_err(|_| MappingError::Encoding)?;
        Self::parse(std::str::from_utf8(&bytes).map_err(|_| MappingError::Encoding)?)
    }

    /// The metadata value that carries a mapping's text.
    ///
    /// # Errors
    /// A text that does not fit into the metadata of an object.
    pub fn to_metadata(text: &str) -> Result<String, MappingError> {
        let value = BASE64_STANDARD.encode(text);
        let bytes = value.len() + layout::MAPPING_METADATA_KEY.len();
        if bytes > METADATA_BYTES_MAX {
            return invalid(format!("it takes {bytes} bytes of object metadata, S3 allows {METADATA_BYTES_MAX}"));
        }
        Ok(value)
    }

    /// Tables the mapping fills.
    pub fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Columns of the file that the mapping reads, some perhaps several times.
    pub fn source_columns(&self) -> impl Iterator<Item = &str> {
        self.tables.values().flat_map(BTreeMap::values).filter_map(|source| match source {
            ColumnSource::Column { name, .. } => Some(name.as_str()),
            ColumnSource::Constant(_) => None,
        })
    }

    /// Holds every table section against the contracts of a lake.
    ///
    /// # Errors
    /// A table or column the lake does not have, a required column without source, or a transform or constant that does
    /// not make a value of its column's type.
    pub fn check(&self, lake: &Lake) -> Result<(), MappingError> {
        for name in self.table_names() {
            let Some(table) = lake.table(name) else {
                return invalid(format!("lake `{}` has no table `{name}`", lake.name));
            };
            self.csv_format(table)?;
        }
        Ok(())
    }

    /// How an object under this mapping fills one table.
    ///
    /// # Errors
    /// As [`Mapping::check`], for this table; also when the mapping does not fill it.
    pub fn csv_format(&self, table: &TableContract) -> Result<CsvFormat, MappingError> {
        let Some(columns) = self.tables.get(&table.name) else {
            return invalid(format!("it has no section `[tables.{}.columns]`", table.name));
        };
        if let Some(unknown) = columns.keys().find(|name| table.column(name).is_none()) {
            return invalid(format!("table `{}` has no column `{unknown}`", table.name));
        }
        for column in &table.columns {
            match columns.get(&column.name) {
                Some(source) => check_source(&table.name, column, source)?,
                None if column.nullable => {}
                None => return invalid(format!("required column `{}.{}` has no source", table.name, column.name)),
            }
        }
        Ok(CsvFormat { columns: Some(columns.clone()), ..self.format.clone() })
    }
}

fn csv_format(section: SourceSection) -> Result<CsvFormat, MappingError> {
    let default = CsvFormat::default();
    let encoding = match section.encoding {
        None => default.encoding,
        Some(name) => match Encoding::parse(&name) {
            Some(encoding) => encoding,
            None => return invalid(format!("encoding `{name}` is unknown; known: {}", Encoding::NAMES)),
        },
    };
    let delimiter = match section.delimiter.as_deref().map(str::as_bytes) {
        None => default.delimiter,
        Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => byte,
        Some(_) => return invalid("`delimiter` must be one ASCII character other than a quote or a line end"),
    };
    Ok(CsvFormat { encoding, delimiter, header: section.header.unwrap_or(true), null: section.null, columns: None })
}

fn column_source(column: &str, entry: ColumnEntry) -> Result<ColumnSource, MappingError> {
    let transform = match entry.transform.as_deref() {
        None => None,
        Some("epoch_seconds") => Some(FieldTransform::EpochSeconds),
        Some("hash63") => Some(FieldTransform::Hash63),
        Some(other) => {
            return invalid(format!("`{column}` has transform `{other}`; known: epoch_seconds, hash63"));
        }
    };
    match (entry.column, entry.constant) {
        (Some(name), None) => Ok(ColumnSource::Column { name, transform }),
        (None, Some(text)) if transform.is_none() => Ok(ColumnSource::Constant(text)),
        _ => invalid(format!("`{column}` needs either `column`, with or without `transform`, or `constant`")),
    }
}

fn check_source(table: &str, column: &Column, source: &ColumnSource) -> Result<(), MappingError> {
    let (fits, what) = match source {
        ColumnSource::Column { transform: None, .. } => (true, ""),
        ColumnSource::Column { transform: Some(FieldTransform::EpochSeconds), .. } => {
            (column.column_type == ColumnType::Timestamptz, "transform `epoch_seconds` makes a timestamptz")
        }
        ColumnSource::Column { transform: Some(FieldTransform::Hash63), .. } => {
            (column.column_type == ColumnType::Bigint, "transform `hash63` makes a bigint")
        }
        ColumnSource::Constant(text) => {
            (Value::parse(Cow::Borrowed(text), column.column_type).is_some(), "its constant is no value of that type")
        }
    };
    if fits { Ok(()) } else { invalid(format!("`{table}.{}` is a {}, but {what}", column.name, column.column_type)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEERADVOCATE: &str = include_str!("../../beer/mappings/beeradvocate.toml");

    fn refusal(text: &str) -> String {
        let refused = Mapping::parse(text).and_then(|mapping| mapping.check(&Lake::beer()));
        let error = refused.expect_err("must be refused");
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error} {source}")
    }

    #[test]
    fn the_shipped_mapping_fills_all_tables_and_fits_into_metadata() {
        let mapping = Mapping::parse(BEERADVOCATE).expect("valid");
        mapping.check(&Lake::beer()).expect("fits the beer lake");
        assert_eq!(mapping.table_names().collect::<Vec<_>>(), ["beer", "brewery", "profile", "review"]);
        assert!(mapping.source_columns().any(|column| column.is_empty()), "the first column has an empty name");
        let value = Mapping::to_metadata(BEERADVOCATE).expect("fits");
        assert_eq!(Mapping::from_metadata(&value).expect("own form").table_names().count(), 4);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let brewery = |columns: &str| refusal(&format!("[tables.brewery.columns]\n{columns}\n"));
        assert!(brewery("brewery_id = {column = 'id'}").contains("`brewery.brewery_name` has no source"));
        assert!(brewery("nope = {column = 'id'}").contains("no column `nope`"));
        let rest = "brewery_name = {column = 'name'}\nbrewery_id =";
        assert!(
            brewery(&format!("{rest} {{column = 'id', transform = 'epoch_seconds'}}")).contains("makes a timestamptz")
        );
        assert!(brewery(&format!("{rest} {{column = 'id', transform = 'md5'}}")).contains("`md5`"));
        assert!(brewery(&format!("{rest} {{constant = 'x'}}")).contains("no value of that type"));
        assert!(brewery(&format!("{rest} {{}}")).contains("either `column`"));
        assert!(brewery(&format!("{rest} {{column = 'id', constant = '1'}}")).contains("either `column`"));
        assert!(brewery(&format!("{rest} {{columm = 'id'}}")).contains("columm"));
        assert!(refusal("[tables.wine.columns]\n").contains("no table `wine`"));
        assert!(refusal("[source]\nencoding = 'utf-32'\n[tables]\n").contains("`utf-32`"));
        assert!(refusal("[source]\ndelimiter = '||'\n[tables]\n").contains("`delimiter`"));
    }

    #[test]
    fn metadata_that_is_no_mapping_is_refused() {
        assert!(matches!(Mapping::from_metadata("%%%"), Err(MappingError::Encoding)));
        assert!(matches!(Mapping::from_metadata("/w=="), Err(MappingError::Encoding)));
        assert!(Mapping::to_metadata(&"#".repeat(METADATA_BYTES_MAX)).is_err());
    }
}
