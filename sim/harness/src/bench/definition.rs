//! Macro benchmarks as files: `benches/definitions/<name>.toml`, built into the binary like the beer lake.
//!
//! A definition asks one question, says what is run at which scale and seed, and carries the right answer of each size. A key
//! that is not known is refused with its line; a size without an answer is refused, too: what cannot be wrong is no benchmark.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::HarnessError;

/// Samples of one contender at most.
pub const SAMPLES_MAX: u32 = 100;

/// Connections to a store at once at most.
pub const CONNECTIONS_MAX: u32 = 256;

/// The shipped definitions, in the order of the report.
const SHIPPED: [(&str, &str); 14] = [
    ("csv-to-parquet", include_str!("../../../../benches/definitions/csv-to-parquet.toml")),
    ("demo", include_str!("../../../../benches/definitions/demo.toml")),
    ("s3-put-4k", include_str!("../../../../benches/definitions/s3-put-4k.toml")),
    ("s3-get-4k", include_str!("../../../../benches/definitions/s3-get-4k.toml")),
    ("s3-put-1m", include_str!("../../../../benches/definitions/s3-put-1m.toml")),
    ("s3-get-1m", include_str!("../../../../benches/definitions/s3-get-1m.toml")),
    ("s3-put-64m", include_str!("../../../../benches/definitions/s3-put-64m.toml")),
    ("s3-get-64m", include_str!("../../../../benches/definitions/s3-get-64m.toml")),
    ("dynamodb-put", include_str!("../../../../benches/definitions/dynamodb-put.toml")),
    ("dynamodb-conditional-put", include_str!("../../../../benches/definitions/dynamodb-conditional-put.toml")),
    ("dynamodb-conditional-update", include_str!("../../../../benches/definitions/dynamodb-conditional-update.toml")),
    ("dynamodb-query", include_str!("../../../../benches/definitions/dynamodb-query.toml")),
    ("kinesis-put-records", include_str!("../../../../benches/definitions/kinesis-put-records.toml")),
    ("kinesis-get-records", include_str!("../../../../benches/definitions/kinesis-get-records.toml")),
];

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// A whole demo in a process of its own.
    Demo,
    /// One `.csv.gz` of reviews to one Parquet file.
    CsvToParquet,
    /// One operation of a store, repeated, over HTTP.
    Store,
}

/// The operation of a [`Work::Store`] benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// PutObject of 4 KiB.
    S3Put4k,
    /// GetObject of 4 KiB.
    S3Get4k,
    /// PutObject of 1 MiB.
    S3Put1m,
    /// GetObject of 1 MiB.
    S3Get1m,
    /// PutObject of 64 MiB.
    S3Put64m,
    /// GetObject of 64 MiB.
    S3Get64m,
    /// PutItem without a condition.
    DynamodbPut,
    /// PutItem with `attribute_not_exists`: every key once new, once refused.
    DynamodbConditionalPut,
    /// UpdateItem from the version that is there to the next.
    DynamodbConditionalUpdate,
    /// Query of a partition of 100 items.
    DynamodbQuery,
    /// PutRecords of 500 records.
    KinesisPutRecords,
    /// GetRecords of 500 records.
    KinesisGetRecords,
}

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// Seconds in all: shows that everything works, measures nothing.
    Smoke,
    /// What reports are made of: about twenty minutes on two cores.
    Usual,
    /// BeerAdvocate's own size.
    Large,
}

impl Size {
    /// All sizes by name.
    pub const ALL: [Self; 3] = [Self::Smoke, Self::Usual, Self::Large];

    /// The name in files and arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Usual => "usual",
            Self::Large => "large",
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A count or a sum.
    Number(i64),
    /// A word, such as a verdict.
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// An answer by name.
pub type Answers = BTreeMap<String, Value>;

/// Answers that are counts or sums.
pub(super) fn numbers(pairs: &[(&str, i64)]) -> Answers {
    pairs.iter().map(|(name, number)| ((*name).to_owned(), Value::Number(*number))).collect()
}

/// One benchmark.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// File name without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// What its numbers answer.
    pub question: String,
    /// What to keep in mind when reading them.
    pub note: String,
    /// What is run.
    pub work: Work,
    /// The operation, for [`Work::Store`] only.
    pub operation: Option<Operation>,
    /// Numbers of connections the calls of a store are made over, each a benchmark of its own; see [`Definition::run_name`].
    #[serde(default = "one_connection")]
    pub connections: Vec<u32>,
    /// Seed of the data.
    pub seed: u64,
    /// Who runs it, by name, in the order of the report.
    pub contenders: Vec<String>,
    /// What is run at each size.
    pub size: BTreeMap<Size, SizedRun>,
}

