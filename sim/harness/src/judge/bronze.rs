//! Bronze and quarantine Parquet: how many rows the footer promises, and which changes the rows are.
//!
//! A change is reduced to one number, its [`identity`]; the same function serves raw and bronze, so equal changes meet whatever
//! file they lie in. Reads only the key and the technical columns.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use lakebed_contract::table::{Column, ColumnType, TableContract};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;

use super::cell::{Cell, Scrambler, mix};
use super::lakehouse::typed;
use super::source::SourceColumn;

/// Operations that change a row.
const ROW_OPERATIONS: [&str; 4] = ["load", "insert", "update", "delete"];

/// A set of [`identity`] numbers.
pub(super) type Identities = HashSet<u64, BuildHasherDefault<Scrambler>>;

/// One change as one number.
pub(super) fn identity(generation: i64, commit_lsn: i64, ordinal: i64, operation: &str, key: &[Cell<'_>]) -> u64 {
    let position = [generation, commit_lsn, ordinal].into_iter().map(i64::cast_unsigned);
    let parts = position.chain([Cell::Text(operation).fingerprint()]).chain(key.iter().map(Cell::fingerprint));
    parts.fold(0, mix)
}

/// The rows a Parquet file's footer promises.
pub(super) fn footer_rows(file: Bytes) -> Result<u64, String> {
    let footer = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|_| "no Parquet footer".to_owned())?;
    u64::try_from(footer.file_metadata().num_rows()).map_err(|_| "negative row count".to_owned())
}

/// How many records of a quarantine file are table events: they are in no need of a row in bronze.
pub(super) fn table_events(quarantine: Bytes) -> Result<u64, String> {
    let columns = [SourceColumn { name: "_operation".to_owned(), column_type: ColumnType::Text }];
    let is_event = |cell: Cell<'_>| matches!(cell, Cell::Text(operation) if !ROW_OPERATIONS.contains(&operation));
    let mut events = 0;
    each_batch(quarantine, &columns, |batch| {
        let arrays = typed(batch, &columns)?;
        events += (0..batch.num_rows()).filter(|row| is_event(arrays[0].cell(*row))).count() as u64;
        Ok(())
    })?;
    Ok(events)
}

/// Adds the identity of every row of a bronze file.
pub(super) fn identities(file: Bytes, table: &TableContract, found: &mut Identities) -> Result<(), String> {
    let column = |name: &str, column_type| SourceColumn { name: name.to_owned(), column_type };
    let mut columns = vec![
        column("_operation", ColumnType::Text),
        column("_generation", ColumnType::Integer),
        column("_commit_lsn", ColumnType::Bigint),
        column("_ordinal", ColumnType::Bigint),
    ];
    let written = schema(&file)?;
    for key in table.key_columns() {
        columns.push(as_written(key, "", &written)?);
    }
    each_batch(file, &columns, |batch| add(batch, &columns, found))
}

/// The columns that a Parquet file has.
pub(super) fn schema(file: &Bytes) -> Result<SchemaRef, String> {
    let undecodable = |_| "not decodable".to_owned();
    Ok(ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(undecodable)?.schema().clone())
}

/// A column, its names behind `prefix`, as this file has it: one of an older contract may call it otherwise, and hold fewer digits.
/// A file that lacks it is asked for its present name.
pub(super) fn as_written(column: &Column, prefix: &str, written: &Schema) -> Result<SourceColumn, String> {
    let present = format!("{prefix}{}", column.name);
    let former = column.former_names.iter().map(|name| format!("{prefix}{name}"));
    let names: Vec<String> = std::iter::once(present.clone()).chain(former).collect();
    let mut fields = names.iter().filter_map(|name| written.field_with_name(name).ok());
    let field = fields.next();
    if fields.next().is_some() {
        return Err(format!("ambiguous: it has column {present} under two of its names"));
    }
    let column_type = match (column.column_type, field.map(Field::data_type)) {
        (ColumnType::Bigint, Some(DataType::Int32)) => ColumnType::Integer,
        (ColumnType::Decimal { precision, scale }, Some(DataType::Decimal128(digits, _))) => {
            ColumnType::Decimal { precision: precision.min(*digits), scale }
        }
        (column_type, _) => column_type,
    };
    Ok(SourceColumn { name: field.map_or(present, |field| field.name().clone()), column_type })
}

