//! Requests of KMS: read, judged by AWS's service model, and asked for what is not done here.
//!
//! Promises: no message quotes a plaintext, and what a request asks for in vain is refused rather than ignored.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::envelope::Context;
use super::error::KmsError;
use crate::matrix::Service;
use crate::validation;

/// The members of all requests that are answered. Has no `Debug`: it may hold a plaintext.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    pub(super) alias_name: Option<String>,
    pub(super) ciphertext_blob: Option<String>,
    pub(super) custom_key_store_id: Option<String>,
    pub(super) customer_master_key_spec: Option<String>,
    pub(super) description: Option<String>,
    pub(super) dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<Value>>,
    pub(super) encryption_algorithm: Option<String>,
    encryption_context: Option<Context>,
    grant_tokens: Option<Vec<Value>>,
    pub(super) key_id: Option<String>,
    pub(super) key_spec: Option<String>,
    pub(super) key_usage: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) marker: Option<String>,
    pub(super) multi_region: Option<bool>,
    pub(super) number_of_bytes: Option<usize>,
    pub(super) origin: Option<String>,
    pub(super) plaintext: Option<String>,
    pub(super) policy: Option<String>,
    recipient: Option<Value>,
    pub(super) resource_owners: Option<Vec<String>>,
    pub(super) tags: Option<Vec<Value>>,
    pub(super) target_key_id: Option<String>,
    pub(super) xks_key_id: Option<String>,
}

impl Request {
    /// The request, if the service model takes it and it asks for nothing that no operation does here.
    pub(super) fn read(operation: &str, body: &[u8]) -> Result<Self, KmsError> {
        let unreadable = |message: String| KmsError::new("SerializationException", message);
        // serde's own words may quote the body.
        let place = |error: serde_json::Error| {
            unreadable(format!("malformed JSON at line {} column {}", error.line(), error.column()))
        };
        let request: Value = serde_json::from_slice(body).map_err(place)?;
        if !request.is_object() {
            return Err(unreadable("Expected an object".to_owned()));
        }
        validation::check(Service::Kms, operation, &request)?;
        let request = Self::deserialize(request)
            .map_err(|_| unreadable("a member has a value that its type does not have".to_owned()))?;
        if request.recipient.is_some() {
            return Err(KmsError::unsupported("Recipient"));
        }
        if request.dry_run_modifiers.as_ref().is_some_and(|modifiers| !modifiers.is_empty()) {
            return Err(KmsError::unsupported("DryRunModifiers"));
        }
        if request.grant_tokens.as_ref().is_some_and(|tokens| !tokens.is_empty()) {
            let message = "There are no grants here, so no grant token is valid";
            return Err(KmsError::new("InvalidGrantTokenException", message));
        }
        Ok(request)
    }

    pub(super) fn context(&self) -> Context {
        self.encryption_context.clone().unwrap_or_default()
    }

    /// `DryRun`: the answer of a request that would have succeeded.
    pub(super) fn unless_dry_run(&self) -> Result<(), KmsError> {
        if self.dry_run == Some(true) { Err(KmsError::dry_run()) } else { Ok(()) }
    }

    /// Symmetric keys have one algorithm.
    pub(super) fn algorithm_fits(&self) -> Result<(), KmsError> {
        match self.encryption_algorithm.as_deref() {
            None | Some("SYMMETRIC_DEFAULT") => Ok(()),
            Some(other) => {
                let message = format!("Algorithm {other} and key spec SYMMETRIC_DEFAULT are incompatible.");
                Err(KmsError::new("InvalidKeyUsageException", message))
            }
        }
    }
}

/// A member without which there is no request.
pub(super) fn needed<'a>(member: Option<&'a String>, name: &str) -> Result<&'a str, KmsError> {
    let found = member.map(String::as_str);
    found.ok_or_else(|| KmsError::validation(format!("The request has no {name}")))
}

/// The bytes of a blob.
pub(super) fn bytes(member: Option<&String>, name: &str) -> Result<Vec<u8>, KmsError> {
    let decoded = BASE64_STANDARD.decode(needed(member, name)?);
    decoded.map_err(|_| KmsError::new("SerializationException", format!("{name} is not base64")))
}
