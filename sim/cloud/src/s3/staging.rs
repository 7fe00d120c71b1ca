//! A body on its way to becoming an object or a part: written to a staging file while its digests are computed.
//!
//! A body of at most [`SMALL_BYTES`] is gathered, and hashed and written at once by whoever makes it visible; one that is to
//! lie in the index ([`super::bodies`]) is not written here at all. A larger one is hashed and written a batch at a time off
//! the async workers, while the next batch arrives: two batches are in memory, and a slow client holds no thread. What the
//! client announced ([`super::announced`]) is verified before anything becomes visible. A staging file that is not renamed
//! is removed when dropped.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use s3s::dto::StreamingBlob;
use s3s::{S3Result, s3_error};

use super::announced::{Announced, Digests};
use super::bodies::{Body, is_small};
use super::checksum::Checksums;
use super::{blocking, internal};

/// A body that is not larger is gathered before it is written.
pub(super) const SMALL_BYTES: u64 = 64 * 1024;
/// Size of a batch of a larger body.
const BATCH_BYTES: usize = 1024 * 1024;
/// Most pieces of a batch, as a client may send single bytes.
const BATCH_CHUNKS_MAX: usize = 4096;

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

    /// Its name in the directory of staging files.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
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
    /// The announced checksums, verified, and the one that is computed anyway.
    pub(super) checksums: Checksums,
}

/// A complete body, where its size says it belongs.
pub(super) struct Complete {
    pub(super) body: Body,
    pub(super) size: u64,
    /// Lower-case hexadecimal.
    pub(super) md5: String,
    pub(super) checksums: Checksums,
}

/// A body that has arrived.
pub(super) enum Received {
    /// Still in memory.
    Small {
        file: StagingFile,
        body: Vec<Bytes>,
        announced: Announced,
    },
    Staged(Staged),
}

impl Received {
    /// The verified body. Blocks.
    pub(super) fn complete(self) -> S3Result<Complete> {
        match self {
            Self::Small { file, body, announced } if is_small(size_of(&body)) => {
                // Nothing was written, so nothing is to be removed.
                file.leave();
                let mut digests = Digests::new(announced);
                body.iter().for_each(|chunk| digests.update(chunk));
                let (size, md5, checksums) = digests.verified()?;
                Ok(Complete { body: Body::Small(joined(&body)), size, md5, checksums })
            }
            received => {
                let Staged { file, size, md5, checksums } = received.staged()?;
                Ok(Complete { body: Body::File(file), size, md5, checksums })
            }
        }
    }

    /// The verified body in its staging file. Blocks.
    pub(super) fn staged(self) -> S3Result<Staged> {
        match self {
            Self::Small { file, body, announced } => {
                let mut writing = Writing::new(file, announced)?;
                writing.write(&body)?;
                writing.finish()
            }
            Self::Staged(staged) => Ok(staged),
        }
    }
}

fn size_of(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// Chunks behind each other; a single one as it is.
fn joined(chunks: &[Bytes]) -> Bytes {
    match chunks {
        [only] => only.clone(),
        chunks => chunks.concat().into(),
    }
}

/// Writes `body` to `file` and verifies it.
pub(super) async fn stage(file: StagingFile, body: Option<StreamingBlob>, announced: Announced) -> S3Result<Staged> {
    let received = receive(file, body, announced).await?;
    blocking(move || received.staged()).await
}

/// Takes `body` in: a small one into memory, a larger one into `file`.
pub(super) async fn receive(
    file: StagingFile,
    body: Option<StreamingBlob>,
    announced: Announced,
) -> S3Result<Received> {
    let Some(mut body) = body else { return Ok(Received::Small { file, body: Vec::new(), announced }) };
    let small = usize::try_from(SMALL_BYTES).unwrap_or(usize::MAX);
    let gathered = next_batch(&mut body, small).await?;
    if !gathered.has_more {
        return Ok(Received::Small { file, body: gathered.chunks, announced });
    }
    let mut batch = gathered;
    let first = batch.chunks;
    let mut running = spawn(move || {
        let mut writing = Writing::new(file, announced)?;
        writing.write(&first)?;
        Ok(writing)
    });
    while batch.has_more {
        // Arrives while the one before is hashed.
        let next = next_batch(&mut body, BATCH_BYTES).await;
        let mut writing = written(running).await?;
        batch = next?;
        let chunks = std::mem::take(&mut batch.chunks);
        running = spawn(move || {
            writing.write(&chunks)?;
            Ok(writing)
        });
    }
    let writing = written(running).await?;
    blocking(move || writing.finish().map(Received::Staged)).await
}

type Running = tokio::task::JoinHandle<S3Result<Writing>>;

fn spawn(work: impl FnOnce() -> S3Result<Writing> + Send + 'static) -> Running {
    tokio::task::spawn_blocking(work)
}

async fn written(running: Running) -> S3Result<Writing> {
    running.await.unwrap_or_else(|panicked| Err(s3s::S3Error::internal_error(panicked)))
}

struct Batch {
    chunks: Vec<Bytes>,
    /// Whether it ended because it was full.
    has_more: bool,
}

/// The next chunks of a body, until they are more than `bytes` or the body ends.
async fn next_batch(body: &mut StreamingBlob, bytes: usize) -> S3Result<Batch> {
    let (mut chunks, mut size) = (Vec::new(), 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            let mut refusal = s3_error!(IncompleteBody, "the body ended early or was malformed");
            refusal.set_source(error);
            refusal
        })?;
        size += chunk.len();
        chunks.push(chunk);
        if size > bytes || chunks.len() == BATCH_CHUNKS_MAX {
            return Ok(Batch { chunks, has_more: true });
        }
    }
    Ok(Batch { chunks, has_more: false })
}

/// A staging file while it is written. Blocks.
struct Writing {
    file: StagingFile,
    out: File,
    digests: Digests,
}

impl Writing {
    fn new(file: StagingFile, announced: Announced) -> S3Result<Self> {
        let out = File::create(file.path()).map_err(internal("create a staging file"))?;
        Ok(Self { file, out, digests: Digests::new(announced) })
    }

    fn write(&mut self, chunks: &[Bytes]) -> S3Result<()> {
        for chunk in chunks {
            self.digests.update(chunk);
            self.out.write_all(chunk).map_err(internal("write a staging file"))?;
        }
        Ok(())
    }

    /// Compares with what was announced.
    fn finish(self) -> S3Result<Staged> {
        let Self { file, out: _, digests } = self;
        let (size, md5, checksums) = digests.verified()?;
        Ok(Staged { file, size, md5, checksums })
    }
}
