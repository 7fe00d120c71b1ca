//! A run's events as lines of JSON: the event log of a state directory, and what an ECS worker tells its parent.
//!
//! Promises: an emitter never waits for a disk; what does not fit into the queue is dropped, counted, and said in the log itself. A
//! log holds at most two files of [`EVENT_LOG_BYTES_MAX`]: `events.jsonl` and, once that is full, the one before it. A log that was
//! cut off in the middle of a line goes on behind it.
//! Does not know what an event means.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use lakebed_contract::{Clock, EventSink, RecordedEvent, RunEvent};

use crate::error::HarnessError;
use crate::run_dir::RunDir;

/// Name of the log in a state directory.
pub const EVENT_LOG: &str = "events.jsonl";
/// Name of its predecessor, once there is one.
pub const EVENT_LOG_BEFORE: &str = "events.1.jsonl";
/// Bytes of one file of a log.
pub const EVENT_LOG_BYTES_MAX: u64 = 32 << 20;
/// Events that may wait to be written.
pub const EVENT_QUEUE_MAX: usize = 8_192;

/// Writes events from a thread of its own. Dropping it writes out what waits.
#[derive(Debug)]
pub struct EventWriter {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    clock: Clock,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Event(RecordedEvent),
    Close,
}

impl EventWriter {
    /// Opens the event log of a state directory, behind what it holds already.
    pub fn open(run_dir: &RunDir, clock: &Clock) -> Result<Self, HarnessError> {
        let file = LogFile::open(run_dir.path(), EVENT_LOG_BYTES_MAX)
            .map_err(HarnessError::file("open the event log in", run_dir.path()))?;
        Self::start(file, clock)
    }

    /// Writes to `out`, one event a call.
    pub fn start(out: impl Write + Send + 'static, clock: &Clock) -> Result<Self, HarnessError> {
        let (sender, receiver) = sync_channel(EVENT_QUEUE_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let (counter, moments) = (Arc::clone(&dropped), clock.clone());
        let thread = std::thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || {
                if let Err(error) = write_all(out, &receiver, &counter, &moments) {
                    tracing::warn!(%error, "failed to write the event log; the run goes on without one");
                }
            })
            .map_err(HarnessError::stage("start the event log"))?;
        Ok(Self { sender, dropped, clock: clock.clone(), thread: Some(thread) })
    }

    /// A sink that writes events down and passes them on.
    pub fn sink(&self, next: EventSink) -> EventSink {
        let (sender, dropped, clock) = (self.sender.clone(), Arc::clone(&self.dropped), self.clock.clone());
        EventSink::new(move |event| {
            let recorded = RecordedEvent { at: clock.now(), event: event.clone() };
            if sender.try_send(Message::Event(recorded)).is_err() {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            next.emit(event);
        })
    }

    /// Waits until everything emitted so far is written; what comes later is dropped.
    pub fn close(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // A writer that failed has gone already, and has said so.
        let _gone = self.sender.send(Message::Close);
        if thread.join().is_err() {
            tracing::warn!("the event log's writer panicked");
        }
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Writes until told to stop; flushes whenever nothing waits, so that a reader is never far behind.
fn write_all(
    mut out: impl Write,
    receiver: &Receiver<Message>,
    dropped: &AtomicU64,
    clock: &Clock,
) -> std::io::Result<()> {
    loop {
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return out.flush(),
            Err(TryRecvError::Empty) => {
                out.flush()?;
                let Ok(message) = receiver.recv() else { return Ok(()) };
                message
            }
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let message = format!("event log: {lost} events were dropped, because it could not keep up");
            write_line(&mut out, &RecordedEvent { at: clock.now(), event: RunEvent::Log { message } })?;
        }
        match message {
            Message::Event(event) => write_line(&mut out, &event)?,
            Message::Close => return out.flush(),
        }
    }
}

fn write_line(out: &mut impl Write, event: &RecordedEvent) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// The file, and its predecessor when it is full. Takes one whole line a call.
struct LogFile {
    folder: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    fn open(folder: &Path, bytes_max: u64) -> std::io::Result<Self> {
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(folder.join(EVENT_LOG))?;
        let mut bytes = file.seek(SeekFrom::End(0))?;
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { folder: folder.to_owned(), out: BufWriter::new(file), bytes, bytes_max })
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.out.flush()?;
            std::fs::rename(self.folder.join(EVENT_LOG), self.folder.join(EVENT_LOG_BEFORE))?;
            *self = Self::open(&self.folder, self.bytes_max)?;
        }
        self.out.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Timestamp;

    fn clock() -> Clock {
        Clock::virtual_at(Timestamp::from_seconds(5))
    }

    fn messages(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).expect("the log");
        text.lines()
            .map(|line| match serde_json::from_str::<RecordedEvent>(line) {
                Ok(RecordedEvent { at, event: RunEvent::Log { message } }) => {
                    assert_eq!(at, Timestamp::from_seconds(5));
                    message
                }
                other => format!("{other:?}").chars().take(3).collect(),
            })
            .collect()
    }

    #[test]
    fn a_log_goes_on_behind_what_it_holds_even_behind_half_a_line() {
        let run_dir = RunDir::throw_away().expect("folder");
        let path = run_dir.path().join(EVENT_LOG);
        for name in ["first", "second"] {
            let writer = EventWriter::open(&run_dir, &clock()).expect("opens");
            writer.sink(EventSink::default()).log(name);
            writer.close();
            let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
            file.write_all(b"{\"at\":5,\"ev").expect("a write that was cut off");
        }
        assert_eq!(messages(&path), ["first", "Err", "second", "Err"]);
    }

    #[test]
    fn a_full_file_becomes_the_one_before() {
        let folder = tempfile::tempdir().expect("folder");
        let file = LogFile::open(folder.path(), 100).expect("opens");
        let writer = EventWriter::start(file, &clock()).expect("starts");
        let sink = writer.sink(EventSink::default());
        for number in 0..5 {
            sink.log(format!("number {number}"));
        }
        writer.close();
        assert_eq!(messages(&folder.path().join(EVENT_LOG_BEFORE)), ["number 2", "number 3"], "two lines fit");
        assert_eq!(messages(&folder.path().join(EVENT_LOG)), ["number 4"]);
    }

    /// A disk that stands still until it is told to go on.
    struct Slow(Receiver<()>, Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            // After the last word the disk is fast.
            let _open = self.0.recv();
            self.1.lock().expect("lock").extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_emitter_never_waits_and_what_was_dropped_is_counted_and_passed_on() {
        let (go_on, told) = sync_channel(1);
        let written = Arc::new(std::sync::Mutex::new(Vec::new()));
        let writer = EventWriter::start(Slow(told, Arc::clone(&written)), &clock()).expect("starts");
        let passed = Arc::new(AtomicU64::new(0));
        let sink = writer.sink(EventSink::new({
            let passed = Arc::clone(&passed);
            move |_| {
                passed.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let emitted = EVENT_QUEUE_MAX as u64 + 500;
        for _ in 0..emitted {
            sink.log("x");
        }
        drop(go_on);
        writer.close();
        assert_eq!(passed.load(Ordering::Relaxed), emitted, "the next sink gets all of them");
        let text = String::from_utf8(written.lock().expect("lock").clone()).expect("UTF-8");
        let lost = text.lines().find(|line| line.contains("dropped")).expect("said").to_owned();
        let count: u64 = lost.split(' ').find_map(|word| word.parse().ok()).expect("a count");
        assert_eq!(text.lines().count() as u64 - 1 + count, emitted);
    }
}
