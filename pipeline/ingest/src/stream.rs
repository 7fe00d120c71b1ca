//! From an asynchronous body to a blocking reader, through a bounded channel.
//!
//! The network side waits when the reader is slow; the reader sees the end of the object only when the network side said so, so
//! a connection that dies in the middle can never pass for a short object. Knows nothing of what the bytes mean.

use std::io::{self, Read};

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Chunks of a body waiting to be read.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 16;

/// The store's fault, marked so that it is not taken for the object's.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct StoreFailure {
    reason: String,
}

enum Part {
    Chunk(Bytes),
    End,
    Failed(String),
}

/// Writes a body into the channel.
pub(crate) struct BodySender {
    parts: mpsc::Sender<Part>,
}

/// Reads what the other end sends; blocks, so it must live on a blocking thread.
pub(crate) struct BodyReader {
    parts: mpsc::Receiver<Part>,
    chunk: Bytes,
    at_end: bool,
}

/// The two ends of a body.
pub(crate) fn body_channel() -> (BodySender, BodyReader) {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    (BodySender { parts: sender }, BodyReader { parts: receiver, chunk: Bytes::new(), at_end: false })
}

impl BodySender {
    /// Sends a whole body. Returns early, without an error, when the reader has gone: it has seen enough.
    pub(crate) async fn send_all(self, mut body: ByteStream, length: Option<u64>) {
        let mut sent = 0u64;
        loop {
            let part = match body.next().await {
                Some(Ok(chunk)) => {
                    sent += chunk.len() as u64;
                    Part::Chunk(chunk)
                }
                Some(Err(error)) => Part::Failed(error.to_string()),
                None if length.is_some_and(|length| length != sent) => {
                    Part::Failed(format!("the body ended after {sent} bytes"))
                }
                None => Part::End,
            };
            let is_last = !matches!(part, Part::Chunk(_));
            if self.parts.send(part).await.is_err() || is_last {
                return;
            }
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.at_end {
            match self.parts.blocking_recv() {
                Some(Part::Chunk(chunk)) => self.chunk = chunk,
                Some(Part::End) => self.at_end = true,
                Some(Part::Failed(reason)) => return Err(store_failure(reason)),
                None => return Err(store_failure("the body was abandoned".to_owned())),
            }
        }
        let count = self.chunk.len().min(into.len());
        self.chunk.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

fn store_failure(reason: String) -> io::Error {
    io::Error::other(StoreFailure { reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Compression, EngineError, Format, count_records};

    async fn count(body: &'static [u8], length: u64, cap: u64) -> Result<u64, EngineError> {
        let (sender, reader) = body_channel();
        let counting =
            tokio::task::spawn_blocking(move || count_records(reader, Compression::Plain, &Format::Json, cap));
        sender.send_all(ByteStream::from_static(body), Some(length)).await;
        counting.await.expect("no panic")
    }

    #[tokio::test]
    async fn a_body_arrives_whole_or_not_at_all() {
        assert_eq!(count(b"{}\n{}\n{}", 8, 10).await.expect("whole"), 3);
        assert!(matches!(count(b"{}\n{}\n{}", 9, 10).await, Err(EngineError::Source(_))), "shorter than promised");
    }

    #[tokio::test]
    async fn an_abandoned_body_is_not_a_short_one() {
        let (sender, reader) = body_channel();
        drop(sender);
        let counting =
            tokio::task::spawn_blocking(move || count_records(reader, Compression::Plain, &Format::Json, 10));
        assert!(matches!(counting.await.expect("no panic"), Err(EngineError::Source(_))));
    }

    #[tokio::test]
    async fn a_reader_that_has_seen_enough_stops_the_sender() {
        assert_eq!(count(b"{}{}{}{}", 8, 2).await.expect("counted"), 2);
    }
}
