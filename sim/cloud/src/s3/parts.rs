//! ListParts and ListMultipartUploads.
//!
//! Uploads come by key and, of one key, by beginning. A page of uploads goes on behind the key and the upload its markers
//! name, whether that upload is still open or not, so a client may end uploads while it pages. Checksums are those the
//! upload was begun with; of AWS's default nothing is said.

use std::sync::Arc;

use s3s::dto::{
    CommonPrefix, ETag, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part, StorageClass,
};
use s3s::{S3Result, s3_error};

use super::checksum;
use super::index::{ListedUpload, PartRecord};
use super::listing::{GROUPED_SCAN_ROWS, PAGE_ENTRIES_MAX, group_of, successor};
use super::multipart::found_upload;
use super::names::{Names, owner};
use super::store::{S3Store, dto_timestamp};
use super::{blocking, internal, lifecycle};

/// Characters of an upload's id; the second half is the sequence it was numbered with.
const UPLOAD_ID_CHARACTERS: usize = 32;

/// The argument, which counts something.
pub(super) fn counted(value: Option<i32>, argument: &str) -> S3Result<Option<usize>> {
    let Some(value) = value else { return Ok(None) };
    let counted = usize::try_from(value);
    counted.map(Some).map_err(|error| {
        s3_error!(error, InvalidArgument, "Argument {argument} must be an integer between 0 and 2147483647")
    })
}

/// How many entries a page may have.
pub(super) fn page_limit(value: Option<i32>, argument: &str) -> S3Result<usize> {
    Ok(counted(value, argument)?.unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX))
}

fn initiator() -> Initiator {
    let owner = owner();
    Initiator { display_name: owner.display_name, id: owner.id }
}

fn standard() -> StorageClass {
    StorageClass::from_static(StorageClass::STANDARD)
}

/// ListParts.
pub(super) async fn list_parts(store: &Arc<S3Store>, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let limit = page_limit(input.max_parts, "max-parts")?;
    counted(input.part_number_marker, "part-number-marker")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let (bucket, key, upload_id) = (input.bucket, input.key, input.upload_id);
    let store = Arc::clone(store);
    blocking(move || {
        let upload = found_upload(&store, &upload_id, &bucket, &key)?;
        let parts = store.index().parts(&upload_id).map_err(internal("look up parts"))?;
        let mut behind = parts.into_iter().filter(|(number, _)| *number > marker);
        let listed = |(number, part): (i32, PartRecord)| {
            let mut listed = Part {
                part_number: Some(number),
                size: i64::try_from(part.size).ok(),
                e_tag: Some(ETag::Strong(part.etag)),
                last_modified: Some(dto_timestamp(part.uploaded_at.unwrap_or(upload.created_at))),
                ..Part::default()
            };
            checksum::say!(&upload.checksum.shown_of_part(&part.checksums, None), in listed);
            listed
        };
        let page: Vec<Part> = behind.by_ref().take(limit).map(listed).collect();
        let is_truncated = limit > 0 && behind.next().is_some();
        let (abort_date, abort_rule_id) = lifecycle::abort_of(&store, &bucket, &key, upload.created_at).unzip();
        let (checksum_algorithm, checksum_type) = upload.checksum.shown();
        Ok(ListPartsOutput {
            abort_date: abort_date.map(dto_timestamp),
            abort_rule_id,
            checksum_algorithm,
            checksum_type,
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(upload_id),
            initiator: Some(initiator()),
            owner: Some(owner()),
            storage_class: Some(standard()),
            part_number_marker: Some(marker),
            next_part_number_marker: page.last().map_or(Some(0), |last| last.part_number),
            max_parts: i32::try_from(limit).ok(),
            is_truncated: Some(is_truncated),
            parts: Some(page),
            ..ListPartsOutput::default()
        })
    })
    .await
}

/// A place between two uploads: behind this key, and of this key behind this second half of an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: Vec<u8>,
    id_end: String,
}

impl Place {
    /// Before every upload whose key is `key` or greater.
    fn before(key: Vec<u8>) -> Self {
        Self { key, id_end: String::new() }
    }

    /// Behind every upload of `key`.
    fn behind(key: &str) -> Self {
        Self::before([key.as_bytes(), &[0]].concat())
    }

    /// Behind one upload.
    fn behind_upload(key: &str, id: &str) -> Self {
        Self { key: key.as_bytes().to_vec(), id_end: id.get(UPLOAD_ID_CHARACTERS / 2..).unwrap_or_default().to_owned() }
    }
}

/// One line of a page of uploads.
enum Line {
    Upload(ListedUpload),
    Group(String),
}

/// What to list.
struct Query {
    bucket: String,
    prefix: String,
    delimiter: Option<String>,
    key_marker: Option<String>,
    id_marker: Option<String>,
    limit: usize,
}

