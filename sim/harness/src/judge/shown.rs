//! Display forms (`partial`), worked out a second time from their definition; shares nothing with `lakebed-mask`.
//!
//! An initial is shown where two characters or more are hidden behind it. Numbers count by their digits, between which spaces and
//! `.-/()+` may stand. What is not of its form is `***`.

use std::ops::RangeInclusive;

use lakebed_contract::policy::Excerpt;

/// The display form of a value.
pub(super) fn shown(excerpt: Excerpt, value: &str) -> String {
    let form = match excerpt {
        Excerpt::Email => email(value),
        Excerpt::FullName => full_name(value),
        Excerpt::CreditCard => last_four(value, 12..=19),
        Excerpt::Phone => last_four(value, 8..=15),
        Excerpt::Cpf => digits(value, 11..=11).map(|all| format!("***.{}.{}-**", &all[3..6], &all[6..9])),
        Excerpt::Cnpj => {
            let all = symbols(value).filter(|all| all.len() == 14);
            all.map(|all| format!("**.{}.{}/****-**", &all[2..5], &all[5..8]))
        }
    };
    form.unwrap_or_else(|| "***".to_owned())
}

fn initial(part: &str) -> String {
    let first: String = part.chars().take(usize::from(part.chars().count() > 2)).collect();
    first + "***"
}

fn email(value: &str) -> Option<String> {
    let value = value.trim();
    let (address, top) = value.rsplit_once('.')?;
    let (local, domain) = address.split_once('@')?;
    let is_address = value.matches('@').count() == 1 && !value.contains(char::is_whitespace);
    let is_top = (2..=24).contains(&top.len()) && top.chars().all(|letter| letter.is_ascii_alphabetic());
    (is_address && is_top && !local.is_empty() && !domain.is_empty())
        .then(|| format!("{}@{}.{top}", initial(local), initial(domain)))
}

/// First and last word.
fn full_name(value: &str) -> Option<String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    match words[..] {
        [] => None,
        [only] => Some(initial(only)),
        [first, .., last] => Some(format!("{} {}", initial(first), initial(last))),
    }
}

fn last_four(value: &str, count: RangeInclusive<usize>) -> Option<String> {
    digits(value, count).map(|all| format!("****{}", &all[all.len() - 4..]))
}

fn digits(value: &str, count: RangeInclusive<usize>) -> Option<String> {
    symbols(value).filter(|all| count.contains(&all.len()) && all.bytes().all(|symbol| symbol.is_ascii_digit()))
}

/// Digits and capital letters; `None` where anything else stands than what may stand between them.
fn symbols(value: &str) -> Option<String> {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || " .-/()+".contains(letter);
    let kept = value.chars().filter(char::is_ascii_alphanumeric);
    value.chars().all(is_known).then(|| kept.map(|letter| letter.to_ascii_uppercase()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_the_readme_says() {
        let check =
            |excerpt: Excerpt, value: &str, expected: &str| assert_eq!(shown(excerpt, value), expected, "{value}");
        check(Excerpt::Email, "joao@dominio.com", "j***@d***.com");
        check(Excerpt::Email, " jo@mail.dominio.com.br", "***@m***.br");
        for hidden in
            ["joao@com", "joao.com", "a b@x.com", "a@b@x.com", "@x.com", "a@.com", "ana@x.com?tel=119", "a@x.c"]
        {
            check(Excerpt::Email, hidden, "***");
        }
        check(Excerpt::CreditCard, "4111 1111 1111 1234", "****1234");
        check(Excerpt::CreditCard, "1234", "***");
        check(Excerpt::Phone, "+55 (11) 91234-5678", "****5678");
        check(Excerpt::Phone, "11 91234-5678 r. 2x", "***");
        check(Excerpt::Phone, "n/a", "***");
        check(Excerpt::Cpf, "529.982.247-25", "***.982.247-**");
        check(Excerpt::Cnpj, "12.abc.345/01de-35", "**.ABC.345/****-**");
        check(Excerpt::FullName, "José da  Silva", "J*** S***");
        check(Excerpt::FullName, "Cher", "C***");
        check(Excerpt::FullName, "Al Yu", "*** ***");
        check(Excerpt::FullName, " ", "***");
    }
}
