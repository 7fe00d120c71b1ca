//! Takes the signature off a request: header or presigned, any credential. Who is let in was decided before.
//!
//! Removes what signing added (headers, `X-Amz-…` query parameters) and decodes an `aws-chunked` body, so that `s3s`
//! sees an anonymous request with plain bytes. Checksums that travel in trailers are kept for whoever reads the body:
//! see [`Trailers`]. Where signatures are enforced, a body that is not the signed one ends with an error, so that nothing
//! is made of it.

use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::BodyDataStream;
use hyper::body::{Body as _, Incoming};
use s3s::dto::StreamingBlob;
use s3s::{S3Result, s3_error};
use sha2::{Digest, Sha256};

use super::aws_chunked::{self, DecodeError, Trailers};
use super::{buckets, integrity, refused, unrouted};
use crate::auth::{BodyFault, BodyRule, Denial, EMPTY_SHA256, Signed};

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const AWS_CHUNKED: &str = "aws-chunked";

/// Query parameters of a URL presigned with Signature Version 2, as boto3 and the AWS CLI still make them for `us-east-1`.
const PRESIGNED_V2_PARAMETERS: [&str; 3] = ["awsaccesskeyid", "signature", "expires"];

/// Query parameters of a presigned URL, in lower case.
const PRESIGNED_PARAMETERS: [&str; 7] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
];

/// The same request without its signature and with its body decoded.
pub(super) fn unsigned(request: Request<Incoming>) -> S3Result<Request<s3s::Body>> {
    let (mut parts, body) = request.into_parts();
    let signed = parts.extensions.remove::<Signed>();
    refused::check(&parts.headers)?;
    unrouted::check(&parts.uri)?;
    integrity::check_headers(&parts.headers)?;
    buckets::check_expected_owner(&parts.headers)?;
    integrity::drop_unreadable_range(&mut parts.headers);
    for name in [AUTHORIZATION, DATE, SECURITY_TOKEN] {
        parts.headers.remove(name);
    }
    parts.uri = without_presigned_parameters(parts.uri)?;
    let announced = parts.headers.remove(CONTENT_SHA256);
    if !is_chunked(announced.as_ref(), signed.as_ref()) {
        return Ok(Request::from_parts(parts, compared(body, signed)?));
    }
    let length = decoded_length(&parts.headers)?;
    parts.headers.remove(DECODED_LENGTH);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    drop_aws_chunked(&mut parts.headers);
    let trailers = Trailers::default();
    parts.extensions.insert(trailers.clone());
    let chain = signed.and_then(|signed| match signed.rule {
        BodyRule::Chunks(chain) => Some(*chain),
        BodyRule::Unsigned | BodyRule::Sha256(_) => None,
    });
    let decoded = StreamingBlob::wrap(aws_chunked::decode(body, length, trailers, chain));
    Ok(Request::from_parts(parts, s3s::Body::from(decoded)))
}

/// Whether the body comes in chunks. Where its hash was signed it does not, whatever an unsigned header says: a presigned URL
/// has that hash in its query, and whoever got the URL could add the header.
fn is_chunked(announced: Option<&HeaderValue>, signed: Option<&Signed>) -> bool {
    let is_streaming = announced.is_some_and(|hash| hash.as_bytes().starts_with(b"STREAMING-"));
    is_streaming && !signed.is_some_and(|signed| matches!(signed.rule, BodyRule::Sha256(_)))
}

/// The body, compared with the hash that was signed.
fn compared(body: Incoming, signed: Option<Signed>) -> S3Result<s3s::Body> {
    let Some(Signed { rule: BodyRule::Sha256(announced), fault }) = signed else {
        return Ok(s3s::Body::from(body));
    };
    if !body.is_end_stream() {
        return Ok(s3s::Body::from(StreamingBlob::wrap(hashed(body, announced, fault))));
    }
    // Nobody would read it.
    if announced != EMPTY_SHA256 {
        fault.set(Denial::OtherContent { announced, computed: EMPTY_SHA256.to_owned() });
        return Err(s3_error!(InvalidRequest, "the body is not the signed one"));
    }
    Ok(s3s::Body::from(body))
}

