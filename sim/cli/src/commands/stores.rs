//! The stores' own options, from the command line and the environment to the harness.

use lakebed_contract::Secret;
use lakebed_harness::backend::{AccessKey, Auth, Fsync, Limits, StoreOptions};

use crate::arguments::{AuthMode, Backend, FsyncPolicy, LimitSet, StoreArguments};
use crate::environment::Environment;
use crate::exit::InputError;

/// What the user asks of the stores. Stores of another backend are not ours to run: what is asked of them is refused.
pub(super) fn options(
    arguments: &StoreArguments,
    backend: Backend,
    environment: &Environment,
) -> anyhow::Result<StoreOptions> {
    let asks = arguments.auth == AuthMode::Enforce
        || arguments.bind != StoreOptions::default().bind
        || arguments.fsync != FsyncPolicy::Never
        || arguments.limits != LimitSet::None
        || arguments.in_memory
        || arguments.notify_url.is_some();
    if asks && backend != Backend::Embedded {
        return Err(InputError::because(
            "failed to set up the stores: only those of the embedded backend can be told how to run",
            "leave --bind, --auth, --fsync, --limits, --in-memory and --notify-url out, or use --backend embedded",
        ));
    }
    if arguments.auth == AuthMode::Accept && !arguments.bind.to_canonical().is_loopback() {
        return Err(InputError::because(
            format!(
                "failed to listen on {}: other machines could reach it, and anybody would be let in",
                arguments.bind
            ),
            "add --auth enforce, or leave --bind out",
        ));
    }
    let auth = match arguments.auth {
        AuthMode::Accept => Auth::Accept,
        AuthMode::Enforce => Auth::Enforce(vec![access_key(environment)?]),
    };
    Ok(StoreOptions {
        bind: arguments.bind,
        auth,
        fsync: match arguments.fsync {
            FsyncPolicy::Always => Fsync::Always,
            FsyncPolicy::Interval => Fsync::Interval,
            FsyncPolicy::Never => Fsync::Never,
        },
        limits: match arguments.limits {
            LimitSet::None => Limits::None,
            LimitSet::Aws => Limits::Aws,
        },
        notify_url: arguments.notify_url.clone().map(Secret::new),
        ..StoreOptions::default()
    })
}

/// The key whose signatures are enforced.
fn access_key(environment: &Environment) -> anyhow::Result<AccessKey> {
    environment.access_key.clone().ok_or_else(|| {
        InputError::because(
            "failed to enforce signatures: there is no key to check them with",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a pair of your choice",
        )
    })
}
