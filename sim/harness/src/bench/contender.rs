//! Who takes part: lakebed's own routes, the floor, and other tools where they are installed.
//!
//! Other tools live in a folder that `.ci/setup bench` fills: `python/` (a virtual environment), `bin/` (Go programs) and
//! `missing/<name>`, one line each on why something could not be installed. What is not there is reported with that line.

use std::path::{Path, PathBuf};

use super::definition::{Operation, Work};
use super::machine::output;
use super::order::Route;
use super::record::Role;

/// What a contender must answer; see the definitions' `expect`.
const CONVERTED: &[&str] = &["rows", "review_id_sum", "beer_id_sum"];
const INFLATED: &[&str] = &["plain_bytes"];

/// One who takes part, or would.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) remark: String,
    pub(super) version: String,
    /// How to run it, or why it cannot.
    pub(super) means: Result<Means, String>,
}

/// How a contender is run.
#[derive(Clone, Debug)]
pub(super) enum Means {
    /// `lakebed demo`.
    Demo,
    /// An order to a process of our own.
    Convert(Route),
    /// The floor.
    Inflate,
    /// A foreign converter: a program and its first arguments; input and output are appended.
    Tool(PathBuf, Vec<String>),
    /// An emulator: a program and its arguments, where `{port}`, `{port2}` (another free port) and `{state}` (an empty
    /// folder) are replaced.
    Server { program: PathBuf, arguments: Vec<String>, variables: Vec<(String, String)> },
}

impl Contender {
    /// Which of a definition's answers it must give; `None` = all of them.
    pub(super) fn answers(&self) -> Option<&'static [&'static str]> {
        match self.means {
            Ok(Means::Inflate) => Some(INFLATED),
            Ok(Means::Convert(_) | Means::Tool(..)) => Some(CONVERTED),
            _ => None,
        }
    }

    /// The floor of a store: it stores nothing, so that it can give no right answer and is not asked for one.
    pub(super) fn is_floor_of_stores(&self) -> bool {
        self.role == Role::Floor && matches!(self.means, Ok(Means::Server { .. }))
    }
}

/// Where contenders are found.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// This binary.
    pub(super) lakebed: PathBuf,
    /// Its version.
    pub(super) version: String,
    /// The folder of the other tools, when there is one.
    pub(super) tools: Option<PathBuf>,
    /// Where scripts are written.
    pub(super) scratch: PathBuf,
}

/// A foreign converter in Python.
struct Script {
    name: &'static str,
    text: &'static str,
    remark: &'static str,
}

const SCRIPTS: [Script; 4] = [
    Script {
        name: "duckdb",
        text: include_str!("../../../../benches/contenders/duckdb.py"),
        remark: "masks nothing; all cores",
    },
    Script {
        name: "polars",
        text: include_str!("../../../../benches/contenders/polars.py"),
        remark: "masks nothing; all cores",
    },
    Script {
        name: "pyarrow",
        text: include_str!("../../../../benches/contenders/pyarrow.py"),
        remark: "masks nothing; all cores",
    },
    Script {
        name: "pyspark",
        text: include_str!("../../../../benches/contenders/pyspark.py"),
        remark: "masks nothing; all cores; wall time holds the start of a JVM",
    },
];

