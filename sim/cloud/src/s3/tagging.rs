//! Tags of objects and of buckets: the six tagging operations, and the headers that tag an object while it is written.
//!
//! Object tags live with the object's headers and change without touching its bytes, ETag or modification time; bucket
//! tags are a setting of the bucket. The rules are AWS's: number, length (in UTF-16 units, as AWS counts), characters, no
//! key twice, no `aws:` keys. A change of an object's tags is told to whom it may concern, in the same step; tags that come
//! with a write are not told apart from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag, Tagging,
    TaggingDirective,
};
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result, s3_error};

use super::answering::with_status;
use super::notification::{self, EventKind, Rule};
use super::store::{S3Store, found_bucket};
use super::{blocking, internal, versioning};

/// Tags by key.
pub(super) type Tags = BTreeMap<String, String>;

const OBJECT_TAGS_MAX: usize = 10;
const BUCKET_TAGS_MAX: usize = 50;
/// Most UTF-16 units of a key.
pub(super) const KEY_UNITS_MAX: usize = 128;
/// Most UTF-16 units of a value.
pub(super) const VALUE_UNITS_MAX: usize = 256;
/// Characters of a tag beside letters, digits and spaces.
const PUNCTUATION: &str = "+-=._:/@";
/// Keys that only AWS may set, in whatever case.
const RESERVED_PREFIX: &str = "aws:";
/// The setting of a bucket that holds its tags, as a JSON object.
const SETTING: &str = "tags";

/// What is tagged; the bounds and some texts differ.
#[derive(Clone, Copy)]
enum Tagged {
    Object,
    Bucket,
}

/// The tags of an `x-amz-tagging` header: `key=value&…`, URL-encoded.
pub(super) fn of_header(header: Option<&str>) -> S3Result<Tags> {
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut tags = Tags::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key)?, decoded(value)?);
        if !is_valid(&key, 1, KEY_UNITS_MAX) || !is_valid(&value, 0, VALUE_UNITS_MAX) {
            return Err(invalid_header());
        }
        refuse_reserved(&key, Tagged::Object)?;
        if tags.insert(key, value).is_some() {
            return Err(invalid_header());
        }
    }
    refuse_too_many(tags.len(), Tagged::Object)?;
    Ok(tags)
}

/// The tags CopyObject asks for; `None` means those of the source.
pub(super) fn of_copy(directive: Option<&TaggingDirective>, header: Option<&str>) -> S3Result<Option<Tags>> {
    match directive.map(TaggingDirective::as_str) {
        Some(TaggingDirective::REPLACE) => of_header(header).map(Some),
        // AWS documents the header for REPLACE only; ignored, the client would believe its tags were set.
        None | Some(TaggingDirective::COPY) if header.is_some() => {
            Err(s3_error!(InvalidRequest, "x-amz-tagging of a copy needs the x-amz-tagging-directive REPLACE"))
        }
        None | Some(TaggingDirective::COPY) => Ok(None),
        Some(_) => Err(s3_error!(InvalidArgument, "Unknown tagging directive.")),
    }
}

fn decoded(text: &str) -> S3Result<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().map_err(|_not_utf8| invalid_header())?;
    Ok(decoded.into_owned())
}

fn invalid_header() -> S3Error {
    s3_error!(
        InvalidArgument,
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name \
         duplicates."
    )
}

