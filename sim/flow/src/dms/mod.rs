//! The DMS task: full load out of a slot's exported snapshot, then change capture, as DMS-shaped records in Kinesis.
//!
//! Promises: every committed row of the lake's tables reaches the sink at least once, in commit order, and the slot is
//! acknowledged only up to the last commit whose every row the sink accepted. `load` rows and changes neither overlap
//! nor leave a gap, because both begin at the slot's consistent point.
//! Does not know: DDL beyond what a new relation message shows, TRUNCATE (DMS does not capture it either; it is logged),
//! partitioned tables, tables without a primary key (refused), reconnection (an error ends the task and is reported).

mod assemble;
mod batch;
mod cdc;
pub mod copy_text;
mod envelope;
mod error;
mod full_load;
mod handle;
pub mod pgoutput;
mod session;
mod settings;
mod shape;
mod sink;
mod slot;
mod task;
mod value;

pub use batch::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, PUT_ATTEMPTS_MAX, RECORD_BYTES_MAX};
pub use cdc::EVENT_BUFFER_MAX;
pub use envelope::{EnvelopeBuilder, TransactionPlace};
pub use error::DmsError;
pub use handle::DmsHandle;
pub use settings::{BeforeImageFilter, DmsSettings, MessageFormat};
pub use shape::{ColumnShape, TableShape};
pub use sink::{KinesisSink, MemorySink, RecordResult, RecordSink, SinkError, SinkRecord};
pub use task::{DmsConfig, DmsTask};
