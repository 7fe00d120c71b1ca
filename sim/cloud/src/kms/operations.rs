//! What each operation of KMS does.
//!
//! A key that encrypts or decrypts must be enabled; what else there is to a key can be asked of a disabled one. Decrypt tells a
//! wrong key from a wrong ciphertext as AWS does, and nothing finer.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lakebed_contract::{Secret, Timestamp};
use serde_json::{Value, json};

use super::error::KmsError;
use super::keys::{Key, Keys};
use super::request::{Request, bytes, needed};
use super::{entropy, envelope, listing};
use crate::place::ACCOUNT;

const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";

/// The answer to one request; `None` where AWS answers nothing.
pub(super) fn answer(keys: &Keys, operation: &str, body: &[u8]) -> Result<Option<Value>, KmsError> {
    let read = || Request::read(operation, body);
    match operation {
        "CreateKey" => create_key(keys, &read()?).map(Some),
        "DescribeKey" => describe_key(keys, &read()?).map(Some),
        "ListKeys" => listing::keys(keys, &read()?).map(Some),
        "EnableKey" => set_enabled(keys, &read()?, true).map(|()| None),
        "DisableKey" => set_enabled(keys, &read()?, false).map(|()| None),
        "CreateAlias" => create_alias(keys, &read()?).map(|()| None),
        "DeleteAlias" => delete_alias(keys, &read()?).map(|()| None),
        "ListAliases" => listing::aliases(keys, &read()?).map(Some),
        "Encrypt" => encrypt(keys, &read()?).map(Some),
        "Decrypt" => decrypt(keys, &read()?).map(Some),
        "GenerateDataKey" => generate_data_key(keys, &read()?, true).map(Some),
        "GenerateDataKeyWithoutPlaintext" => generate_data_key(keys, &read()?, false).map(Some),
        "GenerateRandom" => generate_random(&read()?).map(Some),
        _ => {
            let message = format!("KMS operation `{operation}` is not implemented");
            Err(KmsError::new("UnknownOperationException", message))
        }
    }
}

/// A moment as JSON 1.1 has it.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1000.0
}

fn create_key(keys: &Keys, request: &Request) -> Result<Value, KmsError> {
    let only = |member: &Option<String>, name: &str, value: &str| match member.as_deref() {
        Some(given) if given != value => Err(KmsError::unsupported(&format!("{name} {given}"))),
        _ => Ok(()),
    };
    only(&request.key_spec, "KeySpec", SYMMETRIC)?;
    only(&request.customer_master_key_spec, "CustomerMasterKeySpec", SYMMETRIC)?;
    only(&request.key_usage, "KeyUsage", "ENCRYPT_DECRYPT")?;
    only(&request.origin, "Origin", "AWS_KMS")?;
    // All of them would have to mean something afterwards.
    let asked = [
        ("Policy", request.policy.is_some()),
        ("CustomKeyStoreId", request.custom_key_store_id.is_some()),
        ("XksKeyId", request.xks_key_id.is_some()),
        ("MultiRegion", request.multi_region == Some(true)),
        ("Tags", request.tags.as_ref().is_some_and(|tags| !tags.is_empty())),
    ];
    if let Some((name, _)) = asked.iter().find(|(_, is_asked)| *is_asked) {
        return Err(KmsError::unsupported(name));
    }
    let description = request.description.as_deref().unwrap_or_default();
    let key = keys.change(|state, now| state.create_key(description, now))?;
    Ok(json!({ "KeyMetadata": metadata(&key) }))
}

fn describe_key(keys: &Keys, request: &Request) -> Result<Value, KmsError> {
    let state = keys.state();
    Ok(json!({ "KeyMetadata": metadata(state.key(needed(request.key_id.as_ref(), "KeyId")?)?) }))
}

fn metadata(key: &Key) -> Value {
    json!({
        "AWSAccountId": ACCOUNT,
        "KeyId": key.id.to_string(),
        "Arn": key.arn(),
        "CreationDate": seconds(key.created()),
        "Enabled": key.is_enabled,
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": if key.is_enabled { "Enabled" } else { "Disabled" },
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": SYMMETRIC,
        "KeySpec": SYMMETRIC,
        "EncryptionAlgorithms": [SYMMETRIC],
        "MultiRegion": false,
        "CurrentKeyMaterialId": key.material_id,
    })
}

fn set_enabled(keys: &Keys, request: &Request, is_enabled: bool) -> Result<(), KmsError> {
    let named = needed(request.key_id.as_ref(), "KeyId")?;
    keys.change(|state, _| state.set_enabled(named, is_enabled))
}

