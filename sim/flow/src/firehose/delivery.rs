//! Writes sealed buffers to S3, compressed, under names that do not repeat.
//!
//! Promises: at most [`PUT_ATTEMPTS_MAX`] attempts per object and call, waiting on the clock; every attempt for one object
//! uses the same key, so a put that succeeded unseen is overwritten by itself.

use std::io::Write;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use lakebed_contract::seed::uuid_from;
use lakebed_contract::{Clock, FaultKind};
use rand_chacha::ChaCha8Rng;

use super::buffers::{Sealed, Target};
use super::prefix::{Prefix, object_time};
use crate::backoff::Backoff;
use crate::error::FlowError;

/// Attempts to put one object before the delivery stream reports an error. It then keeps the object and tries again.
pub const PUT_ATTEMPTS_MAX: u32 = 5;
const PUT_WAIT_START: Duration = Duration::from_millis(100);
const PUT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Configuration version in object names; this delivery stream cannot be updated.
const STREAM_VERSION: u32 = 1;
/// What a garbled copy begins with.
const GARBLED_LINE: &[u8] = b"{\"data\":{\"broken\n";

/// Names objects.
#[derive(Debug)]
pub(crate) struct Naming {
    pub(crate) stream: String,
    pub(crate) prefix: Prefix,
    pub(crate) error_prefix: Prefix,
    pub(crate) rng: ChaCha8Rng,
}

/// An object with its final key and bytes.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) body: Bytes,
    pub(crate) sealed: Sealed,
}

impl Naming {
    /// `<prefix><stream>-1-YYYY-MM-dd-HH-mm-ss-<uuid>.gz`
    pub(crate) fn key(&mut self, sealed: &Sealed) -> String {
        let prefix = match &sealed.target {
            Target::Partition(keys) => self.prefix.evaluate(keys, sealed.oldest, "", &mut self.rng),
            Target::Error(kind) => {
                self.error_prefix.evaluate(&Default::default(), sealed.oldest, kind.as_str(), &mut self.rng)
            }
        };
        let (time, uuid) = (object_time(sealed.oldest), uuid_from(&mut self.rng));
        format!("{prefix}{}-{STREAM_VERSION}-{time}-{uuid}.gz", self.stream)
    }

    /// Names and compresses a sealed buffer.
    pub(crate) async fn object(&mut self, mut sealed: Sealed) -> Object {
        let key = self.key(&sealed);
        let bytes = std::mem::take(&mut sealed.bytes);
        let body = tokio::task::spawn_blocking(move || gzip(&bytes)).await.expect("compressing does not panic");
        Object { key, body: Bytes::from(body), sealed }
    }
}

impl Naming {
    /// The second object that a fault leaves beside `object`, under a name of its own; `None` for a fault that leaves none.
    pub(crate) fn faulty_copy(&mut self, object: &Object, fault: FaultKind) -> Option<Object> {
        let body = match fault {
            FaultKind::Duplicate => object.body.clone(),
            // Half an object, as an upload that broke off and was taken for whole.
            FaultKind::Truncate => object.body.slice(..object.body.len() / 2),
            // A member more: gzip files may be strung together, and this one begins with a line that is no JSON.
            FaultKind::Garble => [gzip(GARBLED_LINE).as_slice(), &object.body].concat().into(),
            FaultKind::Error
            | FaultKind::Reorder
            | FaultKind::Lose
            | FaultKind::Kill
            | FaultKind::Delay
            | FaultKind::DropAnswer => return None,
        };
        Some(Object { key: self.key(&object.sealed), body, sealed: object.sealed.clone() })
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(3));
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// Puts an object.
pub(crate) async fn put(client: &Client, clock: &Clock, bucket: &str, object: &Object) -> Result<(), FlowError> {
    let mut backoff = Backoff::new(PUT_WAIT_START, PUT_WAIT_MAX);
    let mut attempt = 1;
    loop {
        let body = ByteStream::from(object.body.clone());
        let sent = client
            .put_object()
            .bucket(bucket)
            .key(&object.key)
            .content_type("application/octet-stream")
            .body(body)
            .send()
            .await;
        match sent {
            Ok(_) => return Ok(()),
            Err(_) if attempt < PUT_ATTEMPTS_MAX => backoff.wait(clock).await,
            Err(error) => {
                return Err(FlowError::store("S3", "PutObject", &format!("{bucket}/{}", object.key), error));
            }
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firehose::buffers::ErrorType;
    use crate::firehose::prefix::PrefixUse;
    use lakebed_contract::{Seed, Timestamp};
    use std::collections::BTreeMap;
    use std::io::Read;

    #[tokio::test]
    async fn objects_are_named_and_compressed() {
        let mut naming = Naming {
            stream: "dm-firehose-stream".to_owned(),
            prefix: Prefix::parse("raw/!{partitionKeyFromLambda:table_name}/", PrefixUse::Data).expect("valid"),
            error_prefix: Prefix::parse("errors/!{firehose:error-output-type}/", PrefixUse::Error).expect("valid"),
            rng: Seed(7).rng("test"),
        };
        let keys = BTreeMap::from([("table_name".to_owned(), "beer".to_owned())]);
        let sealed = Sealed {
            target: Target::Partition(keys),
            bytes: b"{\"a\":1}\n".to_vec(),
            tables: BTreeMap::new(),
            oldest: Timestamp(1_722_214_747_686_557),
        };
        let object = naming.object(sealed.clone()).await;
        let name = object.key.strip_prefix("raw/beer/dm-firehose-stream-1-2024-07-29-00-59-07-").expect("its name");
        assert_eq!(name.len(), 36 + ".gz".len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&object.body[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, "{\"a\":1}\n");
        let failed = Sealed { target: Target::Error(ErrorType::ProcessingFailed), ..sealed.clone() };
        let (first, second) = (naming.key(&failed), naming.key(&failed));
        assert!(first.starts_with("errors/processing-failed/dm-firehose-stream-1-"), "{first}");
        assert_ne!(first, second);
    }
}
