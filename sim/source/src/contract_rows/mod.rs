//! Rows for any contract: types, nullability, keys, references and personal data as the contract says, values by chance.
//!
//! For the tables no generator knows by name. `plan` reads a lake and decides what each column holds; `draw` draws single
//! values; `table` writes the initial rows. What is personal is planted by class and recorded, like the beer data. Two rules
//! need no word in the contract: a column named like another table's key, and of its type, refers to that table; and what
//! cannot be generated is refused before anything is loaded. Pure: knows nothing of Postgres.

pub(crate) mod value;
pub(crate) mod words;

pub(crate) mod draw;
pub(crate) mod key;

pub(crate) mod plan;

pub(crate) mod table;

pub(crate) use plan::{Filling, Parent, Plans, TablePlan, scaled_rows};
pub(crate) use value::Value;
