//! Secrets of AWS: access key ids by their prefix, secret access keys by length and alphabet next to a word such as `secret`.

use memchr::memmem;

use super::kind::PiiKind;
use super::row::{Row, Run};

/// Prefixes of long-lived and of temporary access key ids.
const KEY_PREFIXES: [&[u8; 4]; 2] = [b"AKIA", b"ASIA"];
/// What both end in, and hardly any word does: one search serves both.
pub(super) const KEY_PREFIXES_END: &[u8; 2] = b"IA";
const KEY_BYTES: usize = 20;
const SECRET_BYTES: usize = 40;

/// The first prefix at or after `from`; `ends` finds [`KEY_PREFIXES_END`].
#[inline]
pub(super) fn next_prefix(bytes: &[u8], from: usize, ends: &memmem::Finder<'_>) -> Option<usize> {
    let mut end = from + KEY_PREFIXES_END.len();
    loop {
        end += ends.find(bytes.get(end..)?)?;
        let start = end - KEY_PREFIXES_END.len();
        if KEY_PREFIXES.iter().any(|prefix| bytes[start..].starts_with(*prefix)) {
            return Some(start);
        }
        end += KEY_PREFIXES_END.len();
    }
}

/// The access key id that begins at `at`, where a prefix stands.
pub(super) fn access_key(row: &mut Row<'_>, at: usize) {
    let Some(key) = row.bytes.get(at..at + KEY_BYTES) else { return };
    let is_key = key.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if is_key && !is_word(row.before(at)) && !is_word(row.byte(at + KEY_BYTES)) {
        row.hit(PiiKind::AwsAccessKey, at..at + KEY_BYTES, 0.98);
    }
}

/// The secret access key around a digit next to a letter: forty characters of both cases, which no hash in hexadecimal has.
pub(super) fn secret_key(row: &mut Row<'_>, run: Run) {
    if run.start < row.seen.secret {
        return;
    }
    let token = row.around(run.start, SECRET_BYTES, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+'));
    row.seen.secret = token.end;
    let key = &row.bytes[token.clone()];
    let has = |is: fn(&u8) -> bool| key.iter().any(is);
    if token.len() == SECRET_BYTES
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && row.byte(token.end) != b'='
    {
        row.hit_in_context(PiiKind::AwsSecretKey, token);
    }
}
