//! The canonical request: the one spelling of a request that client and server both sign.
//!
//! S3 signs its path encoded once, everybody else encodes the path that is sent once more and takes `.`, `..` and double
//! slashes out of it. Since clients disagree about which characters of a path they send encoded, an S3 path is tried in AWS's
//! spelling and as it was sent; both name the same object. A `+` in a query is a space, as it is for whoever acts on it: were
//! it a plus here, one signature would hold for two requests.

use http::header::HOST;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

use super::Service;
use super::claim::Claim;

/// The name of the one algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The host's name among signed headers, in HTTP/2.
pub(super) const AUTHORITY: &str = ":authority";

/// What AWS leaves as it is.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ENCODED_IN_PATH: AsciiSet = ENCODED.remove(b'/');

/// The spellings of a path that may have been signed, AWS's own first.
pub(super) fn paths(path: &str, service: Service) -> Vec<String> {
    let once = percent_encode(&decoded(path), &ENCODED_IN_PATH).to_string();
    let twice = || percent_encode(normalized(path).as_bytes(), &ENCODED_IN_PATH).to_string();
    let mut spellings = match service {
        Service::S3 => vec![once, path.to_owned()],
        // Nobody says how a client of a REST catalog signs its path: the ones there are take either way.
        Service::Catalog | Service::Front => vec![twice(), once],
        Service::DynamoDb | Service::Kinesis | Service::Comprehend | Service::Kms => vec![twice()],
    };
    spellings.dedup();
    spellings
}

fn normalized(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => (),
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn decoded_in_query(text: &str) -> Vec<u8> {
    decoded(&text.replace('+', " "))
}

/// Names and values of a query, decoded.
pub(super) fn parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |text: &str| String::from_utf8_lossy(&decoded_in_query(text)).into_owned();
        (text(name), text(value))
    })
}

fn query(parts: &Parts, is_presigned: bool) -> String {
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let encoded = |text: &str| percent_encode(&decoded_in_query(text), &ENCODED).to_string();
            (encoded(name), encoded(value))
        })
        .filter(|(name, _)| !(is_presigned && name == "X-Amz-Signature"))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn header(parts: &Parts, name: &str) -> String {
    let values = parts.headers.get_all(name).iter();
    let values: Vec<String> = values.map(|value| squeezed(&String::from_utf8_lossy(value.as_bytes()))).collect();
    // HTTP/2 has the host in its URI.
    if values.is_empty() && [HOST.as_str(), AUTHORITY].contains(&name) {
        return parts.uri.authority().map(ToString::to_string).unwrap_or_default();
    }
    values.join(",")
}

/// Without spaces around it, and with single ones within.
fn squeezed(value: &str) -> String {
    let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").trim().to_owned()
}

/// The canonical request; `content` describes the body.
pub(super) fn request(parts: &Parts, claim: &Claim, path: &str, content: &str) -> String {
    let mut text = format!("{}\n{path}\n{}\n", parts.method, query(parts, claim.is_presigned));
    for name in &claim.signed_headers {
        text.push_str(&format!("{name}:{}\n", header(parts, name)));
    }
    text.push_str(&format!("\n{}\n{content}", claim.signed_headers.join(";")));
    text
}

/// What is signed.
pub(super) fn string_to_sign(claim: &Claim, canonical: &str) -> String {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(canonical));
    format!("{ALGORITHM}\n{}\n{}\n{hash}", claim.stamp, claim.scope)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_path_is_encoded_as_its_service_has_it() {
        for (path, service, expected) in [
            ("/b/a%20b!c%2Fd", Service::S3, vec!["/b/a%20b%21c/d", "/b/a%20b!c%2Fd"]),
            ("/b/./k//x", Service::S3, vec!["/b/./k//x"]),
            ("/", Service::Kinesis, vec!["/"]),
            ("/a/./b/../c//d/", Service::DynamoDb, vec!["/a/c/d/"]),
            ("/iceberg/v1/a%1Fb", Service::Catalog, vec!["/iceberg/v1/a%251Fb", "/iceberg/v1/a%1Fb"]),
        ] {
            assert_eq!(paths(path, service), expected, "{path}");
        }
    }

    #[test]
    fn a_query_is_sorted_and_encoded_without_its_signature() {
        let uri = "/?prefix=some/Prefix&X-Amz-Signature=00&a=&marker=b%20%7e&acl&A=1";
        let (parts, ()) = Request::get(uri).body(()).expect("valid").into_parts();
        assert_eq!(query(&parts, true), "A=1&a=&acl=&marker=b%20~&prefix=some%2FPrefix");
        assert!(query(&parts, false).contains("X-Amz-Signature=00"));
        let (parts, ()) = Request::get("/?prefix=a+b&c=d%2Be").body(()).expect("valid").into_parts();
        assert_eq!(query(&parts, false), "c=d%2Be&prefix=a%20b");
    }

    #[test]
    fn header_values_are_squeezed_and_joined() {
        let request = Request::get("http://h:1/").header("x-a", " a   b ").header("x-a", "c");
        let (parts, ()) = request.body(()).expect("valid").into_parts();
        assert_eq!(header(&parts, "x-a"), "a b,c");
        assert_eq!((header(&parts, "host"), header(&parts, AUTHORITY)), ("h:1".to_owned(), "h:1".to_owned()));
        assert_eq!(header(&parts, "x-b"), "");
    }
}
