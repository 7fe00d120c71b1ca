//! Decoder of the `aws-chunked` content coding: `<hex size>[;chunk-signature=…]\r\n<bytes>\r\n`, ended by a chunk of
//! size zero and optional trailers.
//!
//! Promises exactly as many bytes as the client announced, or an error; never copies payload. Where signatures are
//! enforced, a chunk is held back until its signature is seen to be right (so chunks have a largest size then), and
//! trailers that should be signed and are not are refused. The trailers are complete once the stream has ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use crate::auth::{ChunkChain, Refused};

/// Longest chunk header or trailer line.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Most trailer lines.
const TRAILERS_MAX: usize = 32;
const CHUNK_SIGNATURE: &str = "chunk-signature=";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Trailer values by lower-case name; filled when the body has been read to its end.
#[derive(Clone, Default)]
pub(super) struct Trailers(Arc<Mutex<BTreeMap<String, String>>>);

impl Trailers {
    /// The value of a trailer; `None` before the end of the body and when it did not come.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, trailers: BTreeMap<String, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trailers;
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
    /// Why is in the request's `BodyFault`.
    #[error("the body is not the signed one")]
    Refused,
}

impl From<Refused> for DecodeError {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

/// The payload of `body`, which must be `announced` bytes long and signed as `chain` says.
pub(super) fn decode(
    body: Incoming,
    announced: u64,
    trailers: Trailers,
    chain: Option<ChunkChain>,
) -> impl Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + 'static {
    let body = BodyDataStream::new(body).map_err(|error| DecodeError::Read(error.into()));
    decode_stream(body, announced, trailers, chain)
}

fn decode_stream<S>(
    body: S,
    announced: u64,
    trailers: Trailers,
    chain: Option<ChunkChain>,
) -> impl Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + 'static
where
    S: Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + Unpin + 'static,
{
    let (buffer, state, ready) = (Bytes::new(), State::Header, VecDeque::new());
    let decoder = Decoder { body, buffer, state, found: 0, announced, trailers, chain, ready };
    stream::try_unfold(decoder, Decoder::next)
}

