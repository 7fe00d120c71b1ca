//! Reads a table contract from Open Data Contract Standard YAML.
//!
//! The subset of ODCS v3.1.0 that the pipeline enforces. Refused is what it would silently ignore and what would break a later
//! stage: an unknown type, a missing key, a misspelt field of a property (a class that is not read is a column that is not
//! masked), a name that silver uses itself. Fields that only describe are accepted and not read. Quality rules are read in
//! `odcs_quality`, service levels in `sla`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::former_names;
use crate::layout;
use crate::odcs_quality::{self, Entry};
use crate::policy::NO_CLASS;
use crate::sla;
use crate::table::{Column, ColumnType, ContractError, GENERATED_ROWS_MAX, LoadRoute, MonthPartition, TableContract};

/// Bytes of a name in Postgres, which cuts longer ones off.
const NAME_BYTES_MAX: usize = 63;

/// Schemas that hold something else.
const RESERVED_SCHEMAS: &[&str] = &["lakebed", "information_schema"];

/// Fields of a property that describe it and change nothing here; of `customProperties` [`former_names`] reads one.
const DESCRIPTIVE: &[&str] = &[
    "authoritativeDefinitions",
    "businessName",
    "criticalDataElement",
    "customProperties",
    "description",
    "encryptedName",
    "examples",
    "id",
    "logicalType",
    "logicalTypeOptions",
    "partitionKeyPosition",
    "partitioned",
    "primaryKeyPosition",
    "relationships",
    "tags",
    "transformDescription",
    "transformLogic",
    "transformSourceObjects",
    "unique",
];

/// Reads one document that describes one table. `file` is used in errors only.
pub(crate) fn read(file: &str, text: &str) -> Result<TableContract, ContractError> {
    let document: Document =
        serde_norway::from_str(text).map_err(|source| ContractError::Syntax { file: file.to_owned(), source })?;
    document.into_table().map_err(|reason| ContractError::Invalid { file: file.to_owned(), reason })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    version: String,
    schema: Vec<Object>,
    #[serde(default)]
    sla_properties: Vec<Entry>,
    sla_default_element: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    name: String,
    physical_name: Option<String>,
    properties: Vec<Property>,
    #[serde(default)]
    quality: Vec<Entry>,
    #[serde(default)]
    custom_properties: Vec<CustomProperty>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Property {
    name: String,
    physical_type: String,
    #[serde(default)]
    primary_key: bool,
    #[serde(default)]
    required: bool,
    classification: Option<String>,
    physical_name: Option<String>,
    #[serde(default)]
    quality: Vec<Entry>,
    /// Everything else that stands there.
    #[serde(flatten)]
    rest: BTreeMap<String, serde_norway::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomProperty {
    property: String,
    value: serde_norway::Value,
}

impl Document {
    fn into_table(self) -> Result<TableContract, String> {
        if !self.api_version.starts_with("v3.") {
            return Err(format!("apiVersion `{}` is not an ODCS v3 version", self.api_version));
        }
        if self.kind != "DataContract" {
            return Err(format!("kind is `{}`, expected `DataContract`", self.kind));
        }
        let [object] = <[Object; 1]>::try_from(self.schema)
            .map_err(|found| format!("`schema` lists {} objects, expected exactly one table", found.len()))?;
        let schema = match object.physical_name.as_deref().and_then(|name| name.split_once('.')) {
            Some((schema, table)) if table == object.name => schema.to_owned(),
            _ => return Err(format!("physicalName must be `<schema>.{}`", object.name)),
        };
        check_name("table", &object.name)?;
        check_name("schema", &schema)?;
        if RESERVED_SCHEMAS.contains(&schema.as_str()) || schema.starts_with("pg_") {
            return Err(format!("schema `{schema}` belongs to Postgres or lakebed; name another in physicalName"));
        }
        if !self.version.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("version `{}` does not start with a number", self.version));
        }
        let mut properties = object.properties;
        let entries: Vec<Vec<Entry>> = properties.iter_mut().map(|of| std::mem::take(&mut of.quality)).collect();
        let columns = properties.into_iter().map(into_column).collect::<Result<Vec<_>, _>>()?;
        if !columns.iter().any(|column| column.is_key) {
            return Err("no property has `primaryKey: true`; a table without a key cannot be merged".to_owned());
        }
        let (mut partition, mut load, mut generated_rows) = (None, LoadRoute::Stream, None);
        for custom in object.custom_properties {
            match custom.property.as_str() {
                "silverPartition" => partition = Some(month_partition(&custom.value, &columns)?),
                "loadRoute" => {
                    load = match custom.value.as_str() {
                        Some("stream") => LoadRoute::Stream,
                        Some("batch") => LoadRoute::Batch,
                        _ => return Err("customProperty `loadRoute` must be `stream` or `batch`".to_owned()),
                    }
                }
                "generatedRows" => match custom.value.as_u64() {
                    Some(rows) if (1..=GENERATED_ROWS_MAX).contains(&rows) => generated_rows = Some(rows),
                    _ => return Err(format!("customProperty `generatedRows` must be from 1 to {GENERATED_ROWS_MAX}")),
                },
                other => {
                    return Err(format!(
                        "customProperty `{other}` is unknown; known: silverPartition, loadRoute, generatedRows"
                    ));
                }
            }
        }
        check_columns(&columns, partition.as_ref())?;
        let mut quality = odcs_quality::read(&object.quality, None, &columns)?;
        for (column, entries) in columns.iter().zip(&entries) {
            quality.extend(odcs_quality::read(entries, Some(column), &columns)?);
        }
        let default_element = self.sla_default_element.as_deref();
        let service_levels = sla::read(&self.sla_properties, default_element, &object.name, &columns)?;
        let (name, version) = (object.name, self.version);
        Ok(TableContract { schema, name, version, columns, partition, load, quality, service_levels, generated_rows })
    }
}

