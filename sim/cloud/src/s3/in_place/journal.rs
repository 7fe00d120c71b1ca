//! The journal: a file with room for one change, the one under way or the last.
//!
//! An entry is its length, its CRC-32 and the change as JSON. One that was not written whole counts as none: its change
//! did not begin.

use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom, Write as _};
use std::path::Path;

use super::Change;
use crate::config::Fsync;

/// The file, under the state directory.
pub(super) const NAME: &str = "s3.journal";
/// Length and checksum before the entry.
const HEADER_BYTES: usize = 8;
/// Longest entry that is believed; keys have at most 1 KiB.
const BYTES_MAX: u64 = 1024 * 1024;

/// The open file.
pub(super) struct Journal {
    file: File,
    fsync: Fsync,
}

impl Journal {
    /// Opens or makes the file; gives the change in it, too.
    pub(super) fn open(state_dir: &Path, fsync: Fsync) -> io::Result<(Self, Option<Change>)> {
        let path = state_dir.join(NAME);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let change = read(&mut file)?;
        Ok((Self { file, fsync }, change))
    }

    /// Puts a change in place of the last one.
    pub(super) fn write(&mut self, change: &Change) -> io::Result<()> {
        let entry = serde_json::to_vec(change)?;
        let length = u32::try_from(entry.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + entry.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32fast::hash(&entry).to_le_bytes());
        bytes.extend(entry);
        self.overwrite(&bytes)
    }

    /// Leaves a journal without a change.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.overwrite(&[0; HEADER_BYTES])
    }

    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)?;
        if self.fsync == Fsync::Always { self.file.sync_data() } else { Ok(()) }
    }
}

fn read(file: &mut File) -> io::Result<Option<Change>> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).map_err(io::Error::other)?;
    if length == 0 {
        return Ok(None);
    }
    let entry = rest.get(..length).filter(|entry| crc32fast::hash(entry) == u32::from_le_bytes([c0, c1, c2, c3]));
    entry.map(serde_json::from_slice).transpose().map_err(io::Error::other)
}
