//! S3: 3,500 requests that write and 5,500 that read a second per prefix; what is above is answered 503 SlowDown.
//!
//! AWS partitions keys as load demands, along prefixes of no fixed length. Here a prefix is the bucket and the key up to its
//! last `/`; requests on a bucket as a whole, and listings, belong to the prefix they name. ListBuckets is not limited.

use http::Method;
use lakebed_contract::Clock;
use percent_encoding::percent_decode_str;
use s3s::path::S3Path;
use s3s::{S3Result, s3_error};

use super::{Buckets, Rate};
use crate::config::{CloudConfig, Limits};

const WRITES: Rate = Rate::per_second(3_500);
const READS: Rate = Rate::per_second(5_500);

/// The limits of all buckets; admits everything unless they are AWS's.
#[derive(Debug)]
pub(crate) struct S3Limits(Option<Counted>);

#[derive(Debug)]
struct Counted {
    clock: Clock,
    prefixes: Buckets<String, 2>,
}

impl S3Limits {
    /// As `config` says.
    pub(crate) fn new(config: &CloudConfig) -> Self {
        let counted = || Counted { clock: config.clock.clone(), prefixes: Buckets::default() };
        Self((config.limits == Limits::Aws).then(counted))
    }

    /// Whether anything is limited.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Counts a request, or refuses it.
    pub(crate) fn admit(&self, method: &Method, path: &S3Path, query: Option<&str>) -> S3Result<()> {
        let Some(counted) = &self.0 else { return Ok(()) };
        let Some(prefix) = prefix_of(path, query) else { return Ok(()) };
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let admitted = counted.prefixes.with(prefix, [WRITES, READS], counted.clock.monotonic(), |[writes, reads]| {
            let bucket = if is_read { reads } else { writes };
            bucket.take(1)
        });
        if admitted { Ok(()) } else { Err(s3_error!(SlowDown, "Please reduce your request rate.")) }
    }
}

/// `bucket/prefix/`; `None` for requests on no bucket.
fn prefix_of(path: &S3Path, query: Option<&str>) -> Option<String> {
    let up_to_slash = |key: &str| key.rfind('/').map_or(String::new(), |at| key[..=at].to_owned());
    match path {
        S3Path::Root => None,
        S3Path::Object { bucket, key } => Some(format!("{bucket}/{}", up_to_slash(key))),
        S3Path::Bucket { bucket } => {
            let named = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("prefix="));
            let named = percent_decode_str(named.unwrap_or_default()).decode_utf8_lossy();
            Some(format!("{bucket}/{}", up_to_slash(&named)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_bucket_and_the_key_up_to_its_last_slash() {
        let object = |key: &str| S3Path::Object { bucket: "b".into(), key: key.into() };
        let bucket = S3Path::Bucket { bucket: "b".into() };
        let check = |path: &S3Path, query: Option<&str>, expect: Option<&str>| {
            assert_eq!(prefix_of(path, query).as_deref(), expect, "{path:?}");
        };
        check(&object("k"), None, Some("b/"));
        check(&object("raw/beer/x.gz"), Some("prefix=zzz/"), Some("b/raw/beer/"));
        check(&bucket, Some("list-type=2&prefix=raw%2Fbeer%2Fx"), Some("b/raw/beer/"));
        check(&bucket, None, Some("b/"));
        check(&S3Path::Root, None, None);
    }
}