/// The tags of an XML body.
fn of_body(body: Tagging, tagged: Tagged) -> S3Result<Tags> {
    refuse_too_many(body.tag_set.len(), tagged)?;
    let mut tags = Tags::new();
    for tag in body.tag_set {
        let (Some(key), Some(value)) = (tag.key, tag.value) else {
            return Err(s3_error!(MalformedXML));
        };
        if tags.contains_key(&key) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
        refuse_reserved(&key, tagged)?;
        if !is_valid(&key, 1, KEY_UNITS_MAX) {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if !is_valid(&value, 0, VALUE_UNITS_MAX) {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}

fn is_valid(text: &str, units_min: usize, units_max: usize) -> bool {
    let is_space = |character: char| character.is_whitespace() && !character.is_control();
    let is_allowed =
        |character: char| character.is_alphanumeric() || is_space(character) || PUNCTUATION.contains(character);
    (units_min..=units_max).contains(&text.encode_utf16().count()) && text.chars().all(is_allowed)
}

fn refuse_reserved(key: &str, tagged: Tagged) -> S3Result<()> {
    let is_reserved =
        key.get(..RESERVED_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX));
    match tagged {
        _ if !is_reserved => Ok(()),
        Tagged::Object => Err(s3_error!(InvalidTag, "Your TagKey cannot be prefixed with aws:")),
        Tagged::Bucket => Err(s3_error!(InvalidTag, "System tags cannot be added/updated by requester")),
    }
}

fn refuse_too_many(count: usize, tagged: Tagged) -> S3Result<()> {
    let (most, text) = match tagged {
        Tagged::Object => (OBJECT_TAGS_MAX, "Object tags cannot be greater than 10"),
        Tagged::Bucket => (BUCKET_TAGS_MAX, "Bucket tag count cannot be greater than 50"),
    };
    if count <= most {
        return Ok(());
    }
    let mut refusal = S3Error::with_message(S3ErrorCode::Custom("BadRequest".into()), text);
    refusal.set_status_code(StatusCode::BAD_REQUEST);
    Err(refusal)
}

fn to_dto(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

/// A version of an object; `None` is the current one.
struct Place {
    bucket: String,
    key: String,
    version: Option<String>,
}

/// Replaces the tags of an object; gives its version.
async fn set_object_tags(store: &Arc<S3Store>, place: Place, tags: Tags, kind: EventKind) -> S3Result<Option<String>> {
    let store = Arc::clone(store);
    blocking(move || {
        let Place { bucket, key, version } = place;
        let index = store.index();
        store.check_finished(&index, &bucket, &key)?;
        let mut record = versioning::found(&index, &bucket, &key, version.as_deref())?;
        record.headers.tags = tags;
        let rules = Rule::parse_all(&found_bucket(&index, &bucket)?.rules)?;
        let event = notification::event_for(&rules, kind, &bucket, &key, &record, store.clock.now());
        if event.is_some() {
            store.outbox().admit()?;
        }
        index
            .telling(event.as_ref(), |index| index.update_object(&bucket, &key, &record))
            .map_err(internal("record tags"))?;
        if event.is_some() {
            // Under the lock: the delivery cannot have taken the event before it is counted.
            store.outbox().added();
        }
        drop(index);
        Ok(record.shown_version())
    })
    .await
}

/// PutObjectTagging.
pub(super) async fn put_object(
    store: &Arc<S3Store>,
    input: PutObjectTaggingInput,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let tags = of_body(input.tagging, Tagged::Object)?;
    let place = Place { bucket: input.bucket, key: input.key, version: input.version_id };
    let version_id = set_object_tags(store, place, tags, EventKind::TagsPut).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

/// GetObjectTagging.
pub(super) async fn get_object(
    store: &Arc<S3Store>,
    input: GetObjectTaggingInput,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let store = Arc::clone(store);
    let record = blocking(move || store.object_version(&input.bucket, &input.key, input.version_id.as_deref())).await?;
    let version_id = record.shown_version();
    let tag_set = to_dto(record.headers.tags);
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id }))
}

/// DeleteObjectTagging.
pub(super) async fn delete_object(
    store: &Arc<S3Store>,
    input: DeleteObjectTaggingInput,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let place = Place { bucket: input.bucket, key: input.key, version: input.version_id };
    let version_id = set_object_tags(store, place, Tags::new(), EventKind::TagsDeleted).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}

/// Replaces the tags of a bucket; none at all is as good as never set.
async fn set_bucket_tags(store: &Arc<S3Store>, bucket: String, tags: Tags) -> S3Result<()> {
    let store = Arc::clone(store);
    blocking(move || {
        let setting = serde_json::to_string(&tags).map_err(internal("write bucket tags"))?;
        let setting = Some(setting.as_str()).filter(|_| !tags.is_empty());
        let index = store.index();
        found_bucket(&index, &bucket)?;
        index.set_setting(&bucket, SETTING, setting).map_err(internal("record bucket tags"))
    })
    .await
}

/// PutBucketTagging.
pub(super) async fn put_bucket(
    store: &Arc<S3Store>,
    input: PutBucketTaggingInput,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let tags = of_body(input.tagging, Tagged::Bucket)?;
    set_bucket_tags(store, input.bucket, tags).await?;
    Ok(with_status(PutBucketTaggingOutput {}, StatusCode::NO_CONTENT))
}

/// GetBucketTagging.
pub(super) async fn get_bucket(
    store: &Arc<S3Store>,
    input: GetBucketTaggingInput,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let store = Arc::clone(store);
    let setting = blocking(move || {
        let index = store.index();
        found_bucket(&index, &input.bucket)?;
        index.setting(&input.bucket, SETTING).map_err(internal("look up bucket tags"))
    })
    .await?;
    let setting = setting.ok_or_else(|| s3_error!(NoSuchTagSet, "The TagSet does not exist"))?;
    let tags: Tags = serde_json::from_str(&setting).map_err(internal("read bucket tags"))?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: to_dto(tags) }))
}

