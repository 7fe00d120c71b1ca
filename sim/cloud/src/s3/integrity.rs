//! What a client says so that damage is noticed, checked before an operation sees the request.
//!
//! Headers: a checksum that cannot be computed here is refused instead of ignored, a malformed one is an error of its
//! own. Bodies: XML documents (a DeleteObjects, a configuration) are read whole, at most [`XML_BODY_BYTES_MAX`], and
//! compared with their Content-MD5 and checksum; a DeleteObjects must come with one of them. The bodies of objects and
//! parts are verified while they are written (see [`super::staging`]). The checksums of a CompleteMultipartUpload are
//! about the object and not about the request, so its body is not compared with them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_LENGTH, RANGE};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::LengthLimitError;
use md5::{Digest, Md5};
use s3s::dto::Range;
use s3s::{S3Error, S3Result, s3_error};

use super::aws_chunked::Trailers;
use super::checksum::{self, Algorithm};
use super::{buckets, unrouted};

/// Largest XML body of a request; a DeleteObjects of 1,000 long keys fits.
pub(super) const XML_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

const CONTENT_MD5: &str = "content-md5";
const MD5_BYTES: usize = 16;
const CHECKSUM_PREFIX: &str = "x-amz-checksum-";
/// Headers that begin like a checksum and are none.
const ABOUT_CHECKSUMS: [&str; 3] = ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"];
/// Headers that name an algorithm.
const ALGORITHM_HEADERS: [&str; 2] = ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"];
/// Queries of an object under which a PUT carries XML.
const OBJECT_DOCUMENTS: [&str; 4] = ["acl", "legal-hold", "retention", "tagging"];

/// Refuses checksums that nobody here could verify, and malformed ones.
pub(super) fn check_headers(headers: &HeaderMap) -> S3Result<()> {
    let trailers = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    let trailers = trailers.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    headers.keys().try_for_each(|name| check_name(name.as_str()))?;
    for name in trailers {
        check_name(&name)?;
    }
    for name in ALGORITHM_HEADERS {
        let Some(value) = headers.get(name) else { continue };
        let value = value.to_str().unwrap_or_default();
        if !Algorithm::ALL.iter().any(|known| known.name().eq_ignore_ascii_case(value)) {
            return Err(s3_error!(NotImplemented, "the checksum algorithm of {name} is not implemented"));
        }
    }
    if headers.get(CONTENT_MD5).is_some_and(|value| !is_base64_of(value.as_bytes(), MD5_BYTES)) {
        return Err(s3_error!(InvalidDigest));
    }
    let sent = Algorithm::ALL.into_iter().filter(|algorithm| headers.contains_key(algorithm.header()));
    let sent: Vec<Algorithm> = sent.collect();
    if sent.len() > 1 {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        ));
    }
    for algorithm in sent {
        let is_valid = |value: &http::HeaderValue| {
            // A checksum of checksums ends with the number of its parts.
            let value = value.as_bytes().split(|byte| *byte == b'-').next().unwrap_or_default();
            is_base64_of(value, algorithm.bytes())
        };
        if !headers.get_all(algorithm.header()).iter().all(is_valid) {
            return Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header()));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> S3Result<()> {
    let is_checksum = name.starts_with(CHECKSUM_PREFIX) && !ABOUT_CHECKSUMS.contains(&name);
    if is_checksum && !Algorithm::ALL.iter().any(|known| known.header() == name) {
        return Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: {name}"
        ));
    }
    Ok(())
}

fn is_base64_of(text: &[u8], length: usize) -> bool {
    BASE64_STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == length)
}

/// AWS ignores a `Range` it cannot read (another unit, several ranges, an end before the start) and sends everything.
pub(super) fn drop_unreadable_range(headers: &mut HeaderMap) {
    let mut ranges = headers.get_all(RANGE).iter();
    let is_readable = match (ranges.next(), ranges.next()) {
        (Some(range), None) => range.to_str().is_ok_and(|range| Range::parse(range).is_ok()),
        _ => false,
    };
    if !is_readable {
        headers.remove(RANGE);
    }
}

/// What kind of XML a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    NewBucket,
    Configuration,
    Delete,
}

impl Document {
    fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let names = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
        let names: Vec<&str> = names.filter(|name| !matches!(*name, "" | "x-id")).collect();
        match (method, unrouted::names_object(uri)) {
            (&Method::POST, false) => names.contains(&"delete").then_some(Self::Delete),
            (&Method::PUT, false) if names.is_empty() => Some(Self::NewBucket),
            (&Method::PUT, false) => Some(Self::Configuration),
            (&Method::PUT, true) => {
                names.iter().any(|name| OBJECT_DOCUMENTS.contains(name)).then_some(Self::Configuration)
            }
            _ => None,
        }
    }
}