/// Finds the contender called `name`; `operation` is that of a store.
pub(super) fn find(name: &str, work: Work, operation: Option<Operation>, places: &Places) -> Contender {
    let ours = |role: Role, remark: &str, means: Means| Contender {
        name: name.to_owned(),
        role,
        remark: remark.to_owned(),
        version: places.version.clone(),
        means: Ok(means),
    };
    match (work, name) {
        (Work::Demo, "lakebed") => ours(Role::Ours, "Postgres, ECS workers and the judge included", Means::Demo),
        (Work::CsvToParquet, "lakebed-lite") => {
            ours(Role::Ours, "checks the contract, masks e-mail and comment; two threads", Means::Convert(Route::Lite))
        }
        (Work::CsvToParquet, "lakebed-mass") => {
            ours(Role::Ours, "the same; a thread for each core", Means::Convert(Route::Mass))
        }
        (Work::CsvToParquet, "lakebed-unmasked") => {
            ours(Role::Control, "checks the contract, masks nothing; two threads", Means::Convert(Route::Unmasked))
        }
        (Work::CsvToParquet, "inflate") => ours(Role::Floor, "inflates and forgets; one core", Means::Inflate),
        (Work::CsvToParquet, "parquet-go") => go_program(places),
        (Work::Store, "lakebed") => {
            let arguments = ["up", "--stores-only", "--port", "{port}", "--state-dir", "{state}"];
            let means = Means::Server {
                program: places.lakebed.clone(),
                arguments: arguments.map(str::to_owned).to_vec(),
                variables: Vec::new(),
            };
            ours(Role::Ours, "keeps everything on disk", means)
        }
        (Work::Store, "floor") => {
            // The port is not known yet, so that this is JSON only once it is filled in.
            let operation = serde_json::json!(operation);
            let order = format!(r#"{{"work":"floor","port":{{port}},"operation":{operation}}}"#);
            ours(
                Role::Floor,
                "stores nothing; not checked",
                server(places.lakebed.clone(), &["bench-work", &order], &[]),
            )
        }
        (Work::Store, "ministack") => {
            // Its MQTT and SFTP listeners take fixed ports and are not part of the comparison.
            let off = [("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")];
            let variables = [[("GATEWAY_PORT", "{port}"), ("BIND_HOST", "127.0.0.1")], off].concat();
            python_server(name, "ministack", &[], &variables, places)
        }
        (Work::Store, "versitygw") => versitygw(places),
        (Work::Store, "localstack") => localstack(places),
        (Work::Store, "kinesis-local") => {
            let variables = [
                ("KINESIS_MOCK_PLAIN_PORT", "{port}"),
                ("KINESIS_MOCK_TLS_PORT", "{port2}"),
                ("KINESIS_MOCK_CERT_PATH", "{package}/server.json"),
                ("LOG_LEVEL", "ERROR"),
            ];
            node_server(name, "main.js", &[], &variables, places)
        }
        (Work::Store, "dynalite") => {
            node_server(name, "cli.js", &["--port", "{port}", "--host", "127.0.0.1"], &[], places)
        }
        (Work::Store, "moto") => python_server(name, "moto_server", &["-H", "127.0.0.1", "-p", "{port}"], &[], places),
        _ => match SCRIPTS.iter().find(|script| script.name == name && work == Work::CsvToParquet) {
            Some(script) => python_script(script, places),
            None => theirs(name, "", Err(format!("lakebed knows no contender `{name}` for this work"))),
        },
    }
}

fn theirs(name: &str, remark: &str, found: Result<(String, Means), String>) -> Contender {
    let (version, means) = match found {
        Ok((version, means)) => (version, Ok(means)),
        Err(reason) => (String::new(), Err(reason)),
    };
    Contender { name: name.to_owned(), role: Role::Theirs, remark: remark.to_owned(), version, means }
}

fn python_script(script: &Script, places: &Places) -> Contender {
    let found = installed(script.name, places).and_then(|(python, version)| {
        let path = places.scratch.join(format!("contender_{}.py", script.name));
        std::fs::write(&path, script.text).map_err(|error| format!("failed to write `{}`: {error}", path.display()))?;
        let mut version = version;
        if script.name == "pyspark" {
            version = format!("{version}, Java {}", java(places)?);
        }
        // -I: the scratch folder must not shadow a module, and the user's site packages must not take part.
        let arguments = vec!["-I".to_owned(), path.display().to_string()];
        Ok((version, Means::Tool(python, arguments)))
    });
    theirs(script.name, script.remark, found)
}

fn python_server(
    name: &str,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
    places: &Places,
) -> Contender {
    let found = installed(name, places).and_then(|(python, version)| {
        let program = python.with_file_name(program);
        if !program.is_file() {
            return Err(format!("`{}` is not there; run .ci/setup bench", program.display()));
        }
        Ok((version, server(program, arguments, variables)))
    });
    theirs(name, "keeps everything in memory", found)
}

/// A gateway that keeps objects as plain files, as lakebed does; stands for MinIO, whose images and builds are gone.
fn versitygw(places: &Places) -> Contender {
    let found = tools("versitygw", places).and_then(|tools| {
        let program = tools.join("bin/versitygw");
        // Built from its module it does not know its version (it says `git`); set-up does.
        let module = std::fs::read_to_string(tools.join("bin/versitygw.installed")).ok();
        let version = module.as_deref().and_then(|module| Some(module.trim().rsplit_once('@')?.1));
        let version = version
            .filter(|_| program.is_file())
            .ok_or_else(|| format!("`{}` is not there; run .ci/setup bench", program.display()))?;
        let arguments = ["--quiet", "--port", "127.0.0.1:{port}", "posix", "{state}"];
        let credentials = [("ROOT_ACCESS_KEY_ID", "lakebed"), ("ROOT_SECRET_ACCESS_KEY", "lakebed-secret")];
        Ok((version.to_owned(), server(program, &arguments, &credentials)))
    });
    theirs("versitygw", "plain files on disk; checks signatures", found)
}

/// The last LocalStack that starts without a token; its S3 is its own, in memory.
fn localstack(places: &Places) -> Contender {
    let found = tools("localstack", places).and_then(|tools| {
        let (python, version) = installed_in(tools.join("localstack"), "localstack-core")?;
        let variables = [
            ("GATEWAY_LISTEN", "127.0.0.1:{port}"),
            ("LOCALSTACK_VOLUME_DIR", "{state}"),
            ("SERVICES", "s3"),
            ("DNS_ADDRESS", "0"),
            ("DISABLE_EVENTS", "1"),
            ("SKIP_SSL_CERT_DOWNLOAD", "1"),
        ];
        Ok((version, server(python, &["-m", "localstack.runtime.main"], &variables)))
    });
    theirs("localstack", "keeps everything in memory", found)
}

fn node_server(
    package: &str,
    script: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
    places: &Places,
) -> Contender {
    let found = tools(package, places).and_then(|tools| {
        let folder = tools.join("node/node_modules").join(package);
        let look = "console.log(require(process.argv[1]).version)";
        let described = folder.join("package.json").display().to_string();
        let version = output("node", &["-e", look, &described], None)
            .ok_or_else(|| format!("the npm package `{package}` is not installed; run .ci/setup bench"))?;
        let script = folder.join(script).display().to_string();
        let folder = folder.display().to_string();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.replace("{package}", &folder))).collect();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok((version, server(PathBuf::from("node"), &[&[script.as_str()], arguments].concat(), &variables)))
    });
    theirs(package, "keeps everything in memory", found)
}

