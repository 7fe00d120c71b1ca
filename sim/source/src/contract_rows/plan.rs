//! What the generator makes of a lake: for each table the number of rows, and for each column what it holds.
//!
//! References are found by name: a column called like the one key column of another table, or `<table>_<key>` where many tables
//! call theirs the same, and of its type, holds keys of that table. One column of each key counts up and so makes it unique; a key
//! that has no column to count with is refused, with every other thing that cannot be generated, before any row is drawn.

use lakebed_contract::{Column, ColumnType, Lake, TableContract};
use rand::{Rng as _, RngCore};

use super::draw::Draw;
use super::key;
use super::value::Value;
use crate::error::SourceError;
use crate::truth::{KeyPart, PlantedValue};

/// Rows of a table at scale 1 whose contract does not say (`generatedRows`).
const ROWS_AT_SCALE_ONE: u64 = 100_000;
/// Part of a key's numbers that the first rows may use; changes need new ones.
const CAPACITY_SHARE: i64 = 2;

/// A table that columns may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) table: String,
    key_type: ColumnType,
    /// Rows of its initial load, whose keys carry the numbers from 1.
    rows: i64,
}

/// How a column gets its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// The number that makes the key unique.
    Number,
    /// A key of another table.
    Reference(Parent),
    /// Another part of a key.
    KeyPart(Draw),
    /// Anything else.
    Plain(Draw),
}

/// One column.
#[derive(Clone, Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) column: Column,
    pub(crate) filling: Filling,
}

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct TablePlan {
    pub(crate) contract: TableContract,
    pub(crate) rows: i64,
    pub(crate) columns: Vec<ColumnPlan>,
    /// The text column that at times holds more than fits into a page.
    pub(crate) long: Option<usize>,
}

/// The tables generated from their contracts, in the lake's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plans {
    pub(crate) tables: Vec<TablePlan>,
}

impl Plans {
    /// Plans every table of `lake` but those of `others`, which have a generator of their own. `rows_of` gives the initial rows of
    /// any table.
    pub(crate) fn new(
        lake: &Lake,
        others: &[&str],
        rows_of: impl Fn(&TableContract) -> i64,
    ) -> Result<Self, SourceError> {
        let parents: Vec<(&Column, Parent)> = lake
            .tables
            .iter()
            .filter_map(|table| {
                let mut keys = table.key_columns();
                let (key, None) = (keys.next()?, keys.next()) else { return None };
                let parent = Parent { table: table.name.clone(), key_type: key.column_type, rows: rows_of(table) };
                Some((key, parent))
            })
            .collect();
        let planned = lake.tables.iter().filter(|table| !others.contains(&table.name.as_str()));
        let tables = planned
            .map(|table| {
                plan_table(table, lake, rows_of(table), &parents)
                    .map_err(|reason| SourceError::Lake { lake: lake.name.clone(), reason })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { tables })
    }

    pub(crate) fn table(&self, name: &str) -> Option<&TablePlan> {
        self.tables.iter().find(|plan| plan.contract.name == name)
    }
}

/// Rows of a table at `scale`: what its contract says or a default, at least one.
pub(crate) fn scaled_rows(table: &TableContract, scale: f64) -> i64 {
    // Exact enough: contracts bound the rows, and scales are bounded, so the product stays far below 2^53.
    ((table.generated_rows.unwrap_or(ROWS_AT_SCALE_ONE) as f64 * scale).round() as i64).max(1)
}

fn plan_table(
    table: &TableContract,
    lake: &Lake,
    rows: i64,
    parents: &[(&Column, Parent)],
) -> Result<TablePlan, String> {
    let composite = table.key_columns().count() > 1;
    let parent = |column: &Column| {
        let own_key = column.is_key && !composite;
        if own_key { None } else { parent_of(column, &table.name, parents) }
    };
    let number = table
        .columns
        .iter()
        .rposition(|column| column.is_key && key::capacity(column.column_type).is_some() && parent(column).is_none())
        .ok_or_else(|| {
            format!(
                "table `{}` needs a key column of its own (not named like another table's key) of type integer, bigint, \
                 text, date or timestamptz",
                table.name
            )
        })?;
    let capacity = key::capacity(table.columns[number].column_type).unwrap_or(0);
    if rows > capacity / CAPACITY_SHARE {
        let column = &table.columns[number];
        return Err(format!(
            "table `{}` would have {rows} rows, more than its key column `{}` of type {} can tell apart",
            table.name, column.name, column.column_type
        ));
    }
    let partition = table.partition.as_ref().map(|partition| partition.column.as_str());
    let fill = |(at, column): (usize, &Column)| {
        let draw = || Draw::of(column, &lake.policy, partition == Some(column.name.as_str()));
        let filling = match parent(column) {
            _ if at == number => Filling::Number,
            Some(parent) => Filling::Reference(parent.clone()),
            None if column.is_key && key::capacity(column.column_type).is_none() => {
                return Err(format!(
                    "key column `{}.{}` has type {}; a generated key is made of integer, bigint, text, date and timestamptz",
                    table.name, column.name, column.column_type
                ));
            }
            None if column.is_key => Filling::KeyPart(draw()),
            None => Filling::Plain(draw()),
        };
        Ok(ColumnPlan { column: column.clone(), filling })
    };
    let columns = table.columns.iter().enumerate().map(fill).collect::<Result<Vec<_>, _>>()?;
    let long = long_column(&columns);
    Ok(TablePlan { contract: table.clone(), rows, columns, long })
}

/// The table a column refers to, if its name and type name exactly one.
fn parent_of<'p>(column: &Column, table: &str, parents: &'p [(&Column, Parent)]) -> Option<&'p Parent> {
    if column.class.is_some() {
        return None;
    }
    let mut same_name = parents.iter().filter(|(key, _)| key.name == column.name);
    let found = match (same_name.next(), same_name.next()) {
        (Some(only), None) => Some(only),
        _ => parents.iter().find(|(key, parent)| column.name == format!("{}_{}", parent.table, key.name)),
    };
    found.map(|(_, parent)| parent).filter(|parent| parent.table != table && parent.key_type == column.column_type)
}

