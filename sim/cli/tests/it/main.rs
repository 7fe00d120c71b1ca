//! The binary from outside, and rules of the workspace that no compiler checks. One test binary, so that it links once.

mod command_line;
mod oracle;
mod proof;
mod run;
mod stores;
mod tidy;
