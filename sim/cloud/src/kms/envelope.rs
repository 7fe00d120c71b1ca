//! The ciphertext of KMS: AES-256-GCM under a key of ours, in a blob that names the key.
//!
//! ```text
//! 1 byte   form, always 1
//! 16 bytes id of the key
//! 12 bytes nonce, drawn anew for each blob
//! rest     ciphertext and its tag of 16 bytes
//! ```
//!
//! Promises: a blob opens only under its key and with the encryption context it was sealed with; one changed bit anywhere and it
//! does not open. The form is our own: AWS's is not documented, and no blob of one opens with the other. Knows no key but the one
//! it is given.

use std::collections::BTreeMap;
use std::io;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use lakebed_contract::Secret;
use uuid::Uuid;

use super::entropy;

const FORM: u8 = 1;
const ID_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + ID_BYTES;

/// `EncryptionContext`: not secret, but authenticated.
pub(super) type Context = BTreeMap<String, String>;

/// Encrypts under the key `id`.
pub(super) fn seal(id: Uuid, key: &Secret<[u8; 32]>, context: &Context, plaintext: &[u8]) -> io::Result<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = entropy::draw()?;
    let mut blob = Vec::with_capacity(HEAD_BYTES + NONCE_BYTES + plaintext.len() + 16);
    blob.push(FORM);
    blob.extend(id.as_bytes());
    let authenticated = authenticated(&blob, context);
    let payload = Payload { msg: plaintext, aad: &authenticated };
    let sealed = Aes256Gcm::new(key.expose().into()).encrypt((&nonce).into(), payload);
    // It fails only at lengths that no request can have.
    let sealed = sealed.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    blob.extend(nonce);
    blob.extend(sealed);
    Ok(blob)
}

/// The key that a blob names; `None` for what is no blob of ours.
pub(super) fn key_of(blob: &[u8]) -> Option<Uuid> {
    let (head, _) = blob.split_at_checked(HEAD_BYTES)?;
    let (form, id) = head.split_first()?;
    if *form == FORM { Uuid::from_slice(id).ok() } else { None }
}

/// Decrypts; `None` for every reason there is, since an answer must not tell them apart.
pub(super) fn open(key: &Secret<[u8; 32]>, context: &Context, blob: &[u8]) -> Option<Secret<Vec<u8>>> {
    let (head, rest) = blob.split_at_checked(HEAD_BYTES)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let authenticated = authenticated(head, context);
    let payload = Payload { msg: sealed, aad: &authenticated };
    let opened = Aes256Gcm::new(key.expose().into()).decrypt(nonce.into(), payload);
    opened.ok().map(Secret::new)
}

/// What is not encrypted and must be the same: the head of the blob and the context, each part after its length, so that no two
/// contexts are written alike.
fn authenticated(head: &[u8], context: &Context) -> Vec<u8> {
    let mut bytes = head.to_vec();
    for part in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(entries: &[(&str, &str)]) -> Context {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_blob_opens_with_its_key_its_context_and_each_of_its_bits_only() {
        let (id, key) = (Uuid::from_u128(7), Secret::new([7; 32]));
        let sealed_with = context(&[("a", "b"), ("c", "")]);
        let blob = seal(id, &key, &sealed_with, b"secret").expect("sealed");
        assert_eq!(key_of(&blob), Some(id));
        assert_eq!(open(&key, &sealed_with, &blob).expect("opens").expose(), b"secret");
        assert!(open(&Secret::new([8; 32]), &sealed_with, &blob).is_none());
        for other in
            [&[][..], &[("a", "b")], &[("a", "b"), ("c", "d")], &[("a", "bc"), ("", "")], &[("A", "b"), ("c", "")]]
        {
            assert!(open(&key, &context(other), &blob).is_none(), "{other:?}");
        }
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, &sealed_with, &changed).is_none(), "bit {bit}");
        }
        for length in 0..blob.len() {
            assert!(open(&key, &sealed_with, &blob[..length]).is_none(), "{length} bytes");
        }
        assert_ne!(seal(id, &key, &sealed_with, b"secret").expect("sealed"), blob, "no nonce comes twice");
        assert_eq!(key_of(&[2; 60]), None);
        assert_eq!(key_of(&[1; 16]), None);
    }
}
