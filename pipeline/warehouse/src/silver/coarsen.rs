//! The silver half of the masking policy: columns that become coarser on their way out of bronze.
//!
//! Done to change records as they are read, so that every way into the table (merge, late records, rebuild of a key's history)
//! passes here. Promises: type, order and number of columns and rows stay; key columns are never touched, because a key has no
//! class. A policy that changes does not reach rows that are in silver already: they keep what the policy of their merge made.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use lakebed_contract::generalise::{Generalisation, prefix};
use lakebed_contract::{Layer, Policy, TableContract, Transform};

use crate::error::{Attempt, Result, WarehouseError};

/// What happens to which column of a table's records.
pub(crate) struct Coarsening {
    table: String,
    /// By position in the contract.
    steps: Vec<(usize, Transform)>,
}

impl Coarsening {
    /// What the policy wants done in silver.
    pub(crate) fn of(contract: &TableContract, policy: &Policy) -> Self {
        let step = |(at, column): (usize, &lakebed_contract::Column)| {
            let transform = policy.transform_at(Layer::Silver, column.class.as_ref()?)?;
            (*transform != Transform::Keep).then(|| (at, transform.clone()))
        };
        Self { table: contract.name.clone(), steps: contract.columns.iter().enumerate().filter_map(step).collect() }
    }

    /// Coarsens records whose first columns are the contract's.
    pub(crate) fn apply(&self, records: RecordBatch) -> Result<RecordBatch> {
        if self.steps.is_empty() {
            return Ok(records);
        }
        let mut columns = records.columns().to_vec();
        for (at, transform) in &self.steps {
            columns[*at] = coarser(&columns[*at], transform).ok_or_else(|| WarehouseError::Unsupported {
                table: self.table.clone(),
                reason: format!(
                    "silver transform `{transform}` of column `{}` does not work on {}",
                    records.schema().field(*at).name(),
                    columns[*at].data_type()
                ),
            })?;
        }
        RecordBatch::try_new(records.schema(), columns).attempt(|| format!("coarsen records of {}", self.table))
    }
}

fn coarser(column: &ArrayRef, transform: &Transform) -> Option<ArrayRef> {
    match transform {
        Transform::Keep => Some(Arc::clone(column)),
        Transform::Drop => Some(new_null_array(column.data_type(), column.len())),
        Transform::Prefix(count) => {
            let texts = column.as_string_opt::<i32>()?;
            Some(Arc::new(texts.iter().map(|text| text.map(|text| prefix(text, *count))).collect::<StringArray>()))
        }
        other => generalised(column, other.generalisation()?),
    }
}

fn generalised(column: &ArrayRef, how: Generalisation) -> Option<ArrayRef> {
    match column.data_type() {
        DataType::Date32 => {
            let coarse: Date32Array = column.as_primitive::<Date32Type>().unary(|day| how.date(day));
            Some(Arc::new(coarse))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let instants = column.as_primitive::<TimestampMicrosecondType>();
            let coarse: TimestampMicrosecondArray = instants.unary(|micros| how.instant(micros));
            Some(Arc::new(coarse.with_data_type(column.data_type().clone())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lakebed_contract::Lake;
    use lakebed_contract::lake::BEER_FILES;

    use super::*;
    use crate::silver::merge;
    use crate::testing::{Bench, Record};

    /// The beer lake with cities and states of breweries coarsened in silver.
    fn lake() -> Lake {
        let mut files: BTreeMap<String, String> =
            BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let contract = files.get_mut("contracts/brewery.yaml").expect("in the beer lake");
        for column in ["city", "state"] {
            let from = format!("- name: {column}\n        logicalType: string\n");
            assert!(contract.contains(&from), "{column}");
            *contract = contract.replacen(&from, &format!("{from}        classification: {column}\n"), 1);
        }
        let policy = files.get_mut("policy.yaml").expect("in the beer lake");
        policy.push_str("  city: {bronze: keep, silver: 'prefix:2'}\n  state: {bronze: keep, silver: drop}\n");
        Lake::from_files(&files).expect("a lake")
    }

    fn record(operation: &'static str, lsn: i64, city: Option<&str>) -> Record {
        let text = |value: &str| Some(value.to_owned());
        Record {
            operation,
            position: (1, lsn, 1),
            at: 1_000 + lsn,
            values: vec![
                ("brewery_id", text("1")),
                ("brewery_name", text("a")),
                ("city", city.map(str::to_owned)),
                ("state", text("CA")),
            ],
            absent: if city.is_some() { Vec::new() } else { vec!["city"] },
            ..Record::default()
        }
    }

    #[tokio::test]
    async fn records_are_coarser_in_silver_on_every_way_there() {
        let bench = Bench::new(lake());
        let contract = bench.warehouse.lake.table("brewery").expect("in the lake").clone();
        const ROWS: &str = "SELECT brewery_name, city, state FROM silver.brewery";
        // A load, an update that lacks the city, and a late record, which rebuilds the key from its history.
        let deliveries = [(1, Some("Århus"), "År"), (9, None, "År"), (5, Some("Odense"), "Od")];
        for (lsn, city, expected) in deliveries {
            let operation = if lsn == 1 { "insert" } else { "update" };
            bench.deliver("brewery", &format!("o{lsn}"), &[record(operation, lsn, city)]);
            merge(&bench.warehouse, &contract).await.expect("merges");
            assert_eq!(bench.rows(ROWS).await, [format!("a|{expected}|NULL")], "after LSN {lsn}");
        }
    }

    #[test]
    fn only_what_the_policy_names_is_touched() {
        let lake = Lake::beer();
        for table in &lake.tables {
            assert!(Coarsening::of(table, &lake.policy).steps.is_empty(), "{}", table.name);
        }
        let lake = self::lake();
        let steps = Coarsening::of(lake.table("brewery").expect("in the lake"), &lake.policy).steps;
        assert_eq!(steps, [(2, Transform::Prefix(2)), (3, Transform::Drop)]);
    }

    #[test]
    fn dates_and_instants_keep_their_types() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(9_000), None]));
        let coarse = coarser(&dates, &Transform::Band(5)).expect("dates");
        assert_eq!(coarse.as_primitive::<Date32Type>(), &Date32Array::from(vec![Some(7_305), None]));
        let instants: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("+00:00"));
        let coarse = coarser(&instants, &Transform::Month).expect("instants");
        assert_eq!(coarse.data_type(), instants.data_type());
        assert!(coarser(&dates, &Transform::Prefix(1)).is_none() && coarser(&dates, &Transform::Redact).is_none());
    }
}
