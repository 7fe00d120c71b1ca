//! Reading Iceberg tables through the REST catalog with the `iceberg` crate.
//!
//! The tables are read as any other engine would read them; no DuckDB, nothing of `lakebed-warehouse`. Damaged tables are told from
//! stores that do not answer: the first is a finding about the lake, the second an error of the run. Columns must have exactly the
//! Arrow type of their contract type before a value is taken from them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use futures::TryStreamExt;
use iceberg::table::Table;
use iceberg::{Catalog, CatalogBuilder, ErrorKind, TableIdent};
use iceberg_catalog_rest::{REST_CATALOG_PROP_URI, RestCatalog, RestCatalogBuilder};
use iceberg_storage_opendal::OpenDalStorageFactory;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::table::ColumnType;

use super::cell::Cell;
use super::error::JudgeError;
use super::source::SourceColumn;

/// The lake's tables as the REST catalog serves them.
pub(crate) struct Lakehouse {
    catalog: RestCatalog,
}

impl Lakehouse {
    pub(crate) async fn open(endpoints: &Endpoints) -> Result<Self, JudgeError> {
        let mut properties = HashMap::from([
            (REST_CATALOG_PROP_URI.to_owned(), endpoints.catalog_url.clone()),
            (iceberg::io::S3_ENDPOINT.to_owned(), endpoints.s3_url.clone()),
            (iceberg::io::S3_REGION.to_owned(), endpoints.region.clone()),
            (iceberg::io::S3_ACCESS_KEY_ID.to_owned(), endpoints.access_key_id.clone()),
            (iceberg::io::S3_SECRET_ACCESS_KEY.to_owned(), endpoints.secret_access_key.expose().clone()),
            (iceberg::io::S3_PATH_STYLE_ACCESS.to_owned(), endpoints.s3_path_style.to_string()),
        ]);
        if let Some(token) = &endpoints.session_token {
            properties.insert(iceberg::io::S3_SESSION_TOKEN.to_owned(), token.expose().clone());
        }
        if let Some(token) = &endpoints.catalog_token {
            properties.insert("token".to_owned(), token.expose().clone());
        }
        let catalog = RestCatalogBuilder::default()
            .with_storage_factory(Arc::new(OpenDalStorageFactory::S3 { customized_credential_load: None }))
            .load("lakebed-judge", properties)
            .await
            .map_err(JudgeError::iceberg("catalog"))?;
        Ok(Self { catalog })
    }

    /// A table; `None` when the catalog has none of that name.
    pub(crate) async fn table(&self, namespace: &str, name: &str) -> Result<Option<Table>, JudgeError> {
        let what = format!("{namespace}.{name}");
        let identifier = TableIdent::from_strs([namespace, name]).map_err(JudgeError::iceberg(&what))?;
        match self.catalog.load_table(&identifier).await {
            Ok(table) => Ok(Some(table)),
            Err(error) if matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::NamespaceNotFound) => Ok(None),
            Err(error) => Err(JudgeError::iceberg(what)(error)),
        }
    }
}