fn hashed(
    body: Incoming,
    announced: String,
    fault: BodyFault,
) -> impl Stream<Item = Result<Bytes, DecodeError>> + Send + Sync + 'static {
    let body = BodyDataStream::new(body).map_err(|error| DecodeError::Read(error.into()));
    let state = Hashed { body, hash: Sha256::new(), announced, fault };
    stream::try_unfold(state, |mut state| async move {
        if let Some(bytes) = state.body.try_next().await? {
            state.hash.update(&bytes);
            return Ok(Some((bytes, state)));
        }
        let computed = data_encoding::HEXLOWER.encode(&state.hash.finalize());
        if computed == state.announced {
            return Ok(None);
        }
        state.fault.set(Denial::OtherContent { announced: state.announced, computed });
        Err(DecodeError::Refused)
    })
}

struct Hashed<S> {
    body: S,
    hash: Sha256,
    announced: String,
    fault: BodyFault,
}

fn decoded_length(headers: &HeaderMap) -> S3Result<u64> {
    let length = headers.get(DECODED_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.ok_or_else(|| s3_error!(MissingContentLength, "x-amz-decoded-content-length is missing or no number"))
}

/// `aws-chunked,gzip` is stored as `gzip`, as AWS does.
fn drop_aws_chunked(headers: &mut HeaderMap) {
    let kept = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let kept = kept.flat_map(|value| value.split(',')).map(str::trim);
    let kept: Vec<&str> = kept.filter(|coding| !coding.is_empty() && *coding != AWS_CHUNKED).collect();
    let kept = HeaderValue::from_str(&kept.join(",")).expect("it was a header value before");
    headers.remove(CONTENT_ENCODING);
    if !kept.is_empty() {
        headers.insert(CONTENT_ENCODING, kept);
    }
}

fn without_presigned_parameters(uri: Uri) -> S3Result<Uri> {
    let Some(query) = uri.query() else { return Ok(uri) };
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let has = |wanted: &str| query.split('&').any(|pair| name(pair) == wanted);
    let signing = match () {
        () if has("x-amz-signature") => &PRESIGNED_PARAMETERS[..],
        () if has("awsaccesskeyid") && has("signature") => &PRESIGNED_V2_PARAMETERS[..],
        () => return Ok(uri),
    };
    let is_signing = |pair: &&str| signing.contains(&name(pair).as_str());
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_signing(pair)).collect();
    let path = uri.path();
    let rebuilt = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    let mut parts = uri.into_parts();
    let rebuilt = PathAndQuery::try_from(rebuilt).map_err(|error| s3_error!(error, InvalidURI))?;
    parts.path_and_query = Some(rebuilt);
    Uri::from_parts(parts).map_err(|error| s3_error!(error, InvalidURI))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presigned_url_loses_its_signature_and_nothing_else() {
        let uri =
            "/b/k?X-Amz-Algorithm=A&partNumber=2&X-Amz-Credential=c%2Fd&X-Amz-Signature=00&uploadId=u&x-id=UploadPart";
        let stripped = without_presigned_parameters(uri.parse().expect("a URI")).expect("stripped");
        assert_eq!(stripped.to_string(), "/b/k?partNumber=2&uploadId=u&x-id=UploadPart");
        let older = "/b/k?AWSAccessKeyId=a&versionId=v&Signature=s%3D&Expires=1700000000";
        let stripped = without_presigned_parameters(older.parse().expect("a URI")).expect("stripped");
        assert_eq!(stripped.to_string(), "/b/k?versionId=v");
        let plain: Uri = "/b/k?prefix=X-Amz-Date".parse().expect("a URI");
        assert_eq!(without_presigned_parameters(plain.clone()).expect("stripped"), plain);
    }

    #[test]
    fn a_signed_hash_is_of_the_body_as_it_is() {
        let chunked = HeaderValue::from_static("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let signed = |rule: BodyRule| Signed { rule, fault: BodyFault::default() };
        assert!(is_chunked(Some(&chunked), None) && is_chunked(Some(&chunked), Some(&signed(BodyRule::Unsigned))));
        assert!(!is_chunked(Some(&chunked), Some(&signed(BodyRule::Sha256(EMPTY_SHA256.to_owned())))));
        assert!(!is_chunked(Some(&HeaderValue::from_static(EMPTY_SHA256)), None) && !is_chunked(None, None));
    }

    #[test]
    fn only_aws_chunked_leaves_the_content_encoding() {
        for (before, after) in [("aws-chunked", None), ("aws-chunked, gzip", Some("gzip")), ("gzip", Some("gzip"))] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(before));
            drop_aws_chunked(&mut headers);
            assert_eq!(headers.get(CONTENT_ENCODING).map(|value| value.to_str().expect("ASCII")), after, "{before}");
        }
    }
}
