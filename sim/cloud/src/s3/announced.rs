//! What a client announced about a body (length, MD5, checksums, in headers or trailers), and whether the body is that.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::{S3Request, S3Result, s3_error};

use super::aws_chunked::Trailers;
use super::checksum::{self, Algorithm, Checksums};
use super::integrity;

/// What a client announced about a body.
#[derive(Default)]
pub(super) struct Announced {
    length: Option<u64>,
    md5: Option<String>,
    checksums: BTreeMap<Algorithm, Option<String>>,
    /// Computed whether it was announced or not.
    also: Option<Algorithm>,
    trailers: Option<Trailers>,
}

impl Announced {
    /// Reads the headers of a request with a body.
    pub(super) fn by<T>(request: &S3Request<T>) -> Self {
        let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let checksums = checksum::announced(&request.headers);
        Self {
            length: text("content-length").and_then(|length| length.parse().ok()),
            md5: text("content-md5").map(str::to_owned),
            also: checksums.is_empty().then_some(Algorithm::DEFAULT),
            checksums,
            trailers: request.extensions.get::<Trailers>().cloned(),
        }
    }

    /// Computes this checksum too, instead of the one that is computed when none was announced.
    pub(super) fn with(self, algorithm: Algorithm) -> Self {
        Self { also: Some(algorithm), ..self }
    }

    /// The algorithm of the checksum the client sends.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.checksums.keys().next().copied()
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }
}

/// Size and digests of a body while they are computed.
pub(super) struct Digests {
    md5: Md5,
    hasher: ChecksumHasher,
    size: u64,
    announced: Announced,
}

impl Digests {
    pub(super) fn new(announced: Announced) -> Self {
        let hasher = checksum::hasher(announced.checksums.keys().copied().chain(announced.also));
        Self { md5: Md5::new(), hasher, size: 0, announced }
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        self.md5.update(chunk);
        self.hasher.update(chunk);
        self.size += chunk.len() as u64;
    }

    /// Size, MD5 in hexadecimal and checksums, if they are what was announced.
    pub(super) fn verified(self) -> S3Result<(u64, String, Checksums)> {
        let Self { md5, hasher, size, announced } = self;
        if announced.length.is_some_and(|length| length != size) {
            return Err(s3_error!(IncompleteBody, "the body is not as long as announced"));
        }
        let md5 = md5.finalize();
        if announced.md5.as_ref().is_some_and(|expected| *expected != BASE64_STANDARD.encode(md5)) {
            return Err(integrity::wrong_md5());
        }
        let checksums = checksum::from_dto(hasher.finalize());
        for (algorithm, in_header) in announced.checksums {
            let in_trailer = || announced.trailers.as_ref()?.get(algorithm.header());
            let expected = in_header.or_else(in_trailer);
            if expected.as_ref() != checksums.get(&algorithm) {
                return Err(integrity::wrong_checksum(algorithm));
            }
        }
        Ok((size, data_encoding::HEXLOWER.encode(&md5), checksums))
    }
}