fn server(program: PathBuf, arguments: &[&str], variables: &[(&str, &str)]) -> Means {
    Means::Server {
        program,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// The Python of the tools folder and the version of a package in it.
fn installed(package: &str, places: &Places) -> Result<(PathBuf, String), String> {
    installed_in(tools(package, places)?.join("python"), package)
}

/// The same of another virtual environment.
fn installed_in(environment: PathBuf, package: &str) -> Result<(PathBuf, String), String> {
    let python = environment.join("bin/python");
    if !python.is_file() {
        return Err(format!("there is no `{}`; run .ci/setup bench", python.display()));
    }
    let look = format!("import importlib.metadata as m; print(m.version('{package}'))");
    match output(&python.display().to_string(), &["-I", "-c", &look], None) {
        Some(version) => Ok((python, version)),
        None => Err(format!("the Python package `{package}` is not installed; run .ci/setup bench")),
    }
}

/// The tools folder, unless set-up left a reason there why `name` is missing.
fn tools<'a>(name: &str, places: &'a Places) -> Result<&'a Path, String> {
    let tools =
        places.tools.as_deref().ok_or("no tools folder was given; `make bench-report` installs the other tools")?;
    match std::fs::read_to_string(tools.join("missing").join(name)) {
        Ok(reason) => Err(reason.trim().to_owned()),
        Err(_) => Ok(tools),
    }
}

