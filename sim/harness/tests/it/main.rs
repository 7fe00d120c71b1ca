//! The stretch from a raw object to bronze, through the real AWS SDK against the embedded stores.
//!
//! Every test has stores of its own: free port, temporary folder, virtual clock. Nothing sleeps in real time or
//! needs Postgres. What the engine makes of single values is tested beside it, in `lakebed-ingest`.

mod support;

mod control_table;

mod bronze_handlers;
mod gzip_cases;

mod scenario_report;
