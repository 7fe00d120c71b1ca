//! Counts the records of an object without looking into them.
//!
//! Bounded in records and in plain bytes: a small object may inflate to a large one. An object that turns out unreadable counts
//! as far as it could be read: it is the ingestor's task to say why.

use std::io::Read;

use super::block::Blocks;
use super::csv_rows::CsvBlocks;
use super::decompress::Compression;
use super::{BLOCK_BYTES, EngineError, Format, csv, json, open_text};

/// Plain bytes at which counting stops. An object of so many is a large one, whatever its records.
pub const PROBE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Counts the records of an object and stops reading at `cap`. One of [`PROBE_BYTES_MAX`] plain bytes or more counts as `cap`.
///
/// # Errors
/// Only [`EngineError::Source`].
pub fn count_records(
    source: impl Read,
    compression: Compression,
    format: &Format,
    cap: u64,
) -> Result<u64, EngineError> {
    count_within(source, compression, format, cap, PROBE_BYTES_MAX)
}

fn count_within(
    source: impl Read,
    compression: Compression,
    format: &Format,
    cap: u64,
    bytes_max: u64,
) -> Result<u64, EngineError> {
    let mut count = 0;
    match count_into(source, compression, format, cap, bytes_max, &mut count) {
        Ok(()) | Err(EngineError::Unreadable { .. }) => Ok(count),
        Err(error) => Err(error),
    }
}

fn count_into(
    source: impl Read,
    compression: Compression,
    format: &Format,
    cap: u64,
    bytes_max: u64,
    count: &mut u64,
) -> Result<(), EngineError> {
    let mut bytes = open_text(source, compression, format)?.take(bytes_max);
    match format {
        Format::Json => count_documents(&mut bytes, cap, count)?,
        Format::Csv(csv) => count_rows(&mut bytes, csv.delimiter, csv.header, cap, count)?,
    }
    if bytes.limit() == 0 {
        *count = cap;
    }
    Ok(())
}

fn count_documents(bytes: impl Read, cap: u64, count: &mut u64) -> Result<(), EngineError> {
    let mut blocks = Blocks::new(bytes, json::JsonCutter::default(), BLOCK_BYTES);
    let mut buffer = Vec::new();
    while *count < cap {
        let Some(block) = blocks.next(buffer)? else { break };
        *count += u64::from(block.broken.is_some());
        let mut documents = json::Splitter::default();
        while *count < cap && documents.next(block.bytes(), true) != json::Step::Open {
            *count += 1;
        }
        buffer = block.into_buffer();
    }
    Ok(())
}

fn count_rows(bytes: impl Read, delimiter: u8, has_header: bool, cap: u64, count: &mut u64) -> Result<(), EngineError> {
    let mut blocks = CsvBlocks::open(bytes, delimiter, BLOCK_BYTES);
    if has_header {
        blocks.skip_header()?;
    }
    let (mut buffer, mut fields) = (Vec::new(), csv::Fields::default());
    while *count < cap {
        let Some(block) = blocks.next(buffer)? else { break };
        *count += u64::from(block.broken.is_some());
        let mut rows = csv::Records::new(block.bytes(), delimiter, block.width);
        while *count < cap && rows.next(&mut fields).is_some() {
            *count += 1;
        }
        buffer = block.into_buffer();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::engine::CsvFormat;

    /// Counts what it gives; never ends.
    struct Endless<'c> {
        byte: u8,
        given: &'c mut u64,
    }

    impl Read for Endless<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            into.fill(self.byte);
            *self.given += into.len() as u64;
            Ok(into.len())
        }
    }

    #[test]
    fn an_object_that_inflates_without_end_counts_as_a_large_one() {
        // White space before a document, a document beyond the limit, lines before a header, and a record beyond the limit.
        for (byte, format, mebibytes) in [
            (b' ', Format::Json, 2),
            (b'{', Format::Json, 36),
            (b'\n', Format::Csv(CsvFormat::default()), 2),
            (b'x', Format::Csv(CsvFormat { header: false, ..CsvFormat::default() }), 36),
        ] {
            let mut given = 0;
            let source = Endless { byte, given: &mut given };
            let bytes_max = mebibytes * 1024 * 1024;
            let counted = count_within(source, Compression::Plain, &format, 1_000, bytes_max).expect("counted");
            assert_eq!(counted, 1_000, "{byte}");
            assert!(given <= bytes_max + BLOCK_BYTES as u64, "{byte}: {given}");
        }
    }

    #[test]
    fn smaller_objects_are_counted_to_their_end() {
        let lines = b"{}\n{}\n{}\n";
        let count =
            |bytes_max| count_within(&lines[..], Compression::Plain, &Format::Json, 100, bytes_max).expect("counted");
        assert_eq!((count(10), count(9), count(5)), (3, 100, 100));
    }
}
