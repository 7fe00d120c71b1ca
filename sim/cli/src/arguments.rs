//! The command line. Names are fixed by the design; help texts are what a user reads first.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A local-first emulated lakehouse testbed: Postgres to Iceberg, with proof.
#[derive(Debug, Parser)]
#[command(name = "lakebed", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take generated beer data from Postgres to verified gold, and say whether the lake equals the source
    Demo(DemoArguments),
    /// Start the stores, Postgres and the flow; stay up; print what to export
    Up(UpArguments),
    /// Run scenarios: a question, a workload, faults, and the judge's answer
    Run(RunArguments),
    /// Watch a run on a screen: one that goes on in another terminal, or one that is over
    Watch(WatchArguments),
    /// Bring your own CSV or JSON files to bronze, silver and gold
    Ingest(IngestArguments),
    /// Run one SQL query over silver and gold
    Query(QueryArguments),
    /// Look at the control table: where each raw object stands
    Control(ControlArguments),
    /// Write the generated source tables as CSV files
    Generate(GenerateArguments),
    /// Write the built-in beer lake into a folder, to be edited and passed with --lake
    Init {
        /// New or empty folder
        dir: PathBuf,
    },
    /// Say what is present, what is missing, and the one command that fixes it
    Doctor {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Run the macro benchmarks; each answer is checked, each sample is a process of its own
    Bench(BenchArguments),
    /// Regenerate README and plots of a reports folder from the records in it
    Report {
        /// Folder with <date>-<label>/record.json
        #[arg(default_value = "reports")]
        dir: PathBuf,
        /// Change nothing; fail when a file is not as the records say
        #[arg(long)]
        check: bool,
    },
    /// Do one piece of a benchmark's work in a process of its own
    #[command(hide = true)]
    BenchWork {
        /// What to do, as JSON
        order: String,
    },
    /// Live one life of a scenario that kills its process; the order comes on standard input
    #[command(hide = true)]
    ScenarioLife,
    /// Run one ECS task; the order comes on standard input
    #[command(hide = true)]
    Worker {
        /// Name of the task definition, for the process list; the order names it too
        task_definition: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Everything in this process and a private Postgres
    Embedded,
    /// Containers of this run: Postgres, LocalStack, MinIO
    Docker,
    /// Wherever the AWS_* variables and DATABASE_URL point
    External,
}

#[derive(Debug, Args)]
pub(crate) struct SourceArguments {
    /// Share of BeerAdvocate's size: 1.0 is 1,586,614 reviews
    #[arg(long, default_value_t = 0.1)]
    pub(crate) scale: f64,
    /// The number that repeats a run
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Where the services run
    #[arg(long, value_enum, default_value_t = Backend::Embedded)]
    pub(crate) backend: Backend,
    /// Lake folder (see `lakebed init`); the built-in beer lake if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Print one JSON object at the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the lake in this new or empty folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Show the run on a screen: rates, queues, control table, executions, invariants, log
    #[arg(long)]
    pub(crate) tui: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Files, or names of shipped scenarios; `all` for every shipped one that must pass
    #[arg(required = true, value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// Seeds to run each with, e.g. 7,8,9; the scenario's own if not given
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) seed: Vec<u64>,
    /// Where the services run; the scenario's own choice if not given
    #[arg(long, value_enum)]
    pub(crate) backend: Option<Backend>,
    /// Run each twice and compare the digests of bronze, silver and gold
    #[arg(long)]
    pub(crate) twice: bool,
    /// Scenarios at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) jobs: usize,
    /// Write JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write a report (Markdown, HTML, JSON, JUnit) into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Lake folder (see `lakebed init`); the built-in beer lake if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: Option<PathBuf>,
    /// Print one JSON object at the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Show the runs, one after the other, on a screen
    #[arg(long, conflicts_with_all = ["quiet", "jobs"])]
    pub(crate) tui: bool,
    /// Tell only results on stderr, not the events of the run
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Port of all AWS services; 0 for any
    #[arg(long, default_value_t = 4566)]
    pub(crate) port: u16,
    /// Folder of the state; kept
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Only the stores: no Postgres, no flow
    #[arg(long)]
    pub(crate) stores_only: bool,
    /// Show the flow on a screen; q closes it and leaves everything up
    #[arg(long, conflicts_with = "stores_only")]
    pub(crate) tui: bool,
    // Last, since their heading holds for whatever follows.
    #[command(flatten)]
    pub(crate) stores: StoreArguments,
}

