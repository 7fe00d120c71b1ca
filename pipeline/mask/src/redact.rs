//! Redaction of free text: what is found is replaced by the label of its kind, everything else stays byte for byte.
//!
//! A replacement changes what its neighbours touch: a number that was the tail of an address stands alone behind `[EMAIL]`.
//! So the outcome is read again until nothing is found in it, but no more than 64 times: redacting twice is redacting once
//! unless a text was made to need more. Labels are nothing themselves and make nothing else suspect.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};

use crate::find::{Finding, Scanner};

/// How often a text is read at most. Where spaces stand between the findings, the second round finds nothing; each further one
/// takes a finding that touched another one.
const ROUNDS_MAX: usize = 64;

/// `text` with all personal data in it replaced, names and addresses included. See [`redact_with`].
pub fn redact(text: &str) -> Cow<'_, str> {
    redact_with(&Scanner::default(), text)
}

/// `text` with each finding of a scanner replaced by the label of its kind, such as `[EMAIL]`. A text without any is returned as
/// it is, not copied.
pub fn redact_with<'a>(scanner: &Scanner, text: &'a str) -> Cow<'a, str> {
    let mut found = Vec::new();
    scanner.scan(text, &mut found);
    if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(replace_all(scanner, text, &mut found)) }
}

/// Replaces what was found, then what is found in the outcome.
fn replace_all(scanner: &Scanner, text: &str, found: &mut Vec<Finding>) -> String {
    let mut redacted = replace(text, found);
    for _ in 1..ROUNDS_MAX {
        scanner.scan(&redacted, found);
        if found.is_empty() {
            break;
        }
        redacted = replace(&redacted, found);
    }
    redacted
}

fn replace(text: &str, found: &[Finding]) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    for finding in found {
        redacted.push_str(&text[copied..finding.start]);
        redacted.push_str(finding.kind.replacement());
        copied = finding.end;
    }
    redacted.push_str(&text[copied..]);
    redacted
}

/// Free text with the personal data in it replaced. Without a finding the column is passed on, not copied.
/// `each` sees the findings of each text that has any.
pub(crate) fn redact_column(
    scanner: &Scanner,
    texts: &StringArray,
    column: &ArrayRef,
    mut each: impl FnMut(&[Finding]),
) -> ArrayRef {
    let mut redacted: Option<StringBuilder> = None;
    let mut copied = 0;
    let mut again = Vec::new();
    scanner.scan_rows(texts, |row, found| {
        each(found);
        let builder =
            redacted.get_or_insert_with(|| StringBuilder::with_capacity(texts.len(), texts.value_data().len()));
        append(builder, texts, copied..row);
        again.clear();
        again.extend_from_slice(found);
        builder.append_value(replace_all(scanner, texts.value(row), &mut again));
        copied = row + 1;
    });
    redacted.map_or_else(
        || Arc::clone(column),
        |mut builder| {
            append(&mut builder, texts, copied..texts.len());
            Arc::new(builder.finish())
        },
    )
}

