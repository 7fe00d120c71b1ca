//! GetObjectAttributes, and the parts an object was joined from.
//!
//! Parts are known of objects completed since they are recorded; of older ones only their number is, from the ETag. As in
//! AWS, single parts are listed when each came with a checksum of its own and the object has none of its bytes.

use std::sync::Arc;

use http::StatusCode;
use s3s::dto::{
    ChecksumType, CompletedPart, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result, s3_error};

use super::answering::with_bare_etag;
use super::checksum::{Algorithm, Checksums};
use super::composed::UploadChecksum;
use super::index::{JoinedPart, ObjectRecord, PartRecord};
use super::multipart::check_part_number;
use super::parts::{counted, page_limit};
use super::store::{S3Store, dto_timestamp};
use super::{blocking, checksum};

const KNOWN: [&str; 5] = [
    ObjectAttributes::CHECKSUM,
    ObjectAttributes::ETAG,
    ObjectAttributes::OBJECT_PARTS,
    ObjectAttributes::OBJECT_SIZE,
    ObjectAttributes::STORAGE_CLASS,
];

/// What is kept of the parts an upload is completed with; `chosen` are the records of `listed`, in the same order.
pub(super) fn joined_parts(
    listed: &[CompletedPart],
    chosen: &[PartRecord],
    checksum: UploadChecksum,
) -> Vec<JoinedPart> {
    let numbers = listed.iter().filter_map(|part| part.part_number);
    let joined = numbers.zip(chosen).map(|(number, part)| JoinedPart {
        number,
        size: part.size,
        checksums: checksum.shown_of_part(&part.checksums, None),
    });
    joined.collect()
}

/// How many parts an object came in; `None` when it was written at once.
pub(super) fn parts_count(record: &ObjectRecord) -> Option<i32> {
    // The ETag of joined parts ends with their number.
    record.etag.split_once('-').and_then(|(_, count)| count.parse().ok())
}

/// Where the bytes of a part lie: start and length. An object written at once is its own first part.
pub(super) fn part_slice(record: &ObjectRecord, number: i32) -> S3Result<(u64, u64)> {
    check_part_number(number)?;
    if record.parts.is_empty() {
        return match parts_count(record) {
            None if number == 1 => Ok((0, record.size)),
            None => Err(no_such_part()),
            Some(_) => Err(s3_error!(NotImplemented, "the parts of this object were not recorded")),
        };
    }
    let mut start = 0;
    for part in &record.parts {
        if part.number == number {
            return Ok((start, part.size));
        }
        start += part.size;
    }
    Err(no_such_part())
}

fn no_such_part() -> S3Error {
    let code = S3ErrorCode::Custom("InvalidPartNumber".into());
    let mut refusal = S3Error::with_message(code, "The requested partnumber is not satisfiable");
    refusal.set_status_code(StatusCode::RANGE_NOT_SATISFIABLE);
    refusal
}

/// GetObjectAttributes.
pub(super) async fn get(
    store: &Arc<S3Store>,
    input: GetObjectAttributesInput,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let limit = page_limit(input.max_parts, "max-parts")?;
    counted(input.part_number_marker, "part-number-marker")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let wanted = wanted(&input.object_attributes)?;
    let is_wanted = |attribute: &str| wanted.iter().any(|wanted| wanted == attribute);
    let store = Arc::clone(store);
    let record = blocking(move || store.object_version(&input.bucket, &input.key, input.version_id.as_deref())).await?;

    let mut output = GetObjectAttributesOutput {
        last_modified: Some(dto_timestamp(record.last_modified)),
        version_id: record.shown_version(),
        ..GetObjectAttributesOutput::default()
    };
    if is_wanted(ObjectAttributes::CHECKSUM) && !record.checksums.is_empty() {
        let mut checksums = checksum::to_dto(&without_count(&record.checksums));
        checksums.checksum_type = checksum::type_of(&record.checksums);
        output.checksum = Some(checksums);
    }
    if is_wanted(ObjectAttributes::OBJECT_PARTS) {
        output.object_parts = listed_parts(&record, marker, limit);
    }
    if is_wanted(ObjectAttributes::OBJECT_SIZE) {
        output.object_size = i64::try_from(record.size).ok();
    }
    if is_wanted(ObjectAttributes::STORAGE_CLASS) {
        output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
    }
    if is_wanted(ObjectAttributes::ETAG) {
        output.e_tag = Some(ETag::Strong(record.etag));
    }
    // This one operation names ETags without quotes.
    Ok(with_bare_etag(output))
}

