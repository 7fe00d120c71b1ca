//! One spelling per identity: what is hashed is not the text as typed but its canonical form, so that
//! `Ana@X.com ` and `ana@x.com` get one token and join.
//!
//! The form depends on domain and class, not on the column. Unknown ones get the general form. Classes that share a domain join
//! where they are spelt alike, which they are when the domain has the name of a class with a form of its own. Writes into a buffer
//! of the caller's only where the spelling changes.

/// How the values of a class are brought to one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canonical {
    /// Trimmed, lower case.
    Email,
    /// ASCII digits only; words where there are none.
    Digits,
    /// Letters and digits only, upper case; words where there are none.
    Compact,
    /// Trimmed, otherwise as typed: secrets differ by case.
    Exact,
    /// Trimmed, runs of white space to one space, lower case.
    Words,
}

impl Canonical {
    /// The form of a class whose values join in `domain`. The domain has the word where it is a class with a form of its own:
    /// a `guardian` in the domain `cpf` is spelt as a CPF, or the two would not join.
    pub(crate) fn of(domain: &str, class: &str) -> Self {
        Self::named(domain).or_else(|| Self::named(class)).unwrap_or(Self::Words)
    }

    fn named(class: &str) -> Option<Self> {
        Some(match class {
            "email" => Self::Email,
            "cpf" | "phone" | "credit_card" | "ssn" | "itin" => Self::Digits,
            "cnpj" | "postal_code" | "rg" | "iban" | "mac_address" | "passport" | "driver_licence" => Self::Compact,
            "aws_access_key" | "aws_secret_key" | "url_credentials" => Self::Exact,
            "full_name" | "address" => Self::Words,
            _ => return None,
        })
    }

    /// The canonical spelling of `value`. `buffer` is overwritten.
    pub(crate) fn apply<'a>(self, value: &'a str, buffer: &'a mut String) -> &'a str {
        buffer.clear();
        match self {
            Self::Email => lower(value.trim(), buffer),
            Self::Exact => value.trim(),
            Self::Digits if value.bytes().all(|byte| byte.is_ascii_digit()) => value,
            Self::Digits => {
                buffer.extend(value.chars().filter(char::is_ascii_digit));
                or_words(value, buffer)
            }
            Self::Compact => {
                let kept = value.chars().filter(|letter| letter.is_alphanumeric());
                buffer.extend(kept.flat_map(char::to_uppercase));
                or_words(value, buffer)
            }
            Self::Words => words(value, buffer),
        }
    }
}

/// What was kept, or the words where nothing was: `n/a` and `unknown` are not the same person's number.
fn or_words<'a>(value: &str, kept: &'a mut String) -> &'a str {
    if kept.is_empty() { words(value, kept) } else { kept }
}

/// Appends the words to an empty buffer.
fn words<'a>(value: &str, buffer: &'a mut String) -> &'a str {
    for word in value.split_whitespace() {
        if !buffer.is_empty() {
            buffer.push(' ');
        }
        buffer.push_str(word);
    }
    lower_in_place(buffer);
    buffer
}

fn lower<'a>(text: &'a str, buffer: &'a mut String) -> &'a str {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return text;
    }
    buffer.push_str(text);
    lower_in_place(buffer);
    buffer
}

fn lower_in_place(text: &mut String) {
    if text.is_ascii() {
        text.make_ascii_lowercase();
    } else {
        // Not letter by letter: a final sigma is another letter than one inside a word.
        *text = text.to_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_spelling() {
        let mut buffer = String::from("left over");
        let mut check = |class: &str, value: &str, expected: &str| {
            assert_eq!(Canonical::of(class, class).apply(value, &mut buffer), expected, "{class} {value:?}");
        };
        check("email", "  Ana.Lima@X.Com\n", "ana.lima@x.com");
        check("email", "É@X.COM", "é@x.com");
        check("cpf", "529.982.247-25", "52998224725");
        check("phone", "+55 (11) 91234-5678", "5511912345678");
        check("phone", " None", "none");
        check("phone", "n/a", "n/a");
        check("phone", "", "");
        check("phone", " ", "");
        check("cnpj", "- -", "- -");
        check("credit_card", "4111 1111-1111 1111", "4111111111111111");
        check("cnpj", "12.abc.345/01DE-35", "12ABC34501DE35");
        check("postal_code", "01310-100", "01310100");
        check("postal_code", "sw1a 1aa", "SW1A1AA");
        check("mac_address", "00-1a:2B", "001A2B");
        check("aws_secret_key", " aB/c+ ", "aB/c+");
        check("full_name", "  José \t DA  Silva ", "josé da silva");
        check("full_name", "ΟΔΥΣΣΕΥΣ  ΑΣ", "οδυσσευς ας");
        check("anything_else", "A\u{a0}B", "a b");
        check("full_name", "", "");
    }

    #[test]
    fn what_shares_a_domain_is_spelt_alike() {
        assert_eq!(Canonical::of("cpf", "guardian"), Canonical::Digits);
        assert_eq!(Canonical::of("person", "cpf"), Canonical::Digits);
        assert_eq!(Canonical::of("person", "guardian"), Canonical::Words);
    }
}
