//! Names in the answers of listings: whose things are, and how keys are written.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{CommonPrefix, ETag, EncodingType, Object, ObjectStorageClass, Owner};
use s3s::{S3Result, s3_error};

use super::checksum;
use super::listing::Entry;
use super::store::dto_timestamp;

/// Name and canonical id of who owns everything.
const OWNER: &str = "lakebed";
/// What `encoding-type=url` leaves alone.
const URL_LEFT_ALONE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Who owns everything here.
pub(super) fn owner() -> Owner {
    Owner { display_name: Some(OWNER.to_owned()), id: Some(OWNER.to_owned()) }
}

/// How names are written into a listing.
#[derive(Clone, Copy)]
pub(super) enum Names {
    Plain,
    UrlEncoded,
}

impl Names {
    pub(super) fn of(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::UrlEncoded),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::UrlEncoded => utf8_percent_encode(name, URL_LEFT_ALONE).to_string(),
        }
    }

    /// The lines of a listing of objects.
    pub(super) fn entries(self, entries: Vec<Entry>, owner: Option<&Owner>) -> (Vec<Object>, Vec<CommonPrefix>) {
        let (mut contents, mut common_prefixes) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Object(key, record) => contents.push(Object {
                    key: Some(self.name(&key)),
                    size: i64::try_from(record.size).ok(),
                    e_tag: Some(ETag::Strong(record.etag)),
                    last_modified: Some(dto_timestamp(record.last_modified)),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                    owner: owner.cloned(),
                    checksum_algorithm: checksum::algorithms_of(&record.checksums),
                    checksum_type: checksum::type_of(&record.checksums),
                    ..Object::default()
                }),
                Entry::Group(group) => common_prefixes.push(CommonPrefix { prefix: Some(self.name(&group)) }),
            }
        }
        (contents, common_prefixes)
    }
}
