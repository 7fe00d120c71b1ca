//! Where events come from when an event log is watched: all at once and then as it grows, or at a multiple of its own speed.
//!
//! Promises: a line is taken once it is whole; one that cannot be read is skipped and counted in the log; a file that was moved away
//! for a new one is read to its end first. Knows nothing of who writes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use lakebed_contract::{Clock, RecordedEvent, Timestamp};

use super::feed::Feed;
use super::state::State;
use super::state::log::Weight;

/// Bytes read between two looks at the keyboard.
const BYTES_PER_TURN: u64 = 1 << 20;
/// Longest line that is taken for an event.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Events read ahead of a replay's time.
const EVENTS_AHEAD_MAX: usize = 4_096;
/// A log without news for this long belongs to a run that has ended or was killed.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// An event log, read as it grows.
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
    inode: u64,
    begun: Vec<u8>,
    skipped: u64,
}

impl EventFile {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("failed to read the event log `{}`", path.display());
        let file = File::open(path).with_context(failed)?;
        let inode = file.metadata().with_context(failed)?.ino();
        Ok(Self { path: path.to_owned(), file, inode, begun: Vec::new(), skipped: 0 })
    }

    /// The next whole lines, at most about [`BYTES_PER_TURN`] of them, and whether the end was reached: a piece without a
    /// readable line is not the end.
    fn read(&mut self) -> anyhow::Result<(Vec<RecordedEvent>, bool)> {
        let failed = || format!("failed to read the event log `{}`", self.path.display());
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(BYTES_PER_TURN).read_to_end(&mut bytes).with_context(failed)?;
        if read == 0 && self.was_replaced() {
            let skipped = self.skipped;
            *self = Self { skipped, ..Self::open(&self.path.clone())? };
            return self.read();
        }
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            let is_whole = part.ends_with(b"\n");
            if is_whole {
                match serde_json::from_slice(&self.begun) {
                    Ok(event) => events.push(event),
                    Err(_) if self.begun.trim_ascii().is_empty() => {}
                    Err(_) => self.skipped += 1,
                }
            }
            if is_whole || self.begun.len() > LINE_BYTES_MAX {
                self.begun.clear();
            }
        }
        Ok((events, read == 0))
    }

    /// Whether another file lies under the name now.
    fn was_replaced(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|now| now.ino() != self.inode)
    }

    fn tell_skipped(&mut self, state: &mut State) {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            let text = format!("{skipped} lines of the event log could not be read and were skipped");
            state.log.push(state.now, Weight::Bad, text);
        }
    }
}

/// Everything a log holds, then what is added to it.
pub(crate) struct Following {
    /// Files in order; the last one may grow.
    files: VecDeque<EventFile>,
    clock: Clock,
    last: Timestamp,
}

impl Following {
    /// Follows the last of `files`, after reading those before it.
    pub(crate) fn new(files: Vec<EventFile>, clock: Clock) -> Self {
        Self { files: files.into(), clock, last: Timestamp::default() }
    }
}

impl Feed for Following {
    fn fill(&mut self, state: &mut State) -> anyhow::Result<bool> {
        let Some(file) = self.files.front_mut() else { return Ok(false) };
        let (events, is_over) = file.read()?;
        let changed = !events.is_empty();
        for event in events {
            self.last = self.last.max(event.at);
            state.take(event);
        }
        file.tell_skipped(state);
        if is_over && self.files.len() > 1 {
            self.files.pop_front();
            return Ok(true);
        }
        let now = self.clock.now();
        let was_silent = state.silent;
        state.silent = state.is_running() && now.since(self.last) > SILENT_AFTER;
        if state.is_running() && !state.silent {
            state.tick(now);
        }
        Ok(changed || was_silent != state.silent)
    }
}

/// A log at a multiple of its own speed, from its beginning.
pub(crate) struct Replay {
    files: VecDeque<EventFile>,
    ahead: VecDeque<RecordedEvent>,
    clock: Clock,
    speed: f64,
    /// Moment of the first event, and when it was shown.
    began: Option<(Timestamp, Duration)>,
}

impl Replay {
    pub(crate) fn new(files: Vec<EventFile>, speed: f64, clock: Clock) -> Self {
        Self { files: files.into(), ahead: VecDeque::new(), clock, speed, began: None }
    }

