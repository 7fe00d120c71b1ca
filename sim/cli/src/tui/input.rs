//! Keys: what each does to the state, and what it asks of the loop.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::control::retryable;
use super::state::{Asking, Screen, State};

/// Longest filter.
const FILTER_CHARS_MAX: usize = 60;

/// What the loop must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Leave; the run goes on.
    Close,
    /// End the run.
    Interrupt,
    /// Put this control record back to RECEIVED.
    Retry(String),
}

/// A key was pressed. `page` is how many lines of a list fit on the screen.
pub(crate) fn press(state: &mut State, key: KeyEvent, page: isize) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Interrupt);
    }
    state.notice = None;
    if std::mem::take(&mut state.help) {
        return None;
    }
    match std::mem::replace(&mut state.asking, Asking::Nothing) {
        Asking::Filter => {
            edit_filter(state, key.code);
            None
        }
        Asking::Retry(pk) => (key.code == KeyCode::Char('y')).then_some(Action::Retry(pk)),
        Asking::Nothing => command(state, key.code, page),
    }
}

fn command(state: &mut State, key: KeyCode, page: isize) -> Option<Action> {
    match key {
        KeyCode::Char('q') => return Some(Action::Close),
        KeyCode::Char('?') => state.help = true,
        KeyCode::Char(digit @ '1'..='5') => state.screen = Screen::ALL[digit as usize - '1' as usize],
        KeyCode::Tab | KeyCode::Right => state.screen = state.screen.turned(1),
        KeyCode::BackTab | KeyCode::Left => state.screen = state.screen.turned(-1),
        KeyCode::Up | KeyCode::Char('k') => step(state, -1),
        KeyCode::Down | KeyCode::Char('j') => step(state, 1),
        KeyCode::PageUp => step(state, -page),
        KeyCode::PageDown => step(state, page),
        KeyCode::Home => step(state, isize::MIN + 1),
        KeyCode::End => step(state, isize::MAX),
        KeyCode::Char('/') if filter(state).is_some() => state.asking = Asking::Filter,
        KeyCode::Enter if state.screen == Screen::Control => {
            state.control.open = state.control.selected().map(|record| record.pk.clone());
        }
        KeyCode::Esc => escape(state),
        KeyCode::Char('r') if state.screen == Screen::Control => ask_retry(state),
        _ => {}
    }
    None
}

fn step(state: &mut State, lines: isize) {
    match state.screen {
        Screen::Control if state.control.open.is_none() => {
            let length = state.control.matching().len();
            state.control.selection.step(lines, length);
        }
        Screen::Executions => {
            let length = state.executions.matching().len();
            state.executions.selection.step(lines, length);
        }
        // Up is back in time.
        Screen::Log => state.log.scroll(lines.saturating_neg()),
        Screen::Control | Screen::Flow | Screen::Benchmark => {}
    }
}

fn filter(state: &mut State) -> Option<&mut String> {
    match state.screen {
        Screen::Control if state.control.open.is_none() => Some(&mut state.control.filter),
        Screen::Executions => Some(&mut state.executions.filter),
        _ => None,
    }
}

fn edit_filter(state: &mut State, key: KeyCode) {
    let Some(filter) = filter(state) else { return };
    match key {
        KeyCode::Enter => return,
        KeyCode::Esc => {
            filter.clear();
            reset_selection(state);
            return;
        }
        KeyCode::Backspace => drop(filter.pop()),
        KeyCode::Char(letter) if filter.chars().count() < FILTER_CHARS_MAX => filter.push(letter),
        _ => {}
    }
    state.asking = Asking::Filter;
    reset_selection(state);
}

fn reset_selection(state: &mut State) {
    match state.screen {
        Screen::Control => state.control.selection.reset(),
        Screen::Executions => state.executions.selection.reset(),
        _ => {}
    }
}

fn escape(state: &mut State) {
    if state.screen == Screen::Control && state.control.open.take().is_some() {
        return;
    }
    if let Some(filter) = filter(state) {
        filter.clear();
        reset_selection(state);
    }
}

fn ask_retry(state: &mut State) {
    let Some(record) = state.control.opened().or_else(|| state.control.selected()) else { return };
    match retryable(record) {
        Ok(()) => state.asking = Asking::Retry(record.pk.clone()),
        Err(why) => state.notice = Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::Subject;
    use lakebed_contract::control::{ControlRecord, Status};

    fn state() -> State {
        let mut state = State::new(Subject::EventLog, None);
        for (key, status) in [("beer/a", Status::Done), ("beer/b", Status::Quarantined), ("review/c", Status::Failed)] {
            let table = key.split('/').next().unwrap_or_default();
            let mut record = ControlRecord::received("dm-stage", key, "e", table, "", 1, 5);
            record.status = status;
            state.control.take(record);
        }
        state
    }

    fn type_keys(state: &mut State, keys: &[KeyCode]) -> Vec<Action> {
        keys.iter().filter_map(|key| press(state, KeyEvent::from(*key), 10)).collect()
    }

    fn letters(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    #[test]
    fn a_quarantined_record_is_found_opened_and_retried_after_a_yes() {
        let mut state = state();
        let none = type_keys(&mut state, &[letters("2/quar"), vec![KeyCode::Enter, KeyCode::Enter]].concat());
        assert!(none.is_empty());
        assert_eq!(state.control.opened().expect("open").key, "beer/b");
        assert!(type_keys(&mut state, &letters("rn")).is_empty(), "no is no");
        let pk = "dm-stage#beer/b#e".to_owned();
        assert_eq!(type_keys(&mut state, &letters("ry")), [Action::Retry(pk)]);
        type_keys(&mut state, &[KeyCode::Esc, KeyCode::Esc]);
        assert_eq!((state.control.open.as_deref(), state.control.filter.as_str()), (None, ""));
    }

    #[test]
    fn a_done_record_is_not_asked_about() {
        let mut state = state();
        type_keys(&mut state, &letters("2r"));
        assert_eq!(state.asking, Asking::Nothing);
        assert!(state.notice.as_deref().expect("told why").contains("DONE"));
        type_keys(&mut state, &[KeyCode::Down]);
        assert_eq!(state.notice, None, "the next key clears it");
    }

    #[test]
    fn letters_are_letters_while_a_filter_is_typed() {
        let mut state = state();
        assert!(type_keys(&mut state, &letters("2/q1?")).is_empty());
        assert_eq!((state.control.filter.as_str(), state.screen, state.help), ("q1?", Screen::Control, false));
        type_keys(&mut state, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(type_keys(&mut state, &letters("q")), [Action::Close]);
    }

    #[test]
    fn control_c_interrupts_whatever_is_asked() {
        let mut state = state();
        type_keys(&mut state, &letters("2/x"));
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(press(&mut state, key, 10), Some(Action::Interrupt));
    }

    #[test]
    fn any_key_leaves_the_help_and_does_nothing_else() {
        let mut state = state();
        assert!(type_keys(&mut state, &letters("?q")).is_empty());
        assert_eq!((state.help, state.screen), (false, Screen::Flow));
        type_keys(&mut state, &[KeyCode::Left]);
        assert_eq!(state.screen, Screen::Log);
    }
}
