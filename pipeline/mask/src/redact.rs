//! Redaction of free text: what is found is replaced by the name of its kind, everything else stays byte for byte.

use std::borrow::Cow;

use crate::find::Hits;

/// `text` with each e-mail address, CPF and phone number replaced by `[EMAIL]`, `[CPF]`, `[PHONE]`. A text without any is
/// returned as it is, not copied.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut copied = 0;
    for (kind, hit) in Hits::of(text) {
        redacted.push_str(&text[copied..hit.start]);
        redacted.push_str(kind.replacement());
        copied = hit.end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    redacted.push_str(&text[copied..]);
    Cow::Owned(redacted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn redaction_touches_only_what_it_finds() {
        let check = |text: &str, expected: &str| assert_eq!(redact(text), expected, "{text}");
        check("mail Ana.Lima@x.com or (11) 91234-5678, cpf 529.982.247-25.", "mail [EMAIL] or [PHONE], cpf [CPF].");
        check("52998224725", "[CPF]");
        check("+55 (11) 91234-5678joao@x.com", "[PHONE][EMAIL]");
        check("529.982.247-25+12345678", "[CPF][PHONE]");
        check("52998224725@x.com", "[EMAIL]");
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

    fn planted() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-zA-Z0-9][a-z0-9._+]{0,8}[a-z0-9]@[a-z][a-z0-9-]{0,6}\\.(com|org|com\\.br)"
                .prop_filter("no two dots", |text| !text.contains("..")),
            (0u32..=999_999_998, any::<bool>())
                .prop_filter("not all equal", |(nine, _)| nine % 111_111_111 != 0)
                .prop_map(|(nine, formatted)| cpf(nine, formatted)),
            "\\+55 \\([0-9]{2}\\) 9[0-9]{4}-[0-9]{4}",
            "\\([0-9]{2}\\) 9[0-9]{4}-[0-9]{4}",
            "\\+1 [0-9]{3}-[0-9]{3}-[0-9]{4}",
            "\\+[0-9]{8,15}",
        ]
    }

    proptest! {
        #[test]
        fn planted_values_never_survive(
            pieces in prop::collection::vec(("[ a-zé🍺,.;:!?\"\n]{0,12}", planted()), 1..6),
        ) {
            // A space on both sides: what a value touches without a space may be swallowed with it, but never the other way.
            let text: String = pieces.iter().map(|(prose, value)| format!("{prose} {value} ")).collect();
            let redacted = redact(&text).into_owned();
            for (_, value) in &pieces {
                prop_assert!(!redacted.contains(value.as_str()), "a planted value survived");
            }
            let kept: String = pieces.iter().map(|(prose, _)| prose.as_str()).collect();
            let left = redacted.replace("[EMAIL]", "").replace("[CPF]", "").replace("[PHONE]", "");
            prop_assert_eq!(left.replace(' ', ""), kept.replace(' ', ""));
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
}
