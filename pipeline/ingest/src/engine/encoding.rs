//! How the text of a CSV object is encoded, and a field's bytes as text.
//!
//! The CSV reader works on bytes in which ASCII is ASCII. Encodings of that kind are decoded field by field; UTF-16 is not of
//! that kind and becomes UTF-8 before the reader sees it (`transcode`).

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;

/// How the text of a CSV object is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8; invalid bytes are a violation of their row. An object that begins with the byte order mark of UTF-16 is UTF-16.
    #[default]
    Utf8,
    /// ISO 8859-1: every byte is a character.
    Latin1,
    /// Windows code page 1252: as Latin-1, but with printable characters between 0x80 and 0x9F.
    Windows1252,
    /// UTF-16 whose byte order its byte order mark tells.
    Utf16,
    /// UTF-16, low byte first; a byte order mark may say so again.
    Utf16Le,
    /// UTF-16, high byte first; a byte order mark may say so again.
    Utf16Be,
}

impl Encoding {
    /// Names a mapping may use, for messages.
    pub const NAMES: &str = "utf-8, latin1, windows-1252, utf-16, utf-16le, utf-16be";

    /// By the name in a mapping.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "latin1" | "latin-1" | "iso-8859-1" => Self::Latin1,
            "windows-1252" | "cp1252" => Self::Windows1252,
            "utf-16" | "utf16" => Self::Utf16,
            "utf-16le" | "utf16le" => Self::Utf16Le,
            "utf-16be" | "utf16be" => Self::Utf16Be,
            _ => return None,
        })
    }

    /// Whether fields reach [`Encoding::decode`] as UTF-8.
    pub(crate) fn has_utf8_fields(self) -> bool {
        match self {
            Self::Utf8 | Self::Utf16 | Self::Utf16Le | Self::Utf16Be => true,
            Self::Latin1 | Self::Windows1252 => false,
        }
    }

    /// The text of a field; `None` when the bytes are not valid in this encoding.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 | Self::Utf16 | Self::Utf16Le | Self::Utf16Be => {
                std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
            }
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
        check("utf-16le", "Kölsch".as_bytes(), Some("Kölsch"));
        assert_eq!(Encoding::parse("utf-32"), None);
        for name in Encoding::NAMES.split(", ") {
            let encoding = Encoding::parse(name).expect("a known name");
            assert_eq!(encoding.has_utf8_fields(), encoding.decode(b"\xf6").is_none());
        }
    }
}
