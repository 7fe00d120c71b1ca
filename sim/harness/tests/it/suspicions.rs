//! The generated beer tables raise no suspicion: none of their columns without a class seems to hold personal data, in large objects
//! and in small ones.

use std::collections::BTreeMap;

use lakebed_contract::{Lake, Seed};
use lakebed_harness::generate;
use lakebed_ingest::engine::{Compression, CsvFormat, Format, Job, ingest};
use lakebed_mask::{MaskKey, Masker};

/// Rows of a small object: enough for values to speak.
const SMALL_ROWS: usize = 25;

fn suspicions(lake: &Lake, table: &str, csv: &str) -> BTreeMap<String, String> {
    let contract = lake.table(table).expect("a beer table");
    let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(contract, &lake.policy).expect("mask plan");
    let job = Job {
        table: contract,
        masker: &masker,
        format: &Format::Csv(CsvFormat::default()),
        compression: Compression::Plain,
        generation: 1,
        last_modified: 0,
        source_object: "x",
        threads: 1,
    };
    ingest(csv.as_bytes(), Vec::new(), Vec::new(), &job, &mut |_| ()).expect("ingested").suspicions
}

#[test]
fn generated_beer_tables_raise_no_suspicion() {
    let lake = Lake::beer();
    for seed in [1, 7, 42] {
        let folder = tempfile::tempdir().expect("temp dir");
        generate::to_folder(&lake, 0.001, Seed(seed), folder.path()).expect("generated");
        for table in &lake.tables {
            let name = &table.name;
            let csv = std::fs::read_to_string(folder.path().join(format!("{name}.csv"))).expect("a file");
            assert_eq!(suspicions(&lake, name, &csv), BTreeMap::new(), "{name}, seed {seed}");
            // Comments have line ends in them.
            if name == "review" {
                continue;
            }
            let (header, rows) = csv.split_once('\n').expect("a header");
            for rows in rows.lines().collect::<Vec<_>>().chunks(SMALL_ROWS) {
                let small = format!("{header}\n{}\n", rows.join("\n"));
                assert_eq!(suspicions(&lake, name, &small), BTreeMap::new(), "{name}, seed {seed}");
            }
        }
    }
}
