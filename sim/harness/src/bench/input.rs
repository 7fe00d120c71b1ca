//! The one file that every converter reads: generated reviews, each with its writer's e-mail address, as `.csv.gz`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use lakebed_contract::{Column, ColumnType, EventSink, Lake, Seed, TableContract};

use super::definition::numbers;
use super::order::Reply;
use crate::error::HarnessError;

const WRITE: &str = "write the benchmark's input";

/// The contract of the file: reviews with one more column, of class `email`.
pub(super) fn table() -> Result<TableContract, HarnessError> {
    let lake = Lake::beer();
    let mut table = lake.table("review").cloned().ok_or_else(|| HarnessError::Input {
        message: "failed to build the benchmark's contract: the beer lake has no table `review`".to_owned(),
    })?;
    table.columns.push(Column {
        name: "email".to_owned(),
        column_type: ColumnType::Text,
        nullable: false,
        is_key: false,
        class: Some("email".to_owned()),
        former_names: Vec::new(),
    });
    Ok(table)
}

/// Writes the file; answers with what every converter must find in it.
pub(super) fn generate(scale: f64, seed: u64, output: &Path) -> Result<Reply, HarnessError> {
    let folder = tempfile::tempdir().map_err(HarnessError::stage(WRITE))?;
    lakebed_source::generate_files(&Lake::beer(), scale, Seed(seed), folder.path(), &EventSink::default())
        .map_err(HarnessError::stage("generate the source tables"))?;
    let emails = emails(&folder.path().join("profile.csv"))?;
    let file = File::create(output).map_err(HarnessError::file("create", output))?;
    let gzip = GzEncoder::new(BufWriter::new(file), Compression::default());
    let mut writer = csv::Writer::from_writer(Counted { gzip, bytes: 0 });
    let mut reader = csv::Reader::from_path(folder.path().join("review.csv")).map_err(HarnessError::stage(WRITE))?;
    let header = reader.headers().map_err(HarnessError::stage(WRITE))?.clone();
    let position = |name: &str| header.iter().position(|column| column == name).unwrap_or(0);
    let (review, beer, profile) = (position("review_id"), position("beer_id"), position("profile_id"));
    writer.write_record(header.iter().chain(["email"])).map_err(HarnessError::stage(WRITE))?;
    let (mut rows, mut review_ids, mut beer_ids) = (0i64, 0i64, 0i64);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(HarnessError::stage(WRITE))? {
        let number = |at: usize| record[at].parse::<i64>().map_err(HarnessError::stage(WRITE));
        rows += 1;
        review_ids += number(review)?;
        beer_ids += number(beer)?;
        let email = emails.get(&record[profile]).map_or("", String::as_str);
        writer.write_record(record.iter().chain([email])).map_err(HarnessError::stage(WRITE))?;
    }
    let counted = writer.into_inner().map_err(|error| HarnessError::stage(WRITE)(error.into_error()))?;
    let plain_bytes = counted.bytes;
    counted.gzip.finish().and_then(|mut file| file.flush()).map_err(HarnessError::file("write", output))?;
    let answers = numbers(&[
        ("rows", rows),
        ("review_id_sum", review_ids),
        ("beer_id_sum", beer_ids),
        ("plain_bytes", i64::try_from(plain_bytes).unwrap_or(i64::MAX)),
    ]);
    Ok(Reply { answers, ..Reply::default() })
}

/// E-mail address by profile id.
fn emails(path: &Path) -> Result<HashMap<String, String>, HarnessError> {
    let mut reader = csv::Reader::from_path(path).map_err(HarnessError::stage(WRITE))?;
    let header = reader.headers().map_err(HarnessError::stage(WRITE))?.clone();
    let at = header.iter().position(|column| column == "email").unwrap_or(0);
    let mut emails = HashMap::new();
    for record in reader.into_records() {
        let record = record.map_err(HarnessError::stage(WRITE))?;
        emails.insert(record[0].to_owned(), record[at].to_owned());
    }
    Ok(emails)
}

struct Counted<W: std::io::Write> {
    gzip: GzEncoder<W>,
    bytes: u64,
}

impl<W: std::io::Write> std::io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.gzip.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.gzip.flush()
    }
}