fn create_alias(keys: &Keys, request: &Request) -> Result<(), KmsError> {
    let name = needed(request.alias_name.as_ref(), "AliasName")?;
    let target = needed(request.target_key_id.as_ref(), "TargetKeyId")?;
    keys.change(|state, now| state.create_alias(name, target, now))
}

fn delete_alias(keys: &Keys, request: &Request) -> Result<(), KmsError> {
    let name = needed(request.alias_name.as_ref(), "AliasName")?;
    keys.change(|state, _| state.delete_alias(name))
}

/// The key a request names, if it may encrypt and decrypt.
fn usable(keys: &Keys, request: &Request) -> Result<Key, KmsError> {
    let key = keys.state().key(needed(request.key_id.as_ref(), "KeyId")?)?.clone();
    is_usable(&key).map(|()| key)
}

fn is_usable(key: &Key) -> Result<(), KmsError> {
    if key.is_enabled {
        return Ok(());
    }
    Err(KmsError::new("DisabledException", format!("{} is disabled.", key.arn())))
}

fn encrypt(keys: &Keys, request: &Request) -> Result<Value, KmsError> {
    let key = usable(keys, request)?;
    request.algorithm_fits()?;
    let plaintext = Secret::new(bytes(request.plaintext.as_ref(), "Plaintext")?);
    request.unless_dry_run()?;
    let blob = envelope::seal(key.id, &key.material, &request.context(), plaintext.expose())?;
    Ok(json!({
        "CiphertextBlob": BASE64_STANDARD.encode(blob),
        "KeyId": key.arn(),
        "EncryptionAlgorithm": SYMMETRIC,
    }))
}

fn decrypt(keys: &Keys, request: &Request) -> Result<Value, KmsError> {
    let blob = bytes(request.ciphertext_blob.as_ref(), "CiphertextBlob")?;
    let id = envelope::key_of(&blob).ok_or_else(KmsError::invalid_ciphertext)?;
    let key = {
        let state = keys.state();
        if let Some(named) = &request.key_id
            && state.key(named)?.id != id
        {
            let message = "The key ID in the request does not identify a CMK that can perform this operation.";
            return Err(KmsError::new("IncorrectKeyException", message));
        }
        state.keys.get(&id).cloned()
    };
    let key = key.ok_or_else(|| {
        let message = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, \
                       or you are not allowed to access.";
        KmsError::new("AccessDeniedException", message)
    })?;
    is_usable(&key)?;
    request.algorithm_fits()?;
    let opened = envelope::open(&key.material, &request.context(), &blob);
    let plaintext = opened.ok_or_else(KmsError::invalid_ciphertext)?;
    request.unless_dry_run()?;
    Ok(json!({
        "KeyId": key.arn(),
        "Plaintext": BASE64_STANDARD.encode(plaintext.expose()),
        "EncryptionAlgorithm": SYMMETRIC,
        "KeyMaterialId": key.material_id,
    }))
}

fn generate_data_key(keys: &Keys, request: &Request, with_plaintext: bool) -> Result<Value, KmsError> {
    let key = usable(keys, request)?;
    let length = match (request.key_spec.as_deref(), request.number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(bytes)) => bytes,
        _ => return Err(KmsError::validation("Please specify either number of bytes or key spec.")),
    };
    request.unless_dry_run()?;
    let plaintext = random(length)?;
    let blob = envelope::seal(key.id, &key.material, &request.context(), plaintext.expose())?;
    let mut answer = json!({
        "CiphertextBlob": BASE64_STANDARD.encode(blob),
        "KeyId": key.arn(),
        "KeyMaterialId": key.material_id,
    });
    if with_plaintext {
        answer["Plaintext"] = BASE64_STANDARD.encode(plaintext.expose()).into();
    }
    Ok(answer)
}

fn generate_random(request: &Request) -> Result<Value, KmsError> {
    if request.custom_key_store_id.is_some() {
        return Err(KmsError::unsupported("CustomKeyStoreId"));
    }
    let length = request.number_of_bytes;
    let length = length.ok_or_else(|| KmsError::validation("Please specify a number of bytes."))?;
    Ok(json!({ "Plaintext": BASE64_STANDARD.encode(random(length)?.expose()) }))
}

fn random(length: usize) -> Result<Secret<Vec<u8>>, KmsError> {
    let mut bytes = vec![0; length];
    entropy::fill(&mut bytes)?;
    Ok(Secret::new(bytes))
}