/// Where the first page, or the page behind the markers, begins.
fn start(store: &S3Store, query: &Query) -> S3Result<Place> {
    let Some(key) = query.key_marker.as_deref() else { return Ok(Place::before(Vec::new())) };
    let Some(id) = query.id_marker.as_deref() else {
        let is_group = group_of(key, &query.prefix, query.delimiter.as_deref()) == Some(key);
        let behind_group = if is_group { successor(key.as_bytes()) } else { None };
        return Ok(behind_group.map_or_else(|| Place::behind(key), Place::before));
    };
    let is_id = id.len() == UPLOAD_ID_CHARACTERS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let upload = store.index().upload(id).map_err(internal("look up an upload"))?;
    if !is_id || upload.is_some_and(|upload| upload.bucket != query.bucket || upload.key != key) {
        return Err(s3_error!(InvalidArgument, "Invalid uploadId marker"));
    }
    Ok(Place::behind_upload(key, id))
}

/// One page, and whether anything follows.
fn page(store: &S3Store, query: &Query) -> S3Result<(Vec<Line>, bool)> {
    store.bucket(&query.bucket)?;
    let mut from = start(store, query)?.max(Place::before(query.prefix.as_bytes().to_vec()));
    let end = successor(query.prefix.as_bytes());
    let mut lines = Vec::new();
    if query.limit == 0 {
        return Ok((lines, false));
    }
    loop {
        let wanted = query.limit - lines.len() + 1;
        let rows = if query.delimiter.is_some() { wanted.min(GROUPED_SCAN_ROWS) } else { wanted };
        let found = store
            .index()
            .uploads_behind(&query.bucket, (from.key.as_slice(), from.id_end.as_str()), end.as_deref(), rows)
            .map_err(internal("list uploads"))?;
        let is_last = found.len() < rows;
        let mut jumped = false;
        for upload in found {
            if lines.len() == query.limit {
                return Ok((lines, true));
            }
            let Some(group) = group_of(&upload.key, &query.prefix, query.delimiter.as_deref()) else {
                from = Place::behind_upload(&upload.key, &upload.id);
                lines.push(Line::Upload(upload));
                continue;
            };
            lines.push(Line::Group(group.to_owned()));
            let Some(behind) = successor(group.as_bytes()) else { return Ok((lines, false)) };
            from = Place::before(behind);
            jumped = true;
            break;
        }
        if is_last && !jumped {
            return Ok((lines, false));
        }
    }
}

/// ListMultipartUploads.
pub(super) async fn list_uploads(
    store: &Arc<S3Store>,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let limit = page_limit(input.max_uploads, "max-uploads")?;
    let names = Names::of(input.encoding_type.as_ref())?;
    let is_given = |text: &String| !text.is_empty();
    let key_marker = input.key_marker.filter(is_given);
    let query = Query {
        bucket: input.bucket,
        prefix: input.prefix.unwrap_or_default(),
        delimiter: input.delimiter.filter(is_given),
        // Without a key the other marker means nothing.
        id_marker: input.upload_id_marker.filter(is_given).filter(|_| key_marker.is_some()),
        key_marker,
        limit,
    };
    let store = Arc::clone(store);
    let (query, lines, is_truncated) = blocking(move || {
        let (lines, is_truncated) = page(&store, &query)?;
        Ok((query, lines, is_truncated))
    })
    .await?;
    let (next_key_marker, next_upload_id_marker) = match lines.last().filter(|_| is_truncated) {
        None => (None, None),
        Some(Line::Upload(upload)) => (Some(names.name(&upload.key)), Some(upload.id.clone())),
        Some(Line::Group(group)) => (Some(names.name(group)), None),
    };
    let (mut uploads, mut common_prefixes) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            Line::Group(group) => common_prefixes.push(CommonPrefix { prefix: Some(names.name(&group)) }),
            Line::Upload(upload) => {
                let (checksum_algorithm, checksum_type) = upload.checksum.shown();
                uploads.push(MultipartUpload {
                    checksum_algorithm,
                    checksum_type,
                    key: Some(names.name(&upload.key)),
                    upload_id: Some(upload.id),
                    initiated: Some(dto_timestamp(upload.created_at)),
                    initiator: Some(initiator()),
                    owner: Some(owner()),
                    storage_class: Some(standard()),
                });
            }
        }
    }
    Ok(ListMultipartUploadsOutput {
        bucket: Some(query.bucket),
        prefix: Some(names.name(&query.prefix)),
        delimiter: query.delimiter.map(|delimiter| names.name(&delimiter)),
        key_marker: Some(names.name(&query.key_marker.unwrap_or_default())),
        upload_id_marker: Some(query.id_marker.unwrap_or_default()),
        next_key_marker,
        next_upload_id_marker,
        max_uploads: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        uploads: Some(uploads),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sort_as_uploads_do() {
        let id = |sequence: u64| format!("{:016x}{sequence:016x}", u64::MAX - sequence);
        let places = [
            Place::before(b"a".to_vec()),
            Place::behind_upload("a", &id(1)),
            Place::behind_upload("a", &id(0x10)),
            Place::behind("a"),
            Place::behind_upload("a/", &id(0)),
            Place::before(b"b".to_vec()),
        ];
        assert!(places.is_sorted_by(|one, two| one < two), "{places:?}");
    }

    #[test]
    fn pages_are_bounded() {
        let limit = |value| page_limit(value, "max-parts").ok();
        assert_eq!((limit(None), limit(Some(0)), limit(Some(5000))), (Some(1000), Some(0), Some(1000)));
        assert_eq!(limit(Some(-1)), None);
    }
}
