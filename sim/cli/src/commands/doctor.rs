//! `lakebed doctor`.

use lakebed_harness::doctor::{Check, docker_engine, examine};

use super::on_runtime;
use crate::environment::Environment;
use crate::exit::End;
use crate::printer;

pub(super) fn run(json: bool, environment: &Environment) -> anyhow::Result<End> {
    let mut checks = examine(environment.postgres_bin.clone(), environment.search_path.clone());
    checks.push(on_runtime(async { Ok(docker_engine().await) })?);
    let sound = checks.iter().all(|check| check.ok || !check.required);
    if json {
        let report = serde_json::json!({ "ok": sound, "checks": checks });
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        printer::data(&render(&checks))?;
    }
    Ok(if sound { End::Done } else { End::Lacking })
}

fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let word = match (check.ok, check.required) {
            (true, _) => "ok     ",
            (false, true) => "MISSING",
            (false, false) => "absent ",
        };
        text.push_str(&format!("{word}  {:<33} {}\n", check.name, check.found));
        if !check.ok {
            text.push_str(&format!("         fix: {}\n", check.fix));
        }
    }
    text
}
