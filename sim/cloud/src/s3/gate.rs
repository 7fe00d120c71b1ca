//! What stands between a request and its operation: throughput limits and planned faults.
//!
//! Only `s3s` knows which operation a request is; it tells before it reads the body, to an access check. It calls that check
//! only when somebody verifies signatures, so [`Unverified`] pretends to: requests arrive without signatures (see
//! [`super::unsigned`]) and it is never asked, except about a signature of version 2, which it refuses as `s3s` does
//! without it. Nothing here looks at who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};

use crate::config::CloudConfig;
use crate::hook::{Hook, Struck};
use crate::limits::s3::S3Limits;
use crate::matrix::Service;

/// Whether an answer is to be dropped: told by the gate on the way in, obeyed on the way out.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<AtomicBool>);

impl Fate {
    /// A fate of this request, which the gate will find in it.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        let fate = Self::default();
        request.extensions_mut().insert(fate.clone());
        fate
    }

    /// Whether the answer is to be dropped.
    pub(super) fn is_dropped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Limits and faults of one store.
#[derive(Debug)]
pub(crate) struct S3Gate {
    hook: Hook,
    limits: S3Limits,
}

impl S3Gate {
    /// As `config` says.
    pub(crate) fn new(config: &CloudConfig, hook: &Hook) -> Self {
        Self { hook: hook.clone(), limits: S3Limits::new(config) }
    }

    /// Puts the gate before the operations, unless it would let everything through.
    pub(super) fn close(self, builder: &mut S3ServiceBuilder) {
        if self.hook.is_armed() || self.limits.is_on() {
            builder.set_auth(Unverified);
            builder.set_access(self);
        }
    }
}

#[async_trait::async_trait]
impl S3Access for S3Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        self.limits.admit(cx.method(), cx.s3_path(), cx.uri().query())?;
        match self.hook.ask(Service::S3, cx.s3_op().name()).await {
            Some(Struck::Error { draw }) if draw % 2 == 0 => {
                Err(s3_error!(InternalError, "We encountered an internal error. Please try again."))
            }
            Some(Struck::Error { .. }) => Err(s3_error!(SlowDown, "Please reduce your request rate.")),
            Some(Struck::DropAnswer) => {
                if let Some(fate) = cx.extensions_mut().get::<Fate>() {
                    fate.0.store(true, Ordering::Release);
                }
                Ok(())
            }
            // No point of S3 knows a duplicate.
            None | Some(Struck::Duplicate) => Ok(()),
        }
    }
}

/// Makes `s3s` call the gate.
struct Unverified;

#[async_trait::async_trait]
impl S3Auth for Unverified {
    async fn get_secret_key(&self, _access_key: &str) -> S3Result<SecretKey> {
        Err(s3_error!(NotImplemented, "This service has no authentication provider"))
    }
}
