//! Scenarios: a question about the whole path, asked with a workload, faults and steps, and answered by the judge.
//!
//! Reading order: what an author writes (`definition`), where it is found (`shelf`), how one process plays it (`engine`), how
//! it goes on when that process is killed (`lives`), what is compared in the end (`expectations`), what is left (`outcome`,
//! `report`).

pub mod complaint;
pub mod definition;
pub mod shelf;
pub mod workload;

mod digests;
pub mod engine;
mod expectations;
pub mod lives;
pub mod run;

pub mod outcome;
pub mod report;
