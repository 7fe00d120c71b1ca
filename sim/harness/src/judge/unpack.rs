//! The texts inside a file, whatever packs them: gzip, Parquet string columns, Avro containers.
//!
//! The format is told by the first bytes, not by the name. Parquet gives each dictionary page as it unpacks and then each value
//! on its own; Avro gives its inflated blocks. A file of another format has no inner texts. Bounded: nothing unpacks to more than
//! [`UNPACKED_BYTES_MAX`] at once.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use flate2::read::DeflateDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Type as PhysicalType;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::raw_text::{GZIP_MAGIC, Gunzip, read_all};

/// Largest text unpacked into memory as a whole.
const UNPACKED_BYTES_MAX: u64 = 2 << 30;
const PARQUET_MAGIC: &[u8] = b"PAR1";
const AVRO_MAGIC: &[u8] = b"Obj\x01";
const AVRO_SYNC_BYTES: usize = 16;

/// Calls `each` for every text packed in `file`. The error says why some could not be reached.
pub(super) fn each_text(file: &Bytes, each: impl FnMut(&[u8])) -> Result<(), String> {
    let mut each = each;
    if file.starts_with(&GZIP_MAGIC) {
        let text =
            read_all(Gunzip::new(file), UNPACKED_BYTES_MAX).map_err(|error| format!("gzip: {}", error.kind()))?;
        each(&text);
    } else if file.starts_with(PARQUET_MAGIC) {
        parquet_dictionaries(file, &mut each)?;
        parquet_values(file, &mut each)?;
    } else if let Some(container) = file.strip_prefix(AVRO_MAGIC) {
        avro_blocks(container, &mut each)?;
    }
    Ok(())
}

fn damaged<E>(_: E) -> String {
    "Parquet is damaged".to_owned()
}

fn parquet_dictionaries(file: &Bytes, each: &mut impl FnMut(&[u8])) -> Result<(), String> {
    let reader = SerializedFileReader::new(file.clone()).map_err(damaged)?;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        for column in 0..group.num_columns() {
            if group.metadata().column(column).column_type() != PhysicalType::BYTE_ARRAY {
                continue;
            }
            // A dictionary page is always the first of its column chunk.
            let first = group.get_column_page_reader(column).map_err(damaged)?.get_next_page().map_err(damaged)?;
            if let Some(page) = first.filter(|page| page.is_dictionary_page()) {
                each(page.buffer());
            }
        }
    }
    Ok(())
}

fn parquet_values(file: &Bytes, each: &mut impl FnMut(&[u8])) -> Result<(), String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(damaged)?;
    let schema = builder.parquet_schema();
    let strings: Vec<usize> = (0..schema.num_columns())
        .filter(|leaf| schema.column(*leaf).physical_type() == PhysicalType::BYTE_ARRAY)
        .collect();
    if strings.is_empty() {
        return Ok(());
    }
    let mask = ProjectionMask::leaves(schema, strings);
    for batch in builder.with_projection(mask).build().map_err(damaged)? {
        for column in batch.map_err(damaged)?.columns() {
            each_value(column, each)?;
        }
    }
    Ok(())
}

fn each_value(column: &ArrayRef, each: &mut impl FnMut(&[u8])) -> Result<(), String> {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().for_each(|value| each(value.as_bytes())),
        DataType::Binary => column.as_binary::<i32>().iter().flatten().for_each(each),
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::Utf8View | DataType::BinaryView => {
            each_value(&cast(column, &DataType::Binary).map_err(damaged)?, each)?;
        }
        DataType::Dictionary(_, values) => each_value(&cast(column, values).map_err(damaged)?, each)?,
        DataType::Decimal128(..) | DataType::Decimal256(..) => {}
        other => return Err(format!("Parquet column of type {other}")),
    }
    Ok(())
}