/// Hands on the batches of a Parquet file, only with the columns asked for.
pub(super) fn each_batch(
    file: Bytes,
    columns: &[SourceColumn],
    mut take: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), String> {
    // What the decoder says could quote the file.
    let undecodable = |_| "not decodable".to_owned();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(undecodable)?;
    let names = columns.iter().map(|column| column.name.as_str());
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    for batch in builder.with_projection(mask).build().map_err(undecodable)? {
        take(&batch.map_err(|_| "not decodable".to_owned())?)?;
    }
    Ok(())
}

fn add(batch: &RecordBatch, columns: &[SourceColumn], found: &mut Identities) -> Result<(), String> {
    let arrays = typed(batch, columns)?;
    let mut key = Vec::new();
    for row in 0..batch.num_rows() {
        key.clear();
        key.extend(arrays[4..].iter().map(|array| array.cell(row)));
        let [operation, generation, commit_lsn, ordinal] = [0, 1, 2, 3].map(|at| arrays[at].cell(row));
        let (Cell::Text(operation), Cell::Int(generation), Cell::Int(commit_lsn), Cell::Int(ordinal)) =
            (operation, generation, commit_lsn, ordinal)
        else {
            return Err("a technical column is NULL".to_owned());
        };
        found.insert(identity(generation, commit_lsn, ordinal, operation, &key));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
    use lakebed_contract::lake::Lake;
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// The part of a bronze row that identifies it, for the brewery table.
    #[derive(Clone, Copy)]
    pub(in super::super) struct BronzeRow {
        pub(in super::super) key: i64,
        pub(in super::super) operation: &'static str,
        pub(in super::super) generation: i32,
        pub(in super::super) commit_lsn: i64,
        pub(in super::super) ordinal: i64,
    }

    pub(in super::super) fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
                .expect("equal lengths");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("memory");
        writer.write(&batch).expect("memory");
        Bytes::from(writer.into_inner().expect("memory"))
    }

    pub(in super::super) fn bronze_file(rows: &[BronzeRow]) -> Bytes {
        let longs = |value: fn(&BronzeRow) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(value)));
        parquet_file(vec![
            ("brewery_id", longs(|row| row.key)),
            ("_operation", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.operation)))),
            ("_generation", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.generation)))),
            ("_commit_lsn", longs(|row| row.commit_lsn)),
            ("_ordinal", longs(|row| row.ordinal)),
        ])
    }

    pub(in super::super) fn quarantine_file(operations: &[&str]) -> Bytes {
        parquet_file(vec![("_operation", Arc::new(StringArray::from_iter_values(operations)))])
    }

    #[test]
    fn a_key_that_was_renamed_and_widened_is_the_same_key() {
        let row = BronzeRow { key: 7, operation: "update", generation: 1, commit_lsn: 9, ordinal: 2 };
        let mut table = Lake::beer().tables[0].clone();
        table.columns[0].former_names = vec!["id".to_owned()];
        let old = parquet_file(vec![
            ("id", Arc::new(Int32Array::from_iter_values([7]))),
            ("_operation", Arc::new(StringArray::from_iter_values(["update"]))),
            ("_generation", Arc::new(Int32Array::from_iter_values([1]))),
            ("_commit_lsn", Arc::new(Int64Array::from_iter_values([9]))),
            ("_ordinal", Arc::new(Int64Array::from_iter_values([2]))),
        ]);
        let (mut before, mut after) = (Identities::default(), Identities::default());
        identities(old, &table, &mut before).expect("readable");
        identities(bronze_file(&[row]), &table, &mut after).expect("readable");
        assert_eq!(before, after);
    }

    #[test]
    fn rows_are_known_by_position_operation_and_key() {
        let row = BronzeRow { key: 7, operation: "update", generation: 1, commit_lsn: 9, ordinal: 2 };
        let lake = Lake::beer();
        let file = bronze_file(&[row, row, BronzeRow { ordinal: 3, ..row }]);
        assert_eq!(footer_rows(file.clone()), Ok(3));
        let mut found = Identities::default();
        identities(file, &lake.tables[0], &mut found).expect("readable");
        let expected = [2, 3].map(|ordinal| identity(1, 9, ordinal, "update", &[Cell::Int(7)]));
        assert_eq!(found, expected.into_iter().collect());
        assert!(footer_rows(Bytes::from_static(b"PAR1 not really")).is_err());
        assert!(identities(quarantine_file(&["load"]), &lake.tables[0], &mut found).is_err());
    }
}