/// What is run at one size.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizedRun {
    /// Share of BeerAdvocate's size, for demos and files.
    pub scale: Option<f64>,
    /// Calls per sample, for stores.
    pub operations: Option<u32>,
    /// Rounds that are not counted.
    pub warm_up: u32,
    /// Rounds that are.
    pub samples: u32,
    /// The right answer.
    pub expect: Answers,
}

impl Definition {
    /// Reads one definition.
    ///
    /// # Errors
    /// An unknown key, a missing one, or a contradiction, with the place.
    pub fn parse(name: &str, text: &str) -> Result<Self, HarnessError> {
        let refuse = |why: String| HarnessError::Input {
            message: format!("failed to read benchmark definition `{name}`: {why}"),
        };
        let mut definition: Self = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
        name.clone_into(&mut definition.name);
        definition.check().map_err(refuse)?;
        Ok(definition)
    }

    /// The shipped definitions.
    ///
    /// # Errors
    /// None for a sound binary: a test reads them all.
    pub fn shipped() -> Result<Vec<Self>, HarnessError> {
        SHIPPED.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// What its benchmark over so many connections is called: `s3-put-4k`, and `s3-put-4k-16` over 16.
    pub fn run_name(&self, connections: u32) -> String {
        if connections == 1 { self.name.clone() } else { format!("{}-{connections}", self.name) }
    }

    /// The shipped ones with the benchmarks called `names`, and only those; all of them when there are no names.
    ///
    /// # Errors
    /// A name nobody knows.
    pub fn choose(names: &[String]) -> Result<Vec<Self>, HarnessError> {
        let mut chosen = Self::shipped()?;
        if names.is_empty() {
            return Ok(chosen);
        }
        let run_names = |one: &Self| one.connections.iter().map(|count| one.run_name(*count)).collect::<Vec<_>>();
        let known: Vec<String> = chosen.iter().flat_map(run_names).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            let message = format!("failed to find benchmark `{unknown}`: there are {}", known.join(", "));
            return Err(HarnessError::Input { message });
        }
        for definition in &mut chosen {
            let mut connections = std::mem::take(&mut definition.connections);
            connections.retain(|count| names.contains(&definition.run_name(*count)));
            definition.connections = connections;
        }
        chosen.retain(|definition| !definition.connections.is_empty());
        Ok(chosen)
    }

    /// A definition out of a file of the user's.
    ///
    /// # Errors
    /// A file that cannot be read, or [`Definition::parse`]'s.
    pub fn from_file(path: &Path) -> Result<Self, HarnessError> {
        let text = std::fs::read_to_string(path).map_err(HarnessError::file("read benchmark definition", path))?;
        Self::parse(&path.file_stem().unwrap_or_default().to_string_lossy(), &text)
    }

    fn check(&self) -> Result<(), String> {
        if !self.question.trim_end().ends_with('?') {
            return Err("`question` does not end with a question mark".to_owned());
        }
        if (self.work == Work::Store) != self.operation.is_some() {
            return Err("`operation` goes with work = \"store\", and only with it".to_owned());
        }
        let counts = &self.connections;
        if self.work != Work::Store && *counts != one_connection() {
            return Err("`connections` goes with work = \"store\", and only with it".to_owned());
        }
        let is_bounded = counts.iter().all(|count| (1..=CONNECTIONS_MAX).contains(count));
        if counts.is_empty() || !is_bounded || !counts.is_sorted_by(|one, next| one < next) {
            return Err(format!(
                "`connections` must be numbers of 1 to {CONNECTIONS_MAX}, the smaller first, none twice"
            ));
        }
        if self.contenders.is_empty() || self.size.is_empty() {
            return Err("`contenders` and `size` must not be empty".to_owned());
        }
        for (size, sized) in &self.size {
            let has_right_measure = match self.work {
                Work::Store => sized.operations.is_some_and(|count| count > 0) && sized.scale.is_none(),
                _ => sized.scale.is_some_and(|scale| scale > 0.0) && sized.operations.is_none(),
            };
            if !has_right_measure {
                return Err(format!("size.{size}: stores have `operations`, everything else has `scale`, above 0"));
            }
            if sized.expect.is_empty() {
                return Err(format!("size.{size}.expect is empty: a benchmark carries its right answer"));
            }
            if !(1..=SAMPLES_MAX).contains(&sized.samples) || sized.warm_up > SAMPLES_MAX {
                return Err(format!("size.{size}: `samples` must be 1 to {SAMPLES_MAX}, `warm_up` 0 to {SAMPLES_MAX}"));
            }
        }
        Ok(())
    }
}

