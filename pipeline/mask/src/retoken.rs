//! Key rotation: which token of the new key stands for which token of the old one.
//!
//! A token cannot be turned into another, because HMAC goes one way: the values are needed once more. Rows that are in a lake keep
//! the tokens of the key they were masked with; no command masks them again. From raw values [`Retokenizer`] makes a crosswalk of
//! two columns, `old_token` and `new_token`, with which rows masked before and after the rotation join. It needs the old key in
//! the ring, which is what an old key is kept for: nothing else reads it. A crosswalk holds tokens only, so it may leave `raw/`;
//! it is as secret as the tokens are.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{Policy, TableContract, Transform};

use crate::error::MaskError;
use crate::table::{MaskedBatch, Masker, transform_of};
use crate::token::Tokenizer;

/// Makes the tokens of one column under two keys.
pub struct Retokenizer {
    table: String,
    column: String,
    old: Tokenizer,
    new: Tokenizer,
}

impl Masker {
    /// The crosswalk of one column from the key of `old_version` to the current one.
    ///
    /// # Errors
    /// The column is not there or is not tokenised, or the ring has no key of that version.
    pub fn retokenizer(
        &self,
        table: &TableContract,
        policy: &Policy,
        column: &str,
        old_version: u32,
    ) -> Result<Retokenizer, MaskError> {
        let no_tokens = || MaskError::NoTokens { table: table.name.clone(), column: column.to_owned() };
        let contract = table.column(column).ok_or_else(no_tokens)?;
        let class = contract.class.as_ref().ok_or_else(no_tokens)?;
        let Transform::Token { domain } = transform_of(table, contract, class, policy)? else {
            return Err(no_tokens());
        };
        let old = self.keys().version(old_version).ok_or(MaskError::NoSuchKey { version: old_version })?;
        Ok(Retokenizer {
            table: table.name.clone(),
            column: column.to_owned(),
            old: Tokenizer::new(old, domain, class),
            new: Tokenizer::new(self.keys().current(), domain, class),
        })
    }
}

impl Retokenizer {
    /// The tokens of a raw column under both keys: each pair once, in order of appearance, columns `old_token` and `new_token`.
    ///
    /// # Errors
    /// The batch has no such column, or not as text.
    pub fn crosswalk(&self, raw: &RecordBatch) -> Result<MaskedBatch, MaskError> {
        let column = raw
            .column_by_name(&self.column)
            .ok_or_else(|| MaskError::NoTokens { table: self.table.clone(), column: self.column.clone() })?;
        let values = column.as_any().downcast_ref::<StringArray>().ok_or_else(|| MaskError::WrongArray {
            table: self.table.clone(),
            column: self.column.clone(),
            found: column.data_type().to_string(),
        })?;
        let (mut old_tokens, mut new_tokens) = (StringBuilder::new(), StringBuilder::new());
        let mut values_seen: HashSet<&str> = HashSet::new();
        let mut tokens_seen: HashSet<String> = HashSet::new();
        let (mut spelling, mut token) = (String::new(), String::new());
        for value in values.iter().flatten().filter(|value| values_seen.insert(*value)) {
            token.clear();
            self.old.append(value, &mut spelling, &mut token);
            if tokens_seen.contains(&token) {
                continue;
            }
            old_tokens.append_value(&token);
            tokens_seen.insert(token.clone());
            token.clear();
            self.new.append(value, &mut spelling, &mut token);
            new_tokens.append_value(&token);
        }
        let field = |name: &str| Field::new(name, DataType::Utf8, false);
        let schema = Arc::new(Schema::new(vec![field("old_token"), field("new_token")]));
        let columns: Vec<ArrayRef> = vec![Arc::new(old_tokens.finish()), Arc::new(new_tokens.finish())];
        let pairs = RecordBatch::try_new(schema, columns)
            .map_err(|source| MaskError::Assemble { table: self.table.clone(), source })?;
        Ok(MaskedBatch::of_tokens(pairs))
    }
}

impl fmt::Debug for Retokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retokenizer({}.{}, ***)", self.table, self.column)
    }
}
