//! The master keys of the mask: one that is used, older ones whose tokens still stand in the lake, and who provides them.
//!
//! A key is 256 bits and a version; the version stands in every token. The written form of a ring is one key a line,
//! `<version>:<64 hexadecimal digits>`; a lone key without a version is version 1; lines that begin with `#` are comments. The
//! highest version is the one that masks. Promises: no key is shown by `Debug` or an error. Reads no file and no environment
//! itself: a [`KeyProvider`] does, at the edge of the program.

use std::fmt;

use crate::secret::Secret;

/// Keys a ring may hold: the one in use and eleven years of yearly rotations before it.
pub const KEYS_MAX: usize = 12;

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
    /// Not `<version>:<64 hexadecimal digits>`.
    #[error("line {line} must be `<version>:<64 hexadecimal digits>`, or 64 hexadecimal digits where there is one key")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A data key that only KMS can decrypt.
    #[error(
        "line {line} holds a data key encrypted by KMS, and there is no KMS client here that could decrypt it; decrypt it \
         before (`aws kms decrypt`) and give the plain key by a pipe or the environment"
    )]
    Encrypted {
        /// Counted from 1.
        line: usize,
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

    /// Reads the written form.
    ///
    /// # Errors
    /// As [`KeyRing::new`], and a line that is no key.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
        let lines: Vec<(&str, usize)> = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')).collect();
        let is_alone = lines.len() == 1;
        let keys = lines.into_iter().map(|(line, number)| key_of_line(line, number, is_alone));
        Self::new(keys.collect::<Result<_, _>>()?)
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

fn key_of_line(line: &str, number: usize, is_alone: bool) -> Result<MaskKey, KeyRingError> {
    let wrong = KeyRingError::Line { line: number };
    let (version, hex) = match line.split_once(':') {
        Some((_, rest)) if rest.starts_with("kms:") => return Err(KeyRingError::Encrypted { line: number }),
        Some((version, hex)) => (version.trim().parse().map_err(|_| wrong.clone())?, hex.trim()),
        None if is_alone => (1, line),
        None => return Err(wrong),
    };
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| wrong.clone())?;
    Ok(MaskKey::new(version, bytes.try_into().map_err(|_| wrong)?))
}

/// Where the mask keys come from: a file, the environment.
pub trait KeyProvider {
    /// The keys; `None` when this provider has none, so that the next one is asked.
    ///
    /// # Errors
    /// It has keys, and they cannot be read, are not keys, or are not kept safely.
    fn key_ring(&self) -> Result<Option<KeyRing>, KeyProviderError>;
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

    fn hex(byte: u8) -> String {
        format!("{byte:02x}").repeat(32)
    }

    #[test]
    fn rings_are_read_and_the_highest_version_masks() {
        let alone = KeyRing::parse(&format!("  {}\n", hex(0xab).to_uppercase())).expect("one key");
        assert_eq!(alone, KeyRing::of(MaskKey::new(1, [0xab; 32])));
        let text = format!("# rotated in March\n2:{}\n\n10: {}\n1:{}\n", hex(2), hex(10), hex(1));
        let ring = KeyRing::parse(&text).expect("three keys");
        assert_eq!(ring.versions().map(MaskKey::version).collect::<Vec<_>>(), [10, 2, 1]);
        assert_eq!(ring.current().expose(), &[10; 32]);
        assert_eq!(ring.version(2).map(MaskKey::expose), Some(&[2; 32]));
        assert_eq!(ring.version(3), None);
    }

    #[test]
    fn what_is_no_ring_is_refused_by_line_and_without_showing_it() {
        let check = |text: String, expected: KeyRingError| {
            let refused = KeyRing::parse(&text).expect_err("refused");
            assert_eq!(refused, expected);
            assert!(!refused.to_string().contains("abab"));
        };
        check(String::new(), KeyRingError::Empty);
        check("# nothing\n".into(), KeyRingError::Empty);
        check(hex(0xab)[1..].to_owned(), KeyRingError::Line { line: 1 });
        check(format!("1:{}\n{}", hex(0xab), hex(2)), KeyRingError::Line { line: 2 });
        check(format!("x:{}", hex(0xab)), KeyRingError::Line { line: 1 });
        check(format!("1:{}00", hex(0xab)), KeyRingError::Line { line: 1 });
        check(format!("1:{}\n1:{}", hex(0xab), hex(2)), KeyRingError::Twice(1));
        check(format!("1:{}\n2:{}", hex(0xab), hex(0xab)), KeyRingError::Same(1, 2));
        check("1:kms:alias/mask:AQID".into(), KeyRingError::Encrypted { line: 1 });
        check((0..13).map(|n| format!("{n}:{}\n", hex(n))).collect(), KeyRingError::TooMany);
    }

    #[test]
    fn debug_shows_the_version_and_hides_the_key() {
        assert_eq!(format!("{:?}", MaskKey::new(3, [0xab; 32])), "MaskKey(version 3, ***)");
        assert!(!format!("{:?}", KeyRing::of(MaskKey::new(3, [171; 32]))).contains("171"));
    }
}
