//! Where scenarios are found: files of the user, or those that ship inside the binary.

use std::path::Path;

use super::complaint::nearest;
use super::definition::Scenario;
use crate::backend::BackendChoice;
use crate::error::HarnessError;

/// The word for every shipped scenario that must pass.
pub const ALL: &str = "all";
/// Most scenarios of one command.
pub const SCENARIOS_MAX: usize = 1_000;

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../scenarios/", $path)))),*]
    };
}

/// The shipped scenarios: path under `scenarios/`, text.
pub const SHIPPED: &[(&str, &str)] = shipped![
    "0001-streaming.toml",
    "0002-batch.toml",
    "0003-both.toml",
    "0004-empty-tables.toml",
    "0005-firehose-duplicate.toml",
    "0006-notifications-disordered.toml",
    "0007-truncated-gzip.toml",
    "0008-malformed-line.toml",
    "0009-key-update.toml",
    "0010-delete-reinsert.toml",
    "0011-ecs-worker-killed.toml",
    "0012-killed-after-silver-commit.toml",
    "0013-restart.toml",
    "0014-faulty-stores.toml",
    "must-fail/0101-corrupted-silver.toml",
    "must-fail/0102-leaked-email.toml",
];

/// A scenario and where it came from, so that a command that repeats it can name it.
#[derive(Clone, Debug)]
pub struct Found {
    /// What to give to `lakebed run`.
    pub argument: String,
    /// File name for messages.
    pub file: String,
    /// Text.
    pub text: String,
    /// Read.
    pub scenario: Scenario,
    /// Where it is played: whoever knows the environment has to turn the scenario's word into this.
    pub backend: BackendChoice,
}

impl Found {
    fn read(argument: String, file: String, text: String) -> Result<Self, HarnessError> {
        let scenario = Scenario::parse(&file, &text)?;
        Ok(Self { argument, file, text, scenario, backend: BackendChoice::default() })
    }

    fn shipped((path, text): &(&str, &str)) -> Result<Self, HarnessError> {
        let found = Self::read(String::new(), format!("scenarios/{path}"), (*text).to_owned())?;
        Ok(Self { argument: found.scenario.name.clone(), ..found })
    }
}

/// The scenarios that an argument names: a file, [`ALL`], or a shipped one by its name, its number, or its name without number.
pub fn find(argument: &str) -> Result<Vec<Found>, HarnessError> {
    if argument == ALL {
        return SHIPPED.iter().filter(|(path, _)| !path.contains('/')).map(Found::shipped).collect();
    }
    if argument.ends_with(".toml") || Path::new(argument).is_file() {
        let text = std::fs::read_to_string(argument).map_err(HarnessError::file("read scenario", argument))?;
        return Ok(vec![Found::read(argument.to_owned(), argument.to_owned(), text)?]);
    }
    let names = || SHIPPED.iter().map(|(path, _)| stem(path));
    let fits = |name: &str| {
        let (number, rest) = name.split_once('-').unwrap_or((name, ""));
        name == argument || number == argument || rest == argument
    };
    match SHIPPED.iter().find(|(path, _)| fits(stem(path))) {
        Some(shipped) => Ok(vec![Found::shipped(shipped)?]),
        None => {
            let words = names().flat_map(|name| [Some(name), name.split_once('-').map(|(_, rest)| rest)]).flatten();
            let hint = nearest(argument, words).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            let known: Vec<&str> = names().collect();
            let message = format!(
                "failed to find scenario `{argument}`{hint}; known: {ALL}, a file that ends with .toml, {}",
                known.join(", ")
            );
            Err(HarnessError::Input { message })
        }
    }
}

fn stem(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_scenario_is_valid_and_every_file_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let mut files = Vec::new();
        for (prefix, folder) in [("", folder.clone()), ("must-fail/", folder.join("must-fail"))] {
            for entry in std::fs::read_dir(folder).expect("the folder") {
                let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
                if name.ends_with(".toml") {
                    files.push(format!("{prefix}{name}"));
                }
            }
        }
        files.sort();
        let shipped: Vec<_> = SHIPPED.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(files, shipped);
        for shipped in SHIPPED {
            Found::shipped(shipped).expect("valid");
        }
        assert!(find(ALL).expect("all").len() >= 12);
    }

    const KEYS: &str = include_str!("../../../../scenarios/README.md");
    const README: &str = include_str!("../../../../README.md");

    /// The text between two marks of a page.
    fn section(page: &str, name: &str) -> String {
        let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let from = page.find(&start).expect("its mark") + start.len();
        page[from..from + page[from..].find(&end).expect("its end")].to_owned()
    }

    #[test]
    fn the_page_tells_every_scenario_case_and_fault() {
        for (page, folder) in [(KEYS, ""), (README, "scenarios/")] {
            let mut scenarios = "| scenario | asks |\n| --- | --- |\n".to_owned();
            for shipped in SHIPPED {
                let scenario = Found::shipped(shipped).expect("valid").scenario;
                let (name, path, question) = (scenario.name, shipped.0, scenario.question);
                scenarios.push_str(&format!("| [{name}]({folder}{path}) | {question} |\n"));
            }
            assert_eq!(section(page, "scenarios"), scenarios);
        }
        let cases: Vec<_> = lakebed_source::case_names().iter().map(|case| format!("`{case}`")).collect();
        assert_eq!(section(KEYS, "cases"), format!("Cases: {}.\n", cases.join(", ")));
        let mut faults =
            "| `stage` | `operation` | `kind` | one occurrence is |\n| --- | --- | --- | --- |\n".to_owned();
        for point in lakebed_contract::fault::POINTS {
            let kinds: Vec<_> = point.kinds.iter().map(|kind| format!("`{kind}`")).collect();
            let (stage, operation) = (point.stage, point.operation);
            faults.push_str(&format!("| `{stage}` | `{operation}` | {} | {} |\n", kinds.join(", "), point.about));
        }
        let is_any =
            |point: &lakebed_contract::fault::FaultPoint| point.operation == lakebed_contract::fault::ANY_OPERATION;
        for point in lakebed_cloud::fault_points().into_iter().filter(is_any) {
            let kinds: Vec<_> = point.kinds.iter().map(|kind| format!("`{kind}`")).collect();
            let (stage, kinds, about) = (point.stage, kinds.join(", "), point.about);
            faults.push_str(&format!("| `{stage}` | `*`, or an operation by name | {kinds} | {about} |\n"));
        }
        assert_eq!(section(KEYS, "faults"), faults);
    }

    #[test]
    fn scenarios_are_found_by_name_number_and_file() {
        for argument in ["0009-key-update", "0009", "key-update", "../../scenarios/0009-key-update.toml"] {
            let found = find(argument).expect(argument);
            assert_eq!(found[0].scenario.name, "0009-key-update");
        }
        assert_eq!(find("0102").expect("must-fail")[0].argument, "0102-leaked-email");
        let refused = find("key-updat").expect_err("unknown").to_string();
        assert!(refused.contains("did you mean `key-update`?"), "{refused}");
        assert!(find("nowhere.toml").is_err());
    }
}
