//! Whole screens under snapshot, from the event log of a real run (`demo --scale 0.0005`): at 80 × 24 and 100 × 30, with colours and without.

use std::path::Path;
use std::time::Duration;

use lakebed_contract::control::Status;
use lakebed_contract::{RecordedEvent, RunEvent, Timestamp};
use lakebed_harness::measures::{LatencySummary, MeasuresSummary, StageSummary};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::input::press;
use super::record::RecordedRun;
use super::state::{State, Subject};
use super::view::{self, theme::Theme};

const PLAIN: Theme = Theme { colour: false, unicode: true };
const COLOUR: Theme = Theme { colour: true, unicode: true };
const ASCII: Theme = Theme { colour: false, unicode: false };

/// A small run as it was recorded.
fn events() -> Vec<RecordedEvent> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/watched-run.jsonl");
    let text = std::fs::read_to_string(path).expect("the recorded log");
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

fn record() -> RecordedRun {
    let stage = |rows, bytes, active_ms| StageSummary { rows, bytes, active_ms };
    let stages = [("dms", stage(1_500, 900_000, 2_000)), ("silver", stage(1_400, 0, 1_000))];
    let latency = LatencySummary { rows: 44, p50_ms: 2_047, p90_ms: 3_583, p99_ms: 4_095, max_ms: 4_095 };
    RecordedRun {
        from: "lake/run.json".to_owned(),
        verdict: "pass".to_owned(),
        seed: 7,
        scale: 0.000_5,
        total_ms: 5_120,
        peak_rss_bytes: 150 << 20,
        measures: MeasuresSummary {
            stages: stages.into_iter().map(|(name, stage)| (name.to_owned(), stage)).collect(),
            latency: [("changes".to_owned(), latency)].into_iter().collect(),
            worker_resident_bytes_max: 0,
            cpu_ms: 6_400,
        },
    }
}

/// The state after the part of the run's time that `part` (0 to 1) says.
fn after(part: f64) -> State {
    let events = events();
    let (first, last) = (events.first().expect("events").at, events.last().expect("events").at);
    let until = first.plus(last.since(first).mul_f64(part));
    let mut state = State::new(Subject::EventLog, Some(record()));
    for event in events.into_iter().filter(|event| event.at <= until) {
        state.take(event);
    }
    state.tick(until);
    state
}

fn keys(state: &mut State, typed: &str) {
    for letter in typed.chars() {
        let code = if letter == '\n' { KeyCode::Enter } else { KeyCode::Char(letter) };
        press(state, KeyEvent::from(code), 18);
    }
}

fn drawn(state: &State, theme: &Theme, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| view::draw(state, theme, frame)).expect("drawn");
    terminal.backend().clone()
}

/// A quarantined record, which a healthy demo has none of.
fn with_trouble(state: &mut State) {
    let (_, mut record) = state.control.matching().first().map(|record| ((), (*record).clone())).expect("a record");
    record.key = "raw/review/2026/broken.csv.gz".to_owned();
    record.pk = format!("dm-stage#{}#e", record.key);
    (record.status, record.attempts, record.received_at) = (Status::Quarantined, 3, record.received_at + 1);
    record.error = "failed to read `raw/review/2026/broken.csv.gz`: the gzip stream ends in the middle".to_owned();
    state.take(RecordedEvent { at: state.now, event: RunEvent::ControlChanged { record: Box::new(record) } });
    let (machine, name) = ("dm-ingestion-dispatcher".to_owned(), "0f3a-3".to_owned());
    let at = state.now;
    state
        .take(RecordedEvent { at, event: RunEvent::ExecutionStarted { machine: machine.clone(), name: name.clone() } });
    let (status, error) = ("FAILED".to_owned(), "States.TaskFailed".to_owned());
    let at = at.plus(Duration::from_millis(1_500));
    state.take(RecordedEvent { at, event: RunEvent::ExecutionFinished { machine, name, status, error } });
}

#[test]
fn every_screen_at_80_by_24_without_colour() {
    let mut state = after(0.6);
    with_trouble(&mut state);
    for (number, name) in (1..).zip(["flow", "control", "executions", "benchmark", "log"]) {
        keys(&mut state, &number.to_string());
        insta::assert_snapshot!(format!("{name}_80x24"), drawn(&state, &PLAIN, 80, 24));
    }
    keys(&mut state, "?");
    insta::assert_snapshot!("help_80x24", drawn(&state, &PLAIN, 80, 24));
}

#[test]
fn every_screen_at_100_by_30_when_the_run_is_over() {
    let mut state = after(1.0);
    for (number, name) in (1..).zip(["flow", "control", "executions", "benchmark", "log"]) {
        keys(&mut state, &number.to_string());
        insta::assert_snapshot!(format!("{name}_100x30"), drawn(&state, &PLAIN, 100, 30));
    }
}

#[test]
fn a_record_in_full_and_the_question_before_a_retry() {
    let mut state = after(0.6);
    with_trouble(&mut state);
    keys(&mut state, "2/quarantined\n\nr");
    insta::assert_snapshot!("record_80x24", drawn(&state, &PLAIN, 80, 24));
}

#[test]
fn colours_say_nothing_that_words_do_not() {
    let mut state = after(1.0);
    with_trouble(&mut state);
    for number in 1..=5 {
        keys(&mut state, &number.to_string());
        let (plain, coloured) = (drawn(&state, &PLAIN, 80, 24), drawn(&state, &COLOUR, 80, 24));
        assert_eq!(plain.to_string(), coloured.to_string(), "screen {number}: the same letters");
        let colours = |backend: &TestBackend| {
            let cells = backend.buffer().content().iter();
            cells.filter(|cell| cell.fg != ratatui::style::Color::Reset).count()
        };
        assert_eq!(colours(&plain), 0, "screen {number}");
        assert!(colours(&coloured) > 20, "screen {number}");
    }
    keys(&mut state, "1");
    // Cells and the styles that differ from the one before them.
    insta::assert_snapshot!("flow_80x24_colour", format!("{:#?}", drawn(&state, &COLOUR, 80, 24).buffer()));
}

#[test]
fn a_terminal_without_unicode_gets_ascii() {
    let mut state = after(0.6);
    for number in 1..=4 {
        keys(&mut state, &number.to_string());
        let screen = drawn(&state, &ASCII, 100, 30).to_string();
        assert!(screen.is_ascii(), "screen {number}: {screen}");
    }
}

#[test]
fn no_size_breaks_a_screen() {
    let mut state = after(0.9);
    with_trouble(&mut state);
    for number in 1..=5 {
        keys(&mut state, &number.to_string());
        for (width, height) in [(1, 1), (40, 10), (41, 60), (79, 11), (250, 80)] {
            drawn(&state, &PLAIN, width, height);
        }
    }
    state.tick(Timestamp(i64::MAX));
    drawn(&state, &PLAIN, 80, 24);
}

#[test]
fn nothing_is_shown_for_a_fact_before_anything_came() {
    insta::assert_snapshot!("empty_80x24", drawn(&State::new(Subject::OwnRun, None), &PLAIN, 80, 24));
}
