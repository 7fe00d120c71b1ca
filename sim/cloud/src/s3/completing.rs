//! CompleteMultipartUpload: the parts become one object.
//!
//! All parts but the last have at least [`PART_BYTES_MIN`] bytes; the ETag of the object is the MD5 of the parts' MD5s, `-`
//! and their number, as in AWS. A completion joins the parts it found when it began, even if they are replaced or the
//! upload is aborted meanwhile.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::Arc;

use md5::{Digest, Md5};
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag};
use s3s::{S3Request, S3Result, s3_error};

use super::bodies::Body;
use super::checksum::{self, Checksums};
use super::composed::UploadChecksum;
use super::index::{PartRecord, StoredHeaders, UploadRecord};
use super::integrity::wrong_checksum;
use super::multipart::upload_of;
use super::notification::Created;
use super::part_copy::copy_bytes;
use super::part_files::Held;
use super::staging::StagingFile;
use super::store::{S3Store, Write, WriteCondition, found_bucket};
use super::{attributes, blocking, encryption, internal, lifecycle};

/// Smallest part that is not the last.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
const READ_BYTES: usize = 256 * 1024;

/// CompleteMultipartUpload.
pub(super) async fn complete(
    store: &Arc<S3Store>,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let announced: Checksums = checksum::announced(&request.headers)
        .into_iter()
        .filter_map(|(algorithm, value)| Some((algorithm, value?)))
        .collect();
    let input = request.input;
    let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let (said_size, said_type) = (input.mpu_object_size, input.checksum_type);
    let (bucket, key, upload_id) = (input.bucket, input.key, input.upload_id);
    let condition = WriteCondition::new(input.if_match, input.if_none_match);
    let condition = store.watches.watch(&bucket, &key, condition);
    let store = Arc::clone(store);
    blocking(move || {
        let Joining { headers, checksum, mut parts, _held } = begin_join(&store, &upload_id, &bucket, &key, &listed)?;
        checksum.check_type(said_type.as_ref())?;
        let file = store.staging_file();
        let size = join(&store, &mut parts, &file, checksum)?;
        if let Some(said) = said_size.filter(|said| u64::try_from(*said) != Ok(size)) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header value {said} does not match what was computed: {size}"
            ));
        }
        let checksums = checksum.of_parts(parts.iter().map(|part| (part.size, &part.checksums)))?;
        verify_bytes(&file, &checksum.check_whole(announced, &checksums)?)?;
        let (etag, created) = (joined_etag(&parts), Created::CompleteMultipartUpload);
        let parts = attributes::joined_parts(&listed, &parts, checksum);
        let record = store.commit_upload(
            &upload_id,
            Write {
                bucket: &bucket,
                key: &key,
                body: Body::File(file),
                size,
                etag,
                checksums,
                headers,
                encryption: None,
                parts,
                created,
                condition,
            },
        )?;
        let expiration = lifecycle::expiration_header(&store, &bucket, &key, &record);
        let shown = encryption::shown(&record.headers);
        let checksum_type = checksum::type_of(&record.checksums);
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{bucket}/{key}")),
            bucket: Some(bucket),
            key: Some(key),
            version_id: record.shown_version(),
            e_tag: Some(ETag::Strong(record.etag)),
            checksum_type,
            expiration,
            server_side_encryption: shown.algorithm,
            ssekms_key_id: shown.key,
            bucket_key_enabled: shown.bucket_key,
            ..CompleteMultipartUploadOutput::default()
        };
        checksum::say!(&record.checksums, in output);
        Ok(output)
    })
    .await
}

/// What a completion works with: as it was when the completion began.
struct Joining<'a> {
    headers: StoredHeaders,
    checksum: UploadChecksum,
    parts: Vec<PartRecord>,
    /// The files of the parts stay until they are joined.
    _held: Held<'a>,
}

fn begin_join<'a>(
    store: &'a S3Store,
    id: &str,
    bucket: &str,
    key: &str,
    listed: &[CompletedPart],
) -> S3Result<Joining<'a>> {
    let index = store.index();
    found_bucket(&index, bucket)?;
    let UploadRecord { headers, checksum, .. } = upload_of(&index, id, bucket, key)?;
    let kept = index.parts(id).map_err(internal("look up parts"))?;
    let parts = chosen_parts(listed, &kept, checksum)?;
    // Under the lock: whoever replaces or removes one of these parts from now on leaves its file to us.
    let held = store.hold_parts(parts.iter().map(|part| part.file.clone()).collect());
    drop(index);
    Ok(Joining { headers, checksum, parts, _held: held })
}

