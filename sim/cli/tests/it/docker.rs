//! `--backend docker`. Without an engine: against a stand-in that answers the Engine API with what goes wrong. With one: the
//! ignored tests.
//!
//! Why these are ignored: an engine and three images of 1.5 GB are not there on every machine, and no test may touch the network. What
//! could run in their place without them would be a mock. `make test-docker` runs exactly them, one at a time; without an engine it says
//! SKIPPED in capitals, and with `LAKEBED_REQUIRE_DOCKER=1` it fails. `.ci/docker-stand-ins` gets an engine and images where none can be pulled.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::command_line::{interrupt, lakebed};

/// What the stand-in answers to a method and path: status and body.
type Answer = fn(&str, &str) -> (u16, Vec<u8>);

/// A server that speaks as much of the Docker Engine API as a failing start asks for, and remembers what it was asked.
struct Engine {
    port: u16,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Engine {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let log = Arc::clone(&asked);
        // Ends with the test process.
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || while serve(&socket, answer, &log).is_some() {});
            }
        });
        Self { port, asked }
    }

    fn demo(&self, folder: &Path) -> Output {
        let mut command = lakebed(folder, &["demo", "--backend", "docker", "--scale", "0.0005"]);
        command.env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", self.port)).output().expect("starts")
    }

    fn asked(&self, method: &str, part: &str) -> Vec<(String, Value)> {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().filter(|(line, _)| line.starts_with(method) && line.contains(part)).cloned().collect()
    }
}

/// One request and its answer; `None` when the client has gone.
fn serve(mut socket: &TcpStream, answer: Answer, asked: &Mutex<Vec<(String, Value)>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).ok()?;
    let (method, rest) = head.split_once(' ')?;
    let path = rest.split(' ').next()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    asked.lock().expect("not poisoned").push((format!("{method} {path}"), body));
    let (status, body) = answer(method, path);
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let kind = if path.contains("/logs") { "application/vnd.docker.raw-stream" } else { "application/json" };
    let head = format!("HTTP/1.1 {status} X\r\napi-version: 1.41\r\ncontent-type: {kind}\r\n{length}\r\n");
    socket.write_all(head.as_bytes()).ok()?;
    socket.write_all(&body).ok()
}

fn message(status: u16, text: &str) -> (u16, Vec<u8>) {
    (status, json!({ "message": text }).to_string().into_bytes())
}

fn no_images(method: &str, path: &str) -> (u16, Vec<u8>) {
    match method {
        "GET" if path.ends_with("/_ping") => (200, b"OK".to_vec()),
        "POST" if path.contains("/images/create") => message(404, "manifest unknown"),
        _ => message(404, "no such thing here"),
    }
}

fn containers_end_at_once(method: &str, path: &str) -> (u16, Vec<u8>) {
    let bound = json!([{ "HostIp": "127.0.0.1", "HostPort": "1" }]);
    let ports = json!({ "5432/tcp": bound, "4566/tcp": bound, "9000/tcp": bound });
    let body = match (method, path) {
        ("GET", path) if path.ends_with("/_ping") => return (200, b"OK".to_vec()),
        ("GET", path) if path.contains("/images/") => json!({ "Id": "sha256:0" }),
        ("POST", path) if path.contains("/containers/create") => {
            return (201, json!({ "Id": "c1", "Warnings": [] }).to_string().into_bytes());
        }
        ("GET", path) if path.contains("/logs") => {
            // One frame of standard error: its kind, its length, its bytes.
            let text = b"out of luck\n";
            let length = u32::try_from(text.len()).expect("short").to_be_bytes();
            return (200, [&[2, 0, 0, 0][..], &length, text].concat());
        }
        ("GET", _) => json!({
            "Id": "c1", "State": { "Status": "exited", "Running": false, "ExitCode": 3 },
            "NetworkSettings": { "Ports": ports },
        }),
        _ => return (204, Vec::new()),
    };
    (200, body.to_string().into_bytes())
}

fn expect_failure(output: &Output, code: i32, expect: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for text in expect {
        assert!(stderr.contains(text), "no `{text}` in {stderr}");
    }
}

