//! Where the bytes of an object lie: small ones in the index, with their row, the others in files.
//!
//! A file costs a small object more than all the rest of a put: an inode, two names, an entry of the journal. In the index
//! its bytes are part of the commit that there is anyway. Size decides, for a copy as for a put; an object that was joined
//! from parts is a file whatever its size, and so is one that an earlier version wrote. Records say which it is:
//! [`super::index::ObjectRecord::own_file`].

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::staging::StagingFile;

/// Most bytes of an object that lies in the index.
///
/// A commit takes a quarter of what it takes with a file at 4 KiB and at 16 KiB, but two thirds at 64 KiB (new keys, ext4,
/// checkpoints included): the bytes are written twice, to the log and then to the database, and the more they are the sooner
/// the next checkpoint holds the index up. And other programs read only what is a file.
pub(super) const INDEXED_BYTES_MAX: u64 = 16 * 1024;

/// A body that is about to become an object.
pub(super) enum Body {
    /// At most [`INDEXED_BYTES_MAX`].
    Small(Bytes),
    File(StagingFile),
}

/// Whether a body of this size lies in the index.
pub(super) fn is_small(size: u64) -> bool {
    size <= INDEXED_BYTES_MAX
}

/// The bytes of an object, the same whatever happens to its key; reading begins with the first.
pub(super) enum Opened {
    Small(Cursor<Bytes>),
    File(File),
}

impl Opened {
    /// How many there are.
    pub(super) fn size(&self) -> io::Result<u64> {
        match self {
            Self::Small(bytes) => Ok(bytes.get_ref().len() as u64),
            Self::File(file) => Ok(file.metadata()?.len()),
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Small(bytes) => bytes.read(buffer),
            Self::File(file) => file.read(buffer),
        }
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Small(bytes) => bytes.seek(to),
            Self::File(file) => file.seek(to),
        }
    }
}
