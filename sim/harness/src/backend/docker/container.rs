//! One container: started on a loopback port, waited for, removed whatever happens.
//!
//! Readiness is asked of the service itself, not read from its log, so any image that answers will do.

use std::time::Duration;

use lakebed_contract::{Clock, EventSink};
use testcontainers_modules::testcontainers::bollard::Docker;
use testcontainers_modules::testcontainers::bollard::errors::Error as BollardError;
use testcontainers_modules::testcontainers::bollard::query_parameters::RemoveContainerOptionsBuilder;
use testcontainers_modules::testcontainers::core::IntoContainerPort;
use testcontainers_modules::testcontainers::core::client::docker_client_instance;
use testcontainers_modules::testcontainers::runners::AsyncRunner;
use testcontainers_modules::testcontainers::{ContainerAsync, ContainerRequest, Image, ImageExt};

use super::error::DockerError;
use super::image::ImageName;

/// Longest wait for a started container to answer; pulling its image is not counted.
pub const READY_WAIT_MAX: Duration = Duration::from_secs(180);
const READY_POLL: Duration = Duration::from_millis(250);
/// End of a container's log that is told when it does not get ready.
const LAST_WORDS_BYTES_MAX: usize = 600;
/// Label of every container, for `docker ps --filter label=lakebed`.
const LABEL: &str = "lakebed";
/// Label of an image that only bears a name: what it is instead. `.ci/docker-stand-ins` sets it.
const STAND_IN_LABEL: &str = "lakebed.stand-in";
const LOOPBACK: &str = "127.0.0.1";

/// A running container.
pub(super) struct Service<I: Image> {
    container: ContainerAsync<I>,
    image: String,
    /// Port on 127.0.0.1.
    pub(super) port: u16,
}

/// Starts a container of `image` whose `port` is published on a free port of 127.0.0.1.
pub(super) async fn start<I: Image>(
    request: ContainerRequest<I>,
    image: &ImageName,
    name: &str,
    port: u16,
    events: &EventSink,
) -> Result<Service<I>, DockerError> {
    let descriptor = image.to_string();
    let engine = engine().await?;
    match engine.inspect_image(&descriptor).await {
        Ok(found) => {
            let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
            if let Some(what) = labels.get(STAND_IN_LABEL) {
                events.log(format!("docker: image {descriptor} is a local STAND-IN: {what}"));
            }
        }
        Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => {
            events.log(format!("docker: image {descriptor} is not here; pulling it"));
        }
        Err(error) => return Err(DockerError::Container { image: descriptor, source: Box::new(error) }),
    }
    let request = request
        .with_name(&image.name)
        .with_tag(&image.tag)
        .with_container_name(name)
        .with_label(LABEL, name)
        // Ours is the better check; see `await_answer`.
        .with_ready_conditions(Vec::new())
        .with_mapped_port(0, port.tcp())
        .with_host_config_modifier(|host| {
            for binding in host.port_bindings.iter_mut().flat_map(|ports| ports.values_mut()).flatten().flatten() {
                binding.host_ip = Some(LOOPBACK.to_owned());
            }
        });
    let container = request.start().await.map_err(|error| DockerError::of_start(&descriptor, error))?;
    let published = container.get_host_port_ipv4(port.tcp()).await;
    let published = published.map_err(|error| DockerError::of_start(&descriptor, error))?;
    events.log(format!("docker: {name} runs {descriptor} on {LOOPBACK}:{published}"));
    Ok(Service { container, image: descriptor, port: published })
}

impl<I: Image> Service<I> {
    /// Asks until the service answers; gives up when the container has ended, or at [`READY_WAIT_MAX`].
    pub(super) async fn await_answer<E>(&self, ask: impl AsyncFn() -> Result<(), E>) -> Result<(), DockerError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let clock = Clock::wall();
        let started = clock.monotonic();
        loop {
            let left = READY_WAIT_MAX.saturating_sub(clock.monotonic() - started);
            let refusal: Box<dyn std::error::Error + Send + Sync> = tokio::select! {
                asked = ask() => match asked {
                    Ok(()) => return Ok(()),
                    Err(refusal) => refusal.into(),
                },
                () = clock.sleep(left) => "it took the connection and did not answer".into(),
            };
            let image = self.image.clone();
            let state = self.container.exit_code().await;
            let ended = state.map_err(|error| DockerError::Container { image: image.clone(), source: error.into() })?;
            if ended.is_some() {
                return Err(DockerError::Ended { image, exit_code: ended, last_words: self.last_words().await });
            }
            let waited = clock.monotonic() - started;
            if waited >= READY_WAIT_MAX {
                let (waited_s, last_words) = (waited.as_secs(), self.last_words().await);
                return Err(DockerError::NotReady { image, waited_s, last_words, source: refusal });
            }
            clock.sleep(READY_POLL).await;
        }
    }

    async fn last_words(&self) -> String {
        let (out, err) = tokio::join!(self.container.stdout_to_vec(), self.container.stderr_to_vec());
        let mut log = out.unwrap_or_default();
        log.extend(err.unwrap_or_default());
        let text = String::from_utf8_lossy(&log[log.len().saturating_sub(LAST_WORDS_BYTES_MAX)..]).into_owned();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() { "none".to_owned() } else { words }
    }

    /// Stops and removes it with its volumes.
    pub(super) async fn remove(self, name: &str) -> Result<(), DockerError> {
        let removed = self.container.rm().await;
        removed.map_err(|error| DockerError::Remove { name: name.to_owned(), source: Box::new(error) })
    }
}

/// The engine that testcontainers finds: `DOCKER_HOST`, else the usual sockets.
pub(super) async fn engine() -> Result<Docker, DockerError> {
    let engine = docker_client_instance().await.map_err(|error| DockerError::Engine { source: Box::new(error) })?;
    engine.ping().await.map_err(|error| DockerError::Engine { source: Box::new(error) })?;
    Ok(engine)
}

/// Removes containers by name when it is dropped, also those that the engine was still
/// making when the run was interrupted, if it knows them by then.
pub(super) struct RemovalGuard {
    names: Vec<String>,
}

impl RemovalGuard {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// Everything is removed already.
    pub(super) fn disarm(mut self) {
        self.names.clear();
    }
}

impl Drop for RemovalGuard {
    fn drop(&mut self) {
        let names = std::mem::take(&mut self.names);
        if names.is_empty() {
            return;
        }
        // The run's own runtime may be going down, so this happens on another thread, with a runtime of its own.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove_by_name(&names));
            Ok::<_, std::io::Error>(())
        });
        if !matches!(thread.join(), Ok(Ok(()))) {
            tracing::warn!("containers could not be removed; docker ps --filter label=lakebed shows them");
        }
    }
}

async fn remove_by_name(names: &[String]) {
    let engine = match docker_client_instance().await {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(%error, ?names, "containers could not be removed; docker ps --filter label=lakebed shows them");
            return;
        }
    };
    for name in names {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match engine.remove_container(name, Some(options)).await {
            // Removed already, being removed, or never made.
            Ok(()) | Err(BollardError::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => tracing::warn!(container = name, %error, "a container could not be removed"),
        }
    }
}
