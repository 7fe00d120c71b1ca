//! From raw batch to masked batch: one table's plan, made once from contract and policy, applied to every batch.
//!
//! A plan names every column it lets through: the contract's columns, and bronze's own (`_operation`, `_old_<key>`, …), which
//! carry no personal data because a key column cannot have a PII class. Anything else in a batch is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{Column, ColumnType, Policy, TableContract, Transform};

use crate::error::MaskError;
use crate::key::MaskKey;
use crate::token::Tokenizer;
use crate::transform;

/// Columns that bronze adds to every table.
const BRONZE_COLUMNS: [&str; 6] =
    ["_operation", "_generation", "_commit_lsn", "_ordinal", "_commit_timestamp", "_absent"];

/// Holds the key; makes the plan of each table.
#[derive(Clone, Debug)]
pub struct Masker {
    key: MaskKey,
}

impl Masker {
    /// A masker with one master key.
    pub fn new(key: MaskKey) -> Self {
        Self { key }
    }

    /// The plan of one table.
    ///
    /// # Errors
    /// A class the policy does not decide about, or a transform that does not fit the column's type.
    pub fn for_table(&self, table: &TableContract, policy: &Policy) -> Result<TableMasker, MaskError> {
        let mut actions: BTreeMap<String, Action> = BTreeMap::new();
        for column in &table.columns {
            actions.insert(column.name.clone(), self.action(table, column, policy)?);
            if column.is_key {
                actions.insert(format!("_old_{}", column.name), Action::Keep);
            }
        }
        actions.extend(BRONZE_COLUMNS.map(|name| (name.to_owned(), Action::Keep)));
        Ok(TableMasker { table: table.name.clone(), actions })
    }

    fn action(&self, table: &TableContract, column: &Column, policy: &Policy) -> Result<Action, MaskError> {
        let Some(class) = &column.class else { return Ok(Action::Keep) };
        let undecided =
            || MaskError::Undecided { table: table.name.clone(), column: column.name.clone(), class: class.clone() };
        let needs = |transform: &'static str, needed: ColumnType, needs: &'static str| {
            let fits = column.column_type == needed;
            fits.then_some(()).ok_or_else(|| MaskError::WrongType {
                table: table.name.clone(),
                column: column.name.clone(),
                transform,
                needs,
                found: column.column_type.to_string(),
            })
        };
        Ok(match policy.transform(class).ok_or_else(undecided)? {
            Transform::Token { domain } => {
                needs("token", ColumnType::Text, "text")?;
                Action::Token(Box::new(Tokenizer::new(&self.key, domain, class)))
            }
            Transform::Year => {
                needs("year", ColumnType::Date, "date")?;
                Action::Year
            }
            Transform::Prefix(count) => {
                needs("prefix", ColumnType::Text, "text")?;
                Action::Prefix(*count)
            }
            Transform::Redact => {
                needs("redact", ColumnType::Text, "text")?;
                Action::Redact
            }
            Transform::Drop => Action::Drop,
            Transform::Keep => Action::Keep,
        })
    }
}

#[derive(Clone, Debug)]
enum Action {
    Keep,
    Drop,
    Token(Box<Tokenizer>),
    Year,
    Prefix(usize),
    Redact,
}

/// What happens to each column of one table.
#[derive(Clone, Debug)]
pub struct TableMasker {
    table: String,
    actions: BTreeMap<String, Action>,
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
        for (field, column) in raw_schema.fields().iter().zip(raw.columns()) {
            let Some(action) = self.actions.get(field.name()) else {
                return Err(MaskError::UnknownColumn { table: self.table.clone(), column: field.name().clone() });
            };
            let masked = action.apply(column).ok_or_else(|| MaskError::WrongArray {
                table: self.table.clone(),
                column: field.name().clone(),
                found: column.data_type().to_string(),
            })?;
            // A dropped column is NULL even where the source insists on a value.
            fields.push(Field::new(field.name(), masked.data_type().clone(), true));
            columns.push(masked);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|source| MaskError::Assemble { table: self.table.clone(), source })?;
        Ok(MaskedBatch { batch })
    }
}

impl Action {
    /// The masked column; `None` when the array is not of the type the action works on.
    fn apply(&self, column: &ArrayRef) -> Option<ArrayRef> {
        Some(match self {
            Self::Keep => Arc::clone(column),
            Self::Drop => new_null_array(column.data_type(), column.len()),
            Self::Token(tokenizer) => Arc::new(tokenizer.tokens(texts(column)?.iter())),
            Self::Year => transform::year(column.as_any().downcast_ref::<Date32Array>()?),
            Self::Prefix(count) => transform::prefix(texts(column)?, *count),
            Self::Redact => transform::redact_column(texts(column)?, column),
        })
    }
}

fn texts(column: &ArrayRef) -> Option<&StringArray> {
    column.as_any().downcast_ref::<StringArray>()
}

/// Rows that may leave `raw/`. Only [`TableMasker::mask`] makes one.
#[derive(Clone, PartialEq)]
pub struct MaskedBatch {
    batch: RecordBatch,
}

impl MaskedBatch {
    /// The rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }
}

impl fmt::Debug for MaskedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskedBatch({} rows, {} columns)", self.batch.num_rows(), self.batch.num_columns())
    }
}
