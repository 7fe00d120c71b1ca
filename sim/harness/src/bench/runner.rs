//! Runs definitions: warm-up rounds, counted rounds, the contenders' order rotated so that noise hits all alike.
//!
//! One contender at a time. A contender that fails or is wrong is out, with its reason; the others go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lakebed_contract::Clock;

use super::child::{Measured, Program};
use super::contender::{Contender, Means, Places, find};
use super::definition::{Answers, Definition, Size, SizedRun, Value, Work};
use super::order::{Order, Reply, StoreOrder};
use super::record::{Benchmark, ContenderResult, FORMAT, Outcome, Record, Sample};
use super::server::Server;
use super::{criterion, machine};
use crate::error::HarnessError;

/// How the benchmarks are run.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// What to run.
    pub definitions: Vec<Definition>,
    /// At which size.
    pub size: Size,
    /// Counted rounds, instead of the definitions' own number.
    pub samples: Option<u32>,
    /// This binary.
    pub lakebed: PathBuf,
    /// Its version.
    pub version: String,
    /// The compiler that made it.
    pub rustc: String,
    /// How it was compiled.
    pub profile: String,
    /// Folder of the other tools.
    pub tools: Option<PathBuf>,
    /// Folder with criterion's results, to be taken into the record.
    pub criterion: Option<PathBuf>,
    /// Folder whose commit is recorded.
    pub checkout: PathBuf,
    /// Label of the record.
    pub label: String,
}

/// Runs everything and gives the record; `say` gets a line for each step.
///
/// # Errors
/// A size nobody defined, an input that cannot be made. What a contender does wrong is in the record.
pub async fn run(options: &BenchOptions, clock: &Clock, say: &(dyn Fn(String) + Sync)) -> Result<Record, HarnessError> {
    let machine = machine::machine();
    if machine.load_before.is_some_and(|load| load > 0.5) {
        say("the machine is not quiet: the numbers will be worse than they need be, and unequally so".to_owned());
    }
    let build = machine::build(&options.version, &options.rustc, &options.profile, &options.checkout);
    let mut benchmarks = Vec::new();
    for definition in &options.definitions {
        for connections in &definition.connections {
            benchmarks.push(Rounds::prepare(definition, *connections, options, clock, say).await?.run().await?);
        }
    }
    let micro = options.criterion.as_deref().map(criterion::read).transpose()?.unwrap_or_default();
    let date = clock.now().to_rfc3339_micros().chars().take("2026-11-27".len()).collect();
    Ok(Record {
        format: FORMAT,
        date,
        label: options.label.clone(),
        size: options.size,
        machine,
        build,
        benchmarks,
        micro,
    })
}

/// One definition on its way.
struct Rounds<'a> {
    definition: &'a Definition,
    connections: u32,
    /// With the connections, where there are several.
    name: String,
    sized: &'a SizedRun,
    counted: u32,
    contenders: Vec<Contender>,
    outcomes: Vec<Outcome>,
    servers: BTreeMap<usize, Server>,
    input: Option<PathBuf>,
    input_bytes: BTreeMap<String, u64>,
    lakebed: &'a Path,
    scratch: tempfile::TempDir,
    clock: &'a Clock,
    say: &'a (dyn Fn(String) + Sync),
}

