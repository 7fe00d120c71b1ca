//! E-mail addresses in the form people write in prose: `local@domain.tld`.
//!
//! Grows from an `@` in both directions, never over another one. Letters with Latin diacritics count as letters, so an address
//! with `ã` in it does not leave its first half behind. Two dots in a row, a leading separator, and punctuation after the domain
//! are prose.

use super::kind::PiiKind;
use super::row::Row;

/// The address around the `@` at `at`.
pub(super) fn find(row: &mut Row<'_>, at: usize) {
    if let (Some(start), Some(end)) = (local_start(&row.text[..at]), domain_end(&row.text[at + 1..])) {
        row.hit(PiiKind::Email, start..at + 1 + end, 0.97);
    }
}

/// Where the local part begins that ends at the end of `before`; `None` when there is none.
fn local_start(before: &str) -> Option<usize> {
    let bytes = before.as_bytes();
    let (mut start, mut local) = (bytes.len(), None);
    while let Some(&byte) = bytes[..start].last() {
        let is_first = match byte {
            0x80.. => {
                let letter = before[..start].chars().next_back()?;
                if !is_letter(letter) {
                    break;
                }
                start -= letter.len_utf8() - 1;
                true
            }
            b'.' if bytes.get(start) == Some(&b'.') => break,
            b'.' | b'%' | b'+' | b'-' | b'\'' => false,
            _ if byte.is_ascii_alphanumeric() || byte == b'_' => true,
            _ => break,
        };
        start -= 1;
        // A separator may stand in the local part but not begin it.
        local = if is_first { Some(start) } else { local };
    }
    local
}

/// Where the domain ends that begins at the start of `after`: labels and dots, the last label of two letters or more.
fn domain_end(after: &str) -> Option<usize> {
    let (mut end, mut best, mut labels) = (0, None, 0);
    loop {
        let label = label_length(&after[end..]);
        if label == 0 {
            return best;
        }
        labels += 1;
        if labels > 1
            && let Some(length) = top_level_length(&after[end..end + label])
        {
            best = Some(end + length);
        }
        end += label;
        if !after[end..].starts_with('.') {
            return best;
        }
        end += 1;
    }
}

fn label_length(text: &str) -> usize {
    let ascii = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
    if text.as_bytes().get(ascii).is_none_or(u8::is_ascii) {
        return ascii;
    }
    text.find(|c: char| !is_letter_or_digit(c) && c != '-').unwrap_or(text.len())
}

/// Length of the leading letters of a label if it can be a top-level domain.
fn top_level_length(label: &str) -> Option<usize> {
    if label.starts_with("xn--") && label.len() > "xn--".len() {
        return Some(label.len());
    }
    let letters = label.find(|c: char| !is_letter(c)).unwrap_or(label.len());
    (label[..letters].chars().count() >= 2).then_some(letters)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || (('\u{c0}'..='\u{24f}').contains(&c) && c.is_alphabetic())
}

fn is_letter_or_digit(c: char) -> bool {
    is_letter(c) || c.is_ascii_digit()
}
