//! The same rows as files: `<table>.csv` with a header, for `lakebed generate` and for comparisons with other tools.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use lakebed_contract::{EventSink, Lake, Seed, Stage};

use crate::beer::world::Chunk;
use crate::error::SourceError;
use crate::generator::Generator;
use crate::truth::SourceTruth;

/// Writes `<out>/<table>.csv` for each table of `lake`, byte for byte the rows that [`crate::load`] loads. Blocks.
pub fn generate_files(
    lake: &Lake,
    scale: f64,
    seed: Seed,
    out: &Path,
    events: &EventSink,
) -> Result<SourceTruth, SourceError> {
    let generator = Generator::new(lake, seed, scale, events)?;
    fs::create_dir_all(out).map_err(SourceError::io(format!("create `{}`", out.display())))?;
    let mut truth = SourceTruth::default();
    for table in &lake.tables {
        let path = out.join(format!("{}.csv", table.name));
        let failed = || SourceError::io(format!("write `{}`", path.display()));
        let mut file = BufWriter::new(File::create(&path).map_err(failed())?);
        let mut write = |chunk: Chunk| {
            events.progress(Stage::Source, &table.name, chunk.rows, chunk.csv.len() as u64);
            file.write_all(chunk.csv.as_bytes()).map_err(failed())
        };
        generator.write_table(&table.name, &mut truth, &mut write)?;
        file.flush().map_err(failed())?;
    }
    Ok(truth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_a_header_and_every_row() {
        let out = tempfile::tempdir().unwrap();
        let truth =
            generate_files(&Lake::beer(), 0.001, Seed(5), &out.path().join("csv"), &EventSink::default()).unwrap();
        for (table, keys) in &truth.keys_ever {
            let mut reader = csv::Reader::from_path(out.path().join("csv").join(format!("{table}.csv"))).unwrap();
            assert_eq!(reader.headers().unwrap()[0], format!("{table}_id"));
            assert_eq!(reader.records().map(Result::unwrap).count(), keys.len(), "{table}");
        }
        assert_eq!(truth.keys_ever.len(), 4);
    }
}