impl<'a> Rounds<'a> {
    async fn prepare(
        definition: &'a Definition,
        connections: u32,
        options: &'a BenchOptions,
        clock: &'a Clock,
        say: &'a (dyn Fn(String) + Sync),
    ) -> Result<Self, HarnessError> {
        let sized = definition.size.get(&options.size).ok_or_else(|| HarnessError::Input {
            message: format!("failed to run benchmark `{}`: it has no size `{}`", definition.name, options.size),
        })?;
        let scratch = tempfile::Builder::new()
            .prefix("lakebed-bench-")
            .tempdir()
            .map_err(HarnessError::file("create a folder in", std::env::temp_dir()))?;
        let places = Places {
            lakebed: options.lakebed.clone(),
            version: options.version.clone(),
            tools: options.tools.clone(),
            scratch: scratch.path().to_owned(),
        };
        let contenders: Vec<_> = definition
            .contenders
            .iter()
            .map(|name| find(name, definition.work, definition.operation, &places))
            .collect();
        let outcomes = contenders.iter().map(|contender| match &contender.means {
            Ok(_) => Outcome::Measured { samples: Vec::new() },
            Err(reason) => Outcome::Missing { reason: reason.clone() },
        });
        let mut rounds = Self {
            definition,
            connections,
            name: definition.run_name(connections),
            sized,
            counted: options.samples.unwrap_or(sized.samples),
            outcomes: outcomes.collect(),
            contenders,
            servers: BTreeMap::new(),
            input: None,
            input_bytes: BTreeMap::new(),
            lakebed: &options.lakebed,
            scratch,
            clock,
            say,
        };
        match definition.work {
            Work::CsvToParquet => rounds.generate().await?,
            Work::Store => rounds.start_servers().await,
            Work::Demo => {}
        }
        for (contender, outcome) in rounds.contenders.iter().zip(&rounds.outcomes) {
            if let Outcome::Missing { reason } | Outcome::Failed { reason } = outcome {
                say(format!("{}: {} cannot run: {reason}", rounds.name, contender.name));
            }
        }
        Ok(rounds)
    }

    async fn run(mut self) -> Result<Benchmark, HarnessError> {
        let count = self.contenders.len();
        for round in 0..self.sized.warm_up + self.counted {
            for turn in 0..count {
                let at = (turn + round as usize) % count;
                self.one(at, round).await;
            }
        }
        let (definition, sized) = (self.definition, self.sized);
        let results = self.contenders.into_iter().zip(self.outcomes).map(|(contender, outcome)| ContenderResult {
            name: contender.name,
            role: contender.role,
            remark: contender.remark,
            version: contender.version,
            outcome,
        });
        Ok(Benchmark {
            name: self.name,
            question: definition.question.clone(),
            note: definition.note.clone(),
            work: definition.work,
            operation: definition.operation,
            seed: definition.seed,
            scale: sized.scale,
            operations: sized.operations,
            connections: self.connections,
            warm_up: sized.warm_up,
            expect: sized.expect.clone(),
            input: self.input_bytes,
            contenders: results.collect(),
        })
    }

    /// One contender's turn in one round.
    async fn one(&mut self, at: usize, round: u32) {
        if !matches!(self.outcomes[at], Outcome::Measured { .. }) {
            return;
        }
        let contender = &self.contenders[at];
        let taken = self.sample(at, round).await.and_then(|(sample, answers)| {
            if contender.is_floor_of_stores() {
                return Ok(sample);
            }
            check(&self.sized.expect, &answers, contender.answers()).map(|()| sample)
        });
        let name = format!("{}: {}", self.name, contender.name);
        match (taken, &mut self.outcomes[at]) {
            (Ok(sample), Outcome::Measured { samples }) => {
                let kind = if round < self.sized.warm_up { "warm-up" } else { "counted" };
                (self.say)(format!("{name}: round {round} ({kind}): {:.0} ms", sample.wall_ms));
                if round >= self.sized.warm_up {
                    samples.push(sample);
                }
            }
            (Ok(_), _) => {}
            (Err(reason), outcome) => {
                (self.say)(format!("{name}: FAILED: {reason}"));
                *outcome = Outcome::Failed { reason };
            }
        }
    }

    async fn sample(&self, at: usize, round: u32) -> Result<(Sample, Answers), String> {
        let contender = &self.contenders[at];
        match contender.means.as_ref().map_err(Clone::clone)? {
            Means::Demo => self.demo().await,
            Means::Server { .. } => self.calls(at, round).await,
            Means::Inflate => {
                let measured = self.order(&Order::Inflate { input: self.input()? }).await?;
                let reply = reply_in(&measured.stdout)?;
                Ok((sample(&measured, reply.figures), reply.answers))
            }
            Means::Convert(route) => {
                let output = self.output(&contender.name)?;
                let order = Order::Convert { input: self.input()?, output: output.clone(), route: *route };
                self.converted(self.order(&order).await?, output).await
            }
            Means::Tool(program, arguments) => {
                let output = self.output(&contender.name)?;
                let mut arguments = arguments.clone();
                arguments.extend([self.input()?.display().to_string(), output.display().to_string()]);
                let program = self.program(program, arguments, &contender.name);
                self.converted(measured(program, self.clock).await?, output).await
            }
        }
    }

