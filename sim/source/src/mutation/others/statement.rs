//! The statements on contract tables, one row each, as SQL text with literals.

use crate::contract_rows::value::part_field;
use crate::contract_rows::{TablePlan, Value};
use crate::row::sql_literal;
use crate::schema::{qualified, quote};
use crate::truth::KeyPart;

pub(super) fn insert(plan: &TablePlan, row: &[Value]) -> String {
    let names: Vec<String> = plan.columns.iter().map(|plan| quote(&plan.column.name)).collect();
    let values: Vec<String> = row.iter().map(|value| sql_literal(value.field())).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", qualified(&plan.contract), names.join(", "), values.join(", "))
}

pub(super) fn delete(plan: &TablePlan, key: &[KeyPart]) -> String {
    format!("DELETE FROM {} WHERE {}", qualified(&plan.contract), is_key(plan, key))
}

pub(super) fn update(plan: &TablePlan, key: &[KeyPart], assignments: &str) -> String {
    format!("UPDATE {} SET {assignments} WHERE {}", qualified(&plan.contract), is_key(plan, key))
}

pub(super) fn assignment(column: &str, value: &Value) -> String {
    format!("{} = {}", quote(column), sql_literal(value.field()))
}

fn is_key(plan: &TablePlan, key: &[KeyPart]) -> String {
    let columns = plan.columns.iter().filter(|plan| plan.column.is_key);
    let equal = columns
        .zip(key)
        .map(|(plan, part)| format!("{} = {}", quote(&plan.column.name), sql_literal(part_field(part))));
    equal.collect::<Vec<_>>().join(" AND ")
}
