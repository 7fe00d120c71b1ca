//! S3's error answers in AWS's form: what `s3s` leaves out of the XML, and the two ids of every answer.
//!
//! The document has Code, Message (AWS's own text where nobody gave another), what the error is about as far as the
//! request tells it (BucketName, Key, UploadId, …), Resource, RequestId and HostId. Answers to HEAD, and 304, have no
//! body. `x-amz-id-2` of an answer, and HostId of an error, are the SHA-384 of its request id: the same for the same
//! request, and of no further meaning. Knows of a request only its method, its URI and a few headers.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::request_id;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
/// Headers that a `PreconditionFailed` can be about, and AWS's names of them.
const CONDITIONS: [(&str, &str); 8] = [
    ("if-match", "If-Match"),
    ("if-none-match", "If-None-Match"),
    ("if-unmodified-since", "If-Unmodified-Since"),
    ("if-modified-since", "If-Modified-Since"),
    ("x-amz-copy-source-if-match", "x-amz-copy-source-If-Match"),
    ("x-amz-copy-source-if-none-match", "x-amz-copy-source-If-None-Match"),
    ("x-amz-copy-source-if-unmodified-since", "x-amz-copy-source-If-Unmodified-Since"),
    ("x-amz-copy-source-if-modified-since", "x-amz-copy-source-If-Modified-Since"),
];

/// Elements of an error that whoever made the answer knows; in the extensions of the answer.
#[derive(Clone)]
pub(super) struct Extras(pub(super) Vec<(&'static str, String)>);

/// What an error says about the request it answers.
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    /// Errors of a copy may be about its source, which the URI does not name.
    is_copy: bool,
    range: Option<String>,
    /// The only condition of the request; `None` when there are several.
    condition: Option<&'static str>,
}

impl Asked {
    /// Reads a request before it is taken apart.
    pub(super) fn by<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            is_copy: headers.contains_key("x-amz-copy-source"),
            range: headers.get(RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned),
            condition: only_condition(headers),
        }
    }

    /// Bucket and key of the path, decoded.
    fn target(&self) -> (String, String) {
        let path = self.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        (decoded(bucket), decoded(key))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| decoded(value))
    }

    /// Elements that only errors of this code have.
    fn details(&self, code: &str) -> Vec<(&'static str, String)> {
        let (bucket, key) = self.target();
        match code {
            "NoSuchBucket" | "NoSuchKey" if self.is_copy => Vec::new(),
            "NoSuchBucket"
            | "BucketNotEmpty"
            | "BucketAlreadyOwnedByYou"
            | "InvalidBucketName"
            | "NoSuchBucketPolicy"
            | "NoSuchCORSConfiguration"
            | "NoSuchWebsiteConfiguration"
            | "NoSuchLifecycleConfiguration"
            | "ReplicationConfigurationNotFoundError"
            | "ObjectLockConfigurationNotFoundError" => vec![("BucketName", bucket)],
            "NoSuchTagSet" if key.is_empty() => vec![("BucketName", bucket)],
            "NoSuchKey" => vec![("Key", key)],
            "NoSuchVersion" => {
                let version = self.parameter("versionId").map(|version| ("VersionId", version));
                [("Key", key)].into_iter().chain(version).collect()
            }
            "NoSuchUpload" => self.parameter("uploadId").map(|id| ("UploadId", id)).into_iter().collect(),
            "InvalidRange" => self.range.clone().map(|range| ("RangeRequested", range)).into_iter().collect(),
            "PreconditionFailed" => self.condition.map(|name| ("Condition", name.to_owned())).into_iter().collect(),
            "MethodNotAllowed" => vec![("Method", self.method.to_string())],
            _ => Vec::new(),
        }
    }
}

fn only_condition(headers: &HeaderMap) -> Option<&'static str> {
    let mut named = CONDITIONS.iter().filter(|(header, _)| headers.contains_key(*header));
    let (_, name) = named.next()?;
    named.next().is_none().then_some(*name)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The answer with its ids, and with AWS's document if it is an error.