    async fn converted(&self, run: Measured, output: PathBuf) -> Result<(Sample, Answers), String> {
        let figures = reply_in(&run.stdout)?.figures;
        let checked = self.order(&Order::CheckParquet { path: output.clone() }).await?;
        let mut sample = sample(&run, figures);
        sample.figures.insert("output_bytes".to_owned(), bytes_in(&output) as f64);
        Ok((sample, reply_in(&checked.stdout)?.answers))
    }

    async fn demo(&self) -> Result<(Sample, Answers), String> {
        let scale = self.sized.scale.unwrap_or_default().to_string();
        let seed = self.definition.seed.to_string();
        let arguments = ["demo", "--scale", &scale, "--seed", &seed, "--json"].map(str::to_owned).to_vec();
        let run = measured(self.program(self.lakebed, arguments, "demo"), self.clock).await?;
        let summary: serde_json::Value =
            serde_json::from_str(&run.stdout).map_err(|_| "the demo's summary is not JSON".to_owned())?;
        let mut answers = Answers::new();
        answers.insert("verdict".to_owned(), Value::Word(summary["verdict"].as_str().unwrap_or_default().to_owned()));
        for (stage, tables) in summary["rows"].as_object().into_iter().flatten() {
            for (table, rows) in tables.as_object().into_iter().flatten() {
                answers.insert(format!("{stage}.{table}"), Value::Number(rows.as_i64().unwrap_or(-1)));
            }
        }
        let stages = summary["timings_ms"].as_object().into_iter().flatten();
        let figures = stages.map(|(stage, ms)| (format!("{stage}_ms"), ms.as_f64().unwrap_or_default())).collect();
        // A demo has more to tell than a definition asks.
        answers.retain(|name, _| self.sized.expect.contains_key(name));
        Ok((sample(&run, figures), answers))
    }

    async fn calls(&self, at: usize, round: u32) -> Result<(Sample, Answers), String> {
        let server = self.servers.get(&at).ok_or("its server is not running")?;
        let order = StoreOrder {
            operation: self.definition.operation.ok_or("the definition has no operation")?,
            operations: self.sized.operations.unwrap_or_default(),
            connections: self.connections,
            port: server.port,
            server_pid: server.pid(),
            round,
            is_floor: self.contenders[at].is_floor_of_stores(),
        };
        let run = self.order(&Order::Store(order)).await?;
        let Reply { answers, mut figures } = reply_in(&run.stdout)?;
        let sample = Sample {
            wall_ms: figures.remove("wall_ms").ok_or("the client gave no time")?,
            cpu_ms: figures.remove("server_cpu_ms"),
            peak_rss_bytes: figures.remove("server_peak_rss_bytes").map(|bytes| bytes as u64),
            figures,
        };
        Ok((sample, answers))
    }

    async fn generate(&mut self) -> Result<(), HarnessError> {
        let output = self.scratch.path().join("reviews.csv.gz");
        let scale = self.sized.scale.unwrap_or_default();
        let order = Order::Generate { scale, seed: self.definition.seed, output: output.clone() };
        let failed = |reason: String| HarnessError::stage("generate the benchmark's input")(reason);
        let run = self.order(&order).await.map_err(failed)?;
        let reply = reply_in(&run.stdout).map_err(failed)?;
        // The generator and the definition must agree before anybody is measured.
        check(&self.sized.expect, &reply.answers, None).map_err(failed)?;
        self.input_bytes.insert("bytes".to_owned(), bytes_in(&output));
        for (name, value) in reply.answers {
            if let Value::Number(number) = value {
                self.input_bytes.insert(name, u64::try_from(number).unwrap_or(0));
            }
        }
        self.input = Some(output);
        Ok(())
    }

    async fn start_servers(&mut self) {
        for (at, contender) in self.contenders.iter().enumerate() {
            let Ok(means) = &contender.means else { continue };
            match Server::start(means, &contender.name, self.scratch.path(), self.clock).await {
                Ok(server) => {
                    self.servers.insert(at, server);
                }
                Err(reason) => self.outcomes[at] = Outcome::Failed { reason },
            }
        }
    }

