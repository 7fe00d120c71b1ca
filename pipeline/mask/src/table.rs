//! From raw batch to masked batch: one table's plan, made once from contract and policy, applied to every batch.
//!
//! A plan names every column it lets through: the contract's columns, and bronze's own (`_operation`, `_old_<key>`, …), which
//! carry no personal data because a key column cannot have a PII class. Anything else in a batch is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{Column, KeyRing, MaskKey, Policy, TableContract, Transform};

use crate::coverage::{ColumnId, Counts, Coverage};
use crate::error::MaskError;
use crate::find::Scanner;
use crate::fpe::FormatCipher;
use crate::token::Tokenizer;
use crate::transform::Action;

/// Columns that bronze adds to every table.
const BRONZE_COLUMNS: [&str; 6] =
    ["_operation", "_generation", "_commit_lsn", "_ordinal", "_commit_timestamp", "_absent"];

/// Holds the keys; makes the plan of each table.
#[derive(Clone, Debug)]
pub struct Masker {
    keys: KeyRing,
    scanner: Arc<Scanner>,
}

impl Masker {
    /// A masker with one master key.
    pub fn new(key: MaskKey) -> Self {
        Self::with_keys(KeyRing::of(key))
    }

    /// A masker with a ring of keys. New data is masked with the current one; the others are for [`Masker::retokenizer`].
    pub fn with_keys(keys: KeyRing) -> Self {
        Self { keys, scanner: Arc::new(Scanner::default()) }
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The plan of one table.
    ///
    /// # Errors
    /// A class the policy does not decide about, or a transform that does not fit the column's type.
    pub fn for_table(&self, table: &TableContract, policy: &Policy) -> Result<TableMasker, MaskError> {
        let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
        for column in &table.columns {
            plans.insert(column.name.clone(), self.plan(table, column, policy)?);
            if column.is_key {
                plans.insert(format!("_old_{}", column.name), Plan::public());
            }
        }
        plans.extend(BRONZE_COLUMNS.map(|name| (name.to_owned(), Plan::public())));
        Ok(TableMasker { table: table.name.clone(), plans })
    }

    fn plan(&self, table: &TableContract, column: &Column, policy: &Policy) -> Result<Plan, MaskError> {
        let Some(class) = &column.class else { return Ok(Plan::public()) };
        let transform = transform_of(table, column, class, policy)?;
        let key = self.keys.current();
        let action = match transform {
            Transform::Token { domain } => Action::Token(Box::new(Tokenizer::new(key, domain, class))),
            Transform::Fpe { domain, shape } => Action::Fpe(Box::new(FormatCipher::new(key, domain, class, *shape))),
            Transform::Partial(excerpt) => Action::Partial(*excerpt),
            Transform::Prefix(count) => Action::Prefix(*count),
            Transform::Redact => Action::Redact(Arc::clone(&self.scanner)),
            Transform::Drop => Action::Drop,
            Transform::Keep => Action::Keep,
            Transform::Year | Transform::Band(_) | Transform::Month | Transform::Day => {
                Action::Generalise(transform.generalisation().expect("these four are what is generalised"))
            }
        };
        let id = ColumnId {
            table: table.name.clone(),
            column: column.name.clone(),
            class: class.clone(),
            transform: transform.to_string(),
        };
        Ok(Plan { action, id: Some(id) })
    }
}

/// What the policy makes of a column's class, if it can be done on the column's type.
pub(crate) fn transform_of<'p>(
    table: &TableContract,
    column: &Column,
    class: &str,
    policy: &'p Policy,
) -> Result<&'p Transform, MaskError> {
    let transform = policy.transform(class).ok_or_else(|| MaskError::Undecided {
        table: table.name.clone(),
        column: column.name.clone(),
        class: class.to_owned(),
    })?;
    if !transform.fits(column.column_type) {
        return Err(MaskError::WrongType {
            table: table.name.clone(),
            column: column.name.clone(),
            transform: transform.to_string().into(),
            needs: transform.needs().into(),
            found: column.column_type.to_string(),
        });
    }
    Ok(transform)
}

/// What happens to a column, and under which name it is counted; public columns are not.
#[derive(Clone, Debug)]
struct Plan {
    action: Action,
    id: Option<ColumnId>,
}

impl Plan {
    fn public() -> Self {
        Self { action: Action::Keep, id: None }
    }
}

/// What happens to each column of one table.
#[derive(Clone, Debug)]
pub struct TableMasker {
    table: String,
    plans: BTreeMap<String, Plan>,
}

impl TableMasker {
    /// Masks a batch. Columns are matched by name; their order and number stay.
    ///
    /// # Errors
    /// A column the plan does not name, or one in another Arrow type than its contract type maps to.
    pub fn mask(&self, raw: RecordBatch) -> Result<MaskedBatch, MaskError> {
        let raw_schema = raw.schema();
        let mut fields = Vec::with_capacity(raw.num_columns());
        let mut columns = Vec::with_capacity(raw.num_columns());
        let mut coverage = Coverage::default();
        for (field, column) in raw_schema.fields().iter().zip(raw.columns()) {
            let Some(plan) = self.plans.get(field.name()) else {
                return Err(MaskError::UnknownColumn { table: self.table.clone(), column: field.name().clone() });
            };
            let mut counts = Counts::default();
            let masked = plan.action.apply(column, &mut counts).ok_or_else(|| MaskError::WrongArray {
                table: self.table.clone(),
                column: field.name().clone(),
                found: column.data_type().to_string(),
            })?;
            if let Some(id) = &plan.id {
                coverage.add(id, &counts);
            }
            // A dropped column is NULL even where the source insists on a value.
            fields.push(Field::new(field.name(), masked.data_type().clone(), true));
            columns.push(masked);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|source| MaskError::Assemble { table: self.table.clone(), source })?;
        Ok(MaskedBatch { batch, coverage })
    }
}

/// Rows that may leave `raw/`. Only this crate makes one.
#[derive(Clone, PartialEq)]
pub struct MaskedBatch {
    batch: RecordBatch,
    coverage: Coverage,
}

impl MaskedBatch {
    /// Rows that hold tokens and nothing else.
    pub(crate) fn of_tokens(batch: RecordBatch) -> Self {
        Self { batch, coverage: Coverage::default() }
    }

    /// The rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Some of the rows, without copying them. Coverage is counted for the whole, so a part has none.
    ///
    /// # Panics
    /// When there are not that many.
    #[must_use]
    pub fn slice(&self, offset: usize, rows: usize) -> Self {
        Self { batch: self.batch.slice(offset, rows), coverage: Coverage::default() }
    }

    /// What was masked in these rows.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

impl fmt::Debug for MaskedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskedBatch({} rows, {} columns)", self.batch.num_rows(), self.batch.num_columns())
    }
}
