//! Change records of one table as columns: typed as silver is, with keys in comparable form.
//!
//! Promises: keeps *absent* apart from NULL, and a column that a record's file does not know apart from both; keeps positions exact;
//! refuses a record without key or with an unknown operation. Values stay in Arrow arrays; nothing here looks at one. How files are
//! read is in [`super::project`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use lakebed_contract::{Lsn, Policy, Position, TableContract};

use super::coarsen::Coarsening;
use crate::error::{Attempt, Result, WarehouseError};
use crate::iceberg::schema::derived;

/// Column that names what a record's file has no column for, as `_absent` names what a record lacks; made while reading.
pub(crate) const UNKNOWN_TO_FILE: &str = "_unknown_to_file";

/// A key in a form that compares and hashes as the key does.
pub(crate) type Key = Box<[u8]>;

/// The columns of a table's change records, in the order of [`RecordLayout::schema`].
pub(crate) struct RecordLayout {
    /// Columns whose values are followed: the contract's, then those that it dropped and silver has kept.
    pub(crate) width: usize,
    /// How many of them are the contract's.
    pub(crate) in_contract: usize,
    /// Positions of the key columns among them.
    pub(crate) keys: Vec<usize>,
    /// What the policy makes of the records of bronze.
    pub(crate) coarsening: Coarsening,
    names: Vec<String>,
    /// For each column of the schema, what a bronze file may call it, the present name first.
    called: Vec<Vec<String>>,
    schema: SchemaRef,
}

/// The Arrow type of an instant in Iceberg tables.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

impl RecordLayout {
    /// `silver` is the table's Arrow schema, whose columns may stand in any order.
    pub(crate) fn new(contract: &TableContract, policy: &Policy, silver: &SchemaRef) -> Result<Self> {
        let in_contract = contract.columns.len();
        let keys: Vec<usize> = (0..in_contract).filter(|at| contract.columns[*at].is_key).collect();
        let mut names: Vec<String> = contract.columns.iter().map(|column| column.name.clone()).collect();
        let added = derived(contract);
        let is_dropped =
            |name: &String| contract.column(name).is_none() && !added.iter().any(|(derived, _)| derived == name);
        names.extend(silver.fields().iter().map(|field| field.name()).filter(|name| is_dropped(name)).cloned());
        let width = names.len();
        let (mut fields, mut called) = (Vec::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            let field = silver.field_with_name(name).attempt(|| format!("find column `{name}` in silver"))?;
            fields.push(Field::new(name, field.data_type().clone(), true));
            let former = contract.columns.get(at).map(|column| column.former_names.as_slice()).unwrap_or_default();
            // A column that the contract dropped has no class, so nothing says how coarse it must be: bronze is not asked for it.
            let present = (at < in_contract).then_some(name);
            called.push(present.into_iter().chain(former).cloned().collect());
        }
        for (name, data_type) in [
            ("_operation", DataType::Utf8),
            ("_generation", DataType::Int32),
            ("_commit_lsn", DataType::Int64),
            ("_ordinal", DataType::Int64),
            ("_commit_timestamp", instant()),
            ("_absent", DataType::Utf8),
        ] {
            fields.push(Field::new(name, data_type, true));
            called.push(vec![name.to_owned()]);
        }
        fields.push(Field::new(UNKNOWN_TO_FILE, DataType::Utf8, true));
        called.push(Vec::new());
        for key in &keys {
            fields.push(Field::new(format!("_old_{}", names[*key]), fields[*key].data_type().clone(), true));
            called.push(called[*key].iter().map(|name| format!("_old_{name}")).collect());
        }
        let coarsening = Coarsening::of(contract, policy);
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { width, in_contract, keys, coarsening, names, called, schema })
    }

    /// Schema of change records: followed columns, `_operation`, position, time, `_absent`, [`UNKNOWN_TO_FILE`], old keys.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Names of the followed columns.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Names of the columns that the contract dropped and silver has kept.
    pub(crate) fn dropped(&self) -> &[String] {
        &self.names[self.in_contract..]
    }

    /// For each column of the schema, what a bronze file may call it, the present name first; nothing if bronze is not asked.
    pub(crate) fn called(&self) -> &[Vec<String>] {
        &self.called
    }

    /// Names that a column had before.
    pub(crate) fn called_before(&self, name: &str) -> &[String] {
        let called = self.names.iter().position(|known| known == name).map(|at| self.called[at].as_slice());
        called.and_then(|called| called.get(1..)).unwrap_or_default()
    }

    /// Where the key columns stand in another schema.
    pub(crate) fn key_places(&self, schema: &SchemaRef) -> Result<Vec<usize>> {
        let place = |key: &usize| {
            let name = &self.names[*key];
            schema.index_of(name).attempt(|| format!("find key column `{name}`"))
        };
        self.keys.iter().map(place).collect()
    }

    /// Column of `_absent`; [`UNKNOWN_TO_FILE`] is the next.
    pub(crate) fn absent(&self) -> usize {
        self.width + 5
    }

    /// Column of the commit timestamp.
    pub(crate) fn commit_timestamp(&self) -> usize {
        self.width + 4
    }

    /// Column of the old value of key number `n`.
    pub(crate) fn old_key(&self, n: usize) -> usize {
        self.width + 7 + n
    }

    /// A converter for this table's keys; converters of one layout agree with each other.
    pub(crate) fn key_codec(&self) -> Result<KeyCodec> {
        let fields = self.keys.iter().map(|key| SortField::new(self.schema.field(*key).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).attempt(|| "compare keys".to_owned())?;
        Ok(KeyCodec { converter })
    }
}

