//! A lake: the folder that says what is copied, masked, merged and aggregated. Nothing in lakebed is hard-wired to beer.
//!
//! `lakebed.toml` names the silver and gold models, `contracts/` the tables, `policy.yaml` the masks, `state_machines/` the
//! Step Functions, `judge/` what the models must equal. The beer lake ships inside the binary. Takes texts, not paths: reading
//! a folder is the caller's work.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::odcs::check_name;
use crate::policy::{Policy, PolicyError};
use crate::table::{ContractError, LoadRoute, TableContract};

/// One SQL model: a SELECT whose result replaces the touched partitions of an Iceberg table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Table name.
    pub name: String,
    /// One SELECT in DuckDB's dialect on plain (UTC) timestamps; its inputs appear as views of their own names.
    pub sql: String,
    /// Silver tables the SELECT reads.
    pub inputs: Vec<String>,
    /// The input whose partitions decide which partitions are recomputed; it carries the columns of `partition_by`.
    pub driver: String,
    /// Identity partition columns of the result.
    pub partition_by: Vec<String>,
    /// Columns that identify a row of the result.
    pub key: Vec<String>,
}

/// Everything a run needs to know about its data.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Short name, e.g. `beer`.
    pub name: String,
    /// Tables, in load order (referenced tables first).
    pub tables: Vec<TableContract>,
    /// Masking policy.
    pub policy: Policy,
    /// Silver models beyond the per-table merges (e.g. `review_flat`), in order.
    pub silver: Vec<Model>,
    /// Gold models, in order.
    pub gold: Vec<Model>,
    /// Amazon States Language documents by state machine name.
    pub state_machines: BTreeMap<String, String>,
    /// By model: a SELECT in Postgres's dialect over the source tables that says, independently of the model's own SQL, what the
    /// model must hold. Only the judge reads it; a model without one is not proven.
    pub judge_sql: BTreeMap<String, String>,
    /// A SELECT over silver and gold, in DuckDB's dialect, whose few rows a finished run shows.
    pub showcase: Option<String>,
}

