//! From the columns a table has to those its contract or model now wants, in Iceberg's terms: a new schema with kept field ids.
//!
//! Promises: an optional column may be added, a type widened (int to long, float to double, more digits before the point), a column
//! renamed by the contract's former names, which stay for good; a column that a contract dropped stays in the table, because its
//! history does. Everything else is refused with what the table has, what is wanted and what to do. The partitioning and the key
//! never change. Does not know when a contract dropped a column: one of the same name and type is taken for the same column.
//! A change is one commit that holds no data, and a table that has what is wanted is left alone. Looks at schemas, never at rows.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{NestedField, NestedFieldRef, PrimitiveType, Schema, TableMetadata, Type};
use iceberg::{TableIdent, TableRequirement, TableUpdate};

use super::commit::{Prepared, Trace};
use super::schema::{Author, PARTITION_SOURCE, ShapeColumn, TableShape};
use crate::error::{Attempt, Result, WarehouseError};

/// How a table's metadata names the schema that was added last.
const LAST_ADDED: i32 = -1;

/// A change of a table's columns.
pub(crate) struct Evolution {
    /// The columns as they shall be.
    schema: Schema,
    /// What changes, for people.
    pub(crate) told: String,
}

impl Evolution {
    /// The commit that makes it, if the columns are still those it was planned on.
    pub(crate) fn prepare(self, metadata: &TableMetadata) -> Prepared {
        Prepared {
            trace: Trace::Schema(Box::new(self.schema.clone())),
            updates: vec![
                TableUpdate::AddSchema { schema: self.schema },
                TableUpdate::SetCurrentSchema { schema_id: LAST_ADDED },
            ],
            requirements: vec![
                TableRequirement::UuidMatch { uuid: metadata.uuid() },
                TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
                TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: metadata.last_column_id() },
            ],
        }
    }
}

impl TableShape {
    /// What has to change for the table to have these columns; `None` when it has them.
    pub(crate) fn evolution(&self, ident: &TableIdent, metadata: &TableMetadata) -> Result<Option<Evolution>> {
        let refuse = |reason: String| WarehouseError::Unsupported { table: ident.to_string(), reason };
        let current = metadata.current_schema();
        let mut wanted: HashMap<i32, &ShapeColumn> = HashMap::new();
        let mut added = Vec::new();
        for column in &self.columns {
            match self.field_of(column, current).map_err(refuse)? {
                Some(field) => {
                    wanted.insert(field.id, column);
                }
                None => added.push(column),
            }
        }
        self.check_partitioning(metadata, &wanted).map_err(refuse)?;
        let (mut fields, mut told) = (Vec::new(), Vec::new());
        for field in current.as_struct().fields() {
            fields.push(match wanted.get(&field.id) {
                Some(column) => {
                    self.check_former_names(field, column, metadata).map_err(refuse)?;
                    self.changed(field, column, &mut told).map_err(refuse)?
                }
                None => {
                    self.check_dropped(field, &added, metadata).map_err(refuse)?;
                    field.clone()
                }
            });
        }
        for (id, column) in (metadata.last_column_id() + 1..).zip(added) {
            fields.push(self.added(id, column, &mut told).map_err(refuse)?);
        }
        if told.is_empty() {
            return Ok(None);
        }
        let next = metadata.schemas_iter().map(|schema| schema.schema_id()).max().unwrap_or(0) + 1;
        let builder = Schema::builder().with_schema_id(next).with_fields(fields);
        let schema = builder.with_identifier_field_ids(current.identifier_field_ids()).build();
        let schema = schema.attempt(|| format!("describe the new columns of `{ident}`"))?;
        Ok(Some(Evolution { schema, told: told.join(", ") }))
    }

