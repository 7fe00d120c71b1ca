//! Bodies that are read whole, with a bound on how much of them is in memory at once.
//!
//! A body is admitted by its length, or by the longest its kind may have where it announces none; while [`BUFFERED_BYTES_MAX`] are
//! taken, the next one waits its turn unread, which the client notices as a slow server. A client that sends too slowly
//! loses its place after [`READ_TIME_MAX`], real time, because sockets do not live in simulated time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use lakebed_contract::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of buffered bodies.
pub(crate) const BUFFERED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a body may take to come.
const READ_TIME_MAX: Duration = Duration::from_secs(120);
/// Bodies are counted in pieces of this size: a semaphore counts to 2^32 only.
const PIECE_BYTES: usize = 1024;

/// Admits bodies into memory.
pub(crate) struct Buffers {
    room: Semaphore,
    clock: Clock,
}

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
    /// Room for [`BUFFERED_BYTES_MAX`]; patience ends on `clock`.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { room: Semaphore::new(BUFFERED_BYTES_MAX / PIECE_BYTES), clock }
    }

    /// Reads a body of at most `bytes_max`, which must be less than everything there is room for.
    pub(crate) async fn read<B>(&self, body: B, bytes_max: usize) -> Result<Buffered<'_>, Unread>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        // A request without a body has the length 0 and says so in no header.
        let length = match body.size_hint().exact() {
            Some(length) => usize::try_from(length).map_err(|_| Unread::TooLong)?,
            None => bytes_max,
        };
        if length > bytes_max {
            return Err(Unread::TooLong);
        }
        let pieces = u32::try_from(length.div_ceil(PIECE_BYTES)).map_err(|_| Unread::TooLong)?;
        let room = self.room.acquire_many(pieces).await.expect("this semaphore is never closed");
        let collected = tokio::select! {
            // Most bodies are there already; their timer is never set.
            biased;
            collected = Limited::new(body, bytes_max).collect() => collected,
            () = self.clock.sleep(READ_TIME_MAX) => return Err(Unread::TooSlow),
        };
        match collected {
            Ok(body) => Ok(Buffered { bytes: body.to_bytes(), _room: room }),
            Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
            Err(error) => Err(Unread::Broken(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::stream::{self, Stream};
    use http_body_util::{Empty, Full, StreamBody};
    use hyper::body::Frame;
    use lakebed_contract::Timestamp;

    use super::*;

    fn buffers() -> (Buffers, Clock) {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        (Buffers::new(clock.clone()), clock)
    }

    /// A body that announces no length.
    fn chunked(
        pieces: Vec<std::io::Result<&'static [u8]>>,
    ) -> StreamBody<impl Stream<Item = std::io::Result<Frame<Bytes>>>> {
        let frame = |piece: std::io::Result<&'static [u8]>| piece.map(|piece| Frame::data(Bytes::from_static(piece)));
        StreamBody::new(stream::iter(pieces.into_iter().map(frame)))
    }

    #[tokio::test]
    async fn a_body_takes_the_room_of_its_length_until_it_is_dropped() {
        let (buffers, _) = buffers();
        let all = buffers.room.available_permits();
        let taken = || all - buffers.room.available_permits();
        let none = buffers.read(Empty::<Bytes>::new(), 64 * PIECE_BYTES).await.expect("read");
        assert_eq!((none.bytes.len(), taken()), (0, 0), "a request without a body waits for no room");
        let some =
            buffers.read(Full::new(Bytes::from(vec![7; PIECE_BYTES + 1])), 64 * PIECE_BYTES).await.expect("read");
        assert_eq!((some.bytes.len(), taken()), (PIECE_BYTES + 1, 2));
        let unannounced = buffers.read(chunked(vec![Ok(b"one"), Ok(b"two")]), 64 * PIECE_BYTES).await.expect("read");
        assert_eq!((&*unannounced.bytes, taken()), (&b"onetwo"[..], 66));
        drop((some, unannounced));
        assert_eq!(taken(), 0);
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_too_slow_or_broken_is_not_read_and_keeps_no_room() {
        let (buffers, clock) = buffers();
        let all = buffers.room.available_permits();
        let announced = buffers.read(Full::new(Bytes::from_static(b"four")), 3).await;
        assert!(matches!(announced, Err(Unread::TooLong)));
        let unannounced = buffers.read(chunked(vec![Ok(b"two"), Ok(b"two")]), 3).await;
        assert!(matches!(unannounced, Err(Unread::TooLong)));
        let broken = buffers.read(chunked(vec![Ok(b"x"), Err(std::io::Error::other("cut off"))]), 3).await;
        assert!(matches!(broken, Err(Unread::Broken(why)) if why.contains("cut off")));
        let silence = StreamBody::new(stream::pending::<std::io::Result<Frame<Bytes>>>());
        let mut reading = Box::pin(buffers.read(silence, 3));
        assert!((&mut reading).now_or_never().is_none());
        clock.advance(READ_TIME_MAX);
        assert!(matches!(reading.await, Err(Unread::TooSlow)));
        assert_eq!(buffers.room.available_permits(), all);
    }
}
