//! Macro benchmarks: definitions that carry their right answer, contenders in processes of their own, dated records, a report.
//!
//! ```text
//! benches/definitions/*.toml ─ runner ─┬─ child (wait4: wall, CPU, memory) ─ answer right? ─┐
//!                    warm-up, samples, └─ server + client                                    ▼
//!                    rotated order                              reports/<date>-<label>/record.json
//!                                                                            │ pure function
//!                                                       reports/README.md, plots, README.md ◀┘
//! ```
//!
//! A wrong answer is a failure, not a number. Who cannot run is recorded with the reason, never left out. Timing decides nothing.

mod definition;

mod input;

mod convert;
mod order;
mod process;
mod store;

mod child;
mod contender;
mod criterion;
mod machine;
mod server;

mod record;
pub mod report;
mod runner;

pub use child::{CHILD_OUTPUT_BYTES_MAX, CHILD_WALL_MAX};
pub use criterion::read as read_criterion;
pub use definition::{Answers, CONNECTIONS_MAX, Definition, Operation, SAMPLES_MAX, Size, SizedRun, Value, Work};
pub use order::{Order, Reply, run as run_order};
pub use record::{
    Benchmark, Build, ContenderResult, FORMAT, Machine, MicroResult, Outcome, RECORD_FILE, Record, Role, Sample,
    check_label,
};
pub use runner::{BenchOptions, run};
