//! Scenarios: what a finished one leaves behind, and the reports made of it.

pub mod outcome;
pub mod report;