#[test]
fn no_engine_no_image_and_no_name_are_three_clear_messages() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut command = lakebed(folder.path(), &["demo", "--backend", "docker"]);
    let output = command.env("DOCKER_HOST", "tcp://127.0.0.1:1").output().expect("starts");
    expect_failure(&output, 2, &["failed to reach a Docker engine", "hint: start Docker", "--backend embedded"]);

    let output = Engine::start(no_images).demo(folder.path());
    let expect =
        ["failed to pull image `postgres:", "manifest unknown", "LAKEBED_POSTGRES_IMAGE", ".ci/docker-stand-ins"];
    expect_failure(&output, 2, &expect);

    let mut command = lakebed(folder.path(), &["demo", "--backend", "docker"]);
    let output = command.env("LAKEBED_MINIO_IMAGE", "minio/minio").output().expect("starts");
    expect_failure(&output, 1, &["`minio/minio`", "NAME:TAG"]);

    for arguments in [&["demo", "--keep", "kept"][..], &["up", "--state-dir", "kept"]] {
        let output = lakebed(folder.path(), &[arguments, &["--backend", "docker"]].concat()).output().expect("starts");
        expect_failure(&output, 1, &["containers are removed at the end", "--backend external"]);
    }
}

#[test]
fn a_container_that_ends_is_told_with_its_last_words_and_all_are_removed() {
    let folder = tempfile::tempdir().expect("temp dir");
    let engine = Engine::start(containers_end_at_once);
    let output = engine.demo(folder.path());
    expect_failure(&output, 2, &["it ended with code 3", "last words: out of luck", "hint: "]);
    let created = engine.asked("POST", "/containers/create");
    assert_eq!(created.len(), 3, "{created:?}");
    for (line, body) in &created {
        let bindings = body["HostConfig"]["PortBindings"].as_object().expect("bindings");
        let hosts: Vec<_> = bindings.values().map(|ports| &ports[0]["HostIp"]).collect();
        assert_eq!(hosts, ["127.0.0.1"], "one port, on the loopback interface only: {line}");
        assert_ne!(body["HostConfig"]["PublishAllPorts"], true, "{line}");
        let name = line.split("name=").nth(1).expect("a name").split('&').next().expect("text");
        assert!(!engine.asked("DELETE", name).is_empty(), "{name} was not removed");
    }
}

/// Containers of lakebed on the real engine.
fn containers() -> Vec<String> {
    let list = ["ps", "--all", "--filter", "label=lakebed", "--format", "{{.Names}} {{.Ports}}"];
    let output = Command::new("docker").args(list).output().expect("the docker client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Ignored by a plain `cargo test` and run by `make test-docker`; the head of this file says why.
#[test]
#[ignore = "needs a Docker engine and three images: make test-docker"]
fn the_main_job_runs_in_containers_and_leaves_none() {
    let folder = tempfile::tempdir().expect("temp dir");
    let output =
        lakebed(folder.path(), &["demo", "--backend", "docker", "--scale", "0.01", "--json"]).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&summary["verdict"], &summary["backend"]), (&"pass".into(), &"docker".into()), "{summary}");
    assert_eq!(containers(), Vec::<String>::new());
}

/// Ignored by a plain `cargo test` and run by `make test-docker`; the head of this file says why.
#[test]
#[ignore = "needs a Docker engine and three images: make test-docker"]
fn ctrl_c_removes_the_containers_which_listened_on_loopback_only() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut demo = lakebed(folder.path(), &["demo", "--backend", "docker", "--scale", "0.01"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(demo.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let reached = lines.by_ref().any(|line| line.starts_with("source") && line.contains("load"));
    assert!(reached, "the run ended before it could be interrupted");
    let running = containers();
    assert_eq!(running.len(), 3, "{running:?}");
    for container in &running {
        let published: Vec<_> = container.split([' ', ',']).filter(|port| port.contains("->")).collect();
        assert!(!published.is_empty() && published.iter().all(|port| port.starts_with("127.0.0.1:")), "{container}");
    }
    interrupt(&demo);
    let rest: Vec<String> = lines.collect();
    assert_eq!(demo.wait().expect("ends").code(), Some(130), "{rest:?}");
    assert_eq!(containers(), Vec::<String>::new());
}

/// Ignored by a plain `cargo test` and run by `make test-docker`; the head of this file says why.
#[test]
#[ignore = "needs a Docker engine and three images: make test-docker"]
fn a_scenario_with_faults_runs_in_containers() {
    let folder = tempfile::tempdir().expect("temp dir");
    let run = ["run", "0005", "0007", "--backend", "docker", "--json"];
    let output = lakebed(folder.path(), &run).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let outcomes: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(outcomes["passed"], 2, "{outcomes}");
    for scenario in outcomes["scenarios"].as_array().expect("a list") {
        assert_eq!(scenario["backend"], "docker", "{scenario}");
    }
    assert_eq!(containers(), Vec::<String>::new());
}
