//! Which request is being answered, for those deep in the store who tell of it.
//!
//! An event document names the request that caused it by the ids of its answer. The change is made far from where the
//! answer is finished, on a thread that may block, so the id goes with the task: [`scope`] sets it, [`carry`] takes it
//! along to another thread, [`current`] reads it. Work that no request asked for has none.

use std::future::Future;

use http::HeaderValue;
use sha2::{Digest, Sha384};

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Answers a request under its id.
pub(super) async fn scope<T>(request_id: &HeaderValue, answer: impl Future<Output = T>) -> T {
    REQUEST_ID.scope(request_id.to_str().unwrap_or_default().to_owned(), answer).await
}

/// The id of the request that is being answered.
pub(super) fn current() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// The same work for another thread, under the id of the present request.
pub(super) fn carry<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let request_id = current();
    move || match request_id {
        Some(request_id) => REQUEST_ID.sync_scope(request_id, work),
        None => work(),
    }
}

/// `x-amz-id-2` of a request: the same for the same id, and of no further meaning.
pub(crate) fn host_id(request_id: &str) -> String {
    data_encoding::BASE64.encode(&Sha384::digest(request_id.as_bytes()))
}
