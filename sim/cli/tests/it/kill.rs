//! `kill -9` of the whole process, again and again, each time followed by the same command on the same state directory.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use lakebed_contract::{Clock, Seed};
use rand::Rng;
use serde_json::Value;

use crate::command_line::lakebed;

/// How often the demo is killed before it may end.
const KILLS: u32 = 10;
/// About 1,600 reviews: long enough to be hit in every phase.
const SCALE: &str = "0.001";

fn start(folder: &Path, seed: &str) -> Child {
    lakebed(folder, &["demo", "--scale", SCALE, "--seed", seed, "--keep", "lake", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Lets a demo run for `moment`, then kills it; `None` if it ended before.
async fn kill_after(mut child: Child, clock: &Clock, moment: Duration) -> Option<std::process::Output> {
    clock.sleep(moment).await;
    if child.try_wait().expect("asks").is_none() {
        child.kill().expect("kills");
        child.wait().expect("reaps");
        return None;
    }
    Some(child.wait_with_output().expect("reads"))
}

#[tokio::test]
async fn a_demo_killed_at_ten_moments_ends_with_pass() {
    let folder = tempfile::Builder::new().prefix("lakebed-kill-").tempdir().expect("temp dir");
    // Postgres drops to another user, who must be able to pass through.
    let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), passable).expect("chmod");
    let clock = Clock::wall();
    let mut rng = Seed(7).rng("kill");
    let mut killed = 0;
    let mut ended = None;
    while killed < KILLS && ended.is_none() {
        // A run is a few seconds long. Whatever is hit, the verdict must be the same: no timing decides this test.
        let moment = Duration::from_millis(rng.random_range(300..4_000));
        ended = kill_after(start(folder.path(), "11"), &clock, moment).await;
        killed += u32::from(ended.is_none());
    }
    let output = match ended {
        Some(output) => output,
        None => start(folder.path(), "11").wait_with_output().expect("ends"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "after {killed} kills: {:?}\n{stderr}", output.status);
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["verdict"], "pass", "after {killed} kills: {summary}");
    assert!(killed > 0, "the demo ended before it could be killed once");
    eprintln!("killed {killed} times");
}
