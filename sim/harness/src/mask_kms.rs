//! Mask keys of real data through KMS, for the command line, which knows no pipeline crate.
//!
//! A refusal of KMS is the user's to mend (the key's id, its state, the rights of the credentials) and an input error; a KMS that
//! does not answer is the environment's fault.

use lakebed_contract::{EncryptedKey, MaskKey};
use lakebed_ingest::kms::{KmsError, MaskKms};

use crate::backend::ExternalStores;
use crate::error::HarnessError;

/// The mask key, when KMS has decrypted it.
pub async fn open(key: &EncryptedKey, stores: &ExternalStores) -> Result<MaskKey, HarnessError> {
    let endpoints = stores.endpoints("");
    MaskKms::new(&endpoints).open(key).await.map_err(|error| told(error, &endpoints.kms_url))
}

/// The line of a ring with a new mask key of a version, encrypted by the KMS key `key_id`. Its plaintext is never here.
pub async fn new_line(key_id: &str, version: u32, stores: &ExternalStores) -> Result<String, HarnessError> {
    let endpoints = stores.endpoints("");
    let made = MaskKms::new(&endpoints).make(key_id, version).await;
    Ok(made.map_err(|error| told(error, &endpoints.kms_url))?.to_line())
}

fn told(error: KmsError, url: &str) -> HarnessError {
    match error {
        KmsError::Refused { .. } | KmsError::NoKey(_) => HarnessError::Input { message: error.to_string() },
        KmsError::Unanswered { .. } => HarnessError::endpoint("KMS", url)(error),
    }
}
