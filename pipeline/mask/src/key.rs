//! The master key of the tokens, with its version. Never printed, never serialised.

use std::fmt;

use lakebed_contract::Secret;

/// 256 bits of key material and the version that stands in every token made with it.
#[derive(Clone)]
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

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.bytes.expose()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskKey(version {}, ***)", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_version_and_hides_the_key() {
        let shown = format!("{:?}", MaskKey::new(3, [0xab; 32]));
        assert_eq!(shown, "MaskKey(version 3, ***)");
    }
}
