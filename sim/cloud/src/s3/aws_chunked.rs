//! Decoder of the `aws-chunked` content coding: `<hex size>[;chunk-signature=…]\r\n<bytes>\r\n`, ended by a chunk of
//! size zero and optional trailers.
//!
//! Promises exactly as many bytes as the client announced, or an error; never copies payload. Chunk signatures are not
//! checked. The trailers are complete once the stream has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;

/// Longest chunk header or trailer line.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Most trailer lines.
const TRAILERS_MAX: usize = 32;

/// Trailer values by lower-case name; filled when the body has been read to its end.
#[derive(Clone, Default)]
pub(super) struct Trailers(Arc<Mutex<BTreeMap<String, String>>>);

impl Trailers {
    /// The value of a trailer; `None` before the end of the body and when it did not come.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn insert(&self, name: &str, value: &str) {
        let mut trailers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trailers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
}

/// Why a body could not be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("failed to read an aws-chunked body")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to decode an aws-chunked body: {0}")]
    Malformed(&'static str),
    #[error("failed to decode an aws-chunked body: it has {found} bytes, {announced} were announced")]
    Length { found: u64, announced: u64 },
}

/// The payload of `body`, which must be `announced` bytes long.
pub(super) fn decode(
    body: Incoming,
    announced: u64,
    trailers: Trailers,
) -> impl Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + 'static {
    decode_stream(BodyDataStream::new(body).map_err(|error| DecodeError::Read(error.into())), announced, trailers)
}

fn decode_stream<S>(
    body: S,
    announced: u64,
    trailers: Trailers,
) -> impl Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + 'static
where
    S: Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + Unpin + 'static,
{
    let decoder = Decoder { body, buffer: Bytes::new(), state: State::Header, found: 0, announced, trailers };
    stream::try_unfold(decoder, Decoder::next)
}

struct Decoder<S> {
    body: S,
    buffer: Bytes,
    state: State,
    found: u64,
    announced: u64,
    trailers: Trailers,
}

enum State {
    Header,
    Data { left: u64 },
}

impl<S> Decoder<S>
where
    S: Stream<Item = Result<Bytes, DecodeError>> + Unpin,
{
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, DecodeError> {
        loop {
            match self.state {
                State::Header => match self.chunk_size().await? {
                    0 => {
                        self.read_trailers().await?;
                        return self.end();
                    }
                    left => self.state = State::Data { left },
                },
                State::Data { left: 0 } => {
                    if self.line().await?.is_none_or(|line| !line.is_empty()) {
                        return Err(DecodeError::Malformed("a chunk is longer than its size"));
                    }
                    self.state = State::Header;
                }
                State::Data { left } => {
                    if !self.fill().await? {
                        return Err(DecodeError::Malformed("it ends inside a chunk"));
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                    let payload = self.buffer.split_to(take);
                    self.state = State::Data { left: left - take as u64 };
                    self.found += take as u64;
                    return Ok(Some((payload, self)));
                }
            }
        }
    }

    fn end(self) -> Result<Option<(Bytes, Self)>, DecodeError> {
        if self.found == self.announced {
            return Ok(None);
        }
        Err(DecodeError::Length { found: self.found, announced: self.announced })
    }

    async fn chunk_size(&mut self) -> Result<u64, DecodeError> {
        let line = self.line().await?.ok_or(DecodeError::Malformed("it has no last chunk"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(size, 16).map_err(|_| DecodeError::Malformed("a chunk size is no hexadecimal number"))
    }

    async fn read_trailers(&mut self) -> Result<(), DecodeError> {
        for _ in 0..TRAILERS_MAX {
            match self.line().await?.as_deref() {
                None | Some("") => return Ok(()),
                Some(line) => {
                    let (name, value) = line.split_once(':').ok_or(DecodeError::Malformed("a trailer has no colon"))?;
                    self.trailers.insert(name, value);
                }
            }
        }
        Err(DecodeError::Malformed("it has too many trailers"))
    }

    /// The next line without its end; `None` at the end of the body.
    async fn line(&mut self) -> Result<Option<String>, DecodeError> {
        let mut line = Vec::new();
        loop {
            if !self.fill().await? {
                if line.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&self.buffer.split_to(end.unwrap_or(self.buffer.len())));
            if line.len() > LINE_BYTES_MAX {
                return Err(DecodeError::Malformed("a line is too long"));
            }
            if end.is_some() {
                let _newline = self.buffer.split_to(1);
                break;
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(|_| DecodeError::Malformed("a line is no text"))
    }

    /// Whether there is at least one byte to look at.
    async fn fill(&mut self) -> Result<bool, DecodeError> {
        while self.buffer.is_empty() {
            match self.body.try_next().await? {
                Some(bytes) => self.buffer = bytes,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `body` cut into pieces of `piece` bytes.
    async fn decoded(body: &'static str, announced: u64, piece: usize) -> Result<(String, Trailers), DecodeError> {
        let trailers = Trailers::default();
        let pieces: Vec<_> = body.as_bytes().chunks(piece).map(|piece| Ok(Bytes::from_static(piece))).collect();
        let stream = decode_stream(stream::iter(pieces), announced, trailers.clone());
        let payload: Vec<Bytes> = stream.try_collect().await?;
        Ok((String::from_utf8(payload.concat()).expect("text"), trailers))
    }

    #[tokio::test]
    async fn chunks_and_trailers_are_read_however_the_body_is_cut() {
        let body = "5\r\nhello\r\n6;chunk-signature=ab\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
        for piece in 1..=body.len() {
            let (payload, trailers) = decoded(body, 11, piece).await.expect("decodes");
            assert_eq!(payload, "hello world", "pieces of {piece}");
            assert_eq!(trailers.get("x-amz-checksum-crc32").as_deref(), Some("DUoRhQ=="), "pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn a_body_without_trailers_may_end_at_once_or_after_an_empty_line() {
        for body in ["0\r\n", "0\r\n\r\n", "0;chunk-signature=00\r\n\r\n"] {
            assert_eq!(decoded(body, 0, 3).await.expect("decodes").0, "", "{body:?}");
        }
    }

    #[tokio::test]
    async fn what_is_cut_off_or_lies_about_its_length_is_refused() {
        for (body, announced) in [
            ("5\r\nhel", 5),
            ("5\r\nhello\r\n", 5),
            ("5\r\nhello\r\n0\r\n\r\n", 6),
            ("z\r\n", 0),
            ("2\r\nabc\r\n0\r\n", 3),
        ] {
            assert!(decoded(body, announced, 64).await.is_err(), "{body:?}");
        }
    }
}
