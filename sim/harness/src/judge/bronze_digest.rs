//! A digest of what bronze says, for comparing two runs of one seed.
//!
//! Over the set of distinct records: which key, which operation, which values, which columns absent. Log positions and times are
//! left out, because they differ from run to run, and a record counts once however often it was delivered. A column that a file of an
//! older contract lacks counts as NULL.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use arrow::datatypes::Schema;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::table::{ColumnType, TableContract};
use lakebed_contract::{Lake, layout};

use super::bronze::{as_written, each_batch, schema};
use super::cell::{Cell, Scrambler, mix};
use super::digest::RowSum;
use super::error::JudgeError;
use super::lakehouse::typed;
use super::objects::Objects;
use super::source::SourceColumn;

/// Distinct records, as numbers.
type Records = HashSet<u64, BuildHasherDefault<Scrambler>>;

/// The digest, or why some object cannot be read.
pub async fn bronze_content(lake: &Lake, endpoints: &Endpoints) -> Result<Result<RowSum, String>, JudgeError> {
    let objects = Objects::open(endpoints, true);
    let mut sum = RowSum::default();
    for (at, table) in lake.tables.iter().enumerate() {
        let mut records = Records::default();
        for object in objects.list(layout::LAKE_BUCKET, &prefix(table)).await? {
            let Some((bytes, _)) = objects.get(layout::LAKE_BUCKET, &object.key).await? else { continue };
            if let Err(reason) = add(bytes, table, &mut records) {
                return Ok(Err(format!("{} is {reason}", object.key)));
            }
        }
        records.iter().for_each(|record| sum.add(mix(at as u64, *record)));
    }
    Ok(Ok(sum))
}

fn prefix(table: &TableContract) -> String {
    let some = layout::bronze_key(table, "");
    some.split_once("object=").map_or(some.clone(), |(prefix, _)| prefix.to_owned())
}

/// The columns in the order of the contract, as this file has them; one that it lacks under its present name.
fn columns(table: &TableContract, written: &Schema) -> Result<Vec<SourceColumn>, String> {
    let technical = |name: &str, column_type| Ok(SourceColumn { name: name.to_owned(), column_type });
    let values = table.columns.iter().map(|column| as_written(column, "", written));
    let change = [technical("_operation", ColumnType::Text), technical("_generation", ColumnType::Integer)];
    let old_keys = table.key_columns().map(|key| as_written(key, "_old_", written));
    values.chain(change).chain(old_keys).chain([technical("_absent", ColumnType::Text)]).collect()
}

fn add(file: bytes::Bytes, table: &TableContract, records: &mut Records) -> Result<(), String> {
    let written = schema(&file)?;
    let columns = columns(table, &written)?;
    let may_lack = |name: &str| table.column(name).is_some_and(|column| !column.is_key);
    let is_asked = |column: &&SourceColumn| !may_lack(&column.name) || written.field_with_name(&column.name).is_ok();
    let asked: Vec<SourceColumn> = columns.iter().filter(is_asked).cloned().collect();
    let places: Vec<Option<usize>> =
        columns.iter().map(|column| asked.iter().position(|asked| asked == column)).collect();
    each_batch(file, &asked, |batch| {
        let arrays = typed(batch, &asked)?;
        for row in 0..batch.num_rows() {
            let cells = places.iter().map(|place| place.map_or(Cell::Null, |at| arrays[at].cell(row)));
            records.insert(cells.fold(0, |sum, cell| mix(sum, cell.fingerprint())));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};

    use super::super::bronze::tests::parquet_file;
    use super::*;

    const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nversion: 2.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    \
                            properties:\n      - {name: id, physicalType: bigint, primaryKey: true, customProperties: \
                            [{property: formerNames, value: [number]}]}\n      - {name: note, physicalType: text}\n";

    fn file(id: (&str, ArrayRef), note: Option<&str>) -> bytes::Bytes {
        let text = |text: Option<&str>| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let old = format!("_old_{}", id.0);
        let no_key = Arc::new(Int32Array::from(vec![None])) as ArrayRef;
        let mut columns =
            vec![id, ("_operation", text(Some("insert"))), (old.as_str(), no_key), ("_absent", text(None))];
        columns.push(("_generation", Arc::new(Int32Array::from(vec![1]))));
        columns.extend(note.map(|note| ("note", text(Some(note)))));
        parquet_file(columns)
    }

    #[test]
    fn a_file_of_an_older_contract_says_the_same_with_a_null() {
        let table = TableContract::from_odcs_yaml("contracts/t.yaml", CONTRACT).expect("a contract");
        let records = |file: bytes::Bytes| {
            let mut records = Records::default();
            add(file, &table, &mut records).map(|()| records)
        };
        let old = || ("number", Arc::new(Int32Array::from(vec![7])) as ArrayRef);
        let new = || ("id", Arc::new(Int64Array::from(vec![7])) as ArrayRef);
        assert_eq!(records(file(old(), None)), records(file(new(), None)));
        assert_eq!(records(file(old(), Some("a"))), records(file(new(), Some("a"))));
        assert_ne!(records(file(new(), None)), records(file(new(), Some("a"))));
        let neither = records(file(("other", new().1), None)).expect_err("refused");
        assert!(neither.contains("id"), "{neither}");
    }
}
