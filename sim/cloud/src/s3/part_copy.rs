//! UploadPartCopy: a part whose bytes are those of an object, or a range of them.
//!
//! The source is opened together with its look-up, so the part is one version of it, whole. The bytes are copied, and their
//! checksum is computed with the algorithm of the upload. Encryption with customer keys is refused.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use md5::{Digest, Md5};
use s3s::dto::{CopyPartResult, ETag, UploadPartCopyInput, UploadPartCopyOutput};
use s3s::{S3Result, s3_error};

use super::checksum::{self, Algorithm, Checksums};
use super::copying::{Source, check_size};
use super::multipart::{check_part_number, found_upload, keep_part};
use super::reading::ReadCondition;
use super::staging::Staged;
use super::store::{S3Store, dto_timestamp};
use super::{blocking, encryption, internal};

const COPY_BUFFER_BYTES: usize = 256 * 1024;

/// UploadPartCopy.
pub(super) async fn upload_part_copy(
    store: &Arc<S3Store>,
    input: UploadPartCopyInput,
) -> S3Result<UploadPartCopyOutput> {
    check_part_number(input.part_number)?;
    let source = Source::of(input.copy_source)?;
    let condition = ReadCondition {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let (bucket, key, upload_id, number) = (input.bucket, input.key, input.upload_id, input.part_number);
    let range = input.copy_source_range;
    let store = Arc::clone(store);
    let (part, upload, source_version) = blocking(move || {
        let upload = found_upload(&store, &upload_id, &bucket, &key)?;
        let (original, mut bytes) = source.open(&store)?;
        condition.check_source(&original)?;
        let (start, size) = slice_of(range.as_deref(), original.size)?;
        check_size(size)?;
        let source_version = original.shown_version();
        let file = store.staging_file();
        let mut out = std::fs::File::create(file.path()).map_err(internal("create a staging file"))?;
        bytes.seek(SeekFrom::Start(start)).map_err(internal("read an object"))?;
        let copied = copy_bytes(&mut bytes.take(size), &mut out, [upload.checksum.algorithm]);
        let (md5, checksums) = copied.map_err(internal("copy a range of an object"))?;
        drop(out);
        let staged = Staged { file, size, md5, checksums };
        Ok((keep_part(&store, &upload_id, &bucket, &key, number, staged)?, upload, source_version))
    })
    .await?;
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: part.uploaded_at.map(dto_timestamp),
        ..CopyPartResult::default()
    };
    checksum::say!(&upload.checksum.shown_of_part(&part.checksums, None), in result);
    let shown = encryption::shown(&upload.headers);
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source_version,
        server_side_encryption: shown.algorithm,
        ssekms_key_id: shown.key,
        bucket_key_enabled: shown.bucket_key,
        ..UploadPartCopyOutput::default()
    })
}

/// Copies everything; gives the MD5 in hexadecimal, and the checksum.
pub(super) fn copy_bytes(
    from: &mut impl Read,
    to: &mut impl Write,
    algorithms: impl IntoIterator<Item = Algorithm>,
) -> io::Result<(String, Checksums)> {
    let (mut md5, mut hasher) = (Md5::new(), checksum::hasher(algorithms));
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            to.flush()?;
            return Ok((data_encoding::HEXLOWER.encode(&md5.finalize()), checksum::from_dto(hasher.finalize())));
        }
        md5.update(&buffer[..read]);
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// Start and length of what `x-amz-copy-source-range` names. Unlike `Range` it has both ends, and they must exist.
fn slice_of(range: Option<&str>, size: u64) -> S3Result<(u64, u64)> {
    let Some(range) = range else { return Ok((0, size)) };
    let Some((first, last)) = ends_of(range).filter(|(first, last)| first <= last) else {
        return Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy"
        ));
    };
    if first >= size {
        return Err(s3_error!(InvalidRequest, "The specified copy range is invalid for the source object size"));
    }
    if last >= size {
        return Err(s3_error!(InvalidArgument, "Range specified is not valid for source object of size: {size}"));
    }
    Ok((first, last - first + 1))
}

fn ends_of(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_inside_the_source() {
        let slice = |range, size| match slice_of(range, size) {
            Ok((start, length)) => format!("{start}+{length}"),
            Err(error) => error.code().as_str().to_owned(),
        };
        assert_eq!(slice(None, 0), "0+0");
        assert_eq!(slice(Some("bytes=0-9"), 10), "0+10");
        assert_eq!(slice(Some("bytes=9-9"), 10), "9+1");
        for malformed in ["bytes=2-", "bytes=-2", "bytes=3-2", "2-3", "bytes=0-1,3-4", "bytes=+1-2", "bytes=-"] {
            assert_eq!(slice(Some(malformed), 10), "InvalidArgument", "{malformed}");
        }
        assert_eq!(slice(Some("bytes=0-10"), 10), "InvalidArgument");
        assert_eq!(slice(Some("bytes=10-11"), 10), "InvalidRequest");
        assert_eq!(slice(Some("bytes=0-0"), 0), "InvalidRequest");
    }
}