/// How the embedded stores are run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Stores")]
pub(crate) struct StoreArguments {
    /// Address to listen on; beyond loopback only with --auth enforce
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Whose requests are answered
    #[arg(long, value_enum, default_value_t = AuthMode::Accept)]
    pub(crate) auth: AuthMode,
    /// What a power cut may cost; `kill -9` costs nothing in any case
    #[arg(long, value_enum, default_value_t = FsyncPolicy::Never)]
    pub(crate) fsync: FsyncPolicy,
    /// Throughput limits
    #[arg(long, value_enum, default_value_t = LimitSet::None)]
    pub(crate) limits: LimitSet,
    /// Keep the state in memory and forget it at the end
    #[arg(long, conflicts_with_all = ["state_dir", "fsync"])]
    pub(crate) in_memory: bool,
    /// POST S3 event documents to this http:// address too
    #[arg(long, value_name = "URL")]
    pub(crate) notify_url: Option<String>,
}

// The words of these three are the command line's own: the stores have types of the same meaning and know nothing of clap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthMode {
    /// Everybody's; signatures are not looked at
    Accept,
    /// Those signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY as this process finds them
    Enforce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FsyncPolicy {
    /// Nothing that was answered
    Always,
    /// At most the last second
    Interval,
    /// What the operating system had not written yet
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LimitSet {
    /// As fast as the machine is
    None,
    /// AWS's own, with its throttling errors
    Aws,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// Event log; that of the state directory if not given
    #[arg(conflicts_with_all = ["state_dir", "endpoint"])]
    pub(crate) file: Option<PathBuf>,
    /// State directory of a run [default: $LAKEBED_STATE_DIR or ./lakebed-state]
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Address of a running `lakebed up` of this machine, e.g. http://127.0.0.1:4566
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Play the log from its beginning, this many times as fast as it happened
    #[arg(long, value_name = "SPEED")]
    pub(crate) replay: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArguments {
    /// Files: .csv, .csv.gz, .json, .json.gz
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Table the rows are for
    #[arg(long)]
    pub(crate) table: String,
    /// Column mapping: a TOML file, or the name of one that ships with the lake; chosen by the header if not given
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) mapping: Option<String>,
    /// Folder of the state; kept [default: $LAKEBED_STATE_DIR or ./lakebed-state]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Lake folder; the built-in beer lake if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: Option<PathBuf>,
    /// Print one JSON object at the end
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// State directory of a finished run [default: $LAKEBED_STATE_DIR or ./lakebed-state]
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where its files lie: in the state directory, or with `external` where the AWS_* variables say
    #[arg(long, value_enum, default_value_t = Backend::Embedded, conflicts_with = "endpoint")]
    pub(crate) backend: Backend,
    /// Address of a running `lakebed up`, e.g. http://127.0.0.1:4566
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Lake folder; the built-in beer lake if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    /// One SELECT over silver.<table> and gold.<table>
    pub(crate) sql: String,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ControlArguments {
    #[command(subcommand)]
    pub(crate) command: ControlCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ControlCommand {
    /// List control records
    List {
        /// Only this table
        #[arg(long)]
        table: Option<String>,
        /// Only this status, e.g. QUARANTINED
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Show one control record in full
    Show {
        /// Its key: bucket#key#etag
        pk: String,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Put a FAILED or QUARANTINED record back to RECEIVED; a running `lakebed up` takes it from there
    Retry {
        /// Its key: bucket#key#etag
        pk: String,
        #[command(flatten)]
        state: StateArguments,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchSize {
    /// Seconds in all; shows that everything works
    Smoke,
    /// What reports are made of
    Usual,
    /// BeerAdvocate's own size
    Large,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Benchmarks by name; all of them if not given
    pub(crate) names: Vec<String>,
    /// A definition file of your own, beside or instead of the shipped ones
    #[arg(long, value_name = "FILE")]
    pub(crate) definition: Vec<PathBuf>,
    /// How much is run
    #[arg(long, value_enum, default_value_t = BenchSize::Usual)]
    pub(crate) size: BenchSize,
    /// Counted rounds, instead of what the definitions say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) samples: Option<u32>,
    /// Folder of the other tools, as `.ci/setup bench` fills it; without it only lakebed takes part
    #[arg(long, value_name = "DIR")]
    pub(crate) tools: Option<PathBuf>,
    /// Take criterion's results from this folder into the record
    #[arg(long, value_name = "DIR")]
    pub(crate) criterion: Option<PathBuf>,
    /// Write DIR/<date>-<label>/record.json and regenerate DIR's report
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Label of the record
    #[arg(long, default_value = "local")]
    pub(crate) label: String,
    /// Print the record as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// Share of BeerAdvocate's size: 1.0 is 1,586,614 reviews
    #[arg(long, default_value_t = 0.1)]
    pub(crate) scale: f64,
    /// The number that repeats a run
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Folder for <table>.csv
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Lake folder; the built-in beer lake if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
