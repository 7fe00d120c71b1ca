//! Beer rows for the benchmarks: generated as `lakebed generate` does, read back into memory.
//!
//! Same seed, same rows. An empty field counts as NULL, because a CSV reader cannot tell them apart.

use lakebed_contract::{EventSink, Lake, Seed};

/// Seed of every benchmark's rows.
pub const SEED: Seed = Seed(7);

const REVIEW_TIME: usize = 9;

/// One row; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// The rows of one scale.
pub struct Beer {
    /// `review.csv`, header included.
    pub review_csv: Vec<u8>,
    /// Reviews, columns in contract order, values as Postgres writes them.
    pub reviews: Vec<Row>,
    /// Profiles, columns in contract order.
    pub profiles: Vec<Row>,
    /// Personal values that the generator hid in comments.
    pub planted: Vec<String>,
}

impl Beer {
    /// Generates the rows of `scale`.
    ///
    /// # Panics
    /// When the generator fails or its files cannot be read: there is no benchmark without rows.
    pub fn generate(scale: f64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let truth = lakebed_source::generate_files(&Lake::beer(), scale, SEED, folder.path(), &EventSink::default())
            .expect("the beer tables are generated");
        let planted =
            truth.planted.into_iter().filter(|planted| planted.in_text).map(|planted| planted.value).collect();
        let read = |table: &str| std::fs::read(folder.path().join(format!("{table}.csv"))).expect("a generated file");
        let review_csv = read("review");
        let mut reviews = rows(&review_csv);
        for row in &mut reviews {
            // The file has ISO instants; a database session in UTC writes them otherwise.
            let at = row[REVIEW_TIME].as_mut().expect("every review has its moment");
            *at = at.replace('T', " ").replace('Z', "+00");
        }
        Self { reviews, profiles: rows(&read("profile")), review_csv, planted }
    }
}

fn rows(csv: &[u8]) -> Vec<Row> {
    let to_row =
        |record: csv::StringRecord| record.iter().map(|field| (!field.is_empty()).then(|| field.to_owned())).collect();
    csv::Reader::from_reader(csv).into_records().map(|record| to_row(record.expect("a generated row"))).collect()
}

/// Gzip at the level most tools use.
///
/// # Panics
/// Never: it writes into memory.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}