/// Free text first, because that is where long texts are; else the first text that is neither a key nor one of a few words.
fn long_column(columns: &[ColumnPlan]) -> Option<usize> {
    let first = |wanted: fn(&Draw) -> bool| {
        columns.iter().position(|plan| matches!(&plan.filling, Filling::Plain(draw) if wanted(draw)))
    };
    first(|draw| matches!(draw, Draw::Prose { .. })).or_else(|| first(|draw| *draw == Draw::Phrase))
}

impl TablePlan {
    /// The column whose number makes the key unique.
    pub(crate) fn number_column(&self) -> &ColumnPlan {
        let found = self.columns.iter().find(|plan| plan.filling == Filling::Number);
        found.expect("a plan without one is refused when it is made")
    }

    /// A row with the key number `number`. `refer` gives a key of a parent; `None` where the parent has no row.
    pub(crate) fn row(
        &self,
        rng: &mut impl RngCore,
        number: i64,
        planted: &mut Vec<PlantedValue>,
        mut refer: impl FnMut(&mut dyn RngCore, &Parent) -> Option<KeyPart>,
    ) -> Option<Vec<Value>> {
        let mut row = Vec::with_capacity(self.columns.len());
        for plan in &self.columns {
            row.push(match &plan.filling {
                Filling::Number => Value::Part(key::encode(plan.column.column_type, number)),
                Filling::KeyPart(draw) => Value::Part(draw.key_part(rng)),
                Filling::Plain(draw) => draw.value(rng, plan.column.nullable, planted),
                Filling::Reference(parent) => self.reference(rng, plan, parent, &mut refer)?,
            });
        }
        Some(row)
    }

    /// A reference; NULL now and then where that is allowed, and always where there is nothing to refer to.
    pub(crate) fn reference(
        &self,
        rng: &mut impl RngCore,
        plan: &ColumnPlan,
        parent: &Parent,
        refer: &mut impl FnMut(&mut dyn RngCore, &Parent) -> Option<KeyPart>,
    ) -> Option<Value> {
        if plan.column.nullable && rng.random_range(0..10) == 0 {
            return Some(Value::Null);
        }
        match refer(rng, parent) {
            Some(part) => Some(Value::Part(part)),
            None => plan.column.nullable.then_some(Value::Null),
        }
    }

    /// The parts of a row's key, in the contract's order.
    pub(crate) fn key_of(&self, row: &[Value]) -> Vec<KeyPart> {
        let keys = self.columns.iter().zip(row).filter(|(plan, _)| plan.column.is_key);
        keys.map(|(_, value)| match value {
            Value::Part(part) => part.clone(),
            _ => unreachable!("a key column holds a part of a key: its plan says so"),
        })
        .collect()
    }
}

impl Parent {
    /// A key of the parent's initial rows; low numbers more often than high ones.
    pub(crate) fn initial_key(&self, rng: &mut (impl RngCore + ?Sized)) -> Option<KeyPart> {
        let number = rng.random_range(1..=self.rows).min(rng.random_range(1..=self.rows));
        Some(key::encode(self.key_type, number))
    }
}
