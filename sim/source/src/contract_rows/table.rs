//! The initial rows of a table, as CSV in chunks; the truth about them is recorded on the way.

use lakebed_contract::Seed;
use rand::Rng as _;

use super::plan::TablePlan;
use super::value::Value;
use super::words;
use crate::beer::world::{CHUNK_BYTES, Chunk, ChunkSink};
use crate::error::SourceError;
use crate::row::write_csv_field;
use crate::truth::SourceTruth;

/// One in so many rows has a long text, where a column can take one.
const LONG_TEXT_EVERY: u32 = 211;

impl TablePlan {
    /// Writes the rows in key order of their numbers, with a header, and records keys and planted values.
    pub(crate) fn write(
        &self,
        seed: Seed,
        truth: &mut SourceTruth,
        sink: &mut ChunkSink<'_>,
    ) -> Result<(), SourceError> {
        let mut rng = seed.child("source/contract").rng(&format!("rows of {}", self.contract.name));
        let mut chunk = Chunk { csv: self.header(), rows: 0 };
        for number in 1..=self.rows {
            let row = self.row(&mut rng, number, &mut truth.planted, |rng, parent| parent.initial_key(rng));
            let mut row = row.expect("initial parents have rows");
            if let Some(at) = self.long
                && (number == 1 || rng.random_range(0..LONG_TEXT_EVERY) == 0)
            {
                row[at] = Value::text(words::long_text(&mut rng));
            }
            for (at, value) in row.iter().enumerate() {
                write_csv_field(value.field(), at == 0, &mut chunk.csv);
            }
            chunk.csv.push('\n');
            chunk.rows += 1;
            truth.add_key_parts(&self.contract.name, &self.key_of(&row));
            if chunk.csv.len() >= CHUNK_BYTES {
                let next = Chunk { csv: String::with_capacity(CHUNK_BYTES * 2), rows: 0 };
                sink(std::mem::replace(&mut chunk, next))?;
            }
        }
        sink(chunk)
    }

    fn header(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|plan| plan.column.name.as_str()).collect();
        names.join(",") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lakebed_contract::Lake;

    use super::super::plan::{Plans, scaled_rows};
    use super::*;
    use crate::truth::KeyPart;

    /// A lake of `tables`: name, properties in YAML's flow form.
    pub(crate) fn lake(tables: &[(&str, &str)]) -> Lake {
        let names: Vec<String> = tables.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let mut files = BTreeMap::from([
            (
                "lakebed.toml".to_owned(),
                format!("name = \"shop\"\ntables = [{}]\nstate_machines = []\n", names.join(", ")),
            ),
            ("policy.yaml".to_owned(), "version: 1\nclasses: {email: {bronze: token}}\n".to_owned()),
        ]);
        for (name, properties) in tables {
            files.insert(
                format!("contracts/{name}.yaml"),
                format!(
                    "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: {name}\n    \
                     physicalName: shop.{name}\n    properties: [{properties}]\n"
                ),
            );
        }
        Lake::from_files(&files).expect("a valid lake")
    }

    const KEY: &str = "primaryKey: true";

    fn shop() -> Lake {
        lake(&[
            (
                "customer",
                &format!(
                    "{{name: id, physicalType: text, {KEY}}}, {{name: email, physicalType: text, classification: email}}"
                ),
            ),
            ("item", &format!("{{name: id, physicalType: integer, {KEY}}}, {{name: title, physicalType: text}}")),
            (
                "basket",
                &format!(
                    "{{name: customer_id, physicalType: text, {KEY}}}, {{name: line, physicalType: bigint, {KEY}}}, \
                     {{name: item_id, physicalType: integer}}, {{name: price, physicalType: 'numeric(12,4)'}}"
                ),
            ),
        ])
    }

    fn csv(lake: &Lake, seed: u64) -> (BTreeMap<String, String>, SourceTruth) {
        let plans = Plans::new(lake, &[], |table| scaled_rows(table, 0.003)).expect("can be generated");
        let (mut files, mut truth) = (BTreeMap::<String, String>::new(), SourceTruth::default());
        for plan in &plans.tables {
            let mut take = |chunk: Chunk| {
                files.entry(plan.contract.name.clone()).or_default().push_str(&chunk.csv);
                Ok(())
            };
            plan.write(Seed(seed), &mut truth, &mut take).expect("writes");
        }
        (files, truth)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let lake = shop();
        assert!(csv(&lake, 1) == csv(&lake, 1), "same seed, other rows");
        assert!(csv(&lake, 1).0 != csv(&lake, 2).0, "other seed, same rows");
    }

    #[test]
    fn keys_are_unique_and_references_hold() {
        let (files, truth) = csv(&shop(), 1);
        let column = |table: &str, at: usize| -> Vec<String> {
            let mut reader = csv::Reader::from_reader(files[table].as_bytes());
            reader.records().map(|row| row.expect("a row")[at].to_owned()).collect()
        };
        let (customers, items) = (column("customer", 0), column("item", 0));
        assert_eq!(customers.len(), 300);
        assert!(column("basket", 0).iter().all(|customer| customers.contains(customer)));
        let referred = column("basket", 2);
        assert!(referred.iter().all(|item| item.is_empty() || items.contains(item)));
        assert!(referred.iter().any(String::is_empty) && referred.iter().any(|item| !item.is_empty()));
        assert_eq!(truth.other_keys_ever["basket"].len(), 300);
        assert_eq!(truth.keys_ever["item"].len(), 300);
        assert!(truth.other_keys_ever["customer"].contains(&vec![KeyPart::Text("k-000300".into())]));
        let addresses: Vec<_> = column("customer", 1).into_iter().filter(|email| !email.is_empty()).collect();
        assert_eq!(addresses.len(), truth.planted.len());
        assert!(column("item", 1)[0].len() > 8_000, "the first row has a long text");
    }

    #[test]
    fn what_cannot_be_generated_is_refused_by_name() {
        let refusal = |tables: &[(&str, &str)], scale: f64| {
            let refused = Plans::new(&lake(tables), &[], |table| scaled_rows(table, scale)).expect_err("refused");
            refused.to_string()
        };
        let double = format!("{{name: at, physicalType: double precision, {KEY}}}");
        assert!(refusal(&[("t", &double)], 1.0).contains("`t` needs a key column of its own"));
        let mixed = format!("{double}, {{name: n, physicalType: bigint, {KEY}}}");
        assert!(refusal(&[("t", &mixed)], 1.0).contains("`t.at` has type double precision"));
        let day = format!("{{name: day, physicalType: date, {KEY}}}");
        assert!(refusal(&[("t", &day)], 50.0).contains("5000000 rows"));
        let (a, b) = (
            format!("{{name: a_id, physicalType: bigint, {KEY}}}"),
            format!("{{name: b_id, physicalType: bigint, {KEY}}}"),
        );
        assert!(refusal(&[("a", &a), ("b", &b), ("ab", &format!("{a}, {b}"))], 1.0).contains("`ab` needs a key"));
    }
}
