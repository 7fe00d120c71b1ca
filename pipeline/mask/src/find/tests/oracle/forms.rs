//! What each kind looks like, as regexes with their edges and arithmetic over strings; shares nothing with the detectors.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::find::PiiKind;

pub(super) type Validator = fn(&str) -> bool;
pub(super) type Edges = fn(&str, Range<usize>) -> bool;

/// How sure a form is alone and with a word around; `None` is not at all, and `NEAR` a matter of distance.
pub(super) struct Form {
    pub(super) kind: PiiKind,
    pub(super) regex: Regex,
    pub(super) is_valid: Validator,
    pub(super) edges: Edges,
    pub(super) alone: Option<f32>,
    pub(super) in_context: Option<f32>,
}

const NEAR: Option<f32> = None;

fn form(
    kind: PiiKind,
    regex: &str,
    is_valid: Validator,
    edges: Edges,
    alone: Option<f32>,
    in_context: Option<f32>,
) -> Form {
    let regex = Regex::new(&format!("^(?:{regex})")).expect("a pattern");
    Form { kind, regex, is_valid, edges, alone, in_context }
}

pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

fn digit_before(text: &str, at: usize) -> bool {
    before(text, at).is_some_and(|c| c.is_ascii_digit())
}

fn matches(text: &str, regex: &'static str) -> bool {
    Regex::new(regex).expect("a pattern").is_match(text)
}

fn begins(text: &str, at: usize) -> bool {
    static INSIDE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:[0-9A-Za-z_+$]|[0-9][-./])$").expect("a pattern"));
    !INSIDE.is_match(&text[..at])
}

fn ends(text: &str, at: usize) -> bool {
    static INSIDE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:[0-9A-Za-z_@]|[-./][0-9])").expect("a pattern"));
    !INSIDE.is_match(&text[at..])
}

fn number(text: &str, range: Range<usize>) -> bool {
    begins(text, range.start) && ends(text, range.end)
}

/// No digit on either side.
fn no_digit(text: &str, range: Range<usize>) -> bool {
    !digit_before(text, range.start) && !text[range.end..].starts_with(|c: char| c.is_ascii_digit())
}

/// No ASCII letter, digit or underscore on either side.
fn word(text: &str, range: Range<usize>) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !before(text, range.start).is_some_and(is_word) && !text[range.end..].starts_with(is_word)
}

pub(super) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

fn brazilian_check(values: &[u32], weights: &[u32]) -> bool {
    let (body, check) = values.split_at(weights.len());
    let rest = body.iter().zip(weights).map(|(value, weight)| value * weight).sum::<u32>() % 11;
    check[0] == if rest < 2 { 0 } else { 11 - rest }
}

fn cpf(text: &str) -> bool {
    let digits = digits(text);
    digits.iter().any(|digit| *digit != digits[0])
        && brazilian_check(&digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2])
        && brazilian_check(&digits, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
}

fn cnpj(text: &str) -> bool {
    let values: Vec<u32> = text.chars().filter(char::is_ascii_alphanumeric).map(|c| u32::from(c) - 48).collect();
    values.iter().any(|value| *value != values[0])
        && brazilian_check(&values, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
        && brazilian_check(&values, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
}

pub(super) fn luhn(text: &str) -> bool {
    let mut sum = 0;
    for (place, digit) in digits(text).into_iter().rev().enumerate() {
        sum += if place % 2 == 0 { digit } else { (digit * 2) / 10 + (digit * 2) % 10 };
    }
    sum % 10 == 0
}

fn card(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    let issuers = r"^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720|220[0-4])\d{12}|3[47]\d{13}|(?:30[0-5]\d|3095|36\d\d|3[89]\d\d)(?:\d{10}|\d{12})|(?:352[89]|35[3-8]\d)\d{12,15}|(?:6011|64[4-9]\d|65\d\d|6062|62\d\d|6363)\d{12,15}|(?:5041|5066|5067|5090)\d{12}|(?:5018|5020|5038|5893|6304|6759|676[123])\d{9,15})$";
    static ISSUERS: LazyLock<std::sync::Mutex<Option<Regex>>> = LazyLock::new(|| std::sync::Mutex::new(None));
    let mut compiled = ISSUERS.lock().expect("not poisoned");
    compiled.get_or_insert_with(|| Regex::new(issuers).expect("a pattern")).is_match(&plain) && luhn(text)
}

fn iban(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != ' ').collect();
    let length = match &plain[..2] {
        "GB" | "DE" => 22,
        "BR" => 29,
        "NO" => 15,
        "FR" => 27,
        _ => return false,
    };
    let moved = format!("{}{}", &plain[4..], &plain[..4]);
    let number: String = moved.chars().map(|c| c.to_digit(36).expect("a letter or digit").to_string()).collect();
    plain.len() == length && number.chars().fold(0, |rest, c| (rest * 10 + c.to_digit(10).expect("a digit")) % 97) == 1
}

fn ssn(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    !(plain.starts_with("000") || plain.starts_with("666") || plain.starts_with('9'))
        && &plain[3..5] != "00"
        && &plain[5..] != "0000"
}

fn itin(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    let middle: u32 = plain[3..5].parse().expect("digits");
    plain.starts_with('9') && ![93].contains(&middle) && middle >= 50 && !(66..70).contains(&middle) && middle != 89
}

fn ipv4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok() && !text.starts_with('0')
}

