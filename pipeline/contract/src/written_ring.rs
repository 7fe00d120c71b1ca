//! The written form of a key ring: which text is a ring, and how an encrypted key of it becomes a key.
//!
//! [`crate::mask_key`] says what the form is. Promises: what is wrong is told by line, version and KMS key, and never shown; an
//! encrypted key is another type than one that is known, so it cannot be used before it was decrypted. Only the newest key masks, so
//! nobody has to decrypt an older one, whose KMS key may be gone. Asks no KMS itself.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::mask_key::{KEY_BYTES, KEYS_MAX, KeyRing, KeyRingError, MaskKey};
use crate::secret::Secret;

/// A mask key as it may lie on a disk: encrypted by a key that never leaves KMS (`GenerateDataKeyWithoutPlaintext`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedKey {
    /// Version of the mask key.
    pub version: u32,
    /// Id, ARN or alias of the KMS key.
    pub key_id: String,
    /// `CiphertextBlob`.
    pub ciphertext: Vec<u8>,
}

impl EncryptedKey {
    /// What KMS must be told to encrypt and to decrypt (`EncryptionContext`). The version is in it, so that a line cannot be given
    /// another one.
    pub fn context(version: u32) -> BTreeMap<String, String> {
        BTreeMap::from([("lakebed".to_owned(), "mask-key".to_owned()), ("version".to_owned(), version.to_string())])
    }

    /// The line of a ring.
    pub fn to_line(&self) -> String {
        format!("{}:kms:{}:{}", self.version, self.key_id, BASE64_STANDARD.encode(&self.ciphertext))
    }

    /// The mask key, once KMS has decrypted it.
    ///
    /// # Errors
    /// `plain` is not [`KEY_BYTES`] long.
    pub fn opened(&self, plain: &Secret<Vec<u8>>) -> Result<MaskKey, KeyRingError> {
        let bytes = <[u8; KEY_BYTES]>::try_from(plain.expose().as_slice());
        bytes.map(|bytes| MaskKey::new(self.version, bytes)).map_err(|_| KeyRingError::Length {
            version: self.version,
            key_id: self.key_id.clone(),
            found: plain.expose().len(),
        })
    }

    /// What stands behind `<version>:kms:`. An ARN has colons, base64 has none.
    fn of_line(version: u32, rest: &str) -> Option<Self> {
        let (key_id, ciphertext) = rest.rsplit_once(':')?;
        let ciphertext = BASE64_STANDARD.decode(ciphertext.trim()).ok().filter(|bytes| !bytes.is_empty())?;
        let is_id = !key_id.is_empty() && key_id.bytes().all(|byte| byte.is_ascii_graphic());
        is_id.then(|| Self { version, key_id: key_id.to_owned(), ciphertext })
    }
}

/// One line of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenKey {
    /// It stands there in clear.
    Plain(MaskKey),
    /// KMS must be asked for it.
    Encrypted(EncryptedKey),
}

impl WrittenKey {
    /// The version shown in tokens.
    pub fn version(&self) -> u32 {
        match self {
            Self::Plain(key) => key.version(),
            Self::Encrypted(key) => key.version,
        }
    }
}

/// A ring as it is written: keys, and keys that must be decrypted first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRing {
    newest: WrittenKey,
    /// Oldest first.
    older: Vec<WrittenKey>,
}

impl WrittenRing {
    /// Reads the written form.
    ///
    /// # Errors
    /// A line that is no key, and whatever [`KeyRing::new`] refuses, as far as it can be seen of keys that are not decrypted.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
        let lines: Vec<(&str, usize)> = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')).collect();
        if lines.len() > KEYS_MAX {
            return Err(KeyRingError::TooMany);
        }
        let is_alone = lines.len() == 1;
        let keys = lines.into_iter().map(|(line, number)| {
            let key = key_of_line(line, is_alone);
            key.ok_or(KeyRingError::Line { line: number })
        });
        let mut keys: Vec<WrittenKey> = keys.collect::<Result<_, _>>()?;
        keys.sort_by_key(WrittenKey::version);
        if let Some(pair) = keys.windows(2).find(|pair| pair[0].version() == pair[1].version()) {
            return Err(KeyRingError::Twice(pair[0].version()));
        }
        let plain = keys.iter().filter_map(|key| match key {
            WrittenKey::Plain(key) => Some(key.clone()),
            WrittenKey::Encrypted(_) => None,
        });
        let plain: Vec<MaskKey> = plain.collect();
        if !plain.is_empty() {
            KeyRing::new(plain)?;
        }
        let newest = keys.pop().ok_or(KeyRingError::Empty)?;
        Ok(Self { newest, older: keys })
    }

    /// The key that masks, which is the only one to decrypt.
    pub fn newest(&self) -> &WrittenKey {
        &self.newest
    }

    /// All keys, the newest first.
    pub fn keys(&self) -> impl Iterator<Item = &WrittenKey> {
        std::iter::once(&self.newest).chain(self.older.iter().rev())
    }
}

