//! lakebed: the binary. Reads arguments and environment, prints, and maps every end to an exit code.
//!
//! stdout is data; progress and errors go to stderr. Exit codes: 0 done, 1 the run or the input failed, 2 the environment's
//! fault or ours, 130 interrupted. The only crate that prints or reads the environment.

mod arguments;
mod commands;
mod environment;
mod exit;
mod external;
mod mask_key;
mod printer;
mod tui;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::environment::Environment;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::usage(&error),
    };
    exit::report(commands::run(arguments, &Environment::read()))
}