/// The parts the client listed, in its order, which must be ascending.
fn chosen_parts(
    listed: &[CompletedPart],
    kept: &[(i32, PartRecord)],
    checksum: UploadChecksum,
) -> S3Result<Vec<PartRecord>> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let numbers =
        listed.iter().map(|part| part.part_number.ok_or_else(|| s3_error!(MalformedXML, "a part has no number")));
    let numbers = numbers.collect::<S3Result<Vec<_>>>()?;
    if !numbers.is_sorted_by(|one, two| one < two) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let mut chosen = Vec::with_capacity(listed.len());
    for (at, (part, number)) in listed.iter().zip(numbers).enumerate() {
        let found = kept.binary_search_by_key(&number, |(kept_number, _)| *kept_number);
        let found = found.ok().and_then(|at| kept.get(at)).map(|(_, record)| record);
        let is_named = |record: &&PartRecord| part.e_tag.as_ref().is_some_and(|etag| etag.value() == record.etag);
        let found = found.filter(is_named).ok_or_else(|| s3_error!(InvalidPart))?;
        checksum.check_listed(number, &listed_checksums(part), &found.checksums)?;
        if found.size < PART_BYTES_MIN && at + 1 < listed.len() {
            return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
        }
        chosen.push(found.clone());
    }
    Ok(chosen)
}

fn listed_checksums(part: &CompletedPart) -> Checksums {
    checksum::from_dto(s3s::dto::Checksum {
        checksum_crc32: part.checksum_crc32.clone(),
        checksum_crc32c: part.checksum_crc32c.clone(),
        checksum_crc64nvme: part.checksum_crc64nvme.clone(),
        checksum_sha1: part.checksum_sha1.clone(),
        checksum_sha256: part.checksum_sha256.clone(),
        checksum_type: None,
    })
}

/// Writes the parts behind each other; gives the size of the whole. Parts that an earlier version kept without a checksum
/// get theirs. A part whose file is not as long as it was, which a power cut may leave, is not joined.
fn join(store: &S3Store, parts: &mut [PartRecord], file: &StagingFile, checksum: UploadChecksum) -> S3Result<u64> {
    let mut out = File::create(file.path()).map_err(internal("create a staging file"))?;
    let mut size = 0;
    for part in parts {
        let mut bytes = File::open(store.part_path(&part.file)).map_err(internal("open a part"))?;
        if part.checksums.contains_key(&checksum.algorithm) {
            io::copy(&mut bytes, &mut out).map_err(internal("join parts"))?;
        } else {
            let copied = copy_bytes(&mut bytes, &mut out, [checksum.algorithm]);
            let (_md5, sums) = copied.map_err(internal("join parts"))?;
            part.checksums.extend(sums);
        }
        size += part.size;
        if out.stream_position().map_err(internal("join parts"))? != size {
            return Err(s3_error!(InternalError, "a part's file does not have the size of the part"));
        }
    }
    out.flush().map_err(internal("join parts"))?;
    Ok(size)
}

/// Compares checksums with the joined bytes.
fn verify_bytes(file: &StagingFile, announced: &Checksums) -> S3Result<()> {
    if announced.is_empty() {
        return Ok(());
    }
    let mut hasher = checksum::hasher(announced.keys().copied());
    let mut joined = File::open(file.path()).map_err(internal("read a staging file"))?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match joined.read(&mut buffer).map_err(internal("read a staging file"))? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let computed = checksum::from_dto(hasher.finalize());
    let wrong = announced.iter().find(|(algorithm, value)| computed.get(algorithm) != Some(value));
    wrong.map_or(Ok(()), |(algorithm, _)| Err(wrong_checksum(*algorithm)))
}

fn joined_etag(parts: &[PartRecord]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(data_encoding::HEXLOWER.decode(part.etag.as_bytes()).expect("a part's ETag is hexadecimal MD5"));
    }
    format!("{}-{}", data_encoding::HEXLOWER.encode(&md5.finalize()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(size: u64) -> PartRecord {
        let (file, etag) = (String::new(), "00".repeat(16));
        PartRecord { file, size, etag, checksums: Checksums::new(), uploaded_at: None }
    }

    fn listed(number: i32) -> CompletedPart {
        let e_tag = Some(ETag::Strong("00".repeat(16)));
        CompletedPart { part_number: Some(number), e_tag, ..CompletedPart::default() }
    }

    fn refusal(parts: &[CompletedPart], kept: &[(i32, PartRecord)]) -> String {
        match chosen_parts(parts, kept, UploadChecksum::default()) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn only_the_last_part_may_be_small() {
        let kept = [(1, part(PART_BYTES_MIN)), (2, part(1)), (3, part(1))];
        assert_eq!(refusal(&[listed(1), listed(2)], &kept), "accepted");
        assert_eq!(refusal(&[listed(1), listed(2), listed(3)], &kept), "EntityTooSmall");
        assert_eq!(refusal(&[listed(2), listed(1)], &kept), "InvalidPartOrder");
        assert_eq!(refusal(&[listed(4)], &kept), "InvalidPart");
        let other = CompletedPart { e_tag: Some(ETag::Strong("x".to_owned())), ..listed(1) };
        assert_eq!(refusal(&[other], &kept), "InvalidPart");
        assert_eq!(refusal(&[], &kept), "MalformedXML");
    }

    #[test]
    fn the_etag_of_two_empty_parts_is_known() {
        let mut empty = part(0);
        empty.etag = "d41d8cd98f00b204e9800998ecf8427e".to_owned();
        assert_eq!(joined_etag(&[empty.clone(), empty]), "5873dd45edd01f09c1ef2e7819369e8e-2");
    }
}
