//! Plain bytes cut into blocks of whole records, the unit that threads work on.
//!
//! Where a block ends depends on its size, and nothing that comes out of the engine may: a [`Cut`] finds ends of records only.
//! A record that no block can hold, or wreckage without end, is told as a block of its own that carries the reason and no bytes;
//! where nobody can say where the next record begins, the object is damaged.
//! Buffers go round: who has done with a block gives its buffer back.

use std::io::{self, Read};

use super::decompress::damaged;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds the end of the last whole record.
pub(super) trait Cut {
    /// Looks at a block, which begins with a record and grows from call to call. `at_end`: nothing follows.
    fn cut(&mut self, bytes: &[u8], at_end: bool) -> Boundary;

    /// Forgets the block; the next one begins.
    fn reset(&mut self);
}

/// What was found in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    /// Whole records up to here; more than none.
    At(usize),
    /// No record ends here.
    More,
    /// The block begins with a record that cannot be read; reading goes on where `resume` says, at `from` or later.
    Broken { why: &'static str, resume: Resume, from: usize },
    /// The block begins with a record after which nothing can be read.
    Lost { why: &'static str },
}

/// Where reading goes on after a broken record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// After the end of the line.
    Line,
    /// The same, if no quote stands before it: in quotes the end of a line ends no record. With one the object is damaged, for
    /// this reason.
    Unquoted(&'static str),
    /// At the next line that begins with `{`.
    Document,
}

/// Whole records.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Offset of the first byte in the plain stream.
    pub(super) offset: u64,
    /// Why the one record of this block cannot be read; such a block has no bytes.
    pub(super) broken: Option<&'static str>,
    /// Fields of a record, where the object's first record has told it.
    pub(super) width: Option<usize>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Leaves out the first bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Memory the block holds.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// Reads blocks.
pub(super) struct Blocks<R, C> {
    source: R,
    cutter: C,
    block_bytes: usize,
    /// What was read beyond the last block's end.
    rest: Vec<u8>,
    /// Offset of `rest` in the plain stream.
    offset: u64,
    begun: bool,
    at_end: bool,
}

impl<R: Read, C: Cut> Blocks<R, C> {
    pub(super) fn new(source: R, cutter: C, block_bytes: usize) -> Self {
        Self {
            source,
            cutter,
            block_bytes: block_bytes.max(1),
            rest: Vec::new(),
            offset: 0,
            begun: false,
            at_end: false,
        }
    }

    /// From the next block on, blocks have so many bytes.
    pub(super) fn set_block_bytes(&mut self, block_bytes: usize) {
        self.block_bytes = block_bytes.max(1);
    }

    /// The next block, in `buffer`; `None` at the end of the object. An error of the object is marked as [`damaged`].
    pub(super) fn next(&mut self, mut buffer: Vec<u8>) -> io::Result<Option<Block>> {
        let mut filled = self.rest.len();
        let mut wanted = self.block_bytes.max(filled).max(BYTE_ORDER_MARK.len());
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        buffer[..filled].copy_from_slice(&self.rest);
        self.cutter.reset();
        loop {
            filled += self.fill(&mut buffer[filled..wanted])?;
            if !std::mem::replace(&mut self.begun, true) && buffer[..filled].starts_with(BYTE_ORDER_MARK) {
                buffer.copy_within(BYTE_ORDER_MARK.len()..filled, 0);
                filled -= BYTE_ORDER_MARK.len();
                self.offset += BYTE_ORDER_MARK.len() as u64;
                continue;
            }
            if filled == 0 {
                return Ok(None);
            }
            match self.cutter.cut(&buffer[..filled], self.at_end) {
                Boundary::At(end) => {
                    self.rest.clear();
                    self.rest.extend_from_slice(&buffer[end..filled]);
                    let offset = self.offset;
                    self.offset += end as u64;
                    return Ok(Some(Block { offset, end, buffer, ..Block::default() }));
                }
                Boundary::Broken { why, resume, from } => {
                    let offset = self.offset;
                    buffer.truncate(filled);
                    self.skip(&mut buffer, resume, from)?;
                    return Ok(Some(Block { offset, broken: Some(why), buffer, ..Block::default() }));
                }
                Boundary::Lost { why } => return Err(damaged(why)),
                Boundary::More => {
                    // A large record grows by doubling, or every look would move it whole.
                    wanted = filled + filled.max(self.block_bytes);
                    buffer.resize(wanted.max(buffer.len()), 0);
                }
            }
        }
    }

    /// Reads until `into` is full or the object ends.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() && !self.at_end {
            match self.source.read(&mut into[filled..]) {
                Ok(0) => self.at_end = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Moves to where reading goes on, at `from` in `buffer` or later. What follows is the next block's beginning.
    fn skip(&mut self, buffer: &mut Vec<u8>, resume: Resume, mut from: usize) -> io::Result<()> {
        loop {
            let found = match resume {
                Resume::Line | Resume::Unquoted(_) => {
                    memchr::memchr(b'\n', &buffer[from..]).map(|newline| from + newline + 1)
                }
                Resume::Document => next_document(buffer, from),
            };
            if let Resume::Unquoted(why) = resume
                && memchr::memchr(b'"', &buffer[from..found.unwrap_or(buffer.len())]).is_some()
            {
                return Err(damaged(why));
            }
            if found.is_some() || self.at_end {
                let resumed = found.unwrap_or(buffer.len());
                self.rest.clear();
                self.rest.extend_from_slice(&buffer[resumed..]);
                self.offset += resumed as u64;
                return Ok(());
            }
            // The last byte may be the newline before the place that is looked for.
            let kept = buffer.last().copied();
            self.offset += buffer.len() as u64 - u64::from(kept.is_some());
            buffer.clear();
            buffer.extend(kept);
            from = buffer.len();
            buffer.resize(from + self.block_bytes, 0);
            let filled = self.fill(&mut buffer[from..])?;
            buffer.truncate(from + filled);
        }
    }
}

/// The first place at `from` or later that begins a line and is `{`.
pub(super) fn next_document(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(1);
    memchr::memchr_iter(b'\n', bytes.get(from..)?)
        .map(|newline| from + newline + 1)
        .find(|at| bytes.get(*at) == Some(&b'{'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// All blocks of an object in memory.
    pub(in crate::engine) fn blocks(bytes: &[u8], cutter: impl Cut, block_bytes: usize) -> Vec<Block> {
        let mut blocks = Blocks::new(bytes, cutter, block_bytes);
        std::iter::from_fn(|| blocks.next(Vec::new()).expect("in memory")).collect()
    }

    /// Cuts after newlines.
    #[derive(Debug)]
    struct Lines;

    impl Cut for Lines {
        fn cut(&mut self, bytes: &[u8], at_end: bool) -> Boundary {
            match memchr::memrchr(b'\n', bytes) {
                _ if at_end => Boundary::At(bytes.len()),
                _ if bytes.first() == Some(&b'!') => {
                    Boundary::Broken { why: "marked", resume: Resume::Document, from: 1 }
                }
                Some(newline) => Boundary::At(newline + 1),
                None => Boundary::More,
            }
        }

        fn reset(&mut self) {}
    }

    #[test]
    fn blocks_hold_whole_records_and_know_their_place() {
        let text = "\u{feff}one\ntwo\nthree is longer\nfour";
        for block_bytes in 1..40 {
            let blocks = blocks(text.as_bytes(), Lines, block_bytes);
            let mut offset = 3;
            for block in &blocks {
                assert_eq!(block.offset, offset, "blocks of {block_bytes}");
                offset += block.bytes().len() as u64;
            }
            let whole: Vec<u8> = blocks.iter().flat_map(|block| block.bytes().to_vec()).collect();
            assert_eq!(whole, &text.as_bytes()[3..]);
        }
    }

    #[test]
    fn wreckage_is_told_once_and_left_out() {
        for block_bytes in 1..30 {
            let blocks = blocks(b"ab\n!xx\nyy {\n\n{z\n", Lines, block_bytes);
            let told: Vec<_> = blocks.iter().filter(|block| block.broken.is_some()).map(|block| block.offset).collect();
            let kept: Vec<u8> = blocks.iter().flat_map(|block| block.bytes().to_vec()).collect();
            if told.is_empty() {
                // One block held everything.
                assert!(block_bytes >= 7);
                continue;
            }
            assert_eq!((told, &kept[..]), (vec![3], &b"ab\n{z\n"[..]), "blocks of {block_bytes}");
        }
    }
}
