//! Takes the signature off a request: header or presigned, any credential, never checked.
//!
//! Removes what signing added (headers, `X-Amz-…` query parameters) and decodes an `aws-chunked` body, so that `s3s`
//! sees an anonymous request with plain bytes. Checksums that travel in trailers are kept for whoever reads the body:
//! see [`Trailers`].

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use hyper::body::Incoming;
use s3s::dto::StreamingBlob;
use s3s::{S3Result, s3_error};

use super::aws_chunked::{self, Trailers};
use super::{buckets, integrity, refused, unrouted};

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const AWS_CHUNKED: &str = "aws-chunked";

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
    refused::check(&parts.headers)?;
    unrouted::check(&parts.uri)?;
    integrity::check_headers(&parts.headers)?;
    buckets::check_expected_owner(&parts.headers)?;
    integrity::drop_unreadable_range(&mut parts.headers);
    for name in [AUTHORIZATION, DATE, SECURITY_TOKEN] {
        parts.headers.remove(name);
    }
    parts.uri = without_presigned_parameters(parts.uri)?;
    let is_chunked =
        parts.headers.remove(CONTENT_SHA256).is_some_and(|hash| hash.as_bytes().starts_with(b"STREAMING-"));
    if !is_chunked {
        return Ok(Request::from_parts(parts, s3s::Body::from(body)));
    }
    let length = decoded_length(&parts.headers)?;
    parts.headers.remove(DECODED_LENGTH);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    drop_aws_chunked(&mut parts.headers);
    let trailers = Trailers::default();
    parts.extensions.insert(trailers.clone());
    let decoded = StreamingBlob::wrap(aws_chunked::decode(body, length, trailers));
    Ok(Request::from_parts(parts, s3s::Body::from(decoded)))
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
    let Some(query) = uri.query().filter(|query| query.to_ascii_lowercase().contains("x-amz-signature=")) else {
        return Ok(uri);
    };
    let is_signing = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        PRESIGNED_PARAMETERS.contains(&name.as_str())
    };
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
        let plain: Uri = "/b/k?prefix=X-Amz-Date".parse().expect("a URI");
        assert_eq!(without_presigned_parameters(plain.clone()).expect("stripped"), plain);
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
