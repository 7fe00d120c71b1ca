//! Bronze and quarantine Parquet: how many rows the footer promises, and which changes the rows are.
//!
//! A change is reduced to one number, its [`identity`]; the same function serves raw and bronze, so equal changes meet whatever
//! file they lie in. Reads only the key and the technical columns.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use arrow::array::RecordBatch;
use bytes::Bytes;
use lakebed_contract::table::{ColumnType, TableContract};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;

use super::cell::{Cell, Scrambler, mix};
use super::lakehouse::typed;
use super::source::SourceColumn;

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

/// Adds the identity of every row of a bronze file.
pub(super) fn identities(file: Bytes, table: &TableContract, found: &mut Identities) -> Result<(), String> {
    let column = |name: &str, column_type| SourceColumn { name: name.to_owned(), column_type };
    let mut columns = vec![
        column("_operation", ColumnType::Text),
        column("_generation", ColumnType::Integer),
        column("_commit_lsn", ColumnType::Bigint),
        column("_ordinal", ColumnType::Bigint),
    ];
    columns.extend(table.key_columns().map(|key| column(&key.name, key.column_type)));
    each_batch(file, &columns, |batch| add(batch, &columns, found))
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

    pub(in super::super) fn quarantine_file(rows: i64) -> Bytes {
        parquet_file(vec![("row_number", Arc::new(Int64Array::from_iter_values(0..rows)))])
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
        assert!(identities(quarantine_file(1), &lake.tables[0], &mut found).is_err());
    }
}
