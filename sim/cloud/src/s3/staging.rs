//! A body on its way to becoming an object or a part: written to a staging file while its digests are computed.
//!
//! Holds one chunk of the body at a time. What the client announced (length, MD5, checksums, in headers or trailers) is
//! verified before anything becomes visible. A staging file that is not renamed is removed when dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use md5::{Digest, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Request, S3Result, s3_error};
use tokio::io::AsyncWriteExt;

use super::aws_chunked::Trailers;
use super::checksum::{self, Algorithm, Checksums};
use super::{integrity, internal};

/// A file under the staging directory that removes itself unless it is renamed away.
pub(super) struct StagingFile {
    path: PathBuf,
    stays: bool,
}

impl StagingFile {
    /// Names a staging file; nothing is created yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, stays: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file where it is; the next start decides about it.
    pub(super) fn leave(mut self) {
        self.stays = true;
    }
}

impl Drop for StagingFile {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        // After a successful rename there is nothing here; anything else is swept at the next start as well.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "failed to remove a staging file");
        }
    }
}

/// A complete body in its staging file.
pub(super) struct Staged {
    pub(super) file: StagingFile,
    pub(super) size: u64,
    /// Lower-case hexadecimal.
    pub(super) md5: String,
    /// The announced checksums, verified.
    pub(super) checksums: Checksums,
}

/// What a client announced about a body.
#[derive(Default)]
pub(super) struct Announced {
    length: Option<u64>,
    md5: Option<String>,
    checksums: BTreeMap<Algorithm, Option<String>>,
    trailers: Option<Trailers>,
}

impl Announced {
    /// Reads the headers of a request with a body.
    pub(super) fn by<T>(request: &S3Request<T>) -> Self {
        let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            length: text("content-length").and_then(|length| length.parse().ok()),
            md5: text("content-md5").map(str::to_owned),
            checksums: checksum::announced(&request.headers),
            trailers: request.extensions.get::<Trailers>().cloned(),
        }
    }
}

/// Writes `body` to `file` and verifies it.
pub(super) async fn stage(file: StagingFile, body: Option<StreamingBlob>, announced: Announced) -> S3Result<Staged> {
    let mut out = tokio::fs::File::create(file.path()).await.map_err(internal("create a staging file"))?;
    let mut md5 = Md5::new();
    let mut hasher = checksum::hasher(announced.checksums.keys().copied());
    let mut size = 0u64;
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| {
                let mut refusal = s3_error!(IncompleteBody, "the body ended early or was malformed");
                refusal.set_source(error);
                refusal
            })?;
            md5.update(&chunk);
            hasher.update(&chunk);
            size += chunk.len() as u64;
            out.write_all(&chunk).await.map_err(internal("write a staging file"))?;
        }
    }
    out.flush().await.map_err(internal("write a staging file"))?;
    drop(out);

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
    Ok(Staged { file, size, md5: data_encoding::HEXLOWER.encode(&md5), checksums })
}
