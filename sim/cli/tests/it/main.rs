//! The binary from outside, and rules of the workspace that no compiler checks. One test binary, so that it links once.

#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

mod bench;
mod ci_action;
mod command_line;
mod contract_change;
mod docker;
mod external;
mod kill;
mod mask_kms;
mod models;
mod oracle;
mod own_lake;
mod proof;
mod pty;
mod run;
mod scenarios;
mod screen;
mod stores;
mod stores_crash;
mod tidy;
