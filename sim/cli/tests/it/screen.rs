//! The real binary's screen in a pseudo-terminal: watching a recorded run, a live run, and leaving the terminal as it was.

use std::path::{Path, PathBuf};

use portable_pty::CommandBuilder;

use crate::pty::Pty;

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/watched-run.jsonl")
}

/// The binary of the other tests, in a terminal.
fn lakebed(folder: &Path, arguments: &[&str]) -> CommandBuilder {
    let plain = crate::command_line::lakebed(folder, arguments);
    let mut command = CommandBuilder::new(plain.get_program());
    command.args(plain.get_args());
    command.cwd(folder);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        }
    }
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    command.env_remove("NO_COLOR");
    command
}

#[test]
fn a_recorded_run_is_watched_screen_by_screen_and_the_terminal_restored() {
    let folder = tempfile::tempdir().expect("temp dir");
    let log = recorded();
    let mut pty = Pty::start(lakebed(folder.path(), &["watch", &log.to_string_lossy()]));
    pty.wait_for(&["verdict pass", "firehose", "s3.notifications", "I10 ●"]);
    pty.press("2");
    pty.wait_for(&["filter:", "BRONZE_DONE", "lambda"]);
    pty.press("/review\r\r");
    let record = pty.wait_for(&["dm-stage", "attempts", "quarantined + "]);
    assert!(record.contains("raw/review/"), "{record}");
    pty.press("r");
    pty.wait_for(&["only FAILED and QUARANTINED"]);
    pty.press("3");
    pty.wait_for(&["dm-ingestion-dispatcher", "SUCCEEDED"]);
    pty.press("4");
    pty.wait_for(&["source to silver", "changes", "peak memory"]);
    pty.press("\t");
    pty.wait_for(&["run finished: pass"]);
    pty.press("?");
    pty.wait_for(&["Everywhere"]);
    pty.press("xq");
    let (code, left) = pty.wait();
    assert_eq!(code, 0, "{left:?}");
    left.assert_restored();
}

#[test]
fn a_demo_behind_its_screen_ends_with_the_usual_summary() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut pty = Pty::start(lakebed(folder.path(), &["demo", "--scale", "0.0005", "--tui"]));
    pty.wait_for(&["seed 7", "running", "q close (the run goes on)"]);
    pty.wait_for(&["verdict pass", "I1 ● pass"]);
    pty.press("q");
    let (code, left) = pty.wait();
    assert_eq!(code, 0, "{left:?}");
    left.assert_restored();
    assert!(left.text.contains("verdict     pass") && left.text.contains("repeat      lakebed demo"), "{}", left.text);
}

#[test]
fn control_c_on_the_screen_interrupts_the_run() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut pty = Pty::start(lakebed(folder.path(), &["demo", "--scale", "0.01", "--tui"]));
    pty.wait_for(&["running", "source"]);
    pty.press("\x03");
    let (code, left) = pty.wait();
    assert_eq!(code, 130, "{left:?}");
    left.assert_restored();
    assert!(left.text.contains("interrupted"), "{}", left.text);
}

#[test]
fn without_a_terminal_there_is_no_screen_but_a_hint() {
    let folder = tempfile::tempdir().expect("temp dir");
    let log = recorded();
    let mut command = crate::command_line::lakebed(folder.path(), &["watch", &log.to_string_lossy()]);
    let output = command.stdin(std::process::Stdio::null()).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("not both a terminal") && stderr.contains("hint:"), "{stderr}");
}

#[test]
fn sigterm_gives_the_terminal_back_while_watching_and_behind_a_finished_run() {
    let folder = tempfile::tempdir().expect("temp dir");
    let log = recorded();
    for arguments in [&["watch", &log.to_string_lossy()][..], &["demo", "--scale", "0.0005", "--tui"]] {
        let pty = Pty::start(lakebed(folder.path(), arguments));
        pty.wait_for(&["verdict pass"]);
        crate::command_line::signal(pty.process(), "-TERM");
        let (_code, left) = pty.wait();
        left.assert_restored();
    }
}