    fn input(&self) -> Result<PathBuf, String> {
        self.input.clone().ok_or_else(|| "there is no input file".to_owned())
    }

    /// A place for a converter's output, with nothing left there of the round before.
    fn output(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.scratch.path().join(format!("{name}.parquet"));
        let removed = match path.symlink_metadata() {
            Err(_) => Ok(()),
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
        };
        removed.map_err(|error| format!("failed to remove `{}`: {error}", path.display()))?;
        Ok(path)
    }

    async fn order(&self, order: &Order) -> Result<Measured, String> {
        let text = serde_json::to_string(order).map_err(|error| error.to_string())?;
        let program = self.program(self.lakebed, vec!["bench-work".to_owned(), text], "lakebed");
        measured(program, self.clock).await
    }

    fn program(&self, program: &Path, arguments: Vec<String>, log: &str) -> Program {
        Program {
            program: program.to_owned(),
            arguments,
            variables: Vec::new(),
            log: std::env::temp_dir().join(format!("lakebed-bench-{}.log", log)),
        }
    }
}

async fn measured(program: Program, clock: &Clock) -> Result<Measured, String> {
    let clock = clock.clone();
    let run = tokio::task::spawn_blocking(move || program.measure(&clock)).await;
    run.map_err(|_| "the measuring thread broke off".to_owned())?
}

fn sample(run: &Measured, figures: BTreeMap<String, f64>) -> Sample {
    Sample {
        wall_ms: run.wall.as_secs_f64() * 1e3,
        cpu_ms: Some(run.cpu.as_secs_f64() * 1e3),
        peak_rss_bytes: Some(run.peak_rss_bytes),
        figures,
    }
}

/// The reply is the last line: a foreign tool may greet first.
fn reply_in(stdout: &str) -> Result<Reply, String> {
    let line = stdout.lines().rev().find(|line| !line.trim().is_empty()).ok_or("it printed no reply")?;
    serde_json::from_str(line).map_err(|_| "the last line it printed is no reply".to_owned())
}

/// Compares what was answered with what is right; `only` names the answers that are owed, `None` all.
fn check(expect: &Answers, answers: &Answers, only: Option<&[&str]>) -> Result<(), String> {
    let owed = expect.iter().filter(|(name, _)| only.is_none_or(|only| only.contains(&name.as_str())));
    let mut checked = 0;
    for (name, right) in owed {
        checked += 1;
        match answers.get(name) {
            Some(given) if given == right => {}
            Some(given) => return Err(format!("wrong answer: `{name}` is {given}, right is {right}")),
            None => return Err(format!("no answer to `{name}`, right is {right}")),
        }
    }
    if checked == 0 { Err("nothing it answers is in the definition".to_owned()) } else { Ok(()) }
}

/// Bytes of a file, or of the files in a folder.
fn bytes_in(path: &Path) -> u64 {
    let Ok(metadata) = path.metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::definition::numbers;
    use super::*;

    #[test]
    fn a_wrong_a_missing_and_an_unasked_answer_are_failures() {
        let expect = numbers(&[("rows", 3), ("plain_bytes", 9)]);
        assert_eq!(check(&expect, &numbers(&[("rows", 3), ("more", 1)]), Some(&["rows"])), Ok(()));
        let wrong = check(&expect, &numbers(&[("rows", 4)]), Some(&["rows"])).expect_err("wrong");
        assert!(wrong.contains("`rows` is 4, right is 3"), "{wrong}");
        assert!(check(&expect, &numbers(&[("rows", 3)]), None).expect_err("one is owed").contains("plain_bytes"));
        assert!(check(&expect, &numbers(&[]), Some(&["verdict"])).expect_err("nothing owed").contains("definition"));
    }

    #[test]
    fn the_reply_is_the_last_line() {
        let reply = reply_in("Welcome\n{\"figures\":{\"inside_ms\":2.5}}\n\n").expect("a reply");
        assert_eq!(reply.figures["inside_ms"], 2.5);
        assert!(reply_in("Welcome\n").is_err() && reply_in("").is_err());
        assert!(reply_in("{\"answer\":{}}").is_err(), "an unknown member is no reply");
    }
}
