//! What a DMS control record says of a table, held against the table's contract.
//!
//! The contract stays the authority: records come unordered, and a control record may lie on another shard than its table's rows,
//! so nothing is applied from one. It confirms the contract, or says where the two differ, in names and types. A `drop-table`
//! says nothing here: every full load opens with one. Types that DMS is not known to send are told, never guessed; nullability is
//! not compared, because DMS does not capture its changes. Does not know which of two tables is the newer.

mod kind;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use self::kind::{Fit, digits, kind_of};
use crate::envelope::Operation;
use crate::table::{Column, ColumnType, TableContract};

/// Characters of a source's name that are shown.
const NAME_CHARS_MAX: usize = 63;
/// Columns of a source's key that are shown.
const KEY_COLUMNS_MAX: usize = 8;

/// One difference between a table at the source and its contract. Names and types of the source are as they may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    /// Something changed, and the record does not say what.
    Untold {
        /// What happened.
        operation: Operation,
    },
    /// The contract lacks a column.
    Added {
        /// Its name at the source.
        column: String,
        /// Its type at the source.
        source_type: String,
    },
    /// The source lacks a column.
    Dropped {
        /// Its name in the contract.
        column: String,
        /// Whether the contract requires it.
        required: bool,
    },
    /// The source lacks one column and has one new one that could be it.
    PerhapsRenamed {
        /// The name in the contract.
        column: String,
        /// The new name at the source.
        to: String,
        /// Whether the contract requires it.
        required: bool,
    },
    /// The source holds values that the contract's type does not.
    Wider(Retyped),
    /// The contract's type holds every value of the source's, and more.
    Narrower(Retyped),
    /// The source has texts, which may spell a value of the contract's type or not.
    Spelt(Retyped),
    /// The types have no value in common.
    OtherKind(Retyped),
    /// The source's type is not one that DMS is known to send.
    UnknownType(Retyped),
    /// The source has two columns that the contract says are one.
    BothNames {
        /// The present name.
        column: String,
        /// The former name that a further column has.
        former: String,
    },
    /// The primary keys differ.
    KeyChanged {
        /// The source's key.
        source: Vec<String>,
        /// The contract's key.
        contract: Vec<String>,
    },
    /// The table has another name now.
    TableRenamed,
}

/// A column of two types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retyped {
    /// Its name in the contract.
    pub column: String,
    /// Its type at the source.
    pub source_type: String,
    /// Its type in the contract.
    pub contract_type: ColumnType,
}

impl SchemaChange {
    /// Whether rows of such a source cannot be what the contract says they are.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Dropped { required, .. } | Self::PerhapsRenamed { required, .. } => *required,
            Self::OtherKind(_) | Self::BothNames { .. } | Self::KeyChanged { .. } | Self::TableRenamed => true,
            Self::Untold { .. }
            | Self::Added { .. }
            | Self::Wider(_)
            | Self::Narrower(_)
            | Self::Spelt(_)
            | Self::UnknownType(_) => false,
        }
    }
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requires = |required: &bool| if *required { ", and the contract requires it" } else { "" };
        match self {
            Self::Untold { operation } => write!(
                f,
                "the source changed (`{}`), and the record does not say what: set IncludeControlDetails to be told",
                operation.as_str()
            ),
            Self::Added { column, source_type } => write!(
                f,
                "column `{column}` ({source_type}) is new at the source; it is not published until the contract has it"
            ),
            Self::Dropped { column, required } => {
                write!(f, "column `{column}` is gone at the source{}; what is published stays", requires(required))
            }
            Self::PerhapsRenamed { column, to, required } => write!(
                f,
                "column `{column}` is gone at the source{} and `{to}` is new, perhaps renamed: if so, call the property `{to}` and \
                 give it formerNames [{column}]",
                requires(required)
            ),
            Self::Wider(of) if of.contract_type == ColumnType::Double => {
                write!(f, "{of}, which is less exact: values become the nearest it has")
            }
            Self::Wider(of) => write!(f, "{of}, which holds less: values that do not fit are quarantined"),
            Self::Narrower(of) => write!(f, "{of}, which holds every value"),
            Self::Spelt(of) => write!(f, "{of}: texts that spell no such value are quarantined"),
            Self::OtherKind(of) => write!(f, "{of}, which is of another kind"),
            Self::UnknownType(of) => write!(f, "{of}, to which values are held; the source's type is not known here"),
            Self::BothNames { column, former } => write!(
                f,
                "the source has two columns for the contract's `{column}`, one of them by the former name `{former}`: former names \
                 stay for good, so give that column a name at the source that none had before"
            ),
            Self::KeyChanged { source, contract } => write!(
                f,
                "the primary key is ({}) at the source and ({}) in the contract",
                source.join(", "),
                contract.join(", ")
            ),
            Self::TableRenamed => f.write_str("the table was renamed at the source; the contract has its old name"),
        }
    }
}