    fn read_ahead(&mut self, state: &mut State) -> anyhow::Result<()> {
        while self.ahead.len() < EVENTS_AHEAD_MAX {
            let Some(file) = self.files.front_mut() else { return Ok(()) };
            let (events, is_over) = file.read()?;
            file.tell_skipped(state);
            self.ahead.extend(events);
            if is_over {
                if self.files.len() == 1 {
                    return Ok(());
                }
                self.files.pop_front();
            }
        }
        Ok(())
    }
}

impl Feed for Replay {
    fn fill(&mut self, state: &mut State) -> anyhow::Result<bool> {
        self.read_ahead(state)?;
        let Some(first) = self.ahead.front().map(|event| event.at) else { return Ok(false) };
        let elapsed = self.clock.monotonic();
        let (start, shown_at) = *self.began.get_or_insert((first, elapsed));
        // A speed so large that the product is no duration shows everything at once.
        let passed = (elapsed - shown_at).as_secs_f64() * self.speed;
        let now = start.plus(Duration::try_from_secs_f64(passed).unwrap_or(Duration::MAX));
        let mut changed = false;
        while let Some(event) = self.ahead.pop_front_if(|event| event.at <= now) {
            state.take(event);
            changed = true;
        }
        if !self.ahead.is_empty() {
            state.tick(now);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::Subject;
    use std::io::Write;

    fn line(second: i64, message: &str) -> String {
        format!("{{\"at\":{},\"event\":\"log\",\"message\":\"{message}\"}}\n", second * 1_000_000)
    }

    fn append(path: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(path).expect("opens");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn texts(state: &State) -> Vec<&str> {
        state.log.shown(100).map(|line| line.text.as_str()).collect()
    }

    fn fill(feed: &mut impl Feed, state: &mut State) {
        while feed.fill(state).expect("fills") {}
    }

    #[test]
    fn a_growing_log_is_followed_line_by_line_and_across_its_rotation() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, before) = (folder.path().join("events.jsonl"), folder.path().join("events.1.jsonl"));
        append(&before, &line(1, "old"));
        append(&path, &(line(2, "a") + "not an event\n" + &line(3, "b")[..20]));
        let clock = Clock::virtual_at(Timestamp::from_seconds(5));
        let files = vec![EventFile::open(&before).expect("opens"), EventFile::open(&path).expect("opens")];
        let (mut feed, mut state) = (Following::new(files, clock.clone()), State::new(Subject::EventLog, None));
        fill(&mut feed, &mut state);
        assert_eq!(texts(&state), ["old", "a", "1 lines of the event log could not be read and were skipped"]);
        append(&path, &line(3, "b")[20..]);
        fill(&mut feed, &mut state);
        std::fs::rename(&path, &before).expect("rotated");
        append(&path, &line(4, "c"));
        fill(&mut feed, &mut state);
        assert_eq!(texts(&state)[3..], ["b", "c"]);
        assert_eq!((state.now, state.silent), (Timestamp::from_seconds(5), false));
        clock.advance(Duration::from_secs(60));
        fill(&mut feed, &mut state);
        assert_eq!((state.now, state.silent), (Timestamp::from_seconds(5), true), "a killed run's clock stands still");
    }

    #[test]
    fn a_replay_keeps_the_distances_of_its_events() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        append(&path, &(line(1_000, "a") + &line(1_010, "b") + &line(1_030, "c")));
        let clock = Clock::virtual_at(Timestamp::from_seconds(5));
        let files = vec![EventFile::open(&path).expect("opens")];
        let (mut feed, mut state) = (Replay::new(files, 10.0, clock.clone()), State::new(Subject::EventLog, None));
        fill(&mut feed, &mut state);
        assert_eq!(texts(&state), ["a"]);
        clock.advance(Duration::from_millis(900));
        fill(&mut feed, &mut state);
        assert_eq!((texts(&state).len(), state.now), (1, Timestamp::from_seconds(1_009)));
        clock.advance(Duration::from_millis(100));
        fill(&mut feed, &mut state);
        assert_eq!(texts(&state), ["a", "b"]);
        clock.advance(Duration::from_secs(100));
        fill(&mut feed, &mut state);
        assert_eq!((texts(&state).len(), state.now), (3, Timestamp::from_seconds(1_030)));
    }
}
