//! The master keys of the mask: one that is used, older ones whose tokens still stand in the lake, and who provides them.
//!
//! A key is 256 bits and a version; the version stands in every token. The written form of a ring is one key a line,
//! `<version>:<64 hexadecimal digits>`, or `<version>:kms:<id, ARN or alias of a KMS key>:<base64>` where only KMS can tell the key;
//! a lone key without a version is version 1; lines that begin with `#` are comments. The highest version is the one that masks.
//! Promises: no key is shown by `Debug` or an error. Reads no file and no environment and asks no KMS itself: a [`KeyProvider`]
//! at the edge of the program does the one, whoever opens a [`WrittenRing`] the other.

use std::fmt;

use crate::secret::Secret;
pub use crate::written_ring::{EncryptedKey, WrittenKey, WrittenRing};

/// Keys a ring may hold: the one in use and eleven years of yearly rotations before it.
pub const KEYS_MAX: usize = 12;
/// Bytes of one key.
pub const KEY_BYTES: usize = 32;

/// 256 bits of key material and the version that stands in every token made with it.
#[derive(Clone, PartialEq, Eq)]
pub struct MaskKey {
    version: u32,
    bytes: Secret<[u8; 32]>,
}

impl MaskKey {
    /// Wraps key material. Where it comes from is the caller's business.
    pub fn new(version: u32, bytes: [u8; 32]) -> Self {
        Self { version, bytes: Secret::new(bytes) }
    }

    /// The version shown in tokens.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key material, for those who derive keys from it.
    pub fn expose(&self) -> &[u8; 32] {
        self.bytes.expose()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskKey(version {}, ***)", self.version)
    }
}

/// The keys of a lake by version. New data is masked with the highest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    current: MaskKey,
    /// Oldest first.
    older: Vec<MaskKey>,
}

/// Why a text or a list of keys is no ring. Names lines and versions, never a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is no key.
    #[error("it holds no key")]
    Empty,
    /// More than [`KEYS_MAX`].
    #[error("it holds more than {KEYS_MAX} keys")]
    TooMany,
    /// Neither `<version>:<64 hexadecimal digits>` nor an encrypted key.
    #[error(
        "line {line} must be `<version>:<64 hexadecimal digits>` or `<version>:kms:<id of a KMS key>:<base64>`, or 64 hexadecimal \
         digits where there is one key"
    )]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// What KMS decrypted is no mask key.
    #[error(
        "the key of version {version}, encrypted by KMS key `{key_id}`, is {found} bytes long and not {KEY_BYTES} (KeySpec AES_256)"
    )]
    Length {
        /// Version of the mask key.
        version: u32,
        /// KMS key of its line.
        key_id: String,
        /// Bytes.
        found: usize,
    },
    /// Two keys of one version: tokens of the two could not be told apart.
    #[error("it holds two keys of version {0}")]
    Twice(u32),
    /// One key under two versions: rotation would change nothing.
    #[error("versions {0} and {1} are the same key")]
    Same(u32, u32),
}

impl KeyRing {
    /// A ring of one key.
    pub fn of(key: MaskKey) -> Self {
        Self { current: key, older: Vec::new() }
    }

    /// A ring of several keys in any order.
    ///
    /// # Errors
    /// No key, too many, or two that are the same or of the same version.
    pub fn new(mut keys: Vec<MaskKey>) -> Result<Self, KeyRingError> {
        if keys.len() > KEYS_MAX {
            return Err(KeyRingError::TooMany);
        }
        keys.sort_by_key(MaskKey::version);
        for (at, key) in keys.iter().enumerate() {
            for later in &keys[at + 1..] {
                if key.version == later.version {
                    return Err(KeyRingError::Twice(key.version));
                }
                if key.bytes == later.bytes {
                    return Err(KeyRingError::Same(key.version, later.version));
                }
            }
        }
        let current = keys.pop().ok_or(KeyRingError::Empty)?;
        Ok(Self { current, older: keys })
    }

    /// The key that masks new data.
    pub fn current(&self) -> &MaskKey {
        &self.current
    }

    /// A key by version.
    pub fn version(&self, version: u32) -> Option<&MaskKey> {
        self.versions().find(|key| key.version == version)
    }

    /// All keys, the current one first, then from new to old.
    pub fn versions(&self) -> impl Iterator<Item = &MaskKey> {
        std::iter::once(&self.current).chain(self.older.iter().rev())
    }
}

/// Where the mask keys are written: a file, the environment.
pub trait KeyProvider {
    /// The keys; `None` when this provider has none, so that the next one is asked.
    ///
    /// # Errors
    /// It has keys, and they cannot be read, are not keys, or are not kept safely.
    fn written_ring(&self) -> Result<Option<WrittenRing>, KeyProviderError>;
}

/// Why a provider gives no keys. Names files and variables, never a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyProviderError {
    /// What it holds is no ring.
    #[error("failed to read the mask keys of {provider}")]
    Ring {
        /// Which file or variable.
        provider: String,
        /// What is wrong.
        #[source]
        source: KeyRingError,
    },
    /// It is there and cannot be read.
    #[error("failed to read the mask keys of {provider}")]
    Read {
        /// Which file or variable.
        provider: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can read the key, or it lies where it protects nothing.
    #[error("failed to accept the mask keys of {provider}: {reason}")]
    Exposed {
        /// Which file.
        provider: String,
        /// What is wrong, and how to mend it.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_version_and_hides_the_key() {
        assert_eq!(format!("{:?}", MaskKey::new(3, [0xab; 32])), "MaskKey(version 3, ***)");
        assert!(!format!("{:?}", KeyRing::of(MaskKey::new(3, [171; 32]))).contains("171"));
    }
}