/// Turns key columns into [`Key`]s.
pub(crate) struct KeyCodec {
    converter: RowConverter,
}

impl KeyCodec {
    /// One key per row.
    pub(crate) fn keys(&self, columns: &[ArrayRef]) -> Result<Vec<Key>> {
        let rows = self.converter.convert_columns(columns).attempt(|| "compare keys".to_owned())?;
        Ok(rows.iter().map(|row| row.as_ref().into()).collect())
    }
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A row of a full load.
    Load,
    /// A new row.
    Insert,
    /// New values, whole or partial.
    Update,
    /// The row went.
    Delete,
}

/// What a record says of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// What it holds, be it NULL.
    Told,
    /// Nothing: it stays as it is, and a row that has no value yet waits for one.
    Absent,
    /// Nothing, because the column came later than the record's file or is gone: it stays as it is, NULL if there is nothing yet.
    Unknown,
}

/// Change records, decoded.
pub(crate) struct Changes {
    /// The records.
    pub(crate) rows: RecordBatch,
    /// Operation of each.
    pub(crate) operations: Vec<Operation>,
    /// Position of each.
    pub(crate) positions: Vec<Position>,
    /// Key of each.
    pub(crate) keys: Vec<Key>,
    /// Former key, where it differs.
    pub(crate) old_keys: Vec<Option<Key>>,
    /// Which of [`Changes::tellings`] is each one's.
    pub(crate) telling: Vec<usize>,
    /// What records say of which followed column, each distinct answer once.
    pub(crate) tellings: Vec<Vec<Telling>>,
}

