//! One key per use and domain, derived from the master key: knowing one of them tells nothing of the others.
//!
//! HKDF-Expand of RFC 5869 with SHA-256 and the master key as PRK, which it may be because it is uniformly random: for one block
//! that is `HMAC-SHA256(master, info + 0x01)`. The info strings are public and pinned: tokens depend on them.

use hkdf::Hkdf;
use lakebed_contract::{MaskKey, Secret};
use sha2::Sha256;

/// What a key is for. One domain has different keys for different uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// HMAC tokens.
    Token,
    /// FF1 encryption.
    Fpe,
}

/// The key of a domain.
pub(crate) fn domain_key(master: &MaskKey, purpose: Purpose, domain: &str) -> Secret<[u8; 32]> {
    // No info of one purpose can be one of the other, whatever the domain.
    let info: &[u8] = match purpose {
        Purpose::Token => b"lakebed/v1/",
        Purpose::Fpe => b"lakebed/fpe/v1/",
    };
    let mut key = [0; 32];
    Hkdf::<Sha256>::from_prk(master.expose())
        .expect("a master key is as long as a SHA-256 digest")
        .expand_multi_info(&[info, domain.as_bytes()], &mut key)
        .expect("one digest is within what HKDF may give");
    Secret::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, Mac};

    #[test]
    fn derivation_is_one_hmac_as_published() {
        let master = MaskKey::new(3, [0xab; 32]);
        let mut mac = Hmac::<Sha256>::new_from_slice(&[0xab; 32]).expect("any length");
        mac.update(b"lakebed/v1/email\x01");
        let expected: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(domain_key(&master, Purpose::Token, "email").expose(), &expected);
    }

    #[test]
    fn uses_domains_and_masters_have_keys_of_their_own() {
        let key = |byte, purpose, domain| *domain_key(&MaskKey::new(1, [byte; 32]), purpose, domain).expose();
        let keys = [
            key(1, Purpose::Token, "email"),
            key(1, Purpose::Token, "cpf"),
            key(1, Purpose::Fpe, "cpf"),
            key(2, Purpose::Token, "email"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key));
        }
    }
}
