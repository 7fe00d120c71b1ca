//! The keys that are enforced, and what follows from them: signing keys of a day, region and service, bearer tokens.
//!
//! Signatures and tokens are compared in constant time. An id is public, so looking one up need not be: AWS tells an unknown
//! id from a wrong signature too. Derived keys are kept, at most [`DERIVED_MAX`] of them, and only of requests whose
//! signature was right.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, Mac};
use lakebed_contract::Secret;
use lakebed_contract::endpoints::bearer_token;
use sha2::Sha256;

use super::claim::{Claim, Scope, TERMINATOR};
use crate::config::AccessKey;

/// Signing keys that are kept.
const DERIVED_MAX: usize = 64;

/// A key derived for one day, region and service. Has no `Debug`, so that it cannot be logged.
#[derive(Clone)]
pub(super) struct SigningKey([u8; 32]);

impl SigningKey {
    fn derive(secret: &str, scope: &Scope) -> Self {
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
        for part in [scope.region.as_str(), scope.service.as_str(), TERMINATOR] {
            key = hmac(&key, part.as_bytes());
        }
        Self(key)
    }

    /// Whether `signature`, 64 lower-case hexadecimal digits, is that of `text`.
    pub(super) fn signed(&self, text: &[u8], signature: &str) -> bool {
        match data_encoding::HEXLOWER.decode(signature.as_bytes()) {
            Ok(signature) => new_mac(&self.0).chain_update(text).verify_slice(&signature).is_ok(),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
impl SigningKey {
    /// The key of AWS's example of a body in chunks.
    pub(super) fn for_tests(scope: &Scope) -> Self {
        Self::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", scope)
    }

    pub(super) fn sign(&self, text: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(&hmac(&self.0, text))
    }
}

fn new_mac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    new_mac(key).chain_update(text).finalize().into_bytes().into()
}

/// Whether two texts are the same, in a time that tells nothing about where they differ.
fn is_same(one: &str, other: &str) -> bool {
    new_mac(b"compare").chain_update(one).verify_slice(&hmac(b"compare", other.as_bytes())).is_ok()
}

/// The keys that are enforced.
pub(super) struct Keys {
    keys: Vec<AccessKey>,
    tokens: Vec<Secret<String>>,
    derived: Mutex<HashMap<(String, Scope), SigningKey>>,
}

impl Keys {
    pub(super) fn new(keys: &[AccessKey]) -> Self {
        let tokens = keys.iter().map(|key| Secret::new(bearer_token(&key.id, key.secret.expose()))).collect();
        Self { keys: keys.to_vec(), tokens, derived: Mutex::default() }
    }

    fn find(&self, id: &str) -> Option<&AccessKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Whether there is a key of this id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// The key that `claim` says it was signed with.
    pub(super) fn signing_key(&self, claim: &Claim) -> Option<SigningKey> {
        let key = self.find(&claim.key_id)?;
        let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = derived.get(&(claim.key_id.clone(), claim.scope.clone())).cloned();
        drop(derived);
        Some(kept.unwrap_or_else(|| SigningKey::derive(key.secret.expose(), &claim.scope)))
    }

    /// Keeps a signing key for the next request.
    pub(super) fn keep(&self, claim: &Claim, key: &SigningKey) {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (claim.key_id.clone(), claim.scope.clone());
        if derived.contains_key(&name) {
            return;
        }
        if derived.len() >= DERIVED_MAX {
            derived.clear();
        }
        derived.insert(name, key.clone());
    }

    /// Whether this is the token of one of the keys.
    pub(super) fn has_token(&self, given: &str) -> bool {
        // All of them, so that the time does not tell which.
        self.tokens.iter().fold(false, |found, token| is_same(token.expose(), given) | found)
    }

    /// The token of a key, if id and secret are right.
    pub(super) fn token_of(&self, id: &str, secret: &str) -> Option<String> {
        let key = self.find(id).filter(|key| is_same(key.secret.expose(), secret))?;
        Some(bearer_token(&key.id, key.secret.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signing_key_of_the_aws_documentation_comes_out() {
        let [date, region, service] = ["20150830", "us-east-1", "iam"].map(str::to_owned);
        let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &Scope { date, region, service });
        let expected = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(data_encoding::HEXLOWER.encode(&key.0), expected);
    }

    #[test]
    fn only_the_right_signature_and_token_are_taken() {
        let secret = Secret::new("s".to_owned());
        let keys = Keys::new(&[AccessKey { id: "k".to_owned(), secret }]);
        let token = keys.token_of("k", "s").expect("the key's own");
        assert!(keys.has_token(&token) && !keys.has_token("") && !keys.has_token(&token[1..]));
        assert_eq!((keys.token_of("k", "t"), keys.token_of("l", "s")), (None, None));
        let key = SigningKey([7; 32]);
        let signature = key.sign(b"text");
        assert!(key.signed(b"text", &signature) && !key.signed(b"Text", &signature));
        assert!(!key.signed(b"text", &signature.to_uppercase()) && !key.signed(b"text", ""));
    }
}
