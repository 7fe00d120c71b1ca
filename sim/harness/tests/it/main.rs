//! The harness from outside, through the real AWS SDK against the embedded stores.
//!
//! From a raw object to bronze every test has stores of its own: free port, temporary folder, virtual clock; nothing there needs
//! Postgres. The judge's tests run the whole path once on a small source. What the engine makes of single values is tested beside
//! it, in `lakebed-ingest`.

mod support;

mod control_table;

mod bronze_handlers;
mod bronze_parquet;
mod gzip_cases;
mod suspicions;

mod breaks;
mod reports;
mod scenario_report;
mod slot_watch;
