//! The harness: starts a backend, wires the flow to the pipeline, runs the path from Postgres to gold, and judges it.
//!
//! The only crate that sees both halves: the simulated world (`lakebed-source`, `-cloud`, `-flow`) and the production code
//! (`lakebed-ingest`, `-warehouse`, `-mask`). Libraries meet here and nowhere else. Prints nothing and reads no environment: the
//! command line does both.

pub mod error;
pub mod lake_folder;
pub mod run_dir;

pub mod event_log;
pub mod measures;
pub mod sampler;

pub mod backend;
pub mod mask_kms;
pub mod quiesce;
pub mod wiring;
pub mod worker;

pub mod first_copy;
pub mod kill;
pub mod phases;
pub mod progress;

pub mod demo;
pub mod file_ingest;
pub mod generate;
pub mod open;
pub mod rerun;
pub mod run;
pub mod serve;
pub mod slot_watch;
mod source_load;
pub mod tally;

pub mod judge;
pub mod tamper;

pub mod bench;

pub mod scenario;

pub mod doctor;

pub use error::HarnessError;
