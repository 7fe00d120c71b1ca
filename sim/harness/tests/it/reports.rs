//! The committed reports are what their records say, README table included.

use std::path::Path;

use lakebed_harness::bench::report;

#[test]
fn committed_reports_are_as_their_records_say() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    let stale = report::stale(&reports).expect("records that can be read");
    assert!(stale.is_empty(), "run `cargo run -p lakebed -- report reports`; stale: {stale:?}");
    let readme = report::render(&reports).expect("rendered").readme.expect("README.md has the marks");
    assert!(readme.contains("csv-to-parquet"), "the table is there");
}
