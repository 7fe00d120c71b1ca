//! Mask keys that lie encrypted by KMS: opening one, and making one.
//!
//! Promises: each call says for which mask key it is (`EncryptionContext`), and names the KMS key it expects, so a line of another
//! purpose, version or key does not open; what was decrypted is in no error, no log and no `Debug`, and neither is an answer that
//! could not be understood. A key is made without its plaintext, which only `Decrypt` gives. Knows AWS's API, not who answers it.

use std::error::Error;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use lakebed_contract::mask_key::{KeyRingError, WrittenKey};
use lakebed_contract::{EncryptedKey, Endpoints, MaskKey, Secret, WrittenRing};

use crate::error::with_sources;

/// How long one operation may take, its retries included: a run does not begin without its key.
const KMS_TIME_MAX: Duration = Duration::from_secs(30);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// KMS said no, and will say so again.
    #[error("failed to {action} with KMS key `{key_id}`: {code}{}", after_colon(message))]
    Refused {
        /// What was attempted.
        action: String,
        /// Id, ARN or alias of the KMS key.
        key_id: String,
        /// AWS's name of the error.
        code: String,
        /// KMS's words; AWS gives none for a ciphertext that does not open.
        message: String,
    },
    /// KMS cannot be reached, or cannot answer now.
    #[error("failed to {action} with KMS key `{key_id}`: {reason}")]
    Unanswered {
        /// What was attempted.
        action: String,
        /// Id, ARN or alias of the KMS key.
        key_id: String,
        /// What the SDK says.
        reason: String,
    },
    /// What KMS has decrypted is no mask key.
    #[error(transparent)]
    NoKey(#[from] KeyRingError),
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// A client of KMS for mask keys.
#[derive(Clone, Debug)]
pub struct MaskKms {
    client: Client,
}

impl MaskKms {
    /// Connects to nothing yet.
    pub fn new(endpoints: &Endpoints) -> Self {
        let config = aws_sdk_kms::config::Builder::from(&endpoints.sdk_config(&endpoints.kms_url));
        let patience = TimeoutConfig::builder().operation_timeout(KMS_TIME_MAX).build();
        Self { client: Client::from_conf(config.timeout_config(patience).build()) }
    }

    /// The mask key, decrypted.
    ///
    /// # Errors
    /// KMS refuses or does not answer; what it gives is no mask key.
    pub async fn open(&self, key: &EncryptedKey) -> Result<MaskKey, KmsError> {
        Ok(key.opened(&self.decrypt(key).await?)?)
    }

    /// A new mask key of a version, encrypted by the KMS key `key_id`. It names the KMS key by the ARN that KMS answers, which stays
    /// when an alias moves on. Its line is one that can be read again.
    ///
    /// # Errors
    /// KMS refuses, or does not answer with a key.
    pub async fn make(&self, key_id: &str, version: u32) -> Result<EncryptedKey, KmsError> {
        let action = format!("make a mask key of version {version}");
        let request = self.client.generate_data_key_without_plaintext().key_id(key_id).key_spec(DataKeySpec::Aes256);
        let context = EncryptedKey::context(version).into_iter().collect();
        let answer = request.set_encryption_context(Some(context)).send().await;
        let answer = answer.map_err(|error| failed(&action, key_id, &error))?;
        let (arn, ciphertext) = (answer.key_id, answer.ciphertext_blob.map(Blob::into_inner));
        made(version, arn, ciphertext).map_err(|reason| {
            let (key_id, reason) = (key_id.to_owned(), reason.to_owned());
            KmsError::Unanswered { action, key_id, reason }
        })
    }

    async fn decrypt(&self, key: &EncryptedKey) -> Result<Secret<Vec<u8>>, KmsError> {
        let EncryptedKey { version, key_id, ciphertext } = key;
        let action = format!("decrypt the mask key of version {version}");
        let request = self.client.decrypt().key_id(key_id).ciphertext_blob(Blob::new(ciphertext.clone()));
        let context = EncryptedKey::context(*version).into_iter().collect();
        let answer = request.set_encryption_context(Some(context)).send().await;
        let answer = answer.map_err(|error| failed(&action, key_id, &error))?;
        let plain = answer.plaintext.map(|plain| Secret::new(plain.into_inner()));
        plain.ok_or_else(|| {
            let (key_id, reason) = (key_id.clone(), "its answer has no plaintext".to_owned());
            KmsError::Unanswered { action, key_id, reason }
        })
    }
}

/// The key of an answer. A line that nobody can read must not be written: the next run would find no key in it.
fn made(version: u32, arn: Option<String>, ciphertext: Option<Vec<u8>>) -> Result<EncryptedKey, &'static str> {
    let key_id = arn.ok_or("its answer names no KMS key")?;
    let ciphertext = ciphertext.ok_or("its answer has no ciphertext")?;
    let key = EncryptedKey { version, key_id, ciphertext };
    let read = WrittenRing::parse(&key.to_line());
    if read.is_ok_and(|ring| *ring.newest() == WrittenKey::Encrypted(key.clone())) {
        Ok(key)
    } else {
        Err("its answer makes no line of a key file")
    }
}

/// An error of the SDK, in words only: its `Debug` shows answers whole, and one of them is a key.
fn failed<E>(action: &str, key_id: &str, error: &SdkError<E>) -> KmsError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let (action, key_id) = (action.to_owned(), key_id.to_owned());
    let status = error.raw_response().map(|response| response.status().as_u16());
    let said = error.as_service_error().and_then(|said| said.code().map(|code| (code, said.message())));
    match said {
        Some((code, message)) if status.is_some_and(|status| status < 500) && code != "ThrottlingException" => {
            let (code, message) = (code.to_owned(), message.unwrap_or_default().to_owned());
            KmsError::Refused { action, key_id, code, message }
        }
        _ => KmsError::Unanswered { action, key_id, reason: with_sources(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_makes_no_line_is_no_key() {
        let arn = || Some("arn:aws:kms:us-east-1:000000000000:key/a".to_owned());
        let key = made(1, arn(), Some(vec![1, 2, 3])).expect("a key");
        assert_eq!(key.to_line(), "1:kms:arn:aws:kms:us-east-1:000000000000:key/a:AQID");
        assert_eq!(made(1, None, Some(vec![1])), Err("its answer names no KMS key"));
        assert_eq!(made(1, arn(), None), Err("its answer has no ciphertext"));
        for (key_id, ciphertext) in
            [(arn(), vec![]), (Some(String::new()), vec![1]), (Some("a\nb".to_owned()), vec![1])]
        {
            assert_eq!(made(1, key_id, Some(ciphertext)), Err("its answer makes no line of a key file"));
        }
    }
}