/// This operation leaves the number of parts out, which elsewhere follows a composite checksum.
fn without_count(checksums: &Checksums) -> Checksums {
    let bare = |(algorithm, value): (&Algorithm, &String)| {
        (*algorithm, value.split('-').next().unwrap_or_default().to_owned())
    };
    checksums.iter().map(bare).collect()
}

/// The attributes a request names, one or several in a header line.
fn wanted(headers: &[ObjectAttributes]) -> S3Result<Vec<String>> {
    let names = headers.iter().flat_map(|header| header.as_str().split(',')).map(str::trim);
    let names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(s3_error!(
            InvalidRequest,
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
        ));
    }
    if names.iter().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err(s3_error!(InvalidArgument, "Invalid attribute name specified."));
    }
    Ok(names)
}

fn listed_parts(record: &ObjectRecord, marker: i32, limit: usize) -> Option<GetObjectAttributesParts> {
    let total_parts_count = Some(parts_count(record)?);
    let each_has_checksums = record.parts.iter().all(|part| !part.checksums.is_empty());
    let is_of_bytes =
        checksum::type_of(&record.checksums).is_some_and(|kind| kind.as_str() == ChecksumType::FULL_OBJECT);
    if record.parts.is_empty() || !each_has_checksums || is_of_bytes {
        return Some(GetObjectAttributesParts { total_parts_count, ..GetObjectAttributesParts::default() });
    }
    let mut behind = record.parts.iter().filter(|part| part.number > marker);
    let page: Vec<ObjectPart> = behind.by_ref().take(limit).map(listed_part).collect();
    let is_truncated = limit > 0 && behind.next().is_some();
    Some(GetObjectAttributesParts {
        is_truncated: Some(is_truncated),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: page.last().map_or(Some(0), |last| last.part_number),
        part_number_marker: Some(marker),
        parts: Some(page),
        total_parts_count,
    })
}

fn listed_part(part: &JoinedPart) -> ObjectPart {
    let (part_number, size) = (Some(part.number), i64::try_from(part.size).ok());
    let mut listed = ObjectPart { part_number, size, ..ObjectPart::default() };
    checksum::say!(&part.checksums, in listed);
    listed
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Timestamp;

    use super::*;

    fn record(etag: &str, parts: &[(i32, u64)]) -> ObjectRecord {
        let joined = |part: &(i32, u64)| JoinedPart { number: part.0, size: part.1, checksums: Checksums::new() };
        ObjectRecord {
            file: "k".to_owned(),
            size: 10,
            etag: etag.to_owned(),
            last_modified: Timestamp(0),
            sequence: 1,
            checksums: Checksums::new(),
            headers: Default::default(),
            parts: parts.iter().map(joined).collect(),
            version_id: None,
            is_marker: false,
        }
    }

    fn slice(record: &ObjectRecord, number: i32) -> String {
        match part_slice(record, number) {
            Ok((start, length)) => format!("{start}+{length}"),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn parts_are_found_by_their_number() {
        let joined = record("00-2", &[(2, 7), (5, 3)]);
        assert_eq!((slice(&joined, 2).as_str(), slice(&joined, 5).as_str()), ("0+7", "7+3"));
        assert_eq!((slice(&joined, 1).as_str(), slice(&joined, 0).as_str()), ("InvalidPartNumber", "InvalidArgument"));
        let whole = record("00", &[]);
        assert_eq!((slice(&whole, 1).as_str(), slice(&whole, 2).as_str()), ("0+10", "InvalidPartNumber"));
        let forgotten = record("00-2", &[]);
        assert_eq!(slice(&forgotten, 1), "NotImplemented");
        assert_eq!((parts_count(&whole), parts_count(&forgotten)), (None, Some(2)));
    }

    #[test]
    fn attributes_come_in_one_header_or_many() {
        let wanted = |lines: &[&'static str]| {
            let lines: Vec<_> = lines.iter().copied().map(ObjectAttributes::from_static).collect();
            super::wanted(&lines).map_err(|error| error.code().as_str().to_owned())
        };
        assert_eq!(wanted(&["ETag, Checksum", "ObjectSize"]).map(|names| names.len()), Ok(3));
        assert_eq!(wanted(&["ETag,Other"]), Err("InvalidArgument".to_owned()));
        assert_eq!(wanted(&[""]), Err("InvalidRequest".to_owned()));
    }
}