fn key_of_line(line: &str, is_alone: bool) -> Option<WrittenKey> {
    let (version, rest) = match line.split_once(':') {
        Some((version, rest)) => (version.trim().parse().ok()?, rest.trim()),
        None if is_alone => (1, line),
        None => return None,
    };
    if let Some(rest) = rest.strip_prefix("kms:") {
        return EncryptedKey::of_line(version, rest).map(WrittenKey::Encrypted);
    }
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(rest.as_bytes()).ok()?;
    Some(WrittenKey::Plain(MaskKey::new(version, bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(byte: u8) -> String {
        format!("{byte:02x}").repeat(32)
    }

    fn plain(version: u32, byte: u8) -> WrittenKey {
        WrittenKey::Plain(MaskKey::new(version, [byte; 32]))
    }

    #[test]
    fn rings_are_read_and_the_highest_version_masks() {
        let alone = WrittenRing::parse(&format!("  {}\n", hex(0xab).to_uppercase())).expect("one key");
        assert_eq!((alone.newest(), alone.keys().count()), (&plain(1, 0xab), 1));
        let text = format!("# rotated in March\n2:{}\n\n10: {}\n1:{}\n", hex(2), hex(10), hex(1));
        let ring = WrittenRing::parse(&text).expect("three keys");
        assert_eq!(ring.newest(), &plain(10, 10));
        assert_eq!(ring.keys().cloned().collect::<Vec<_>>(), [plain(10, 10), plain(2, 2), plain(1, 1)]);
    }

    #[test]
    fn what_is_no_ring_is_refused_by_line_and_without_showing_it() {
        let check = |text: String, expected: KeyRingError| {
            let refused = WrittenRing::parse(&text).expect_err("refused");
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
        for line in [
            "1:kms:alias/mask",
            "1:kms::AQID",
            "1:kms:alias/mask:",
            "1:kms:alias/mask:A",
            "1:kms:a b:AQID",
            "kms:a:AQID",
        ] {
            check(line.into(), KeyRingError::Line { line: 1 });
        }
        check(format!("1:{}\n1:kms:alias/mask:AQID", hex(1)), KeyRingError::Twice(1));
        check((0..13).map(|n| format!("{n}:{}\n", hex(n))).collect(), KeyRingError::TooMany);
    }

    #[test]
    fn encrypted_keys_stand_beside_plain_ones_and_must_be_keys() {
        let arn = "arn:aws:kms:us-east-1:000000000000:key/32";
        let key = EncryptedKey { version: 2, key_id: arn.to_owned(), ciphertext: vec![7, 1, 2] };
        assert_eq!(key.to_line(), format!("2:kms:{arn}:BwEC"));
        let text = format!("1:{}\n{}\n", hex(1), key.to_line());
        let written = WrittenRing::parse(&text).expect("two keys");
        assert_eq!(written.newest(), &WrittenKey::Encrypted(key.clone()));
        assert_eq!(written.keys().nth(1), Some(&plain(1, 1)));
        let newer = WrittenRing::parse(&format!("{text}3:{}", hex(3))).expect("three keys");
        assert_eq!(newer.newest(), &plain(3, 3));

        assert_eq!(key.opened(&Secret::new(vec![7; 32])), Ok(MaskKey::new(2, [7; 32])));
        let short = key.opened(&Secret::new(vec![7; 16]));
        assert_eq!(short, Err(KeyRingError::Length { version: 2, key_id: arn.to_owned(), found: 16 }));
        assert_ne!(EncryptedKey::context(1), EncryptedKey::context(2));
    }
}
