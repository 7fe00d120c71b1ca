//! Headers that ask for something this store does not do. A request that carries one is refused, not half obeyed.

use http::HeaderMap;
use s3s::{S3Result, s3_error};

/// Header name prefixes that are refused whatever their value.
const REFUSED: [&str; 9] = [
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-bucket-object-lock-",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-server-side-encryption-customer-",
    "x-amz-copy-source-server-side-encryption-",
    "x-amz-if-match-",
    "x-amz-mfa",
];

/// Headers of which only some values mean what happens here anyway.
const ALLOWED: [(&str, &[&str]); 4] = [
    ("x-amz-acl", &["private", "bucket-owner-full-control"]),
    ("x-amz-storage-class", &["STANDARD"]),
    ("x-amz-object-ownership", &["BucketOwnerEnforced"]),
    // Terraform says so of every bucket without a lock.
    ("x-amz-bucket-object-lock-enabled", &["false"]),
];

/// `NotImplemented` when a header asks for what is not done here.
pub(super) fn check(headers: &HeaderMap) -> S3Result<()> {
    for (name, value) in headers {
        let name = name.as_str();
        let is_allowed = match ALLOWED.iter().find(|(known, _)| *known == name) {
            Some((_, values)) => values.iter().any(|allowed| value.as_bytes() == allowed.as_bytes()),
            None => !REFUSED.iter().any(|refused| name.starts_with(refused)),
        };
        if !is_allowed {
            return Err(s3_error!(
                NotImplemented,
                "A header you provided implies functionality that is not implemented: {name}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    #[test]
    fn what_would_be_ignored_is_refused() {
        let check = |name: &'static str, value: &'static str| {
            let header = (HeaderName::from_static(name), HeaderValue::from_static(value));
            super::check(&[header].into_iter().collect()).is_ok()
        };
        assert!(check("x-amz-meta-tagging", "a") && check("content-type", "text/plain") && check("if-match", "*"));
        assert!(check("x-amz-acl", "private") && !check("x-amz-acl", "public-read"));
        assert!(check("x-amz-server-side-encryption", "aws:kms"));
        assert!(check("x-amz-server-side-encryption-aws-kms-key-id", "k"));
        assert!(!check("x-amz-server-side-encryption-customer-key", "k") && check("x-amz-tagging", "a=b"));
        let lock = "x-amz-bucket-object-lock-enabled";
        assert!(check(lock, "false") && !check(lock, "true"));
        assert!(!check("x-amz-storage-class", "GLACIER") && !check("x-amz-object-lock-mode", "GOVERNANCE"));
    }
}