pub(super) fn finish(
    mut response: Response<s3s::Body>,
    asked: &Asked,
    request_id: &HeaderValue,
) -> Response<s3s::Body> {
    let host_id = request_id::host_id(request_id.to_str().unwrap_or_default());
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = s3s::Body::empty();
    } else if status.is_client_error() || status.is_server_error() {
        let extras = response.extensions_mut().remove::<Extras>().map_or_else(Vec::new, |Extras(extras)| extras);
        let said = response.body().bytes().unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let ids = [request_id.to_str().unwrap_or_default(), &host_id];
        let document = document(&said, status, asked, extras, ids);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        response.headers_mut().remove(CONTENT_LENGTH);
        let is_bodiless = asked.method == Method::HEAD;
        *response.body_mut() = if is_bodiless { s3s::Body::empty() } else { s3s::Body::from(document) };
    }
    response.headers_mut().insert(REQUEST_ID, request_id.clone());
    let host_id = HeaderValue::from_str(&host_id).expect("base64 is ASCII");
    response.headers_mut().insert(HOST_ID, host_id);
    response
}

fn document(
    said: &str,
    status: StatusCode,
    asked: &Asked,
    extras: Vec<(&'static str, String)>,
    [request_id, host_id]: [&str; 2],
) -> String {
    let code = element(said, "Code").unwrap_or("InternalError");
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    // What was said is XML already.
    push(&mut xml, "Code", code);
    match element(said, "Message") {
        Some(text) => push(&mut xml, "Message", text),
        None => {
            let text = message_of(code).or_else(|| status.canonical_reason()).unwrap_or(code);
            push(&mut xml, "Message", &escaped(text));
        }
    }
    // AWS writes characters that XML cannot carry as they are; a client could not read the rest then.
    let is_unwritable =
        |character: char| (character.is_control() && character != '\n') || matches!(character, '\u{FFFE}' | '\u{FFFF}');
    let is_writable = |text: &String| !text.chars().any(is_unwritable);
    for (name, text) in asked.details(code).into_iter().chain(extras).filter(|(_, text)| is_writable(text)) {
        push(&mut xml, name, &escaped(&text));
    }
    push(&mut xml, "Resource", &escaped(asked.uri.path()));
    push(&mut xml, "RequestId", &escaped(request_id));
    push(&mut xml, "HostId", &escaped(host_id));
    xml.push_str("</Error>");
    xml
}

/// The text of the first element of this name, as it is written.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn push(xml: &mut String, name: &str, text: &str) {
    for piece in ["<", name, ">", text, "</", name, ">"] {
        xml.push_str(piece);
    }
}

fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            _ => xml.push(character),
        }
    }
    xml
}

/// AWS's text of a code.
pub(super) fn message_of(code: &str) -> Option<&'static str> {
    MESSAGES.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

