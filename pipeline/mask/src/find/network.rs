//! Addresses of machines: IPv4, IPv6, MAC.
//!
//! An IPv4 address is four numbers up to 255 and no more, not a version nor a chapter. A compressed IPv6 address must hold a
//! group of three characters and a digit, because `::` also stands between the names of many languages. Whether an address is
//! routable is not asked.

use std::net::Ipv6Addr;

use super::kind::PiiKind;
use super::row::{Row, Run};

/// Longest text of an IPv6 address, the tail in IPv4's form.
const IPV6_BYTES_MAX: usize = 45;
const MAC_BYTES: usize = 17;

pub(super) fn ipv4(row: &mut Row<'_>, run: Run) {
    let before = run.before;
    if run.len() > 3 || row.byte(run.end) != b'.' || before.is_ascii_alphanumeric() || matches!(before, b'_' | b'.') {
        return;
    }
    let Some(end) = end_of_ipv4(row, run.start) else { return };
    let next = row.byte(end);
    let goes_on = next.is_ascii_alphanumeric() || next == b'_' || (next == b'.' && row.byte(end + 1).is_ascii_digit());
    let range = run.start..end;
    if goes_on || row.byte(run.start) == b'0' {
        return;
    }
    if row.closeness(PiiKind::IpAddress, &range).is_some() {
        row.hit(PiiKind::IpAddress, range, 0.97);
    } else if !row.is_numbering(&range) {
        row.hit(PiiKind::IpAddress, range, 0.88);
    }
}

fn end_of_ipv4(row: &Row<'_>, start: usize) -> Option<usize> {
    let mut at = start;
    for part in 0..4 {
        if part > 0 {
            at += (row.byte(at) == b'.').then_some(1)?;
        }
        let digits =
            row.bytes[at.min(row.bytes.len())..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let value = row.bytes[at..at + digits].iter().fold(0, |value, byte| value * 10 + u32::from(byte - b'0'));
        let is_octet = digits > 0 && value <= 255 && (digits == 1 || row.byte(at) != b'0') && digits <= 3;
        at += is_octet.then_some(digits)?;
    }
    Some(at)
}

/// IPv6 and MAC with colons: the token of hexadecimal digits, colons and dots around a digit.
pub(super) fn with_colons(row: &mut Row<'_>, run: Run) {
    if run.start < row.seen.colons {
        return;
    }
    let word = row.around(run.start, 4, |byte| byte.is_ascii_hexdigit());
    if row.before(word.start) != b':' && row.byte(word.end) != b':' {
        return;
    }
    let mut token =
        row.around(run.start, IPV6_BYTES_MAX, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    row.seen.colons = token.end;
    // Punctuation of the sentence: a full stop behind, one colon before or behind.
    while row.before(token.end) == b'.'
        || (row.bytes[token.clone()].ends_with(b":") && !row.bytes[token.clone()].ends_with(b"::"))
    {
        token.end -= 1;
    }
    if row.byte(token.start) == b':' && row.byte(token.start + 1) != b':' {
        token.start += 1;
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if is_word(row.before(token.start)) || is_word(row.byte(token.end)) || token.len() > IPV6_BYTES_MAX {
        return;
    }
    let text = &row.bytes[token.clone()];
    if is_mac(text, b':') {
        if row.wants(PiiKind::MacAddress) {
            row.hit(PiiKind::MacAddress, token, 0.96);
        }
    } else if row.wants(PiiKind::IpAddress) && is_ipv6(text, row.assume_context) {
        row.hit(PiiKind::IpAddress, token, 0.98);
    }
}

fn is_ipv6(text: &[u8], as_whole_value: bool) -> bool {
    let mut groups = text.split(|byte| matches!(byte, b':' | b'.'));
    let is_telling = as_whole_value || (text.iter().any(u8::is_ascii_digit) && groups.any(|group| group.len() > 2));
    is_telling && std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

pub(super) fn mac_with_hyphens(row: &mut Row<'_>, run: Run) {
    if run.start < row.seen.hyphens || run.len() > 2 {
        return;
    }
    let word = row.around(run.start, 2, |byte| byte.is_ascii_hexdigit());
    if word.len() != 2 || (row.before(word.start) != b'-' && row.byte(word.end) != b'-') {
        return;
    }
    let token = row.around(run.start, MAC_BYTES, |byte| byte.is_ascii_hexdigit() || byte == b'-');
    row.seen.hyphens = token.end;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if is_mac(&row.bytes[token.clone()], b'-') && !is_word(row.before(token.start)) && !is_word(row.byte(token.end)) {
        row.hit(PiiKind::MacAddress, token, 0.93);
    }
}

/// Six pairs, one of them with a digit; neither the empty nor the broadcast address.
fn is_mac(text: &[u8], separator: u8) -> bool {
    let is_place = |(at, byte): (usize, &u8)| if at % 3 == 2 { *byte == separator } else { byte.is_ascii_hexdigit() };
    text.len() == MAC_BYTES
        && text.iter().enumerate().all(is_place)
        && text.iter().any(|byte| !matches!(byte, b'0' | b':' | b'-'))
}
