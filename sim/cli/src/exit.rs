//! How a command ends: errors as `error:`, `caused by:` and `hint:` lines, and the exit code.

use std::process::ExitCode;

use lakebed_harness::HarnessError;
use lakebed_harness::error::Fault;

/// Exit code when the run or the input failed.
const FAILED: u8 = 1;
/// Exit code when the environment or lakebed is at fault.
const BROKEN: u8 = 2;
/// Exit code after Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

/// How a command ended, short of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// What was asked for was done.
    Done,
    /// It was done and the answer is no: a verdict of `fail`, a rejected file, a missing part.
    Failed,
    /// `doctor`: the environment lacks something.
    Lacking,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// A usage error by clap: its own text; help and version are data and succeed.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if error.use_stderr() || printed.is_err() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// Prints an error, if there is one, and gives the exit code.
pub(crate) fn report(result: anyhow::Result<End>) -> ExitCode {
    match result {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::from(FAILED),
        Ok(End::Lacking) => ExitCode::from(BROKEN),
        Ok(End::Interrupted) => {
            crate::printer::line("interrupted; everything that was started is stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            for line in render(&error) {
                crate::printer::line(&line);
            }
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<HarnessError>().map(HarnessError::fault) {
        Some(Fault::Input) => FAILED,
        Some(Fault::Environment) => BROKEN,
        None if error.downcast_ref::<InputError>().is_some() => FAILED,
        None => BROKEN,
    }
}

fn render(error: &anyhow::Error) -> Vec<String> {
    let mut lines = vec![format!("error: {error}")];
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // A wrapper that only repeats its source adds nothing.
        if text != last {
            lines.push(format!("caused by: {text}"));
        }
        last = text;
    }
    let hint = error
        .downcast_ref::<HarnessError>()
        .and_then(HarnessError::hint)
        .or_else(|| error.downcast_ref::<InputError>().and_then(|input| input.hint.clone()));
    lines.extend(hint.map(|hint| format!("hint: {hint}")));
    lines
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// The user's mistake, found by the command line itself.
#[derive(Debug)]
pub(crate) struct InputError {
    message: String,
    hint: Option<String>,
}

impl InputError {
    pub(crate) fn because(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { message: message.into(), hint: Some(hint.into()) }.into()
    }
}

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_mistakes_exit_with_1_and_ours_with_2() {
        let input: anyhow::Error = HarnessError::Input { message: "failed to read `x`".to_owned() }.into();
        assert_eq!((code(&input), render(&input)), (1, vec!["error: failed to read `x`".to_owned()]));
        let source = std::io::Error::other("no space");
        let ours: anyhow::Error = HarnessError::stage("start PostgreSQL")(source).into();
        assert_eq!(code(&ours), 2);
        assert_eq!(render(&ours), ["error: failed to start PostgreSQL", "caused by: no space"]);
        assert_eq!(code(&InputError::because("bad", "do this")), 1);
    }
}