fn into_column(property: Property) -> Result<Column, String> {
    let column_type = ColumnType::parse(&property.physical_type).ok_or_else(|| {
        format!(
            "property `{}` has physicalType `{}`; supported: boolean, integer, bigint, double precision, numeric(p,s), \
             text, date, timestamptz",
            property.name, property.physical_type
        )
    })?;
    check_name("property", &property.name)?;
    if let Some(unknown) = property.rest.keys().find(|field| !DESCRIPTIVE.contains(&field.as_str())) {
        return Err(format!(
            "property `{}` has the field `{unknown}`, which ODCS does not know; enforced are name, physicalType, primaryKey, \
             required, classification, quality",
            property.name
        ));
    }
    if let Some(other) = property.physical_name.filter(|physical| *physical != property.name) {
        return Err(format!(
            "property `{}` has physicalName `{other}`; a column is called alike everywhere",
            property.name
        ));
    }
    let former_names = former_names::read(&property.name, property.rest.get("customProperties"))?;
    let class = property.classification.filter(|class| class != NO_CLASS);
    if property.primary_key && class.is_some() {
        return Err(format!("key column `{}` has a PII class; mask keys at the source instead", property.name));
    }
    Ok(Column {
        column_type,
        nullable: !(property.required || property.primary_key),
        is_key: property.primary_key,
        class,
        former_names,
        name: property.name,
    })
}

