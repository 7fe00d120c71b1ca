//! Display forms: enough of a value to recognise one's own, not enough to use it: `j***@d***.com`, `****1234`.
//!
//! Promises: a value that is not of its shape, or too short to hide anything, becomes `***`. The number of stars says nothing
//! about the length. Not a pseudonym: different values have one form, and a form narrows down who it is.

use lakebed_contract::policy::Excerpt;

use crate::digits::Symbols;

/// Where nothing may be shown.
const HIDDEN: &str = "***";

/// Letters of a top-level domain.
const TOP_LETTERS: std::ops::RangeInclusive<usize> = 2..=24;

/// Appends the display form of a value; says whether the value was of the shape.
pub(crate) fn append(excerpt: Excerpt, value: &str, out: &mut String) -> bool {
    let shown = match excerpt {
        Excerpt::Email => email(value, out),
        Excerpt::FullName => full_name(value, out),
        Excerpt::CreditCard => last_four(value, 12..=19, out),
        Excerpt::Phone => last_four(value, 8..=15, out),
        Excerpt::Cpf => decimal(value, 11..=11).map(|symbols| numbered(symbols, "***.345.678-**", out)),
        Excerpt::Cnpj => alphanumeric(value, 14).map(|symbols| numbered(symbols, "**.234.567/****-**", out)),
    };
    if shown.is_none() {
        out.push_str(HIDDEN);
    }
    shown.is_some()
}

/// The first letter of a part, if enough others are hidden behind it.
fn initial(part: &str, out: &mut String) {
    let mut letters = part.chars();
    if let (Some(first), Some(_), Some(_)) = (letters.next(), letters.next(), letters.next()) {
        out.push(first);
    }
    out.push_str(HIDDEN);
}

fn email(value: &str, out: &mut String) -> Option<()> {
    let (local, host) = value.trim().rsplit_once('@')?;
    let (domain, top) = host.rsplit_once('.')?;
    let is_plain =
        |part: &str| !part.is_empty() && !part.contains(|letter: char| letter.is_whitespace() || letter == '@');
    // What stands behind the last dot is shown whole, so it must be a top-level domain and not `com?phone=…`.
    let is_top = TOP_LETTERS.contains(&top.len()) && top.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !(is_plain(local) && is_plain(domain) && is_top) {
        return None;
    }
    initial(local, out);
    out.push('@');
    initial(domain, out);
    out.push('.');
    out.push_str(top);
    Some(())
}

/// First and last name only: how many there are between them would tell people apart.
fn full_name(value: &str, out: &mut String) -> Option<()> {
    let mut words = value.split_whitespace();
    let (first, last) = (words.next()?, words.next_back());
    initial(first, out);
    if let Some(last) = last {
        out.push(' ');
        initial(last, out);
    }
    Some(())
}

fn decimal(value: &str, count: std::ops::RangeInclusive<usize>) -> Option<Symbols> {
    let symbols = Symbols::read(value)?;
    let all = symbols.as_ref();
    (count.contains(&all.len()) && all.iter().all(|symbol| *symbol < 10)).then_some(symbols)
}

fn last_four(value: &str, count: std::ops::RangeInclusive<usize>, out: &mut String) -> Option<()> {
    let symbols = decimal(value, count)?;
    out.push_str("****");
    let digits = symbols.as_ref();
    out.extend(digits[digits.len() - 4..].iter().map(|digit| char::from(b'0' + digit)));
    Some(())
}

fn alphanumeric(value: &str, count: usize) -> Option<Symbols> {
    Symbols::read(value).filter(|symbols| symbols.as_ref().len() == count)
}

/// Digits in `form` are places in the value, which show what stands there.
fn numbered(symbols: Symbols, form: &str, out: &mut String) {
    let symbol = |place: char| place.to_digit(10).map(|number| symbols.as_ref()[number as usize]);
    out.extend(form.chars().map(|place| match symbol(place) {
        None => place,
        Some(digit @ 0..=9) => char::from(b'0' + digit),
        Some(letter) => char::from(b'A' + (letter - 10)),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_shown_in_part() {
        let check = |excerpt: Excerpt, value: &str, expected: &str| {
            let mut shown = String::new();
            let is_shaped = append(excerpt, value, &mut shown);
            assert_eq!((shown.as_str(), is_shaped), (expected, expected != HIDDEN), "{value}");
        };
        check(Excerpt::Email, "joao@dominio.com", "j***@d***.com");
        check(Excerpt::Email, " joao@mail.dominio.com.br", "j***@m***.br");
        check(Excerpt::Email, "jo@abc.com", "***@a***.com");
        check(Excerpt::Email, "joão.com", "***");
        check(Excerpt::Email, "joao@com", "***");
        check(Excerpt::Email, "a b@x.com", "***");
        check(Excerpt::Email, "ana@example.com?phone=11912345678", "***");
        check(Excerpt::Email, "ana@example.c0m", "***");
        check(Excerpt::Email, "ana@example.c", "***");
        check(Excerpt::Email, "ana@example.josé", "***");
        check(Excerpt::Email, &format!("ana@example.{}", "x".repeat(25)), "***");
        check(Excerpt::Email, "ana@example.cervejaria", "a***@e***.cervejaria");
        check(Excerpt::CreditCard, "4111 1111 1111 1234", "****1234");
        check(Excerpt::CreditCard, "1234", "***");
        check(Excerpt::CreditCard, "4111 1111 1111 12E4", "***");
        check(Excerpt::Phone, "+55 (11) 91234-5678", "****5678");
        check(Excerpt::Phone, "190", "***");
        check(Excerpt::Cpf, "529.982.247-25", "***.982.247-**");
        check(Excerpt::Cpf, "52998224725", "***.982.247-**");
        check(Excerpt::Cpf, "529982247", "***");
        check(Excerpt::Cpf, "5299822ABCD", "***");
        check(Excerpt::Cnpj, "11.222.333/0001-81", "**.222.333/****-**");
        check(Excerpt::Cnpj, "12.abc.345/01de-35", "**.ABC.345/****-**");
        check(Excerpt::FullName, "José da  Silva", "J*** S***");
        check(Excerpt::FullName, "Cher", "C***");
        check(Excerpt::FullName, "Al Yu", "*** ***");
        check(Excerpt::FullName, "  ", "***");
    }

    proptest! {
        #[test]
        fn a_value_is_never_shown_whole(value in "\\PC{1,20}|[a-z]{1,5}@[a-z]{1,5}\\.com|[0-9]{4,19}") {
            for excerpt in [
                Excerpt::Email, Excerpt::CreditCard, Excerpt::Phone, Excerpt::Cpf, Excerpt::Cnpj, Excerpt::FullName,
            ] {
                let mut shown = String::new();
                append(excerpt, &value, &mut shown);
                prop_assert!(shown.contains("**"));
                prop_assert!(value.contains("**") || !shown.contains(value.as_str()));
            }
        }
    }
}
