//! Bytes of a CSV field to text. Only encodings in which ASCII bytes are ASCII, so that the CSV reader can work on bytes.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;

/// How the text of a CSV object is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8; invalid bytes are a violation of their row.
    #[default]
    Utf8,
    /// ISO 8859-1: every byte is a character.
    Latin1,
    /// Windows code page 1252: as Latin-1, but with printable characters between 0x80 and 0x9F.
    Windows1252,
}

impl Encoding {
    /// By the name in a mapping.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "latin1" | "latin-1" | "iso-8859-1" => Self::Latin1,
            "windows-1252" | "cp1252" => Self::Windows1252,
            _ => return None,
        })
    }

    /// The text; `None` when the bytes are not valid in this encoding.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Latin1 => Some(encoding_rs::mem::decode_latin1(bytes)),
            Self::Windows1252 => Some(WINDOWS_1252.decode_without_bom_handling(bytes).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_the_mapping_says() {
        let check = |name: &str, bytes: &[u8], expected: Option<&str>| {
            let encoding = Encoding::parse(name).expect("known");
            assert_eq!(encoding.decode(bytes).as_deref(), expected, "{name}");
        };
        check("utf-8", "Kölsch\0".as_bytes(), Some("Kölsch\0"));
        check("UTF-8", b"K\xf6lsch", None);
        check("latin1", b"K\xf6lsch", Some("Kölsch"));
        check("latin1", b"\x80", Some("\u{80}"));
        check("windows-1252", b"\x80", Some("€"));
        assert_eq!(Encoding::parse("utf-16"), None);
    }
}
