//! E-mail addresses in the form people write in prose: `local@domain.tld`.
//!
//! Grows from each `@` in both directions. Letters with Latin diacritics count as letters, so an address with `ã` in it does
//! not leave its first half behind. Two dots in a row, a leading separator, and punctuation after the domain are prose.

use std::ops::Range;

pub(super) fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let mut search = from;
    while let Some(found) = text[search..].find('@') {
        let at = search + found;
        if let (Some(start), Some(end)) = (local_start(&text[from..at]), domain_end(&text[at + 1..])) {
            return Some(from + start..at + 1 + end);
        }
        search = at + 1;
    }
    None
}

/// Where the local part begins that ends at the end of `before`; `None` when there is none.
fn local_start(before: &str) -> Option<usize> {
    let is_local = |c: char| is_letter_or_digit(c) || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'');
    let start = before.char_indices().rev().take_while(|(_, c)| is_local(*c)).last()?.0;
    let run = &before[start..];
    let start = start + run.rfind("..").map_or(0, |dots| dots + 2);
    let run = &before[start..];
    let start = start + run.find(|c: char| is_letter_or_digit(c) || c == '_')?;
    Some(start)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_out_of_prose() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(find(text, 0).map(|hit| &text[hit]), expected, "{text}");
        };
        check("write to ana.lima+beer@mail.example.com.", Some("ana.lima+beer@mail.example.com"));
        check("(o'keefe@x.org)", Some("o'keefe@x.org"));
        check("'ana@x.org'", Some("ana@x.org"));
        check("<ana_1@x-y.com.br>,", Some("ana_1@x-y.com.br"));
        check("see...ana@x.co", Some("ana@x.co"));
        check("joão@cervejação.com é", Some("joão@cervejação.com"));
        check("ask 联系ana@x.com谢谢", Some("ana@x.com"));
        check("ANA@X.COM", Some("ANA@X.COM"));
        check("a@b a@b@c.de", Some("b@c.de"));
        check("ana@x.com-like", Some("ana@x.com"));
        check("ana@xn--p1ai.xn--p1ai!", Some("ana@xn--p1ai.xn--p1ai"));
        check("drank @ home", None);
        check("4.5@10.0", None);
        check("ana@localhost", None);
        check("@x.com", None);
        check("ana@", None);
    }
}