fn append(builder: &mut StringBuilder, texts: &StringArray, rows: std::ops::Range<usize>) {
    let copied = builder.append_array(&texts.slice(rows.start, rows.len()));
    copied.expect("a batch holds far less than 2 GiB of text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::PiiKind;
    use proptest::prelude::*;

    #[test]
    fn redaction_touches_only_what_it_finds() {
        let check = |text: &str, expected: &str| assert_eq!(redact(text), expected, "{text}");
        check("mail Ana.Lima@x.com or (11) 91234-5678, cpf 529.982.247-25.", "mail [EMAIL] or [PHONE], cpf [CPF].");
        check("52998224725", "[CPF]");
        check("+55 (11) 91234-5678joao@x.com", "[PHONE][EMAIL]");
        check("529.982.247-25+12345678", "[CPF][PHONE]");
        check("52998224725@x.com", "[EMAIL]");
        check("Contato: 11987654374", "Contato: [CPF]");
        check("Me liga: 21912345692 valeu", "Me liga: [CPF] valeu");
        check("Contato: 12125550156", "Contato: [CPF]");
        check("reach me via \"21912345692\"\n I'd call", "reach me via \"[CPF]\"\n I'd call");
        check("Call me (11) 91999-2004", "Call me [PHONE]");
        check("call (20) 98765-4321", "call [PHONE]");
        check("call 0055 11 91234-5678", "call [PHONE]");
        check("naïve “quotes” — 🍺 5.7% 1998\r\n\0end", "naïve “quotes” — 🍺 5.7% 1998\r\n\0end");
    }

    #[test]
    fn text_without_hits_is_not_copied() {
        assert!(matches!(redact("a fine ale @ 5.7%, 12345678901 IBU"), Cow::Borrowed(_)));
    }

    fn cpf(nine: u32, formatted: bool) -> String {
        let mut digits: Vec<u32> = format!("{nine:09}").bytes().map(|byte| u32::from(byte - b'0')).collect();
        for length in [9u32, 10] {
            let sum: u32 = digits.iter().zip((2..=length + 1).rev()).map(|(digit, weight)| digit * weight).sum();
            digits.push(if sum % 11 < 2 { 0 } else { 11 - sum % 11 });
        }
        let text: String = digits.iter().map(u32::to_string).collect();
        if formatted { format!("{}.{}.{}-{}", &text[..3], &text[3..6], &text[6..9], &text[9..]) } else { text }
    }

    /// Values that nothing else than their form tells, and their labels.
    fn planted() -> impl Strategy<Value = (String, &'static str)> {
        let email = "[a-zA-Z0-9][a-z0-9._+]{0,8}[a-z0-9]@[a-z][a-z0-9-]{0,6}\\.(com|org|com\\.br)"
            .prop_filter("no two dots", |text| !text.contains(".."));
        let cpf = (0u32..=999_999_998, any::<bool>())
            .prop_filter("not all equal", |(nine, _)| nine % 111_111_111 != 0)
            .prop_map(|(nine, formatted)| cpf(nine, formatted));
        let phone = prop_oneof![
            "\\+55 \\([0-9]{2}\\) 9[0-9]{4}-[0-9]{4}",
            "\\([0-9]{2}\\) 9[0-9]{4}-[0-9]{4}",
            "\\+1 [0-9]{3}-[0-9]{3}-[0-9]{4}",
            "\\+[0-9]{8,15}",
        ];
        prop_oneof![
            1 => email.prop_map(|value| (value, "[EMAIL]")),
            1 => cpf.prop_map(|value| (value, "[CPF]")),
            4 => phone.prop_map(|value| (value, "[PHONE]")),
        ]
    }

    /// Sentences with words next to the value that speak for one kind, whatever the value is.
    const SENTENCES: [&str; 5] =
        ["Contato: {}", "Me liga: {} valeu", "Call me ({}) for a growler", "reach me via \"{}\"\n", "I'd call it {}"];

    proptest! {
        #[test]
        fn planted_values_never_survive(
            pieces in prop::collection::vec(("[ a-zé🍺,.;:!?\"\n]{0,12}", planted()), 1..6),
        ) {
            // A space on both sides: what a value touches without a space may be swallowed with it, but never the other way.
            let text: String = pieces.iter().map(|(prose, (value, _))| format!("{prose} {value} ")).collect();
            let redacted = redact(&text).into_owned();
            for (_, (value, _)) in &pieces {
                prop_assert!(!redacted.contains(value.as_str()), "a planted value survived");
            }
            let kept: String = pieces.iter().map(|(prose, _)| prose.as_str()).collect();
            let labels = PiiKind::ALL.map(PiiKind::replacement);
            let left = labels.iter().fold(redacted, |left, label| left.replace(label, ""));
            prop_assert_eq!(left.replace(' ', ""), kept.replace(' ', ""));
        }

        #[test]
        fn a_value_is_labelled_as_what_it_is_whatever_stands_around(
            sentence in prop::sample::select(SENTENCES.to_vec()),
            (value, label) in planted(),
        ) {
            let text = sentence.replace("{}", &value);
            prop_assert_eq!(redact(&text), sentence.replace("{}", label), "{:?}", text);
        }

        #[test]
        fn between_spaces_one_round_takes_all(
            pieces in prop::collection::vec(("[ a-zé🍺,.;:!?\"\n]{0,12}", planted()), 1..6),
        ) {
            let text: String = pieces.iter().map(|(prose, (value, _))| format!("{prose} {value} ")).collect();
            let (scanner, mut found) = (Scanner::default(), Vec::new());
            scanner.scan(&text, &mut found);
            let once = replace(&text, &found);
            scanner.scan(&once, &mut found);
            prop_assert!(found.is_empty(), "{:?} of {:?} is left in {:?}", found, text, once);
        }

        #[test]
        fn redaction_is_idempotent(text in "([0-9@.+() a-cé-]|52998224725|529\\.982\\.247-25|\\(11\\) 91234-5678|a@b\\.co|\\+5511912345678){0,24}") {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once).into_owned(), once);
        }

        #[test]
        fn any_text_is_accepted(text: String) {
            let _cut_on_boundaries = redact(&text);
        }
    }

    fn column(rows: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(rows.to_vec()))
    }

    fn redacted(column: &ArrayRef) -> ArrayRef {
        let texts = column.as_any().downcast_ref::<StringArray>().expect("texts");
        redact_column(&Scanner::default(), texts, column, |_| ())
    }

    #[test]
    fn a_column_without_hits_is_passed_on() {
        let column = column(&[Some("hops"), None, Some("malt")]);
        assert!(Arc::ptr_eq(&redacted(&column), &column));
    }

    #[test]
    fn a_hit_in_one_row_leaves_the_others() {
        let rows = redacted(&column(&[Some("hops"), None, Some("a@b.co!"), Some("malt")]));
        assert_eq!(&rows, &column(&[Some("hops"), None, Some("[EMAIL]!"), Some("malt")]));
    }
}