fn one_connection() -> Vec<u32> {
    vec![1]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "question = \"How fast?\"\nnote = \"\"\nwork = \"demo\"\nseed = 7\ncontenders = [\"lakebed\"]\n\
                         [size.smoke]\nscale = 0.001\nwarm_up = 0\nsamples = 1\nexpect = { verdict = \"pass\" }\n";

    fn check(from: &str, to: &str, expect: &str) {
        assert!(SOUND.contains(from), "{from}");
        let error = Definition::parse("mine", &SOUND.replacen(from, to, 1)).expect_err("refused").to_string();
        assert!(error.contains("`mine`") && error.contains(expect), "{error}");
    }

    #[test]
    fn a_sound_definition_is_read_and_a_wrong_one_is_refused_with_the_place() {
        let sound = Definition::parse("mine", SOUND).expect("sound");
        assert_eq!(sound.size[&Size::Smoke].expect["verdict"], Value::Word("pass".to_owned()));
        check("seed = 7", "seed = 7\nsede = 8", "unknown field `sede`");
        check("scale = 0.001", "scales = 0.001", "unknown field `scales`");
        check("{ verdict = \"pass\" }", "{}", "right answer");
        check("How fast?", "Fast", "question mark");
        check("scale = 0.001", "operations = 5", "size.smoke");
        check("samples = 1", "samples = 0", "samples");
        check("seed = 7", "seed = 7\noperation = \"s3-put4k\"", "operation");
        check("work = \"demo\"", "work = \"demos\"", "demos");
    }

    #[test]
    fn connections_are_a_stores_and_few() {
        check("seed = 7", "seed = 7\nconnections = [16]", "`connections` goes with work = \"store\"");
        let store =
            SOUND.replace("\"demo\"", "\"store\"\noperation = \"s3-put4k\"").replace("scale = 0.001", "operations = 9");
        let with = |connections: &str| {
            Definition::parse("mine", &store.replace("seed = 7", &format!("seed = 7\nconnections = {connections}")))
        };
        assert_eq!(Definition::parse("mine", &store).expect("sound").connections, [1]);
        let sound = with("[1, 256]").expect("sound");
        assert_eq!([1, 256].map(|count| sound.run_name(count)), ["mine", "mine-256"]);
        for wrong in ["[]", "[0]", "[1, 257]", "[16, 1]", "[2, 2]"] {
            let error = with(wrong).expect_err("refused").to_string();
            assert!(error.contains("`connections` must be numbers of 1 to 256"), "{wrong}: {error}");
        }
        for wrong in ["16", "[-1]", "[1.5]", "[\"16\"]"] {
            let error = with(wrong).expect_err("refused").to_string();
            assert!(error.contains("connections = "), "{wrong} is shown in its place: {error}");
        }
    }

    #[test]
    fn the_folder_holds_exactly_the_shipped_definitions() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/definitions");
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .expect("benches/definitions")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        files.sort();
        let mut shipped: Vec<_> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        shipped.sort();
        assert_eq!(files, shipped);
        for definition in Definition::shipped().expect("every shipped definition is sound") {
            for size in Size::ALL {
                assert!(definition.size.contains_key(&size), "{}: no size {size}", definition.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = Definition::choose(&["dmeo".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("`dmeo`") && error.contains("csv-to-parquet"), "{error}");
        assert_eq!(Definition::choose(&["demo".to_owned()]).expect("known").len(), 1);
        let chosen = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            Definition::choose(&names).expect("known").into_iter().map(|one| one.connections).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&["s3-put-4k"]), [[1]]);
        assert_eq!(chosen(&["s3-put-4k-16"]), [[16]]);
        assert_eq!(chosen(&["s3-put-4k-16", "dynamodb-put", "s3-put-4k"]), [vec![1, 16], vec![1]]);
    }
}
