//! One spelling per identity: what is hashed is not the text as typed but its canonical form, so that
//! `Ana@X.com ` and `ana@x.com` get one token and join.
//!
//! The form depends on the class, not on the column. An unknown class gets the general form.

use std::borrow::Cow;

/// How the values of a class are brought to one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canonical {
    /// Trimmed, lower case.
    Email,
    /// ASCII digits only.
    Digits,
    /// Trimmed, runs of white space to one space, lower case.
    Words,
}

impl Canonical {
    /// The form of a class.
    pub(crate) fn of_class(class: &str) -> Self {
        match class {
            "email" => Self::Email,
            "cpf" | "phone" => Self::Digits,
            _ => Self::Words,
        }
    }

    /// The canonical spelling of `value`.
    pub(crate) fn apply(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Email => lower(value.trim()),
            Self::Digits if value.bytes().all(|byte| byte.is_ascii_digit()) => Cow::Borrowed(value),
            Self::Digits => Cow::Owned(value.chars().filter(char::is_ascii_digit).collect()),
            Self::Words => {
                let words: Vec<&str> = value.split_whitespace().collect();
                Cow::Owned(words.join(" ").to_lowercase())
            }
        }
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_spelling() {
        let check = |class: &str, value: &str, expected: &str| {
            assert_eq!(Canonical::of_class(class).apply(value), expected, "{class} {value:?}");
        };
        check("email", "  Ana.Lima@X.Com\n", "ana.lima@x.com");
        check("email", "É@X.COM", "é@x.com");
        check("cpf", "529.982.247-25", "52998224725");
        check("phone", "+55 (11) 91234-5678", "5511912345678");
        check("phone", "none", "");
        check("full_name", "  José \t DA  Silva ", "josé da silva");
        check("anything_else", "A\u{a0}B", "a b");
        check("full_name", "", "");
    }
}
