//! URLs that carry credentials, `scheme://user:password@host…`, found from their `@`.
//!
//! The whole URL is the finding: what stands behind the host is often a secret, too. The user may be empty, the password not.

use super::kind::PiiKind;
use super::row::Row;

/// How far in front of the `@` the scheme may end.
const CREDENTIALS_BYTES_MAX: usize = 256;
const SCHEME_BYTES_MAX: usize = 32;
/// Longest URL taken.
const URL_BYTES_MAX: usize = 2048;

pub(super) fn find(row: &mut Row<'_>, at: usize) {
    let reach = at.saturating_sub(CREDENTIALS_BYTES_MAX);
    let Some(slash) = memchr::memrchr(b'/', &row.bytes[reach..at]).map(|slash| reach + slash) else { return };
    let Some(colon) = slash.checked_sub(2).filter(|colon| row.bytes[*colon..].starts_with(b"://")) else { return };
    let credentials = &row.bytes[slash + 1..at];
    let Some(user) = memchr::memchr(b':', credentials) else { return };
    if user + 1 == credentials.len() || !credentials.iter().all(|byte| is_url(*byte)) {
        return;
    }
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let length = row.bytes[..colon].iter().rev().take(SCHEME_BYTES_MAX).take_while(|byte| is_scheme(byte)).count();
    let scheme = &row.bytes[colon - length..colon];
    let Some(letter) = scheme.iter().position(u8::is_ascii_alphabetic) else { return };
    if !row.byte(at + 1).is_ascii_alphanumeric() && row.byte(at + 1) != b'[' {
        return;
    }
    let tail = row.bytes[at + 1..].iter().take(URL_BYTES_MAX).take_while(|byte| is_url(**byte)).count();
    let mut end = at + 1 + tail;
    while matches!(row.before(end), b'.' | b',' | b';' | b':' | b'!' | b'?' | b')' | b']' | b'}') {
        end -= 1;
    }
    row.hit(PiiKind::UrlCredentials, colon - length + letter..end, 1.0);
}

/// Visible ASCII but what quotes or brackets a URL. Other letters would have to be percent-encoded.
fn is_url(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | b'|' | b'\\' | b'^')
}