const MESSAGES: [(&str, &str); 40] = [
    ("AccessDenied", "Access Denied"),
    ("BadDigest", "The Content-MD5 or checksum value that you specified did not match what the server received."),
    ("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it."),
    ("BucketNotEmpty", "The bucket you tried to delete is not empty"),
    (
        "ConditionalRequestConflict",
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    ("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
    ("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"),
    ("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    ("InternalError", "We encountered an internal error. Please try again."),
    ("InvalidArgument", "Invalid Argument"),
    ("InvalidBucketOwnerAWSAccountID", "The value of the expected bucket owner parameter must be an AWS account ID."),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("InvalidDigest", "The Content-MD5 you specified was invalid."),
    ("InvalidLocationConstraint", "The specified location-constraint is not valid"),
    (
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified \
         entity tag may not match the part's entity tag.",
    ),
    ("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number."),
    ("InvalidRange", "The requested range is not satisfiable"),
    ("InvalidRequest", "Invalid Request"),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("KeyTooLongError", "Your key is too long"),
    ("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"),
    ("MaxMessageLengthExceeded", "Your request was too big."),
    ("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"),
    ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    ("MissingContentLength", "You must provide the Content-Length HTTP header."),
    ("MissingRequestBodyError", "Request Body is empty"),
    ("NoSuchBucket", "The specified bucket does not exist"),
    ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    ("NoSuchKey", "The specified key does not exist."),
    ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    ("NoSuchTagSet", "The TagSet does not exist"),
    (
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
         completed.",
    ),
    ("NoSuchVersion", "The specified version does not exist."),
    ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    ("NotImplemented", "A header you provided implies functionality that is not implemented"),
    ("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
    ("PreconditionFailed", "At least one of the pre-conditions you specified did not hold"),
    ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    ("SlowDown", "Please reduce your request rate."),
];

#[cfg(test)]
mod tests {
    use s3s::{S3Error, s3_error};

    use super::*;

    fn answer(method: &str, uri: &str, error: S3Error) -> (Response<s3s::Body>, String) {
        let request = Request::builder().method(method).uri(uri).header("range", "bytes=9-").body(()).expect("valid");
        let response = error.to_http_response().expect("serialisable");
        let response = finish(response, &Asked::by(&request), &HeaderValue::from_static("4442587FB7D0A2F9"));
        let body = response.body().bytes().expect("in memory");
        let body = String::from_utf8(body.to_vec()).expect("text");
        (response, body)
    }

    #[test]
    fn an_error_says_what_it_is_about() {
        let (response, body) = answer("GET", "/b/a%20b%26c?x-id=GetObject", s3_error!(NoSuchKey));
        let host_id = response.headers()["x-amz-id-2"].to_str().expect("ASCII");
        assert_eq!(host_id.len(), 64);
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does \
             not exist.</Message><Key>a b&amp;c</Key><Resource>/b/a%20b%26c</Resource>\
             <RequestId>4442587FB7D0A2F9</RequestId><HostId>{host_id}</HostId></Error>"
        );
        assert_eq!(body, expected);
        assert_eq!(response.headers()["x-amz-request-id"], "4442587FB7D0A2F9");
        assert_eq!(response.headers()["content-type"], "application/xml");
    }

    #[test]
    fn a_message_of_our_own_is_kept_and_escaped_once() {
        let (_, body) = answer("PUT", "/b", s3_error!(NotImplemented, "a < b & c"));
        assert_eq!(element(&body, "Message"), Some("a &lt; b &amp; c"));
    }

    #[test]
    fn each_code_has_its_details() {
        for (error, name, text) in [
            (s3_error!(NoSuchBucket), "BucketName", Some("b")),
            (s3_error!(NoSuchUpload), "UploadId", Some("u/1")),
            (s3_error!(InvalidRange), "RangeRequested", Some("bytes=9-")),
            (s3_error!(NoSuchVersion), "VersionId", Some("v")),
            (s3_error!(AccessDenied), "BucketName", None),
            (s3_error!(PreconditionFailed), "Condition", None),
        ] {
            let code = error.code().as_str().to_owned();
            let (_, body) = answer("GET", "/b/k?uploadId=u%2F1&versionId=v", error);
            assert_eq!(element(&body, name), text, "{code}: {body}");
        }
        let (_, body) = answer("GET", "/b/a%01b", s3_error!(NoSuchKey));
        assert_eq!((element(&body, "Code"), element(&body, "Key")), (Some("NoSuchKey"), None));
    }

    #[test]
    fn head_and_not_modified_have_no_body() {
        let (response, body) = answer("HEAD", "/b/k", s3_error!(NoSuchKey));
        assert_eq!((response.status().as_u16(), body.as_str()), (404, ""));
        let (response, body) = answer("GET", "/b/k", s3_error!(NotModified));
        assert_eq!((response.status().as_u16(), body.as_str()), (304, ""));
        assert!(response.headers().contains_key("x-amz-id-2"));
    }

    #[test]
    fn an_answer_that_is_no_error_only_gets_its_ids() {
        let request = Request::builder().uri("/b/k").body(()).expect("valid");
        let response = Response::new(s3s::Body::from("<Code>x</Code>".to_owned()));
        let response = finish(response, &Asked::by(&request), &HeaderValue::from_static("1"));
        assert_eq!(response.body().bytes().as_deref(), Some(&b"<Code>x</Code>"[..]));
        assert!(response.headers().contains_key("x-amz-request-id") && response.headers().contains_key("x-amz-id-2"));
    }

    #[test]
    fn codes_of_the_table_are_codes_of_s3() {
        for (code, text) in MESSAGES {
            let known = s3s::S3ErrorCode::from_bytes(code.as_bytes());
            assert!(known.is_some_and(|known| known.status_code().is_some()), "{code} has no status");
            assert!(!text.is_empty());
        }
    }
}
