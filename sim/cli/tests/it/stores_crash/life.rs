//! One life of the stores: a process, its clients, and the write after which it is killed.

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use aws_sdk_s3::config::retry::RetryConfig;
use lakebed_contract::Endpoints;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command_line::{exported, interrupt, lakebed};

/// Running stores; killed on drop, whatever a test does.
pub(super) struct Stores {
    child: Child,
    port: u16,
    stderr: PathBuf,
    /// Held open: a process that prints into a closed pipe would fail for that.
    stdout: BufReader<ChildStdout>,
}

impl Drop for Stores {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Clients of one life. They ask once: what is asked again in the next life is another write.
pub(super) struct Clients {
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) dynamodb: aws_sdk_dynamodb::Client,
    pub(super) kinesis: aws_sdk_kinesis::Client,
}

impl Stores {
    /// Starts the stores in `folder`, with a policy of flushing, and asks for their health.
    pub(super) async fn start(folder: &Path, policy: &str) -> Self {
        let stderr = folder.join("stderr.txt");
        let log = OpenOptions::new().create(true).append(true).open(&stderr).expect("a log");
        let arguments = ["up", "--stores-only", "--port", "0", "--state-dir", "state", "--fsync", policy];
        let mut child = lakebed(folder, &arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stores = Self { child, port: 0, stderr, stdout };
        stores.port = stores.exported_port();
        let health = stores.health().await;
        assert_eq!(health["status"], "running", "{health}");
        stores
    }

    fn exported_port(&mut self) -> u16 {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("reads") > 0 {
            if let Some((name, url)) = exported(line.trim_end())
                && name == "AWS_ENDPOINT_URL"
            {
                return url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
            }
            line.clear();
        }
        panic!("the stores do not start: {}", std::fs::read_to_string(&self.stderr).unwrap_or_default());
    }

    async fn health(&self) -> Value {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.expect("listens");
        let request = "GET /_lakebed/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).expect("JSON")
    }

    pub(super) fn clients(&self) -> Clients {
        let endpoints = Endpoints::embedded(self.port);
        let config =
            endpoints.sdk_config(&endpoints.s3_url).into_builder().retry_config(RetryConfig::disabled()).build();
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Clients {
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
        }
    }

    /// Ends them as a user does.
    pub(super) fn stop(mut self) {
        interrupt(&self.child);
        let ended = self.child.wait().expect("ends");
        let stderr = || std::fs::read_to_string(&self.stderr).unwrap_or_default();
        assert!(ended.success(), "Ctrl-C is how `up` ends: {}", stderr());
    }
}

/// Stores that are killed after so many acknowledged writes.
pub(super) struct Life {
    stores: RefCell<Stores>,
    writes: Cell<u32>,
    writes_max: u32,
}

impl Life {
    pub(super) fn of(stores: Stores, writes_max: u32) -> Self {
        Self { stores: RefCell::new(stores), writes: Cell::new(0), writes_max }
    }

    /// Whether another write may be begun.
    pub(super) fn goes_on(&self) -> bool {
        self.writes.get() < self.writes_max
    }

    /// Counts a write; the last one is the end, while others are under way. (Some of those may still be acknowledged: their
    /// answers were sent before.)
    pub(super) fn acknowledged(&self) {
        self.writes.set(self.writes.get() + 1);
        if self.writes.get() == self.writes_max {
            self.stores.borrow_mut().child.kill().expect("killed");
        }
    }

    /// Buries the process; gives the number of acknowledged writes.
    pub(super) fn end(self) -> u64 {
        assert!(!self.goes_on(), "the writers stopped before the kill");
        u64::from(self.writes.get())
    }
}
