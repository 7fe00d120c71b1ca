//! The ECS executor: `runTask.sync` as a child process of this machine.
//!
//! Promises: at most [`ECS_TASKS_MAX`] children at once; a child that is no longer waited for is killed; what is kept of
//! its output is bounded. The task's input goes in on standard input, its result comes out as the last JSON line on standard
//! output; lines before it that are run events are passed on as they come. A non-zero exit is `States.TaskFailed` with the end of its standard error as the cause.
//! Does not know: what a worker does. It must not write row values to standard error.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use lakebed_contract::{EventSink, RunEvent};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::fault::{Fault, TASK_FAILED};

/// Child processes at once; more wait in their executions.
pub const ECS_TASKS_MAX: usize = 2;
/// Bytes of one line of a child's standard output; a longer one loses its beginning.
pub const ECS_STDOUT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a child's standard error that are kept, its end.
pub const ECS_STDERR_BYTES_MAX: usize = 4 << 10;

/// Makes the bytes of a task's standard input from its task definition and `TASK_INPUT`.
pub type TaskStdin = Arc<dyn Fn(&str, &Value) -> Vec<u8> + Send + Sync>;

/// How to start a task: `program args… <task definition>`.
#[derive(Clone)]
pub struct EcsConfig {
    /// Program, usually the running one.
    pub program: PathBuf,
    /// Its arguments; the name of the task definition follows them.
    pub args: Vec<String>,
    /// What the child reads on standard input.
    pub stdin: TaskStdin,
}

impl std::fmt::Debug for EcsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EcsConfig").field("program", &self.program).field("args", &self.args).finish_non_exhaustive()
    }
}

/// Runs tasks.
#[derive(Debug)]
pub(crate) struct EcsTasks {
    config: EcsConfig,
    permits: Semaphore,
    events: EventSink,
}

impl EcsTasks {
    pub(crate) fn new(config: EcsConfig, events: EventSink) -> Self {
        Self { config, permits: Semaphore::new(ECS_TASKS_MAX), events }
    }

    /// Children that run now.
    pub(crate) fn running(&self) -> usize {
        ECS_TASKS_MAX.saturating_sub(self.permits.available_permits())
    }

    /// Runs one task to its end. `parameters` are those of `runTask.sync`.
    pub(crate) async fn run_task(&self, parameters: &Value) -> Result<Value, Fault> {
        let (definition, input) = task_of(parameters)?;
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let stdin = (self.config.stdin)(&definition, &input);
        let failed = |what: &str| Fault::new(TASK_FAILED, format!("task `{definition}` {what}"));
        let mut child = Command::new(&self.config.program)
            .args(&self.config.args)
            .arg(&definition)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&format!("did not start: {error}")))?;
        let mut to_child = child.stdin.take().expect("standard input is piped");
        let from_child = child.stdout.take().expect("standard output is piped");
        let errors = child.stderr.take().expect("standard error is piped");
        let write = async move {
            // A child that exits without reading its input breaks the pipe; its exit status tells the story.
            let _broken_pipe = to_child.write_all(&stdin).await;
            drop(to_child);
        };
        let ((), out, err) =
            tokio::join!(write, last_line(from_child, &self.events), tail(errors, ECS_STDERR_BYTES_MAX));
        let status = child.wait().await.map_err(|error| failed(&format!("was lost: {error}")))?;
        let out = out.map_err(|error| failed(&format!("closed its output badly: {error}")))?;
        let err = err.map_err(|error| failed(&format!("closed its errors badly: {error}")))?;
        if !status.success() {
            return Err(failed(&format!("ended with {status}: {}", String::from_utf8_lossy(&err).trim())));
        }
        serde_json::from_slice(&out).map_err(|_| failed("did not end its output with one JSON line"))
    }
}

/// Task definition and `TASK_INPUT` out of `runTask.sync`'s parameters.
fn task_of(parameters: &Value) -> Result<(String, Value), Fault> {
    let wrong = |what: &str| Fault::runtime(format!("ecs:runTask.sync: {what}"));
    let definition = parameters["TaskDefinition"].as_str().ok_or_else(|| wrong("`TaskDefinition` must be a string"))?;
    let containers = parameters["Overrides"]["ContainerOverrides"].as_array().map_or(&[][..], Vec::as_slice);
    let [container] = containers else { return Err(wrong("exactly one container override is supported")) };
    let environment = container["Environment"].as_array().map_or(&[][..], Vec::as_slice);
    let [variable] = environment else { return Err(wrong("exactly the variable `TASK_INPUT` is supported")) };
    if variable["Name"] != "TASK_INPUT" {
        return Err(wrong("exactly the variable `TASK_INPUT` is supported"));
    }
    let text = variable["Value"].as_str().ok_or_else(|| wrong("`TASK_INPUT` must be a string"))?;
    let input = serde_json::from_str(text).map_err(|_| wrong("`TASK_INPUT` must be JSON"))?;
    Ok((definition.to_owned(), input))
}

/// Reads lines to the end, passes on those that are events, and keeps the last other one that is not empty.
async fn last_line(from: impl AsyncRead + Unpin, events: &EventSink) -> std::io::Result<Vec<u8>> {
    let mut from = BufReader::new(from);
    let (mut line, mut last) = (Vec::new(), Vec::new());
    loop {
        let chunk = from.fill_buf().await?;
        let is_end = chunk.is_empty();
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let taken = newline.map_or(chunk.len(), |at| at + 1);
        line.extend_from_slice(&chunk[..taken]);
        from.consume(taken);
        if line.len() > ECS_STDOUT_BYTES_MAX {
            line.drain(..line.len() - ECS_STDOUT_BYTES_MAX);
        }
        if newline.is_some() || is_end {
            match serde_json::from_slice::<RunEvent>(&line) {
                Ok(event) => events.emit(event),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) => last.clone_from(&line),
            }
            line.clear();
        }
        if is_end {
            return Ok(last);
        }
    }
}

/// Reads to the end and keeps the last `bytes_max` bytes.
async fn tail(mut from: impl AsyncRead + Unpin, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut chunk = vec![0; 8 << 10];
    loop {
        match from.read(&mut chunk).await? {
            0 => return Ok(kept),
            count => kept.extend_from_slice(&chunk[..count]),
        }
        if kept.len() > bytes_max {
            kept.drain(..kept.len() - bytes_max);
        }
    }
}