/// What is wrong with a lake folder.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A file the lake needs is not there.
    #[error("failed to read the lake: `{file}` is missing, named by {named_by}")]
    Missing {
        /// Path inside the folder.
        file: String,
        /// Who needs it.
        named_by: String,
    },
    /// `lakebed.toml` is not what it should be.
    #[error("failed to parse `lakebed.toml`")]
    Manifest(#[source] toml::de::Error),
    /// `lakebed.toml` contradicts itself or the contracts.
    #[error("failed to accept `lakebed.toml`: {reason}")]
    Invalid {
        /// What, and what is allowed.
        reason: String,
    },
    /// SQL of the judge that Postgres does not accept, or that nothing can be compared by.
    #[error("failed to accept `{file}`: it {reason}")]
    JudgeSql {
        /// Path inside the folder.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// SQL of models that the warehouse does not accept, or whose result it cannot store.
    #[error("failed to build models of the lake: {reason}")]
    ModelSql {
        /// What was said of each.
        reason: String,
    },
    /// A contract.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    tables: Vec<String>,
    #[serde(default)]
    silver: Vec<ModelEntry>,
    #[serde(default)]
    gold: Vec<ModelEntry>,
    state_machines: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    name: String,
    inputs: Vec<String>,
    driver: String,
    partition_by: Vec<String>,
    key: Vec<String>,
}

/// The files of the built-in beer lake, by path inside the folder. `lakebed init` writes exactly these.
pub const BEER_FILES: &[(&str, &str)] = &[
    ("lakebed.toml", include_str!("../../beer/lakebed.toml")),
    ("policy.yaml", include_str!("../../beer/policy.yaml")),
    ("contracts/brewery.yaml", include_str!("../../beer/contracts/brewery.yaml")),
    ("contracts/beer.yaml", include_str!("../../beer/contracts/beer.yaml")),
    ("contracts/profile.yaml", include_str!("../../beer/contracts/profile.yaml")),
    ("contracts/review.yaml", include_str!("../../beer/contracts/review.yaml")),
    ("silver/review_flat.sql", include_str!("../../beer/silver/review_flat.sql")),
    ("gold/top_beers_by_rating.sql", include_str!("../../beer/gold/top_beers_by_rating.sql")),
    ("gold/top_breweries_by_rating.sql", include_str!("../../beer/gold/top_breweries_by_rating.sql")),
    ("gold/top_drinkers.sql", include_str!("../../beer/gold/top_drinkers.sql")),
    ("gold/top_styles_by_popularity.sql", include_str!("../../beer/gold/top_styles_by_popularity.sql")),
    ("gold/state_by_review_volume.sql", include_str!("../../beer/gold/state_by_review_volume.sql")),
    ("showcase.sql", include_str!("../../beer/showcase.sql")),
    ("judge/review_flat.sql", include_str!("../../beer/judge/review_flat.sql")),
    ("judge/top_beers_by_rating.sql", include_str!("../../beer/judge/top_beers_by_rating.sql")),
    ("judge/top_breweries_by_rating.sql", include_str!("../../beer/judge/top_breweries_by_rating.sql")),
    ("judge/top_drinkers.sql", include_str!("../../beer/judge/top_drinkers.sql")),
    ("judge/top_styles_by_popularity.sql", include_str!("../../beer/judge/top_styles_by_popularity.sql")),
    ("judge/state_by_review_volume.sql", include_str!("../../beer/judge/state_by_review_volume.sql")),
    ("mappings/beeradvocate.toml", include_str!("../../beer/mappings/beeradvocate.toml")),
    (
        "state_machines/dm-ingestion-dispatcher.asl.json",
        include_str!("../../beer/state_machines/dm-ingestion-dispatcher.asl.json"),
    ),
    (
        "state_machines/dm-processing-dispatcher.asl.json",
        include_str!("../../beer/state_machines/dm-processing-dispatcher.asl.json"),
    ),
    (
        "state_machines/dm-analytics-dispatcher.asl.json",
        include_str!("../../beer/state_machines/dm-analytics-dispatcher.asl.json"),
    ),
];

impl Lake {
    /// The lake that ships inside the binary.
    pub fn beer() -> Self {
        let files = BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self::from_files(&files).expect("the built-in lake is valid: a unit test reads it")
    }

    /// Reads a lake from its files, by path inside the folder with `/` as separator.
    pub fn from_files(files: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let file = |path: String, named_by: &str| {
            files.get(&path).ok_or_else(|| LakeError::Missing { file: path.clone(), named_by: named_by.to_owned() })
        };
        let manifest: Manifest =
            toml::from_str(file("lakebed.toml".to_owned(), "every lake")?).map_err(LakeError::Manifest)?;
        if manifest.tables.is_empty() {
            return Err(LakeError::Invalid { reason: "`tables` is empty".to_owned() });
        }
        let policy = Policy::from_yaml(file("policy.yaml".to_owned(), "every lake")?)?;
        let mut tables: Vec<TableContract> = Vec::new();
        for name in &manifest.tables {
            if tables.iter().any(|earlier| earlier.name == *name) {
                return Err(LakeError::Invalid { reason: format!("`tables` lists `{name}` twice") });
            }
            let path = format!("contracts/{name}.yaml");
            let table = TableContract::from_odcs_yaml(&path, file(path.clone(), "`tables` of lakebed.toml")?)?;
            if table.name != *name {
                return Err(LakeError::Invalid { reason: format!("`{path}` describes table `{}`", table.name) });
            }
            policy.check(&table)?;
            tables.push(table);
        }
        let mut known: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
        let mut models = |entries: Vec<ModelEntry>, layer: &str| {
            let mut models = Vec::new();
            for entry in entries {
                let sql = file(format!("{layer}/{}.sql", entry.name), &format!("`{layer}` of lakebed.toml"))?.clone();
                models.push(into_model(entry, sql, &known)?);
                known.push(models.last().map(|model: &Model| model.name.clone()).unwrap_or_default());
            }
            Ok::<_, LakeError>(models)
        };
        let silver = models(manifest.silver, "silver")?;
        let gold = models(manifest.gold, "gold")?;
        let mut state_machines = BTreeMap::new();
        for name in manifest.state_machines {
            let text = file(format!("state_machines/{name}.asl.json"), "`state_machines` of lakebed.toml")?.clone();
            state_machines.insert(name, text);
        }
        let judge_sql = judge_sql(files, silver.iter().chain(&gold))?;
        let showcase = files.get("showcase.sql").cloned();
        Ok(Self { name: manifest.name, tables, policy, silver, gold, state_machines, judge_sql, showcase })
    }

    /// A table by name.
    pub fn table(&self, name: &str) -> Option<&TableContract> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Tables whose initial load is a file export.
    pub fn batch_tables(&self) -> impl Iterator<Item = &TableContract> {
        self.tables.iter().filter(|table| table.load == LoadRoute::Batch)
    }
}

/// The judge's SQL by model; a file that belongs to no model is a mistake.
fn judge_sql<'m>(
    files: &BTreeMap<String, String>,
    models: impl Iterator<Item = &'m Model>,
) -> Result<BTreeMap<String, String>, LakeError> {
    let models: Vec<&str> = models.map(|model| model.name.as_str()).collect();
    let named = |path: &String| path.strip_prefix("judge/")?.strip_suffix(".sql").map(str::to_owned);
    let mut found = BTreeMap::new();
    for (name, sql) in files.iter().filter_map(|(path, text)| Some((named(path)?, text))) {
        if !models.contains(&name.as_str()) {
            let reason = format!("`judge/{name}.sql` belongs to no model; models: {}", models.join(", "));
            return Err(LakeError::Invalid { reason });
        }
        found.insert(name, sql.clone());
    }
    Ok(found)
}