impl Changes {
    /// Decodes records in [`RecordLayout::schema`]. `origin` names them in errors.
    pub(crate) fn decode(layout: &RecordLayout, rows: RecordBatch, origin: &str) -> Result<Self> {
        let bad = |reason: &str| WarehouseError::Bronze { key: origin.to_owned(), reason: reason.to_owned() };
        let at = |offset: usize| rows.column(layout.width + offset);
        let (generations, lsns) = (at(1).as_primitive::<Int32Type>(), at(2).as_primitive::<Int64Type>());
        let ordinals = at(3).as_primitive::<Int64Type>();
        let key_columns: Vec<ArrayRef> = layout.keys.iter().map(|key| rows.column(*key).clone()).collect();
        if key_columns.iter().chain([at(1), at(2), at(3), at(4)]).any(|column| column.null_count() > 0) {
            return Err(bad("a record has no key, position or commit timestamp"));
        }
        let mut positions = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let number = |value: i64| u64::try_from(value).map_err(|_| bad("a position is negative"));
            positions.push(Position {
                generation: u32::try_from(generations.value(row)).map_err(|_| bad("a generation is negative"))?,
                commit_lsn: Lsn(number(lsns.value(row))?),
                ordinal: number(ordinals.value(row))?,
            });
        }
        let operations =
            decode_operations(at(0)).ok_or_else(|| bad("`_operation` is none of load, insert, update, delete"))?;
        let keys = layout.key_codec()?.keys(&key_columns)?;
        let old_keys = decode_old_keys(layout, &rows, &keys)?;
        let (telling, tellings) = decode_absent(layout, at(5), at(6))
            .ok_or_else(|| bad("`_absent` names a column the contract does not have"))?;
        Ok(Self { operations, positions, keys, old_keys, telling, tellings, rows })
    }

    /// Every key the records touch.
    pub(crate) fn touched(&self) -> HashSet<Key> {
        self.keys.iter().chain(self.old_keys.iter().flatten()).cloned().collect()
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }
}

fn decode_operations(column: &ArrayRef) -> Option<Vec<Operation>> {
    let words = column.as_string::<i32>();
    words
        .iter()
        .map(|word| match word? {
            "load" => Some(Operation::Load),
            "insert" => Some(Operation::Insert),
            "update" => Some(Operation::Update),
            "delete" => Some(Operation::Delete),
            _ => None,
        })
        .collect()
}

/// A record that names some old key columns only kept the others.
fn decode_old_keys(layout: &RecordLayout, rows: &RecordBatch, keys: &[Key]) -> Result<Vec<Option<Key>>> {
    let named = (0..layout.keys.len()).any(|n| rows.column(layout.old_key(n)).null_count() < rows.num_rows());
    if !named {
        return Ok(vec![None; rows.num_rows()]);
    }
    let mut columns = Vec::new();
    for (n, key) in layout.keys.iter().enumerate() {
        let (old, current) = (rows.column(layout.old_key(n)), rows.column(*key));
        let known = arrow::compute::is_not_null(old).attempt(|| "read old keys".to_owned())?;
        columns.push(arrow::compute::kernels::zip::zip(&known, old, current).attempt(|| "read old keys".to_owned())?);
    }
    let old = layout.key_codec()?.keys(&columns)?;
    Ok(old.into_iter().zip(keys).map(|(old, key)| (old != *key).then_some(old)).collect())
}

fn decode_absent(
    layout: &RecordLayout,
    absent: &ArrayRef,
    unknown: &ArrayRef,
) -> Option<(Vec<usize>, Vec<Vec<Telling>>)> {
    let mut tellings = Vec::new();
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    let mut last = None;
    let mut of = Vec::with_capacity(absent.len());
    for (absent, unknown) in absent.as_string::<i32>().iter().zip(unknown.as_string::<i32>()) {
        let texts = (absent.unwrap_or_default(), unknown.unwrap_or_default());
        // Most records say the same as the one before.
        let before = last.filter(|(same, _)| *same == texts).map(|(_, telling)| telling);
        let telling = match before.or_else(|| known.get(&texts).copied()) {
            Some(telling) => telling,
            None => {
                let mut columns = vec![Telling::Told; layout.width];
                for (text, telling) in [(texts.0, Telling::Absent), (texts.1, Telling::Unknown)] {
                    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                        columns[layout.names.iter().position(|known| known == name)?] = telling;
                    }
                }
                columns[layout.in_contract..].fill(Telling::Unknown);
                tellings.push(columns);
                known.insert(texts, tellings.len() - 1);
                tellings.len() - 1
            }
        };
        last = Some((texts, telling));
        of.push(telling);
    }
    Some((of, tellings))
}

/// The rows at `rows`, in that order.
pub(crate) fn pick(batch: &RecordBatch, rows: Vec<u64>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt64Array::from(rows)).attempt(|| "select rows".to_owned())
}

/// One batch out of many.
pub(crate) fn join(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    concat_batches(schema, batches).attempt(|| "join batches".to_owned())
}
