//! An emulator as a child process: started on a free port, waited for, stopped when dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use lakebed_contract::Clock;

use super::child::Program;
use super::contender::Means;

/// Looks at a port that does not answer yet.
const START_LOOKS_MAX: u32 = 600;
const START_LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long one look may take.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// A running emulator.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    /// Starts it and waits until it accepts connections. `Err` is a reason for people.
    pub(super) async fn start(means: &Means, name: &str, scratch: &Path, clock: &Clock) -> Result<Self, String> {
        let Means::Server { program, arguments, variables } = means else {
            return Err(format!("`{name}` is not a server"));
        };
        let port = free_port()?;
        let second_port = free_port()?;
        let state = scratch.join(format!("state-{name}"));
        std::fs::create_dir_all(&state).map_err(|error| format!("failed to create `{}`: {error}", state.display()))?;
        let filled = |text: &String| {
            text.replace("{port}", &port.to_string())
                .replace("{port2}", &second_port.to_string())
                .replace("{state}", &state.to_string_lossy())
        };
        let program = Program {
            program: program.clone(),
            arguments: arguments.iter().map(filled).collect(),
            variables: variables.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
            log: scratch.join(format!("logs/{name}.log")),
        };
        let mut command = program.command()?;
        // Nobody reads it, and a full pipe would stop the server.
        command.stdout(Stdio::null());
        let child = command.spawn().map_err(|error| format!("failed to start it: {error}"))?;
        let mut server = Self { child, port };
        for _ in 0..START_LOOKS_MAX {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("it ended before it answered: {status}"));
            }
            if TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_MAX).is_ok() {
                return Ok(server);
            }
            clock.sleep(START_LOOK_PAUSE).await;
        }
        Err(format!("it did not answer on its port within {} s", (START_LOOK_PAUSE * START_LOOKS_MAX).as_secs()))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port nobody listens on now. Another process may take it before the server does; then the server says so.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no free port: {error}"))?;
    Ok(listener.local_addr().map_err(|error| format!("no free port: {error}"))?.port())
}
