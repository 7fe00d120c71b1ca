//! The terminal in its borrowed state: raw mode and the alternate screen, on stderr, because stdout is data.
//!
//! Promises: given back on every way out, panics included: [`Borrowed`] restores on drop, and while one is alive the panic hook
//! restores before the message is printed, so that it can be read.

use std::io::{IsTerminal, Stderr, Write};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::ThreadId;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use crate::exit::InputError;

/// The thread that has borrowed the terminal, while it has.
static BORROWER: Mutex<Option<ThreadId>> = Mutex::new(None);

/// The borrowed terminal; dropping it gives it back.
pub(crate) struct Borrowed {
    terminal: Terminal<CrosstermBackend<Stderr>>,
}

impl Borrowed {
    /// Borrows the terminal for the thread that calls.
    pub(crate) fn take() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(InputError::because(
                "failed to open the terminal screen: stdin and stderr are not both a terminal",
                "leave out --tui, or read the event log: every line of DIR/events.jsonl is one event",
            ));
        }
        restore_before_panics();
        *BORROWER.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
        // From here on the guard's drop gives back whatever was taken.
        let terminal = Terminal::new(CrosstermBackend::new(std::io::stderr()))?;
        let borrowed = Self { terminal };
        enable_raw_mode()?;
        // Cleared by hand: the library's own way asks the terminal where its cursor is, and some never answer.
        execute!(std::io::stderr(), EnterAlternateScreen, Clear(ClearType::All), cursor::Hide)?;
        Ok(borrowed)
    }

    /// What draws.
    pub(crate) fn screen(&mut self) -> &mut Terminal<CrosstermBackend<Stderr>> {
        &mut self.terminal
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        give_back();
    }
}

/// Undoes what [`Borrowed::take`] did, once.
fn give_back() {
    if BORROWER.lock().unwrap_or_else(PoisonError::into_inner).take().is_none() {
        return;
    }
    // A terminal that is gone needs no restoring.
    let _left = execute!(std::io::stderr(), LeaveAlternateScreen, cursor::Show);
    let _cooked = disable_raw_mode();
    let _flushed = std::io::stderr().flush();
}

/// A panic of the drawing thread restores first. A panic elsewhere (a handler's, which its executor turns into an error) must not
/// take the screen away, and its words must not be drawn over it: they come with the error.
fn restore_before_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let borrower = *BORROWER.lock().unwrap_or_else(PoisonError::into_inner);
            match borrower {
                Some(borrower) if borrower != std::thread::current().id() => crate::printer::line(&panic.to_string()),
                _ => {
                    give_back();
                    before(panic);
                }
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::pty::Pty;
    use portable_pty::CommandBuilder;

    /// Set for the test that is started by another one, in a terminal of its own.
    const IN_A_TERMINAL: &str = "LAKEBED_TEST_IN_A_TERMINAL";

    #[test]
    fn a_panic_behind_the_screen() {
        if std::env::var_os(IN_A_TERMINAL).is_none() {
            return;
        }
        let mut borrowed = Borrowed::take().expect("a terminal");
        borrowed.screen().draw(|frame| frame.render_widget("what is drawn", frame.area())).expect("drawn");
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_and_its_words_can_be_read() {
        let mut command = CommandBuilder::new(std::env::current_exe().expect("this test binary"));
        command.args(["--exact", "tui::terminal::tests::a_panic_behind_the_screen", "--nocapture"]);
        command.env(IN_A_TERMINAL, "1");
        command.env("TERM", "xterm-256color");
        let (code, left) = Pty::start(command).wait();
        assert_eq!(code, 101, "{left:?}");
        left.assert_restored();
        assert!(left.text.contains("on purpose") && !left.text.contains("what is drawn"), "{}", left.text);
    }
}
