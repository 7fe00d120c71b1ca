//! Reading Iceberg tables through the REST catalog with the `iceberg` crate.
//!
//! The tables are read as any other engine would read them; no DuckDB, nothing of `lakebed-warehouse`. Damaged tables are told from
//! stores that do not answer: the first is a finding about the lake, the second an error of the run. Every file is read as the table
//! is now, by field id, whatever its columns were called when it was written. Columns must then have exactly the Arrow type of their
//! contract type before a value is taken from them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::scan::FileScanTask;
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
    let opened = async {
        let tasks = plan(table, snapshot, columns).await?;
        let read = table.reader_builder().build().read(stream::iter(tasks.into_iter().map(Ok)).boxed())?;
        Ok::<_, iceberg::Error>(read.stream())
    };
    let mut stream = match opened.await {
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

/// The files of a snapshot (`None`: the current one), to be read with the columns the table has now. A scan of the `iceberg` crate
/// reads a snapshot with the columns of its time, in which a column added or renamed since has no name.
pub(super) async fn plan(
    table: &Table,
    snapshot: Option<i64>,
    columns: &[String],
) -> iceberg::Result<Vec<FileScanTask>> {
    let schema = table.metadata().current_schema();
    let id = |name: &String| {
        let missing = || iceberg::Error::new(ErrorKind::DataInvalid, format!("no column {name}"));
        schema.field_id_by_name(name).ok_or_else(missing)
    };
    let ids = columns.iter().map(id).collect::<iceberg::Result<Vec<i32>>>()?;
    let scan = match snapshot {
        Some(id) => table.scan().snapshot_id(id),
        None => table.scan(),
    };
    let mut tasks: Vec<FileScanTask> = scan.build()?.plan_files().await?.try_collect().await?;
    for task in &mut tasks {
        task.schema = schema.clone();
        task.project_field_ids.clone_from(&ids);
    }
    Ok(tasks)
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
    use arrow::array::{Decimal128Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use iceberg::arrow::schema_to_arrow_schema;
    use iceberg::io::LocalFsStorageFactory;
    use iceberg::memory::{MEMORY_CATALOG_WAREHOUSE, MemoryCatalog, MemoryCatalogBuilder};
    use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
    use iceberg::transaction::{ApplyTransactionAction, Transaction};
    use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder};
    use iceberg::{NamespaceIdent, TableCreation};
    use parquet::file::properties::WriterProperties;

    use super::*;

    fn schema(fields: &[(i32, &str, PrimitiveType)]) -> Schema {
        let field = |(id, name, primitive): &(i32, &str, PrimitiveType)| {
            Arc::new(NestedField::optional(*id, *name, Type::Primitive(primitive.clone())))
        };
        Schema::builder().with_fields(fields.iter().map(field)).build().expect("a schema")
    }

    /// A table with one file of one row: 7, "a".
    async fn written(catalog: &MemoryCatalog) -> Table {
        let namespace = NamespaceIdent::new("silver".to_owned());
        catalog.create_namespace(&namespace, HashMap::new()).await.expect("a namespace");
        let columns = schema(&[(1, "id", PrimitiveType::Int), (2, "city", PrimitiveType::String)]);
        let creation = TableCreation::builder().name("t".to_owned()).schema(columns).build();
        let table = catalog.create_table(&namespace, creation).await.expect("a table");
        let columns = table.metadata().current_schema().clone();
        let rows: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![7])), Arc::new(StringArray::from(vec!["a"]))];
        let batch = RecordBatch::try_new(Arc::new(schema_to_arrow_schema(&columns).expect("columns")), rows);
        let location = format!("{}/data/a.parquet", table.metadata().location());
        let output = table.file_io().new_output(&location).expect("a place");
        let builder = ParquetWriterBuilder::new(WriterProperties::default(), columns);
        let mut writer = builder.build(output).await.expect("a writer");
        writer.write(&batch.expect("rows")).await.expect("written");
        let mut file = writer.close().await.expect("closed").pop().expect("a file");
        let file = file.file_path(location).partition_spec_id(0).build().expect("a file");
        let transaction = Transaction::new(&table);
        let append = transaction.fast_append().add_data_files([file]);
        append.apply(transaction).expect("applies").commit(catalog).await.expect("commits")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn files_of_older_columns_are_read_with_the_columns_of_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let warehouse = (MEMORY_CATALOG_WAREHOUSE.to_owned(), format!("file://{}", folder.path().display()));
        let builder = MemoryCatalogBuilder::default().with_storage_factory(Arc::new(LocalFsStorageFactory));
        let catalog = builder.load("judge", HashMap::from([warehouse])).await.expect("a catalog");
        let before = written(&catalog).await;
        let now =
            [(3, "country", PrimitiveType::String), (1, "id", PrimitiveType::Long), (2, "town", PrimitiveType::String)];
        let metadata = before.metadata().clone().into_builder(None).add_current_schema(schema(&now)).expect("a schema");
        let table = Table::builder()
            .identifier(before.identifier().clone())
            .metadata(metadata.build().expect("metadata").metadata)
            .metadata_location("file:///unused/metadata/00000-00000000-0000-0000-0000-000000000000.metadata.json")
            .file_io(before.file_io().clone())
            .runtime(iceberg::Runtime::current())
            .build()
            .expect("a table");
        let names = ["id", "town", "country"].map(str::to_owned);
        let mut rows = Vec::new();
        let scanned = scan(&table, &names, |batch| {
            let typed = |at: usize, column_type| Typed::new(batch.column(at), column_type, &names[at]);
            let id = typed(0, ColumnType::Bigint)?;
            let texts = [typed(1, ColumnType::Text)?, typed(2, ColumnType::Text)?];
            rows.extend((0..batch.num_rows()).map(|row| {
                assert_eq!(texts.each_ref().map(|text| text.cell(row)), [Cell::Text("a"), Cell::Null]);
                id.cell(row) == Cell::Int(7)
            }));
            Ok(())
        });
        scanned.await.expect("the store answers").expect("the table is read");
        assert_eq!(rows, [true]);
        let unknown = ["city".to_owned()];
        assert!(scan(&table, &unknown, |_| Ok(())).await.expect("answers").is_err(), "a name of the past");
    }

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