/// The same request, its body read and verified if that is an XML document.
pub(super) async fn verified(request: Request<s3s::Body>) -> S3Result<Request<s3s::Body>> {
    let Some(document) = Document::of(request.method(), request.uri()) else { return Ok(request) };
    let (parts, mut body) = request.into_parts();
    let announced = checksum::announced(&parts.headers);
    let md5 = parts.headers.get(CONTENT_MD5);
    if document == Document::Delete && md5.is_none() && announced.is_empty() {
        return Err(s3_error!(
            InvalidRequest,
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        ));
    }
    let bytes = body.store_all_limited(XML_BODY_BYTES_MAX).await.map_err(unread)?;
    if !bytes.is_empty() && !parts.headers.contains_key(CONTENT_LENGTH) {
        return Err(s3_error!(MissingContentLength));
    }
    if md5.is_some_and(|md5| md5.as_bytes() != BASE64_STANDARD.encode(Md5::digest(&bytes)).as_bytes()) {
        return Err(wrong_md5());
    }
    let mut hasher = checksum::hasher(announced.keys().copied());
    hasher.update(&bytes);
    let computed = checksum::from_dto(hasher.finalize());
    for (algorithm, in_header) in announced {
        let in_trailer = || parts.extensions.get::<Trailers>()?.get(algorithm.header());
        if in_header.or_else(in_trailer).as_ref() != computed.get(&algorithm) {
            return Err(wrong_checksum(algorithm));
        }
    }
    if document == Document::NewBucket {
        buckets::refuse_tags(&bytes)?;
    }
    Ok(Request::from_parts(parts, body))
}

fn unread(error: s3s::StdError) -> S3Error {
    let mut refusal = match error.is::<LengthLimitError>() {
        true => s3_error!(MaxMessageLengthExceeded),
        false => s3_error!(IncompleteBody, "the body ended early or was malformed"),
    };
    refusal.set_source(error);
    refusal
}

/// The body has another MD5 than was said.
pub(super) fn wrong_md5() -> S3Error {
    s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received.")
}

/// The body has another checksum than was said.
pub(super) fn wrong_checksum(algorithm: Algorithm) -> S3Error {
    s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", algorithm.name())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn refusal(headers: &[(&'static str, &'static str)]) -> String {
        let pairs = headers.iter();
        let pairs = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        match check_headers(&pairs.collect()) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn a_checksum_is_verifiable_well_formed_and_alone() {
        let cases: [(&[(&'static str, &'static str)], &str); 15] = [
            (&[("x-amz-checksum-crc32", "AAAAAA==")], "accepted"),
            (&[("x-amz-checksum-crc32", "AAAAAA==-3")], "accepted"),
            (&[("x-amz-checksum-mode", "ENABLED"), ("x-amz-checksum-type", "COMPOSITE")], "accepted"),
            (&[("x-amz-sdk-checksum-algorithm", "crc64nvme")], "accepted"),
            (&[("x-amz-trailer", "x-amz-checksum-sha256")], "accepted"),
            (&[("x-amz-checksum-sha512", "AAAA")], "NotImplemented"),
            (&[("x-amz-checksum-xxhash64", "AAAA")], "NotImplemented"),
            (&[("x-amz-trailer", "x-amz-checksum-md5")], "NotImplemented"),
            (&[("x-amz-checksum-algorithm", "SHA512")], "NotImplemented"),
            (&[("x-amz-checksum-sha1", "AAAAAA==")], "InvalidRequest"),
            (&[("x-amz-checksum-crc32", "AAAAAA==,AAAAAA==")], "InvalidRequest"),
            (&[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")], "InvalidRequest"),
            (&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], "accepted"),
            (&[("content-md5", "1B2M2Y8AsgTp")], "InvalidDigest"),
            (&[("content-md5", "not base64")], "InvalidDigest"),
        ];
        for (headers, expected) in cases {
            assert_eq!(refusal(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn only_one_readable_range_is_left() {
        for (range, expected) in [
            ("bytes=0-1", true),
            ("bytes=5-", true),
            ("bytes=-5", true),
            ("bytes=5-2", false),
            ("bytes=0-1,3-4", false),
            ("items=0-1", false),
            ("bytes=a-b", false),
        ] {
            let mut headers: HeaderMap = [(RANGE, HeaderValue::from_static(range))].into_iter().collect();
            drop_unreadable_range(&mut headers);
            assert_eq!(headers.contains_key(RANGE), expected, "{range}");
        }
    }

    #[test]
    fn documents_are_told_from_bodies() {
        for (method, uri, expected) in [
            (Method::PUT, "/b", Some(Document::NewBucket)),
            (Method::PUT, "/b/?x-id=CreateBucket", Some(Document::NewBucket)),
            (Method::PUT, "/b?notification", Some(Document::Configuration)),
            (Method::PUT, "/b/k?tagging=", Some(Document::Configuration)),
            (Method::POST, "/b?delete", Some(Document::Delete)),
            (Method::POST, "/b/?delete&x-id=DeleteObjects", Some(Document::Delete)),
            (Method::PUT, "/b/k", None),
            (Method::PUT, "/b/k?partNumber=1&uploadId=u", None),
            (Method::POST, "/b/k?uploadId=u", None),
            (Method::GET, "/b?notification", None),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            assert_eq!(Document::of(&method, &uri), expected, "{method} {uri}");
        }
    }
}
