//! What a signature says about the body of an S3 request, and how that is checked while the body is read.
//!
//! A body that turns out to be another than the signed one ends with an error, so nothing of it is committed; why is left
//! in a [`BodyFault`], from which the answer is made whatever the reader of the body made of its error.

use std::sync::{Arc, OnceLock};

use http::request::Parts;
use sha2::{Digest, Sha256};

use super::canonical::parameters;
use super::claim::{Claim, Scope};
use super::keys::SigningKey;
use super::refusal::{Denial, Mismatch};

/// SHA-256 of nothing.
pub(crate) const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Signed chunks but the last have at least this.
const CHUNK_BYTES_MIN: u64 = 8 * 1024;
/// Largest signed chunk: it is held in memory until its signature is seen.
pub(crate) const CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;

const CONTENT_SHA256: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

/// Why a body was refused; empty while it was not.
#[derive(Clone, Default)]
pub(crate) struct BodyFault(Arc<OnceLock<Denial>>);

impl BodyFault {
    /// Records why; the first reason stays.
    pub(crate) fn set(&self, denial: Denial) {
        // A later reason is a consequence of the first.
        let _first = self.0.set(denial);
    }

    /// Why, if it was refused.
    pub(crate) fn get(&self) -> Option<&Denial> {
        self.0.get()
    }
}

/// A request whose signature was right, for whoever reads its body. Travels in the request's extensions.
#[derive(Clone)]
pub(crate) struct Signed {
    /// What the body must be.
    pub(crate) rule: BodyRule,
    /// Where a refusal of the body goes.
    pub(crate) fault: BodyFault,
}

/// What a signed body must be.
#[derive(Clone)]
pub(crate) enum BodyRule {
    /// Anything.
    Unsigned,
    /// This, in lower-case hexadecimal SHA-256.
    Sha256(String),
    /// Chunks that each carry a signature.
    Chunks(Box<ChunkChain>),
}

impl Signed {
    pub(super) fn new(content: &str, claim: Claim, key: SigningKey) -> Self {
        let fault = BodyFault::default();
        let rule = match content {
            UNSIGNED | UNSIGNED_TRAILER => BodyRule::Unsigned,
            SIGNED_CHUNKS | SIGNED_CHUNKS_TRAILER => BodyRule::Chunks(Box::new(ChunkChain {
                key,
                key_id: claim.key_id,
                scope: claim.scope,
                stamp: claim.stamp,
                previous: claim.signature,
                has_trailer: content == SIGNED_CHUNKS_TRAILER,
                is_last: false,
                fault: fault.clone(),
            })),
            hash => BodyRule::Sha256(hash.to_owned()),
        };
        Self { rule, fault }
    }
}

/// What an S3 request says about its body, if it is something that can be said.
pub(super) fn announced_content(parts: &Parts, claim: &Claim) -> Result<String, Denial> {
    let header = parts.headers.get(CONTENT_SHA256).map(|value| value.to_str().unwrap_or_default().to_owned());
    // A body in chunks is known by its header only.
    let in_query = || {
        let found = parameters(parts.uri.query()).find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_SHA256));
        found.map(|(_, value)| value).filter(|value| !value.starts_with("STREAMING-"))
    };
    let given = match claim.is_presigned {
        // Whoever got the URL may not add this: only what was signed counts.
        true => header.filter(|_| claim.is_signed(CONTENT_SHA256)).or_else(in_query).unwrap_or(UNSIGNED.to_owned()),
        false => header.ok_or(Denial::NoContentHash)?,
    };
    match given.as_str() {
        UNSIGNED | UNSIGNED_TRAILER | SIGNED_CHUNKS | SIGNED_CHUNKS_TRAILER => Ok(given),
        other if other.starts_with("STREAMING-AWS4-ECDSA-") => Err(Denial::OtherMechanism(given)),
        hash if data_encoding::HEXLOWER.decode(hash.as_bytes()).is_ok_and(|hash| hash.len() == 32) => Ok(given),
        _ => Err(Denial::BadContentHash(given)),
    }
}

/// The signatures of a body in chunks: each is of its chunk and of the signature before it, the first of the request's.
#[derive(Clone)]
pub(crate) struct ChunkChain {
    key: SigningKey,
    key_id: String,
    scope: Scope,
    stamp: String,
    previous: String,
    has_trailer: bool,
    /// A chunk came that only the last may be like.
    is_last: bool,
    fault: BodyFault,
}

/// A chunk or trailer was refused; why is in the [`BodyFault`].
#[derive(Debug)]
pub(crate) struct Refused;

impl ChunkChain {
    /// Whether a signed trailer comes after the last chunk.
    pub(crate) fn has_trailer(&self) -> bool {
        self.has_trailer
    }

    /// Whether a chunk of this size may come now.
    pub(crate) fn admit(&mut self, size: u64) -> Result<(), Refused> {
        if size > CHUNK_BYTES_MAX {
            return Err(self.refuse(Denial::LargeChunk));
        }
        if self.is_last {
            return Err(self.refuse(Denial::SmallChunk));
        }
        self.is_last = size < CHUNK_BYTES_MIN;
        Ok(())
    }

    /// Whether a chunk whose bytes went into `hash` has the right signature.
    pub(crate) fn check_chunk(&mut self, hash: Sha256, signature: &str) -> Result<(), Refused> {
        let hash = data_encoding::HEXLOWER.encode(&hash.finalize());
        self.check("PAYLOAD", &format!("{EMPTY_SHA256}\n{hash}"), signature)
    }

    /// Whether the trailer, one `name:value` a line in the order of the names, has the right signature.
    pub(crate) fn check_trailer(&mut self, lines: &str, signature: &str) -> Result<(), Refused> {
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(lines));
        self.check("TRAILER", &hash, signature)
    }

    fn check(&mut self, kind: &str, hashes: &str, signature: &str) -> Result<(), Refused> {
        let Self { stamp, scope, previous, .. } = self;
        let text = format!("AWS4-HMAC-SHA256-{kind}\n{stamp}\n{scope}\n{previous}\n{hashes}");
        if self.key.signed(text.as_bytes(), signature) {
            signature.clone_into(&mut self.previous);
            return Ok(());
        }
        Err(self.refuse(Denial::Mismatch(Box::new(Mismatch {
            key_id: self.key_id.clone(),
            provided: signature.to_owned(),
            string_to_sign: text,
            canonical: None,
        }))))
    }

    fn refuse(&self, denial: Denial) -> Refused {
        self.fault.set(denial);
        Refused
    }
}

#[cfg(test)]
impl ChunkChain {
    /// A chain that begins with `seed`, and what signs its chunks.
    pub(crate) fn for_tests(seed: &str, has_trailer: bool) -> (Self, BodyFault) {
        let [date, region, service] = ["20130524", super::REGION, "s3"].map(str::to_owned);
        let (scope, fault) = (Scope { date, region, service }, BodyFault::default());
        let chain = Self {
            key: SigningKey::for_tests(&scope),
            key_id: "k".to_owned(),
            scope,
            stamp: "20130524T000000Z".to_owned(),
            previous: seed.to_owned(),
            has_trailer,
            is_last: false,
            fault: fault.clone(),
        };
        (chain, fault)
    }
}