fn mac(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit()) && !matches(text, r"^[0:-]+$")
}

fn anything(_: &str) -> bool {
    true
}

pub(super) static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    use PiiKind as K;
    let ipv4_edges: Edges = |text, range| {
        static BEFORE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9A-Za-z_.]$").expect("a pattern"));
        static BEHIND: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:[0-9A-Za-z_]|\.[0-9])").expect("a pattern"));
        !BEFORE.is_match(&text[..range.start]) && !BEHIND.is_match(&text[range.end..])
    };
    let uuid_edges: Edges = |text, range| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !before(text, range.start).is_some_and(is_word) && !text[range.end..].starts_with(is_word)
    };
    let secret_edges: Edges = |text, range| {
        let is_key = |c: char| c.is_ascii_alphanumeric() || c == '/' || c == '+';
        !before(text, range.start).is_some_and(is_key) && !text[range.end..].starts_with(|c| is_key(c) || c == '=')
    };
    let hyphens_edges: Edges = |text, range| {
        let is_mac = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !before(text, range.start).is_some_and(is_mac) && !text[range.end..].starts_with(is_mac)
    };
    // One colon in front belongs to the sentence, and so do full stops and single colons behind, if no group follows.
    let colons_edges: Edges = |text, range| {
        static BEFORE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?:[0-9A-Za-z_.]|[0-9A-Fa-f:.]:)$").expect("a pattern"));
        static BEHIND: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"^(?:[0-9A-Za-z_]|[:.]*::|[:.]+[0-9A-Fa-f])").expect("a pattern"));
        !BEFORE.is_match(&text[..range.start]) && !BEHIND.is_match(&text[range.end..])
    };
    let no_alphanumeric_before: Edges = |text, range| {
        !before(text, range.start).is_some_and(|c| c.is_ascii_alphanumeric())
            && !text[range.end..].starts_with(|c: char| c.is_ascii_digit())
    };
    let iban_edges: Edges = |text, range| {
        let is_word = |c: char| c.is_ascii_alphanumeric();
        !before(text, range.start).is_some_and(is_word) && !text[range.end..].starts_with(is_word)
    };
    let secret: Validator =
        |text| ["[a-z]", "[A-Z]", "[0-9][A-Za-z]|[A-Za-z][0-9]"].into_iter().all(|class| matches(text, class));
    let mut forms = vec![
        form(K::Cpf, r"\d{3}\.\d{3}\.\d{3}-\d\d", cpf, no_digit, Some(0.96), Some(0.96)),
        form(
            K::Cpf,
            r"\d{9}-\d\d",
            cpf,
            |text, range| begins(text, range.start) && no_digit(text, range),
            Some(0.8),
            Some(0.95),
        ),
        form(K::Cpf, r"\d{11}", cpf, number, Some(0.8), Some(0.95)),
        form(K::Cpf, r"\d{3}-\d{3}-\d{3}-\d\d", cpf, number, Some(0.8), Some(0.95)),
        form(K::Cpf, r"\d{3} \d{3} \d{3}-\d\d", cpf, number, Some(0.8), Some(0.95)),
        form(K::Cpf, r"\d{3} \d{3} \d{3} \d\d", cpf, number, None, NEAR),
        form(
            K::Cnpj,
            r"[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-\d\d",
            cnpj,
            no_alphanumeric_before,
            Some(0.96),
            Some(0.96),
        ),
        form(K::Cnpj, r"[0-9A-Z]{8}/[0-9A-Z]{4}-\d\d", cnpj, no_alphanumeric_before, Some(0.96), Some(0.96)),
        form(K::Cnpj, r"\d{14}", cnpj, number, Some(0.8), Some(0.95)),
        form(
            K::Cnpj,
            r"[0-9A-Z]*[A-Z][0-9A-Z]*\d\d",
            |text| text.len() == 14 && cnpj(text),
            number,
            Some(0.6),
            Some(0.95),
        ),
        form(K::Cep, r"\d{5}-\d{3}", |text| !text.starts_with("00"), number, Some(0.6), Some(0.95)),
        form(K::Cep, r"\d\d\.\d{3}-\d{3}|\d{8}", |text| !text.starts_with("00"), number, None, NEAR),
        form(
            K::PixKey,
            r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
            anything,
            uuid_edges,
            None,
            NEAR,
        ),
        form(K::CreditCard, r"\d{14,19}", card, number, Some(0.95), Some(0.95)),
        form(K::CreditCard, r"\d{13}", card, number, None, NEAR),
        form(K::Iban, r"[A-Z]{2}\d\d[A-Z0-9]+", iban, iban_edges, Some(0.99), Some(0.99)),
        form(K::IpAddress, r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", ipv4, ipv4_edges, Some(0.88), Some(0.97)),
        form(K::MacAddress, r"(?i)[0-9a-f]{2}(?:-[0-9a-f]{2}){5}", mac, hyphens_edges, Some(0.93), Some(0.93)),
        form(K::MacAddress, r"(?i)[0-9a-f]{2}(?::[0-9a-f]{2}){5}", mac, colons_edges, Some(0.96), Some(0.96)),
        form(K::AwsAccessKey, r"(?:AKIA|ASIA)[0-9A-Z]{16}", anything, word, Some(0.98), Some(0.98)),
        form(K::AwsSecretKey, r"[0-9A-Za-z/+]{40}", secret, secret_edges, None, NEAR),
        form(K::Passport, r"[A-Z]{2}\d{6,7}|[A-Z]\d{7,8}|\d{8,9}", anything, number, None, NEAR),
    ];
    for (kind, is_valid) in [(K::Ssn, ssn as Validator), (K::Itin, itin)] {
        forms.push(form(kind, r"\d{3}-\d\d-\d{4}", is_valid, number, Some(0.86), Some(0.98)));
        forms.push(form(kind, r"\d{3} \d\d \d{4}|\d{3}\.\d\d\.\d{4}|\d{9}", is_valid, number, None, NEAR));
    }
    // Alternatives of different length at one place are forms of their own, longest or not.
    for groups in [
        r"\d{4}S\d{4}S\d{4}S\d{4}S\d{3}",
        r"\d{4}S\d{4}S\d{4}S\d{4}",
        r"\d{4}S\d{6}S\d{5}",
        r"\d{4}S\d{6}S\d{4}",
        r"\d{4}S\d{4}S\d{4}S\d",
        r"\d{4}S\d{4}S\d{5}",
    ] {
        for separator in [" ", "-"] {
            forms.push(form(K::CreditCard, &groups.replace('S', separator), card, number, Some(0.98), Some(0.98)));
        }
    }
    for length in [15, 22, 27, 29] {
        let groups = format!(
            r"[A-Z]{{2}}\d\d(?: [A-Z0-9]{{4}}){{{}}}{}",
            length / 4 - 1,
            match length % 4 {
                0 => String::new(),
                rest => format!(" [A-Z0-9]{{{rest}}}"),
            }
        );
        forms.push(form(K::Iban, &groups, iban, iban_edges, Some(0.99), Some(0.99)));
    }
    forms
});
