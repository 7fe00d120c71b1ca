//! A pseudo-terminal with a program in it: what it shows, keys for it, and whether it left the terminal as it found it.
//!
//! Waits on what the program writes, never on time; a program that says nothing for [`PATIENCE`] fails the test.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for what a test expects on the screen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program in a terminal of its own.
pub(crate) struct Pty {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    modes_before: String,
}

struct Shown {
    parser: vt100::Parser,
    has_ended: bool,
}

impl Pty {
    /// Starts a program in a terminal of 80 × 24.
    pub(crate) fn start(command: CommandBuilder) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let modes_before = modes(pair.master.as_ref());
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let shown =
            Arc::new((Mutex::new(Shown { parser: vt100::Parser::new(24, 80, 0), has_ended: false }), Condvar::new()));
        let mut output = pair.master.try_clone_reader().expect("a reader");
        let keys = pair.master.take_writer().expect("a writer");
        std::thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut bytes = [0; 4_096];
                loop {
                    // A terminal whose program has gone reads as an error on Linux.
                    let count = output.read(&mut bytes).unwrap_or(0);
                    let mut now = shown.0.lock().expect("lock");
                    now.parser.process(&bytes[..count]);
                    now.has_ended = count == 0;
                    shown.1.notify_all();
                    if count == 0 {
                        return;
                    }
                }
            }
        });
        Self { master: pair.master, keys, child, shown, modes_before }
    }

    /// The program's process.
    pub(crate) fn process(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// Types keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Waits until the screen shows all of `texts`, and returns it.
    pub(crate) fn wait_for(&self, texts: &[&str]) -> String {
        let is_missing = |shown: &mut Shown| {
            let screen = shown.parser.screen().contents();
            !shown.has_ended && !texts.iter().all(|text| screen.contains(text))
        };
        let lock = self.shown.0.lock().expect("lock");
        let (shown, _) = self.shown.1.wait_timeout_while(lock, PATIENCE, is_missing).expect("lock");
        let screen = shown.parser.screen().contents();
        for text in texts {
            assert!(screen.contains(text), "no `{text}` on the screen:\n{screen}");
        }
        screen
    }

    /// Waits for the program's end; returns its exit code and all that is left on the screen.
    pub(crate) fn wait(mut self) -> (u32, Left) {
        let status = self.child.wait().expect("the program ends");
        let lock = self.shown.0.lock().expect("lock");
        let (shown, timeout) = self.shown.1.wait_timeout_while(lock, PATIENCE, |shown| !shown.has_ended).expect("lock");
        assert!(!timeout.timed_out(), "the terminal stayed open");
        let screen = shown.parser.screen();
        let left = Left {
            text: screen.contents(),
            on_alternate_screen: screen.alternate_screen(),
            cursor_hidden: screen.hide_cursor(),
            modes_changed: modes(self.master.as_ref()) != self.modes_before,
        };
        (status.exit_code(), left)
    }
}

/// How a program left its terminal.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) text: String,
    pub(crate) on_alternate_screen: bool,
    pub(crate) cursor_hidden: bool,
    pub(crate) modes_changed: bool,
}

impl Left {
    /// Fails the test unless the terminal is as it was.
    pub(crate) fn assert_restored(&self) {
        assert!(!self.on_alternate_screen && !self.cursor_hidden && !self.modes_changed, "not restored: {self:?}");
    }
}

/// Line discipline: echo, canonical input, signals.
fn modes(master: &(dyn MasterPty + Send)) -> String {
    let modes = master.get_termios().expect("a terminal has modes");
    format!("{:?} {:?} {:?}", modes.input_flags, modes.output_flags, modes.local_flags)
}