    /// The table's field that a column is: the one of its name, or of a name it had.
    fn field_of<'a>(&self, column: &ShapeColumn, current: &'a Schema) -> Result<Option<&'a NestedFieldRef>, String> {
        let mut found =
            [&column.name].into_iter().chain(&column.former_names).filter_map(|name| current.field_by_name(name));
        let first = found.next();
        match (first, found.next()) {
            (Some(one), Some(other)) => Err(format!(
                "it has `{}` and `{}`, and {} says that both are column `{}`; two columns do not become one: give the column a new \
                 name and list one of the two under its former names",
                one.name,
                other.name,
                self.who(),
                column.name
            )),
            _ => Ok(first),
        }
    }

    /// Files of before a rename have the column under the name of then, and are read as long as the table lives.
    fn check_former_names(
        &self,
        field: &NestedFieldRef,
        column: &ShapeColumn,
        metadata: &TableMetadata,
    ) -> Result<(), String> {
        let earlier = metadata.schemas_iter().filter_map(|schema| schema.field_by_id(field.id));
        let mut forgotten =
            earlier.filter(|earlier| earlier.name != column.name && !column.former_names.contains(&earlier.name));
        match forgotten.next() {
            None => Ok(()),
            Some(earlier) => Err(format!(
                "its column `{}` was called `{}`, which {} does not list under the former names of `{}`; list it there, and give no \
                 other column that name: former names stay for good, the files of then have them",
                field.name,
                earlier.name,
                self.who(),
                column.name
            )),
        }
    }

    fn changed(
        &self,
        field: &NestedFieldRef,
        column: &ShapeColumn,
        told: &mut Vec<String>,
    ) -> Result<NestedFieldRef, String> {
        let name = &column.name;
        if field.required != column.required {
            let (has, says) = if field.required { ("part of", "not part of") } else { ("not part of", "part of") };
            return Err(format!(
                "its column `{}` is {has} the key, and {} says it is {says} it; a key cannot change: give the table with the new key \
                 another name",
                field.name,
                self.who()
            ));
        }
        let same = matches!(field.field_type.as_ref(), Type::Primitive(has) if *has == column.primitive);
        if !same && !widens(&field.field_type, &column.primitive) {
            return Err(format!(
                "its column `{}` has type {}, and {} says `{name}` is {}, which does not hold all that is there; {}",
                field.name,
                field.field_type,
                self.who(),
                column.primitive,
                self.way_out()
            ));
        }
        if !same {
            told.push(format!("widened `{name}` from {} to {}", field.field_type, column.primitive));
        }
        if field.name != *name {
            told.push(format!("renamed `{}` to `{name}`", field.name));
        }
        let mut changed = NestedField::clone(field);
        changed.name.clone_from(name);
        *changed.field_type = Type::Primitive(column.primitive.clone());
        Ok(Arc::new(changed))
    }

    fn added(&self, id: i32, column: &ShapeColumn, told: &mut Vec<String>) -> Result<NestedFieldRef, String> {
        if column.required {
            return Err(format!(
                "it has no column `{}`, which {} says is part of the key; a key cannot change: give the table with the new key \
                 another name, or, if the column had another name, list that under its former names",
                column.name,
                self.who()
            ));
        }
        told.push(format!("added `{}` {}", column.name, column.primitive));
        Ok(Arc::new(NestedField::optional(id, &column.name, Type::Primitive(column.primitive.clone()))))
    }

    /// A field that is no longer wanted: may it stay as it is?
    fn check_dropped(
        &self,
        field: &NestedFieldRef,
        added: &[&ShapeColumn],
        metadata: &TableMetadata,
    ) -> Result<(), String> {
        if self.author == Author::Model {
            return Err(format!(
                "it has column `{}`, which the model no longer returns; drop the table to have it rebuilt",
                field.name
            ));
        }
        if field.required {
            return Err(format!(
                "its column `{}` is part of the key, and the contract has no such column; a key cannot change: give the table with \
                 the new key another name, or, if the column has a new name, list this one under its former names",
                field.name
            ));
        }
        // Somebody with the contract from before a rename would make the old column anew and leave the values in the other.
        let was = |column: &&&ShapeColumn| {
            let mut before = metadata.schemas_iter().filter_map(|schema| schema.field_by_id(field.id));
            before.any(|before| before.name == column.name)
        };
        match added.iter().find(was) {
            None => Ok(()),
            Some(column) => Err(format!(
                "its column `{}` was called `{}`, which the contract has and the table has not; use the contract that renamed it, \
                 or list `{}` under the former names of `{}`",
                field.name, column.name, field.name, column.name
            )),
        }
    }

    /// Partition columns are for good, and so is what they are made of: files of two partitionings side by side are not read here.
    fn check_partitioning(&self, metadata: &TableMetadata, wanted: &HashMap<i32, &ShapeColumn>) -> Result<(), String> {
        let way_out = match self.author {
            Author::Contract => "give the table with the new one another name",
            Author::Model => "drop the table to have it rebuilt",
        };
        let spec = metadata.default_partition_spec();
        let has: Vec<&str> = spec.fields().iter().map(|field| field.name.as_str()).collect();
        if !has.iter().eq(self.partition_by.iter()) {
            let list = |names: &[&str]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            let says: Vec<&str> = self.partition_by.iter().map(String::as_str).collect();
            return Err(format!(
                "it is partitioned by {}, and {} says by {}; a partitioning cannot change: {way_out}",
                list(&has),
                self.who(),
                list(&says)
            ));
        }
        // Tables from before this property was set do not have it: then names are all there is.
        let source = metadata.properties().get(PARTITION_SOURCE).and_then(|id| id.parse::<i32>().ok());
        let (Some(id), Some(says)) = (source, &self.partition_source) else { return Ok(()) };
        if wanted.get(&id).is_some_and(|column| column.name == *says) {
            return Ok(());
        }
        let current = metadata.current_schema();
        let has = current.field_by_id(id).map_or("a column that is gone", |field| field.name.as_str());
        Err(format!(
            "it is partitioned by the months of `{has}`, and {} says by those of `{says}`; a partitioning cannot change: {way_out}",
            self.who()
        ))
    }

    fn who(&self) -> &'static str {
        match self.author {
            Author::Contract => "the contract",
            Author::Model => "the model",
        }
    }

    fn way_out(&self) -> &'static str {
        match self.author {
            Author::Contract => "keep a type that does, or give the column of the new type another name",
            Author::Model => "cast it to the type it had, or drop the table to have it rebuilt",
        }
    }
}

/// The promotions that format version 2 allows: every value stays what it is.
fn widens(from: &Type, to: &PrimitiveType) -> bool {
    match (from, to) {
        (Type::Primitive(PrimitiveType::Int), PrimitiveType::Long)
        | (Type::Primitive(PrimitiveType::Float), PrimitiveType::Double) => true,
        (
            Type::Primitive(PrimitiveType::Decimal { precision: from, scale: before }),
            PrimitiveType::Decimal { precision: to, scale: after },
        ) => before == after && from <= to,
        _ => false,
    }
}

#[cfg(test)]
#[path = "evolve_tests.rs"]
mod tests;
