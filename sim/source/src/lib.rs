//! The source of the lake: the Postgres server process, the data in it (beer, or whatever a contract describes), and the
//! changes that befall it.
//!
//! Follow the data downwards: a server is found and started, gets its tables, is loaded, is changed, and a table is
//! exported for the batch path. Everything that is random comes from a `Seed`, so one number repeats the same rows and
//! the same transactions. Knows nothing of replication: capturing the changes is the work of `lakebed-flow`.

mod error;
pub mod postgres;

mod connect;
mod schema;

mod beer;
mod contract_rows;
mod generator;
mod ledger;
mod row;
mod truth;

mod load;
mod mutation;

mod export;
mod generate;

use std::collections::BTreeMap;

pub use connect::connect;
pub use error::{DatabaseError, SourceError};
pub use export::{ExportReport, export_table};
pub use generate::generate_files;
pub use generator::check_lake;
pub use ledger::{clear, read_truth};
pub use load::load;
pub use mutation::{MutationPlan, MutationReport, case_names, mutate};
pub use postgres::{PostgresConfig, PostgresInstallation, PostgresServer, find_postgres, random_password};
pub use schema::{create_schema, create_table_sql};
pub use truth::{KeyPart, PlantedValue, SourceTruth};

/// The bounds in force at the source, by name, for the first event of a run.
pub fn bounds() -> BTreeMap<String, u64> {
    let bounds = [
        ("source.load_chunks_in_flight_max", load::CHUNKS_IN_FLIGHT_MAX as u64),
        ("source.ledger_planted_values_max", ledger::PLANTED_VALUES_MAX as u64),
        ("source.mutation_statements_max", mutation::script::STATEMENTS_MAX),
        ("source.export_chunks_in_flight_max", export::CSV_CHUNKS_IN_FLIGHT_MAX as u64),
        ("source.export_single_put_bytes_max", export::SINGLE_PUT_BYTES_MAX),
        ("source.export_part_bytes", export::PART_BYTES as u64),
        ("source.postgres_start_wait_s_max", postgres::START_WAIT_MAX.as_secs()),
        ("source.postgres_stop_wait_s_max", postgres::STOP_WAIT_MAX.as_secs()),
        ("source.postgres_connections_max", u64::from(postgres::CONNECTIONS_MAX)),
        ("source.postgres_slots_max", u64::from(postgres::REPLICATION_SLOTS_MAX)),
    ];
    bounds.into_iter().map(|(name, bound)| (name.to_owned(), bound)).collect()
}
