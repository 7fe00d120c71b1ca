//! What a measured process of our own does: one order in, one line of JSON out. `lakebed bench-work ORDER` runs it.
//!
//! Each piece of work has a process of its own, so that its time and memory are its alone. An order holds no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lakebed_contract::Clock;
use serde::{Deserialize, Serialize};

use super::definition::{Answers, Operation};
use super::{convert, input, store};
use crate::error::HarnessError;

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case")]
pub enum Order {
    /// Write the input of a conversion.
    Generate {
        /// Share of BeerAdvocate's size.
        scale: f64,
        /// Seed.
        seed: u64,
        /// The `.csv.gz` to write.
        output: PathBuf,
    },
    /// The bronze engine on one file.
    Convert {
        /// A `.csv.gz`.
        input: PathBuf,
        /// The Parquet file to write.
        output: PathBuf,
        /// How.
        route: Route,
    },
    /// Inflate and forget.
    Inflate {
        /// A `.csv.gz`.
        input: PathBuf,
    },
    /// Count what a converter wrote.
    CheckParquet {
        /// A file, or a folder of them.
        path: PathBuf,
    },
    /// Call a store.
    Store(StoreOrder),
    /// Answer calls of a store without storing anything, until killed.
    Floor {
        /// Port on this machine.
        port: u16,
        /// Whose answers' size it gives.
        operation: Operation,
    },
}

/// A route through the bronze engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// As the Lambda does it.
    Lite,
    /// As the ECS task does it.
    Mass,
    /// As the Lambda does it, with every class declared public: what masking costs.
    Unmasked,
}

/// Calls of one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreOrder {
    /// Which.
    pub operation: Operation,
    /// How many.
    pub operations: u32,
    /// Over how many connections at once; at least one.
    pub connections: u32,
    /// Port of the server on this machine.
    pub port: u16,
    /// Its process, whose CPU time is taken around the calls.
    pub server_pid: u32,
    /// Distinguishes the names of one round from those of another.
    pub round: u32,
    /// Whether the server is the floor: then nothing is prepared, read back or answered.
    pub is_floor: bool,
}

/// What became of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// To be compared with the definition.
    #[serde(default)]
    pub answers: Answers,
    /// Times and rates.
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
}

/// Runs one order, given as JSON.
///
/// # Errors
/// An order nobody knows, or one that failed.
pub async fn run(order: &str) -> Result<Reply, HarnessError> {
    let order: Order = serde_json::from_str(order)
        .map_err(|error| HarnessError::Input { message: format!("failed to read a benchmark order: {error}") })?;
    let clock = Clock::wall();
    match order {
        Order::Generate { scale, seed, output } => input::generate(scale, seed, &output),
        Order::Convert { input, output, route } => convert::convert(&input, &output, route, &clock),
        Order::Inflate { input } => convert::inflate(&input, &clock),
        Order::CheckParquet { path } => convert::check_parquet(&path),
        Order::Store(order) => store::run(&order, &clock).await,
        Order::Floor { port, operation } => match store::floor::serve(port, operation).await? {},
    }
}