/// Streams `columns` of the current snapshot. The inner error says what is wrong with the table itself.
pub(super) async fn scan(
    table: &Table,
    columns: &[String],
    each: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<Result<(), String>, JudgeError> {
    scan_at(table, None, columns, each).await
}

/// [`scan`] of the snapshot with this id; `None` is the current one.
pub(super) async fn scan_at(
    table: &Table,
    snapshot: Option<i64>,
    columns: &[String],
    mut each: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<Result<(), String>, JudgeError> {
    let schema = table.metadata().current_schema();
    let absent: Vec<_> =
        columns.iter().filter(|name| schema.field_by_name(name).is_none()).map(String::as_str).collect();
    if !absent.is_empty() {
        return Ok(Err(format!("has no column {}", absent.join(", "))));
    }
    let what = table.identifier().to_string();
    let scan = match snapshot {
        Some(id) => table.scan().snapshot_id(id),
        None => table.scan(),
    };
    let stream = async { scan.select(columns).build()?.to_arrow().await }.await;
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return unreadable(&what, error),
    };
    loop {
        match stream.try_next().await {
            Ok(Some(batch)) => {
                if let Err(reason) = each(&batch) {
                    return Ok(Err(reason));
                }
            }
            Ok(None) => return Ok(Ok(())),
            Err(error) => return unreadable(&what, error),
        }
    }
}

/// Damaged data is a finding; everything else (a store that does not answer) is an error.
pub(super) fn unreadable<T>(what: &str, error: iceberg::Error) -> Result<Result<T, String>, JudgeError> {
    match error.kind() {
        ErrorKind::DataInvalid | ErrorKind::FeatureUnsupported => Ok(Err(format!("is unreadable ({})", error.kind()))),
        _ => Err(JudgeError::iceberg(what)(error)),
    }
}

/// An Arrow column that is known to have the Arrow type of a contract type.
pub(super) struct Typed {
    array: ArrayRef,
    column_type: ColumnType,
}

impl Typed {
    /// Checks the type; constants that Iceberg encodes as runs or dictionaries are unfolded first.
    pub(super) fn new(array: &ArrayRef, column_type: ColumnType, name: &str) -> Result<Self, String> {
        let plain = match array.data_type() {
            DataType::RunEndEncoded(_, values) => cast(array, values.data_type()),
            DataType::Dictionary(_, values) => cast(array, values),
            DataType::LargeUtf8 | DataType::Utf8View => cast(array, &DataType::Utf8),
            _ => Ok(Arc::clone(array)),
        };
        let array = plain.map_err(|_| format!("column {name} has undecodable type {}", array.data_type()))?;
        if !is_arrow_type_of(array.data_type(), column_type) {
            return Err(format!("column {name} has type {}, not that of {column_type}", array.data_type()));
        }
        Ok(Self { array, column_type })
    }

    pub(super) fn cell(&self, row: usize) -> Cell<'_> {
        if self.array.is_null(row) {
            return Cell::Null;
        }
        match self.column_type {
            ColumnType::Boolean => Cell::Bool(self.array.as_boolean().value(row)),
            ColumnType::Integer => Cell::Int(self.array.as_primitive::<Int32Type>().value(row).into()),
            ColumnType::Bigint => Cell::Int(self.array.as_primitive::<Int64Type>().value(row)),
            ColumnType::Double => Cell::Double(self.array.as_primitive::<Float64Type>().value(row)),
            ColumnType::Decimal { scale, .. } => {
                Cell::Decimal { unscaled: self.array.as_primitive::<Decimal128Type>().value(row), scale }
            }
            ColumnType::Text => Cell::Text(self.array.as_string::<i32>().value(row)),
            ColumnType::Date => Cell::Date(self.array.as_primitive::<Date32Type>().value(row)),
            ColumnType::Timestamptz => Cell::Instant(self.array.as_primitive::<TimestampMicrosecondType>().value(row)),
        }
    }
}

fn is_arrow_type_of(arrow: &DataType, column_type: ColumnType) -> bool {
    match (arrow, column_type) {
        (DataType::Boolean, ColumnType::Boolean)
        | (DataType::Int32, ColumnType::Integer)
        | (DataType::Int64, ColumnType::Bigint)
        | (DataType::Float64, ColumnType::Double)
        | (DataType::Utf8, ColumnType::Text)
        | (DataType::Date32, ColumnType::Date)
        | (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), ColumnType::Timestamptz) => true,
        (DataType::Decimal128(p, s), ColumnType::Decimal { precision, scale }) => {
            *p == precision && u8::try_from(*s) == Ok(scale)
        }
        _ => false,
    }
}

/// The columns of a batch, in the order asked for.
pub(super) fn typed(batch: &RecordBatch, columns: &[SourceColumn]) -> Result<Vec<Typed>, String> {
    columns
        .iter()
        .map(|column| {
            let array = batch.column_by_name(&column.name).ok_or_else(|| format!("has no column {}", column.name))?;
            Typed::new(array, column.column_type, &column.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn columns_of_another_type_are_refused() {
        let scores: ArrayRef = Arc::new(
            Decimal128Array::from(vec![Some(45), None]).with_precision_and_scale(2, 1).expect("a legal precision"),
        );
        let score = ColumnType::Decimal { precision: 2, scale: 1 };
        let typed = Typed::new(&scores, score, "score").expect("right type");
        assert_eq!(typed.cell(0), Cell::Decimal { unscaled: 45, scale: 1 });
        assert_eq!(typed.cell(1), Cell::Null);
        assert!(Typed::new(&scores, ColumnType::Decimal { precision: 3, scale: 1 }, "score").is_err());
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(Typed::new(&keys, ColumnType::Integer, "key").is_err());
        let naive: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]));
        assert!(Typed::new(&naive, ColumnType::Timestamptz, "at").is_err());
    }

    #[test]
    fn dictionaries_are_unfolded() {
        let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a")]));
        let folded = cast(&plain, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)));
        let typed = Typed::new(&folded.expect("castable"), ColumnType::Text, "word").expect("right type");
        assert_eq!([typed.cell(0), typed.cell(1), typed.cell(2)], [Cell::Text("a"), Cell::Null, Cell::Text("a")]);
    }
}