fn go_program(places: &Places) -> Contender {
    let found = tools("parquet-go", places).and_then(|tools| {
        let program = tools.join("bin/parquet-go");
        match output(&program.display().to_string(), &["--version"], None) {
            Some(version) => Ok((version, Means::Tool(program, Vec::new()))),
            None => Err(format!("`{}` does not run; run .ci/setup bench", program.display())),
        }
    });
    theirs("parquet-go", "masks nothing; encoding/csv and one writer", found)
}

/// The version of the Java that PySpark would use.
fn java(places: &Places) -> Result<String, String> {
    tools("java", places)?;
    // `java -version` writes to standard error; this form does not.
    let shown = output("java", &["--version"], None).ok_or("there is no Java; install a JRE of version 17 or newer")?;
    Ok(shown.split_whitespace().nth(1).unwrap_or("of unknown version").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(tools: Option<&Path>, scratch: &Path) -> Places {
        Places {
            lakebed: PathBuf::from("lakebed"),
            version: "0".to_owned(),
            tools: tools.map(Path::to_owned),
            scratch: scratch.to_owned(),
        }
    }

    #[test]
    fn what_is_not_installed_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let reason = |tools: Option<&Path>, name: &str| {
            let work = if name == "moto" { Work::Store } else { Work::CsvToParquet };
            find(name, work, None, &places(tools, folder.path())).means.expect_err("not there")
        };
        assert!(reason(None, "duckdb").contains("make bench-report"));
        assert!(reason(Some(folder.path()), "moto").contains(".ci/setup bench"));
        for name in ["versitygw", "localstack", "dynalite"] {
            let missing = find(name, Work::Store, None, &places(Some(folder.path()), folder.path())).means;
            assert!(missing.expect_err("not there").contains(".ci/setup bench"), "{name}");
        }
        assert!(reason(Some(folder.path()), "parquet-go").contains("does not run"));
        assert!(reason(Some(folder.path()), "fred").contains("`fred`"));
        std::fs::create_dir(folder.path().join("missing")).expect("made");
        std::fs::write(folder.path().join("missing/parquet-go"), "there is no Go toolchain\n").expect("written");
        assert_eq!(reason(Some(folder.path()), "parquet-go"), "there is no Go toolchain");
    }

    #[test]
    fn versitygw_has_the_version_that_was_installed() {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).expect("made");
        std::fs::write(bin.join("versitygw"), "a program").expect("written");
        std::fs::write(bin.join("versitygw.installed"), "example.org/versitygw@v1.2.3\n").expect("written");
        let found = find("versitygw", Work::Store, None, &places(Some(folder.path()), folder.path()));
        assert_eq!((found.version.as_str(), found.means.is_ok()), ("v1.2.3", true));
    }

    #[test]
    fn the_floor_of_stores_is_told_whose_answers_to_give() {
        let folder = tempfile::tempdir().expect("a folder");
        let floor = find("floor", Work::Store, Some(Operation::S3Get4k), &places(None, folder.path()));
        assert!(floor.is_floor_of_stores(), "{floor:?}");
        let Ok(Means::Server { arguments, .. }) = floor.means else { panic!("a server") };
        let order = arguments[1].replace("{port}", "4566");
        let order: crate::bench::Order = serde_json::from_str(&order).expect("an order");
        let is_right =
            |order| matches!(order, crate::bench::Order::Floor { port: 4566, operation: Operation::S3Get4k });
        assert!(is_right(order), "{arguments:?}");
        let inflate = find("inflate", Work::CsvToParquet, None, &places(None, folder.path()));
        assert!(!inflate.is_floor_of_stores(), "the floor of conversions is checked");
    }

    #[test]
    fn every_contender_of_a_shipped_definition_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        for definition in crate::bench::Definition::shipped().expect("sound") {
            for name in &definition.contenders {
                let contender = find(name, definition.work, definition.operation, &places(None, folder.path()));
                let is_unknown = contender.means.as_ref().is_err_and(|reason| reason.contains("knows no contender"));
                assert!(!is_unknown, "{}: {name}", definition.name);
                assert_eq!(contender.role == Role::Theirs, contender.means.is_err(), "{name}");
            }
        }
    }
}