/// Reads an Avro object container after its magic: a map of properties, a sync marker, blocks.
fn avro_blocks(container: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), String> {
    let mut reader = AvroReader(container);
    let damaged = || "Avro is damaged".to_owned();
    let codec = reader.codec().ok_or_else(damaged)?;
    reader.take(AVRO_SYNC_BYTES).ok_or_else(damaged)?;
    while !reader.0.is_empty() {
        reader.long().ok_or_else(damaged)?;
        let size = reader.long().and_then(|size| usize::try_from(size).ok()).ok_or_else(damaged)?;
        let block = reader.take(size).ok_or_else(damaged)?;
        reader.take(AVRO_SYNC_BYTES).ok_or_else(damaged)?;
        match codec.as_slice() {
            b"" | b"null" => each(block),
            b"deflate" => each(&read_all(DeflateDecoder::new(block), UNPACKED_BYTES_MAX).map_err(|_| damaged())?),
            other => return Err(format!("Avro codec {}", String::from_utf8_lossy(other))),
        }
    }
    Ok(())
}

struct AvroReader<'a>(&'a [u8]);

impl<'a> AvroReader<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    /// A zig-zag variable-length integer.
    fn long(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.long()?).ok()?;
        self.take(size)
    }

    /// Reads the header's properties; the value of `avro.codec`, empty when there is none.
    fn codec(&mut self) -> Option<Vec<u8>> {
        let mut codec = Vec::new();
        loop {
            let count = self.long()?;
            if count == 0 {
                return Some(codec);
            }
            if count < 0 {
                self.long()?; // size of the block in bytes
            }
            for _ in 0..count.unsigned_abs() {
                let (name, value) = (self.bytes()?, self.bytes()?);
                if name == b"avro.codec" {
                    codec = value.to_vec();
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow::array::{RecordBatch, StringArray};
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
    use parquet::file::properties::{EnabledStatistics, WriterProperties};

    use super::*;

    pub(in super::super) fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    /// One string column, compressed well enough that no value shows; statistics off, because they show values.
    pub(in super::super) fn zstd_parquet(values: &[&str], dictionary: bool) -> Bytes {
        let padded: Vec<String> = (0..400).map(|n| format!("filler {n}")).collect();
        let all = values.iter().copied().chain(padded.iter().map(String::as_str)).chain(values.iter().copied());
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(all));
        let batch = RecordBatch::try_from_iter([("comment", column)]).expect("one column");
        let properties = WriterProperties::builder()
            .set_compression(ParquetCompression::ZSTD(ZstdLevel::try_new(19).expect("a level")))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_enabled(dictionary)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("memory");
        writer.write(&batch).expect("memory");
        Bytes::from(writer.into_inner().expect("memory"))
    }

    fn long(value: i64, out: &mut Vec<u8>) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    /// An Avro container with one deflated block.
    pub(in super::super) fn deflated_avro(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("memory");
        let block = encoder.finish().expect("memory");
        let mut file = AVRO_MAGIC.to_vec();
        long(2, &mut file);
        for part in [b"avro.schema".as_slice(), b"\"bytes\"", b"avro.codec", b"deflate"] {
            long(part.len() as i64, &mut file);
            file.extend(part);
        }
        long(0, &mut file);
        file.extend([7; AVRO_SYNC_BYTES]);
        long(1, &mut file);
        long(block.len() as i64, &mut file);
        file.extend(block);
        file.extend([7; AVRO_SYNC_BYTES]);
        file
    }

    fn texts(file: impl Into<Bytes>) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        each_text(&file.into(), |text| all.extend_from_slice(text))?;
        Ok(all)
    }

    #[test]
    fn other_files_have_no_inner_texts() {
        assert_eq!(texts(b"plain".to_vec()), Ok(Vec::new()));
        assert_eq!(texts(gzip(b"packed")), Ok(b"packed".to_vec()));
    }

    #[test]
    fn avro_is_inflated_and_damage_is_told() {
        let file = deflated_avro(b"packed text, packed text, packed text");
        assert_eq!(texts(file.clone()), Ok(b"packed text, packed text, packed text".to_vec()));
        assert!(texts(file[..file.len() - 3].to_vec()).is_err());
        assert!(texts(b"PAR1 is not all".to_vec()).is_err());
    }
}
