//! Firehose's buffers: records of four tables into sealed objects.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use lakebed_contract::Timestamp;
use lakebed_flow::firehose::{BUFFERED_BYTES_MAX, BufferBounds, Buffers, Target};

use super::envelope::insert_lines;
use super::{Micro, Work};
use crate::data::Beer;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const TABLES: [&str; 4] = ["brewery", "beer", "profile", "review"];
/// Small enough that buffers are sealed by size, too.
const BUFFER_BYTES: u64 = 64 * 1024;

/// Buffers every record; the answer is the records in sealed objects.
pub(super) fn buffers(beer: &Beer) -> Micro {
    let records = insert_lines(&beer.reviews);
    let targets = TABLES.map(|table| Target::Partition(BTreeMap::from([("table_name".to_owned(), table.to_owned())])));
    let bounds = BufferBounds {
        bytes: BUFFER_BYTES,
        interval: Duration::from_secs(60),
        active_partitions_max: TABLES.len(),
        total_bytes_max: BUFFERED_BYTES_MAX,
    };
    Micro {
        name: "firehose/buffers",
        question: "How fast are records buffered by partition and sealed?",
        work: Work::Elements(records.len() as u64),
        expect: records.len() as u64,
        run: Box::new(move || {
            let mut buffers = Buffers::new(bounds);
            let mut sealed_records = 0;
            for (at, record) in records.iter().enumerate() {
                let (target, table) = (targets[at % TABLES.len()].clone(), TABLES[at % TABLES.len()]);
                let sealed = buffers.push(target, table, NOW, black_box(record), NOW).expect("four partitions fit");
                sealed_records += sealed.iter().flat_map(|object| object.tables.values()).sum::<u64>();
            }
            sealed_records + buffers.flush_all().iter().flat_map(|object| object.tables.values()).sum::<u64>()
        }),
    }
}
