//! The Lambda executor: runs a registered handler in this process, as the service would run a function.
//!
//! Promises: at most `concurrency_max` calls at once, a bounded number waiting ([`INVOCATIONS_WAITING_MAX`]), a timeout on
//! the given clock, and a panic of the handler turned into `Lambda.Unknown`. A call that is dropped is aborted.
//! Does not know: memory limits as a wall; `memory_mib` is a figure the handler sizes its buffers by. Retries are the
//! caller's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lakebed_contract::seed::uuid_from;
use lakebed_contract::{Clock, HandlerError, HandlerRegistry, Invocation, Seed};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// Calls that may wait for a free slot; one more is refused as throttled.
pub const INVOCATIONS_WAITING_MAX: usize = 10_000;

/// The default and longest timeout of a function: AWS's fifteen minutes.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// The memory figure functions get by default, MiB.
pub const MEMORY_MIB_DEFAULT: u32 = 1024;

/// Limits of an executor.
#[derive(Clone, Copy, Debug)]
pub struct LambdaSettings {
    /// Calls that may run at once.
    pub concurrency_max: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// Memory figure handed to the function, MiB.
    pub memory_mib: u32,
}

impl LambdaSettings {
    /// Default timeout and memory with the given concurrency.
    pub fn with_concurrency(concurrency_max: usize) -> Self {
        Self { concurrency_max, timeout: TIMEOUT_DEFAULT, memory_mib: MEMORY_MIB_DEFAULT }
    }
}

/// Runs functions by name.
#[derive(Debug)]
pub struct Lambda {
    registry: HandlerRegistry,
    settings: LambdaSettings,
    clock: Clock,
    permits: Semaphore,
    waiting: AtomicUsize,
    request_ids: Mutex<ChaCha8Rng>,
}

impl Lambda {
    /// An executor over `registry`. A concurrency of zero counts as one.
    pub fn new(registry: HandlerRegistry, settings: LambdaSettings, clock: Clock, seed: Seed) -> Arc<Self> {
        let request_ids = Mutex::new(seed.unique("flow/lambda/request-id", &clock).rng("request-id"));
        let permits = Semaphore::new(settings.concurrency_max.max(1));
        Arc::new(Self { registry, settings, clock, permits, waiting: AtomicUsize::new(0), request_ids })
    }

    /// Calls `function` (a name, or the ARN of one) and waits for its result.
    pub async fn invoke(&self, function: &str, payload: Value) -> Result<Value, HandlerError> {
        let name = function_name(function);
        let handler = self.registry.get(name).ok_or_else(|| {
            HandlerError::permanent("Lambda.ResourceNotFoundException", format!("function `{name}` is not registered"))
        })?;
        let waiting = Waiting::enter(&self.waiting, name)?;
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        drop(waiting);
        let invocation = Invocation { request_id: self.request_id(), memory_mib: self.settings.memory_mib };
        let call = AbortOnDropHandle::new(tokio::spawn(async move { handler.invoke(&invocation, payload).await }));
        tokio::select! {
            biased;
            ended = call => ended.unwrap_or_else(|_panic_or_abort| {
                Err(HandlerError::transient("Lambda.Unknown", format!("function `{name}` panicked")))
            }),
            () = self.clock.sleep(self.settings.timeout) => Err(HandlerError::transient(
                "Sandbox.Timedout",
                format!("function `{name}` timed out after {} s", self.settings.timeout.as_secs()),
            )),
        }
    }

    /// Calls that may run at once.
    pub fn concurrency(&self) -> usize {
        self.settings.concurrency_max.max(1)
    }

    /// Calls that run now.
    pub fn running(&self) -> usize {
        self.concurrency().saturating_sub(self.permits.available_permits())
    }

    /// Calls that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn request_id(&self) -> String {
        uuid_from(&mut *self.request_ids.lock().unwrap_or_else(PoisonError::into_inner)).to_string()
    }
}

/// The function's name in a bare name, a `name:qualifier`, or `arn:aws:lambda:<region>:<account>:function:<name>`.
fn function_name(function: &str) -> &str {
    match function.split_once(":function:") {
        Some((_, rest)) => rest.split(':').next().unwrap_or(rest),
        None => function,
    }
}

/// Counts a call that waits for a slot, and stops counting when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, name: &str) -> Result<Self, HandlerError> {
        let guard = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= INVOCATIONS_WAITING_MAX {
            return Err(HandlerError::transient(
                "Lambda.TooManyRequestsException",
                format!("{INVOCATIONS_WAITING_MAX} calls already wait; `{name}` is throttled"),
            ));
        }
        Ok(guard)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use lakebed_contract::{Handler, Timestamp};
    use serde_json::json;
    use tokio::sync::Barrier;

    struct Fake(Arc<AtomicUsize>, Arc<Barrier>);

    #[async_trait]
    impl Handler for Fake {
        async fn invoke(&self, invocation: &Invocation, payload: Value) -> Result<Value, HandlerError> {
            match payload["do"].as_str() {
                Some("panic") => panic!("on purpose"),
                Some("hang") => std::future::pending().await,
                Some("meet") => {
                    let inside = self.0.fetch_add(1, Ordering::SeqCst) + 1;
                    self.1.wait().await;
                    self.0.fetch_sub(1, Ordering::SeqCst);
                    Ok(json!(inside))
                }
                _ => Ok(json!({"memory": invocation.memory_mib, "id": invocation.request_id})),
            }
        }
    }

    fn executor(concurrency: usize) -> (Clock, Arc<Lambda>) {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let mut registry = HandlerRegistry::default();
        registry.register("f", Arc::new(Fake(Arc::default(), Arc::new(Barrier::new(2)))));
        let settings = LambdaSettings::with_concurrency(concurrency);
        (clock.clone(), Lambda::new(registry, settings, clock, Seed(7)))
    }

    #[tokio::test]
    async fn calls_carry_the_memory_figure_and_distinct_request_ids() {
        let (_, lambda) = executor(2);
        let first = lambda.invoke("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST", json!({})).await;
        let second = lambda.invoke("f", json!({})).await.expect("answers");
        let first = first.expect("answers");
        assert_eq!(first["memory"], 1024);
        assert_ne!(first["id"], second["id"]);
    }

    #[tokio::test]
    async fn a_panic_and_an_unknown_function_are_errors() {
        let (_, lambda) = executor(1);
        assert_eq!(lambda.invoke("f", json!({"do": "panic"})).await.expect_err("panics").error, "Lambda.Unknown");
        let missing = lambda.invoke("g", json!({})).await.expect_err("missing");
        assert_eq!((missing.error.as_str(), missing.retryable), ("Lambda.ResourceNotFoundException", false));
    }

    #[tokio::test]
    async fn a_hanging_call_times_out_on_the_clock() {
        let (clock, lambda) = executor(1);
        let call = tokio::spawn(async move { lambda.invoke("f", json!({"do": "hang"})).await });
        while !call.is_finished() {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(60));
        }
        assert_eq!(call.await.expect("no panic").expect_err("times out").error, "Sandbox.Timedout");
    }

    #[tokio::test]
    async fn concurrency_is_used_and_bounded() {
        let (_, lambda) = executor(2);
        let calls = (0..4).map(|_| lambda.invoke("f", json!({"do": "meet"})));
        let seen = futures::future::join_all(calls).await;
        for inside in seen {
            let inside = inside.expect("answers").as_u64().expect("a count");
            assert!(inside <= 2, "{inside} calls ran at once");
        }
    }
}
