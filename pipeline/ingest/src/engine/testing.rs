//! The job that unit tests of the engine's parts run: breweries of the beer lake as plain JSON. Knows no bytes.

use lakebed_contract::Lake;
use lakebed_mask::{MaskKey, Masker};

use super::{Compression, Format, Job};

/// Hands the job to `check`, to be done by so many threads.
pub(super) fn with_job(threads: usize, check: impl FnOnce(&Job<'_>)) {
    let lake = Lake::beer();
    let table = lake.table("brewery").expect("a beer table");
    let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(table, &lake.policy).expect("mask plan");
    check(&Job {
        table,
        masker: &masker,
        format: &Format::Json,
        compression: Compression::Plain,
        generation: 1,
        last_modified: 0,
        source_object: "x",
        threads,
    });
}
