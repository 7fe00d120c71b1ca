//! Bodies that are read whole, with a bound on how much of them is in memory at once.
//!
//! A body is admitted by the length it announces, or by the longest its kind may have; while [`BUFFERED_BYTES_MAX`] are
//! taken, the next one waits its turn unread, which the client notices as a slow server. A client that sends too slowly
//! loses its place after [`READ_TIME_MAX`], real time, because sockets do not live in simulated time.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use lakebed_contract::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of buffered bodies.
pub(crate) const BUFFERED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a body may take to come.
const READ_TIME_MAX: Duration = Duration::from_secs(120);
/// Bodies are counted in pieces of this size: a semaphore counts to 2^32 only.
const PIECE_BYTES: usize = 1024;

/// Admits bodies into memory.
pub(crate) struct Buffers(Semaphore);

/// A body in memory; it makes room for others when it is dropped.
pub(crate) struct Buffered<'a> {
    /// All of it.
    pub(crate) bytes: Bytes,
    _room: SemaphorePermit<'a>,
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than any valid one.
    TooLong,
    /// It did not come in time.
    TooSlow,
    /// The connection broke, or its framing is wrong.
    Broken(String),
}

impl Buffers {
    /// Room for [`BUFFERED_BYTES_MAX`].
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(BUFFERED_BYTES_MAX / PIECE_BYTES))
    }

    /// Reads a body of at most `bytes_max`, which must be less than everything there is room for.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        bytes_max: usize,
    ) -> Result<Buffered<'_>, Unread> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let length = announced.unwrap_or(bytes_max);
        if length > bytes_max {
            return Err(Unread::TooLong);
        }
        let pieces = u32::try_from(length.div_ceil(PIECE_BYTES)).map_err(|_| Unread::TooLong)?;
        let room = self.0.acquire_many(pieces).await.expect("this semaphore is never closed");
        let wall = Clock::wall();
        let collected = tokio::select! {
            collected = Limited::new(body, bytes_max).collect() => collected,
            () = wall.sleep(READ_TIME_MAX) => return Err(Unread::TooSlow),
        };
        match collected {
            Ok(body) => Ok(Buffered { bytes: body.to_bytes(), _room: room }),
            Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
            Err(error) => Err(Unread::Broken(error.to_string())),
        }
    }
}