struct Decoder<S> {
    body: S,
    buffer: Bytes,
    state: State,
    found: u64,
    announced: u64,
    trailers: Trailers,
    chain: Option<ChunkChain>,
    /// A chunk whose signature was right, on its way out.
    ready: VecDeque<Bytes>,
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
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some((piece, self)));
            }
            match self.state {
                State::Header => match self.chunk_header().await? {
                    (0, signature) => {
                        if let Some(chain) = &mut self.chain {
                            chain.check_chunk(Sha256::new(), &signature)?;
                        }
                        self.read_trailers().await?;
                        return self.end();
                    }
                    (size, signature) if self.chain.is_some() => self.signed_chunk(size, &signature).await?,
                    (left, _) => self.state = State::Data { left },
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

    /// Size and signature of the next chunk.
    async fn chunk_header(&mut self) -> Result<(u64, String), DecodeError> {
        let line = self.line().await?.ok_or(DecodeError::Malformed("it has no last chunk"))?;
        let (size, extension) = line.split_once(';').unwrap_or((&line, ""));
        let size = u64::from_str_radix(size.trim(), 16)
            .map_err(|_| DecodeError::Malformed("a chunk size is no hexadecimal number"))?;
        let signature = extension.trim().strip_prefix(CHUNK_SIGNATURE).unwrap_or_default();
        Ok((size, signature.to_owned()))
    }

    /// Reads a whole chunk and makes it ready once its signature is right.
    async fn signed_chunk(&mut self, size: u64, signature: &str) -> Result<(), DecodeError> {
        let Some(mut chain) = self.chain.take() else { return Ok(()) };
        chain.admit(size)?;
        let (mut hash, mut pieces, mut left) = (Sha256::new(), VecDeque::new(), size);
        while left > 0 {
            if !self.fill().await? {
                return Err(DecodeError::Malformed("it ends inside a chunk"));
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let piece = self.buffer.split_to(take);
            hash.update(&piece);
            left -= take as u64;
            pieces.push_back(piece);
        }
        if self.line().await?.is_none_or(|line| !line.is_empty()) {
            return Err(DecodeError::Malformed("a chunk is longer than its size"));
        }
        chain.check_chunk(hash, signature)?;
        self.found += size;
        (self.chain, self.ready) = (Some(chain), pieces);
        Ok(())
    }

    async fn read_trailers(&mut self) -> Result<(), DecodeError> {
        let mut lines = BTreeMap::new();
        for _ in 0..TRAILERS_MAX {
            match self.line().await?.as_deref() {
                None | Some("") => return self.keep_trailers(lines),
                Some(line) => {
                    let (name, value) = line.split_once(':').ok_or(DecodeError::Malformed("a trailer has no colon"))?;
                    lines.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
                }
            }
        }
        Err(DecodeError::Malformed("it has too many trailers"))
    }

    fn keep_trailers(&mut self, mut lines: BTreeMap<String, String>) -> Result<(), DecodeError> {
        let signature = lines.remove(TRAILER_SIGNATURE);
        if let Some(chain) = &mut self.chain {
            if chain.has_trailer() {
                let text: String = lines.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
                chain.check_trailer(&text, &signature.unwrap_or_default())?;
            } else if !lines.is_empty() {
                return Err(DecodeError::Malformed("it has trailers that nobody signed"));
            }
        }
        self.trailers.set(lines);
        Ok(())
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
        let stream = decode_stream(stream::iter(pieces), announced, trailers.clone(), None);
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

    /// AWS's example: 65 KiB of `a` in three chunks, and a trailer.
    async fn signed(body: String, seed: &str, has_trailer: bool, piece: usize) -> Result<usize, DecodeError> {
        let (chain, fault) = ChunkChain::for_tests(seed, has_trailer);
        let body = Bytes::from(body);
        let starts = (0..body.len()).step_by(piece);
        let pieces: Vec<_> = starts.map(|at| Ok(body.slice(at..body.len().min(at + piece)))).collect();
        let stream = decode_stream(stream::iter(pieces), 66_560, Trailers::default(), Some(chain));
        let payload = stream.try_fold(0, |length, bytes| async move { Ok(length + bytes.len()) }).await;
        assert_eq!(matches!(payload, Err(DecodeError::Refused)), fault.get().is_some());
        payload
    }

    fn example(signatures: [&str; 3], trailer: &str) -> String {
        let [one, two, three] = signatures;
        let (long, short) = ("a".repeat(65_536), "a".repeat(1_024));
        format!(
            "10000;chunk-signature={one}\r\n{long}\r\n400;chunk-signature={two}\r\n{short}\r\n\
             0;chunk-signature={three}\r\n{trailer}\r\n"
        )
    }

    #[tokio::test]
    async fn the_signed_chunks_of_the_aws_documentation_are_right_and_changed_ones_are_not() {
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        let signatures = [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ];
        for piece in [1_000, 65_536, 1_000_000] {
            assert_eq!(signed(example(signatures, ""), seed, false, piece).await.expect("right"), 66_560);
        }
        for (at, with) in [(100, "b"), (65_536 + 300, "b"), (20, "0"), (65_536 + 120, "0")] {
            let mut body = example(signatures, "");
            body.replace_range(at..=at, with);
            assert!(signed(body, seed, false, 9_000).await.is_err(), "byte {at}");
        }
        let [one, two, three] = signatures;
        assert!(signed(example([two, one, three], ""), seed, false, 9_000).await.is_err(), "in another order");
        assert!(
            signed(example(signatures, "x-amz-meta-a:b\r\n"), seed, false, 9_000).await.is_err(),
            "unsigned trailer"
        );
        assert!(signed("11000000;chunk-signature=00\r\n".to_owned(), seed, false, 9_000).await.is_err(), "too large");
    }

    #[tokio::test]
    async fn the_signed_trailer_of_the_aws_documentation_is_right_and_a_changed_one_is_not() {
        let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
        let signatures = [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ];
        let trailer = |checksum: &str| {
            let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
            format!("x-amz-checksum-crc32c:{checksum}\r\nx-amz-trailer-signature:{signature}\r\n")
        };
        let right = signed(example(signatures, &trailer("sOO8/Q==")), seed, true, 9_000).await;
        assert_eq!(right.expect("right"), 66_560);
        for wrong in [trailer("sOO8/Q=A"), "x-amz-checksum-crc32c:sOO8/Q==\r\n".to_owned(), String::new()] {
            assert!(signed(example(signatures, &wrong), seed, true, 9_000).await.is_err(), "{wrong:?}");
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