/// DeleteBucketTagging.
pub(super) async fn delete_bucket(
    store: &Arc<S3Store>,
    input: DeleteBucketTaggingInput,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    set_bucket_tags(store, input.bucket, Tags::new()).await?;
    Ok(S3Response::new(DeleteBucketTaggingOutput {}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> String {
        match of_header(Some(text)) {
            Ok(tags) => tags.into_iter().map(|(key, value)| format!("[{key}|{value}]")).collect(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn a_header_is_a_url_query() {
        assert_eq!(header("b=2&a=1+%2B&c&d=e=f"), "[a|1 +][b|2][c|][d|e=f]");
        assert_eq!(header(""), "");
        assert_eq!(header("l=%C3%A9"), "[l|é]");
        assert_eq!(header("a=1&a=1"), "InvalidArgument");
        assert_eq!(header("a=%FF"), "InvalidArgument");
        assert_eq!(header("a=%zz"), "InvalidArgument");
        assert_eq!(header("=1"), "InvalidArgument");
        assert_eq!(header("Aws:a=1"), "InvalidTag");
        let keys = |count: u8| (0..count).map(|n| format!("{n}=")).collect::<Vec<_>>().join("&");
        assert!(header(&keys(10)).starts_with("[0|]"));
        assert_eq!(header(&keys(11)), "BadRequest");
    }

    #[test]
    fn lengths_are_counted_in_utf16_units() {
        assert!(is_valid(&"é".repeat(128), 1, 128) && !is_valid(&"é".repeat(129), 1, 128));
        // Two units each.
        assert!(is_valid(&"𝒳".repeat(64), 1, 128) && !is_valid(&"𝒳".repeat(65), 1, 128));
        assert!(is_valid("", 0, 256) && !is_valid("", 1, 128));
        assert!(is_valid("a b+-=._:/@", 1, 128) && !is_valid("a\tb", 1, 128) && !is_valid("a;b", 1, 128));
    }

    #[test]
    fn a_copy_keeps_the_tags_unless_it_replaces_them() {
        let of = |directive: Option<&'static str>, header: Option<&str>| {
            let directive = directive.map(TaggingDirective::from_static);
            of_copy(directive.as_ref(), header).ok()
        };
        assert_eq!((of(None, None), of(Some("COPY"), None)), (Some(None), Some(None)));
        assert_eq!(of(Some("REPLACE"), None), Some(Some(Tags::new())));
        assert_eq!((of(None, Some("a=b")), of(Some("MERGE"), None)), (None, None));
    }
}
