//! Host style: buckets that are named by the host of a request.
//!
//! `PUT /key` to `bucket.s3.us-east-1.amazonaws.com`, `bucket.localhost` and the like becomes `PUT /bucket/key` before
//! anything looks at its path, so everything behind knows one style only. The hosts themselves, addresses and unknown
//! names are path style. Whether such a name leads to this port is not known here.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use s3s::host::{S3Host, VirtualHost};
use s3s::{S3Result, s3_error};

/// Hosts below which buckets are; one that is below another comes first.
const HOSTS: [&str; 5] =
    ["s3.localhost.localstack.cloud", "localhost.localstack.cloud", "s3.localhost", "localhost", "s3.amazonaws.com"];
/// Hosts of regions: `s3.REGION` below it.
const REGIONS_OF: &str = ".amazonaws.com";

/// The bucket that the host of a request names.
pub(super) fn bucket_of<B>(request: &Request<B>) -> Option<String> {
    // HTTP/2 has no Host header.
    let host = match request.headers().get(HOST) {
        Some(host) => host.to_str().ok()?,
        None => request.uri().authority()?.as_str(),
    };
    bucket_in(host)
}

fn bucket_in(host: &str) -> Option<String> {
    let host = host.split_once(':').map_or(host, |(name, _port)| name);
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    let below = |suffix: &str| host.strip_suffix(suffix)?.strip_suffix('.').filter(|bucket| !bucket.is_empty());
    for suffix in HOSTS {
        if host == suffix {
            return None;
        }
        if let Some(bucket) = below(suffix) {
            return Some(bucket.to_owned());
        }
    }
    let (bucket, _region) = host.strip_suffix(REGIONS_OF)?.rsplit_once('.')?;
    bucket.strip_suffix(".s3").filter(|bucket| !bucket.is_empty()).map(str::to_owned)
}

/// Makes a request one in path style; one that cannot be stays as it was.
pub(super) fn to_path_style<B>(request: &mut Request<B>) -> S3Result<()> {
    if let Some(bucket) = bucket_of(request).filter(|_| request.uri().path().starts_with('/')) {
        *request.uri_mut() = below_bucket(request.uri(), &bucket)?;
    }
    Ok(())
}

fn below_bucket(uri: &Uri, bucket: &str) -> S3Result<Uri> {
    let path = match uri.query() {
        Some(query) => format!("/{bucket}{}?{query}", uri.path()),
        None => format!("/{bucket}{}", uri.path()),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|error| s3_error!(error, InvalidURI))?);
    Uri::from_parts(parts).map_err(|error| s3_error!(error, InvalidURI))
}

/// Tells `s3s` that the path names the bucket whatever the host: it is path style by then.
pub(super) struct PathStyle;

impl S3Host for PathStyle {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(VirtualHost::new(Cow::Borrowed(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_before_a_known_host_are_a_bucket() {
        for (host, bucket) in [
            ("b.localhost:4566", "b"),
            ("b.s3.localhost", "b"),
            ("my.dotted.bucket.s3.localhost:4566", "my.dotted.bucket"),
            ("B.S3.Localhost.LocalStack.Cloud:4566", "b"),
            ("b.localhost.localstack.cloud", "b"),
            ("b.s3.amazonaws.com", "b"),
            ("b.s3.eu-central-1.amazonaws.com.", "b"),
            ("my.s3.bucket.s3.us-east-1.amazonaws.com", "my.s3.bucket"),
        ] {
            assert_eq!(bucket_in(host).as_deref(), Some(bucket), "{host}");
        }
        for host in [
            "localhost:4566",
            "s3.localhost",
            "localhost.localstack.cloud",
            "s3.localhost.localstack.cloud:4566",
            "s3.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "kinesis.us-east-1.amazonaws.com",
            "127.0.0.1:4566",
            "[::1]:4566",
            "minio",
            "lake.example.org",
            ".localhost",
            "",
        ] {
            assert_eq!(bucket_in(host), None, "{host}");
        }
    }

    #[test]
    fn path_and_query_go_below_the_bucket() {
        for (uri, host, expected) in [
            ("/k/a%20b?versionId=1", "b.localhost", "/b/k/a%20b?versionId=1"),
            ("/?list-type=2", "b.localhost", "/b/?list-type=2"),
            ("/", "b.localhost", "/b/"),
            ("/b/k", "localhost", "/b/k"),
        ] {
            let mut request = Request::builder().uri(uri).header(HOST, host).body(()).expect("valid");
            to_path_style(&mut request).expect("rewritten");
            assert_eq!(request.uri().to_string(), expected);
        }
        // As HTTP/2 says it.
        let mut request = Request::builder().uri("http://b.localhost/k").body(()).expect("valid");
        to_path_style(&mut request).expect("rewritten");
        assert_eq!(request.uri().path(), "/b/k");
    }
}