fn into_model(entry: ModelEntry, sql: String, known: &[String]) -> Result<Model, LakeError> {
    let invalid = |reason: String| Err(LakeError::Invalid { reason });
    if known.contains(&entry.name) {
        return invalid(format!("table `{}` is defined twice", entry.name));
    }
    check_name("model", &entry.name).map_err(|reason| LakeError::Invalid { reason })?;
    if entry.key.is_empty() {
        return invalid(format!("`key` of model `{}` is empty; its rows could not be told apart", entry.name));
    }
    for input in entry.inputs.iter().chain([&entry.driver]) {
        if !known.contains(input) {
            return invalid(format!("model `{}` reads `{input}`, which no earlier table or model defines", entry.name));
        }
    }
    Ok(Model {
        name: entry.name,
        sql,
        inputs: entry.inputs,
        driver: entry.driver,
        partition_by: entry.partition_by,
        key: entry.key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beer_files() -> BTreeMap<String, String> {
        BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_beer_lake_is_valid() {
        let lake = Lake::beer();
        let names: Vec<_> = lake.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["brewery", "beer", "profile", "review"]);
        assert_eq!(lake.gold.len(), 5);
        assert_eq!(lake.batch_tables().count(), 1);
    }

    #[test]
    fn a_class_without_a_transform_is_refused() {
        let mut files = beer_files();
        files.insert("policy.yaml".into(), "version: 1\nclasses: {}\n".into());
        let refused = Lake::from_files(&files).expect_err("undecided class").to_string();
        assert!(refused.contains("profile."), "{refused}");
    }

    #[test]
    fn every_beer_model_has_sql_of_the_judge_and_stray_sql_is_refused() {
        let lake = Lake::beer();
        for model in lake.silver.iter().chain(&lake.gold) {
            let sql = &lake.judge_sql[&model.name];
            assert!(model.key.iter().all(|column| sql.contains(column.as_str())), "{}", model.name);
        }
        let mut files = beer_files();
        files.insert("judge/top_bears.sql".into(), "SELECT 1".into());
        let refused = Lake::from_files(&files).expect_err("no such model").to_string();
        assert!(refused.contains("judge/top_bears.sql") && refused.contains("top_drinkers"), "{refused}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let mut files = beer_files();
        files.remove("gold/top_drinkers.sql");
        let refused = Lake::from_files(&files).expect_err("missing file").to_string();
        assert!(refused.contains("gold/top_drinkers.sql"), "{refused}");
    }

    /// What is said of the beer lake with one text replaced by another.
    fn refusal(file: &str, from: &str, to: &str) -> String {
        let mut files = beer_files();
        let text = files.get_mut(file).expect("in the beer lake");
        assert!(text.contains(from), "{from}");
        *text = text.replacen(from, to, 1);
        Lake::from_files(&files).expect_err("must be refused").to_string()
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        let manifest = |from: &str, to: &str| refusal("lakebed.toml", from, to);
        assert!(manifest("\"brewery\", \"beer\"", "\"beer\", \"beer\"").contains("lists `beer` twice"));
        assert!(manifest("name = \"top_drinkers\"", "name = \"Top Drinkers\"").contains("gold/Top Drinkers.sql"));
        let keyless = manifest("key = [\"review_id\"]", "key = []");
        assert!(keyless.contains("`key` of model `review_flat` is empty"), "{keyless}");
        let typed = refusal(
            "contracts/beer.yaml",
            "physicalType: numeric(4,1)",
            "physicalType: numeric(4,1)\n        classification: email",
        );
        assert!(
            typed.contains("`beer.beer_abv`") && typed.contains("policy.yaml") && typed.contains("text only"),
            "{typed}"
        );
    }
}