impl fmt::Display for Retyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, source_type, contract_type } = self;
        write!(f, "column `{column}` is {source_type} at the source and `{contract_type}` in the contract")
    }
}

/// What a control record of this table says that the contract does not. `control` is its member of that name.
pub fn schema_changes(table: &TableContract, operation: Operation, control: Option<&Value>) -> Vec<SchemaChange> {
    match operation {
        Operation::DropTable => return Vec::new(),
        Operation::RenameTable => return vec![SchemaChange::TableRenamed],
        _ => {}
    }
    let definition = control.and_then(|control| control.get("table-def"));
    let columns = definition.and_then(|definition| definition.get("columns")).and_then(Value::as_object);
    let Some(columns) = columns else {
        let is_change = !operation.is_data() && operation != Operation::CreateTable;
        let untold = (is_change || definition.is_some()).then_some(SchemaChange::Untold { operation });
        return untold.into_iter().collect();
    };
    let mut changes = column_changes(table, columns);
    let key = definition.and_then(|definition| definition.get("primary-key")).and_then(Value::as_array);
    let key: Option<Vec<&str>> = key.and_then(|names| names.iter().map(Value::as_str).collect());
    changes.extend(key.and_then(|key| key_change(table, &key)));
    changes
}

fn column_changes(table: &TableContract, columns: &Map<String, Value>) -> Vec<SchemaChange> {
    let mut changes = Vec::new();
    let mut dropped = Vec::new();
    for column in &table.columns {
        let names = std::iter::once(&column.name).chain(&column.former_names);
        let mut found = names.filter_map(|name| Some((name, columns.get(name)?)));
        let first = found.next();
        changes.extend(
            found.map(|(former, _)| SchemaChange::BothNames { column: column.name.clone(), former: former.clone() }),
        );
        match first {
            Some((_, definition)) => changes.extend(type_change(column, definition)),
            None => dropped.push(column),
        }
    }
    let mut added: Vec<_> = columns.iter().filter(|(name, _)| table.column_called(name).is_none()).collect();
    added.sort_unstable_by_key(|(name, _)| *name);
    if let ([column], [(name, definition)]) = (dropped.as_slice(), added.as_slice())
        && kind_of(definition).is_some_and(|kind| kind.against(column.column_type).is_of_a_kind())
    {
        let (column, required) = (column.name.clone(), !column.nullable);
        changes.push(SchemaChange::PerhapsRenamed { column, to: shown(name), required });
        return changes;
    }
    let gone = |column: &&Column| SchemaChange::Dropped { column: column.name.clone(), required: !column.nullable };
    changes.extend(dropped.iter().map(gone));
    changes.extend(
        added
            .iter()
            .map(|(name, definition)| SchemaChange::Added { column: shown(name), source_type: type_shown(definition) }),
    );
    changes
}

fn type_change(column: &Column, definition: &Value) -> Option<SchemaChange> {
    let retyped = || Retyped {
        column: column.name.clone(),
        source_type: type_shown(definition),
        contract_type: column.column_type,
    };
    let Some(kind) = kind_of(definition) else { return Some(SchemaChange::UnknownType(retyped())) };
    match kind.against(column.column_type) {
        Fit::Same => None,
        Fit::Narrower => Some(SchemaChange::Narrower(retyped())),
        Fit::Wider => Some(SchemaChange::Wider(retyped())),
        Fit::Spelt => Some(SchemaChange::Spelt(retyped())),
        Fit::OtherKind => Some(SchemaChange::OtherKind(retyped())),
    }
}

fn key_change(table: &TableContract, key: &[&str]) -> Option<SchemaChange> {
    let name_of =
        |name: &&str| -> String { table.column_called(name).map_or_else(|| shown(name), |column| column.name.clone()) };
    let source: BTreeSet<String> = key.iter().map(name_of).collect();
    let contract: BTreeSet<String> = table.key_columns().map(|column| column.name.clone()).collect();
    if source == contract {
        return None;
    }
    let more = source.len() > KEY_COLUMNS_MAX;
    let source = source.into_iter().take(KEY_COLUMNS_MAX).chain(more.then(|| "…".to_owned())).collect();
    Some(SchemaChange::KeyChanged { source, contract: contract.into_iter().collect() })
}

fn type_shown(definition: &Value) -> String {
    let Some(name) = definition.get("type").and_then(Value::as_str) else { return "of no type".to_owned() };
    match digits(definition) {
        Some((precision, scale)) if name == "NUMERIC" => format!("NUMERIC({precision},{scale})"),
        _ => shown(name),
    }
}

/// A name of the source as it may stand in a log: short, on one line, and without what a terminal would take for a command.
fn shown(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == ' ' || (c.is_ascii_graphic() && c != '`');
    if name.is_empty() || !name.chars().all(is_plain) {
        return "(a name that cannot be shown)".to_owned();
    }
    let mut short: String = name.chars().take(NAME_CHARS_MAX).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
