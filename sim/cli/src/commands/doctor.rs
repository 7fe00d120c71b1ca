//! `lakebed doctor`.

use lakebed_harness::doctor::{Check, examine};

use crate::environment::Environment;
use crate::exit::End;
use crate::printer;

pub(super) fn run(json: bool, environment: &Environment) -> anyhow::Result<End> {
    let checks = examine(environment.postgres_bin.clone(), environment.search_path.clone());
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
        let word = if check.ok { "ok     " } else { "MISSING" };
        text.push_str(&format!("{word}  {:<33} {}\n", check.name, check.found));
        if !check.ok {
            text.push_str(&format!("         fix: {}\n", check.fix));
        }
    }
    text
}
