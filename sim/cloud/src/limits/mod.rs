//! Throughput limits as AWS has them, under `Limits::Aws` only: token buckets on the clock, one set per service.
//!
//! ```text
//! kinesis   per shard: 1 MiB and 1,000 records written a second, 5 reads and 2 MiB read a second; rates of control calls
//! dynamodb  per provisioned table and index: its capacity units, 300 s of them saved up; per partition key: 1,000 write
//!           and 3,000 read units; two readers at once per stream shard
//! s3        per prefix: 3,500 writes and 5,500 reads a second
//! ```
//!
//! Promises: with `Limits::None` nothing is counted; what is throttled has not been done. Buckets are full at the start, and
//! lost by a restart. Size limits are not here: they hold always.

mod bucket;
pub(crate) mod dynamodb;
pub(crate) mod kinesis;
pub(crate) mod s3;

use bucket::{Bucket, Buckets, Rate};