/// A name that Postgres, S3 keys, DuckDB and Iceberg take alike. SQL's own words may be names: everybody quotes.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let sound = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if name.is_empty() || !sound || name.starts_with('_') {
        return Err(format!("{what} name `{name}` must be lower-case snake_case without a leading underscore"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{what} name `{name}` is longer than Postgres's {NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Every column of the silver table must have a name of its own.
fn check_columns(columns: &[Column], partition: Option<&MonthPartition>) -> Result<(), String> {
    let derived: Vec<&str> = partition.iter().flat_map(|parts| [parts.year.as_str(), parts.month.as_str()]).collect();
    for (at, column) in columns.iter().enumerate() {
        let name = column.name.as_str();
        if columns[..at].iter().any(|earlier| earlier.name == name) {
            return Err(format!("property `{name}` is listed twice"));
        }
        if layout::SILVER_TIMES.contains(&name) || derived.contains(&name) {
            return Err(format!("property `{name}` has the name of a column that silver adds; call it otherwise"));
        }
    }
    former_names::check(columns, &derived)
}

fn month_partition(value: &serde_norway::Value, columns: &[Column]) -> Result<MonthPartition, String> {
    let name = value.as_str().unwrap_or_default();
    let column = columns
        .iter()
        .find(|column| column.name == name && column.column_type == ColumnType::Timestamptz && !column.nullable)
        .ok_or_else(|| format!("silverPartition `{name}` must name a required timestamptz property"))?;
    if let Some(class) = &column.class {
        return Err(format!(
            "silverPartition `{name}` has the PII class `{class}`; partitions would show what is masked"
        ));
    }
    let prefix = column.name.strip_suffix("_time").or_else(|| column.name.strip_suffix("_at")).unwrap_or(&column.name);
    Ok(MonthPartition { column: column.name.clone(), year: format!("{prefix}_year"), month: format!("{prefix}_month") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(properties: &str) -> Result<TableContract, ContractError> {
        let text = format!(
            "apiVersion: v3.1.0\nkind: DataContract\nid: t\nname: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    \
             physicalName: s.t\n    properties:\n{properties}"
        );
        TableContract::from_odcs_yaml("contracts/t.yaml", &text)
    }

    fn refusal(properties: &str) -> String {
        contract(properties).expect_err("must be refused").to_string()
    }

    #[test]
    fn types_keys_and_classes_are_read() {
        let table = contract(
            "      - {name: id, physicalType: bigint, primaryKey: true}\n      - {name: abv, physicalType: 'numeric(4,1)'}\n      \
             - {name: email, physicalType: text, required: true, classification: email}\n",
        )
        .expect("valid");
        assert_eq!(table.schema, "s");
        assert_eq!(table.columns[1].column_type, ColumnType::Decimal { precision: 4, scale: 1 });
        assert!(table.columns[1].nullable && !table.columns[0].nullable && !table.columns[2].nullable);
        assert_eq!(table.columns[2].class.as_deref(), Some("email"));
        assert_eq!(table.version_folder(), "v1");
    }

    #[test]
    fn what_cannot_be_enforced_is_refused() {
        assert!(refusal("      - {name: id, physicalType: bigint}\n").contains("primaryKey"));
        assert!(refusal("      - {name: id, physicalType: money, primaryKey: true}\n").contains("`money`"));
        assert!(refusal("      - {name: Id, physicalType: bigint, primaryKey: true}\n").contains("snake_case"));
        assert!(
            refusal("      - {name: id, physicalType: text, primaryKey: true, classification: email}\n")
                .contains("PII class")
        );
        assert!(contract("      - not a property\n").expect_err("syntax").to_string().contains("contracts/t.yaml"));
    }

    #[test]
    fn a_misspelt_field_is_refused_and_a_descriptive_one_is_not() {
        let described =
            "      - {name: id, physicalType: bigint, primaryKey: true, description: a, tags: [b], unique: true}\n";
        assert!(contract(described).is_ok());
        let misspelt = described.replace("tags: [b]", "clasification: email");
        let refused = refusal(&misspelt);
        assert!(refused.contains("contracts/t.yaml") && refused.contains("`clasification`"), "{refused}");
        let renamed = described.replace("tags: [b]", "physicalName: key");
        assert!(refusal(&renamed).contains("physicalName `key`"));
    }

    #[test]
    fn names_that_collide_or_do_not_fit_are_refused() {
        let with = |name: &str| {
            format!(
                "      - {{name: id, physicalType: bigint, primaryKey: true}}\n      - {{name: {name}, physicalType: date}}\n"
            )
        };
        assert!(refusal(&with("created_at")).contains("`created_at` has the name of a column that silver adds"));
        assert!(refusal(&with("id")).contains("twice"));
        assert!(refusal(&with(&"x".repeat(64))).contains("63 bytes"));
        assert!(contract(&with("order")).is_ok());
        let file = |from: &str, to: &str| {
            let text = "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    \
                        properties:\n      - {name: id, physicalType: bigint, primaryKey: true}\n      \
                        - {name: seen_at, physicalType: timestamptz, required: true}\n      - {name: year, physicalType: integer}\n    \
                        customProperties: [{property: silverPartition, value: seen_at}]\n";
            assert!(text.contains(from), "{from}");
            TableContract::from_odcs_yaml("contracts/t.yaml", &text.replace(from, to))
        };
        assert!(file("name: year", "name: year").is_ok());
        let refused = |from: &str, to: &str| file(from, to).expect_err("must be refused").to_string();
        assert!(refused("name: year", "name: seen_year").contains("`seen_year`"));
        assert!(refused("required: true}", "required: true, classification: moment}").contains("`moment`"));
        assert!(refused("s.t", "lakebed.t").contains("schema `lakebed`"));
        assert!(refused("s.t", "pg_x.t").contains("schema `pg_x`"));
        assert!(refused("1.0.0", "../1").contains("version `../1`"));
        assert!(
            refused("name: t\n    physicalName: s.t", "name: T-1\n    physicalName: s.T-1")
                .contains("table name `T-1`")
        );
    }
}
