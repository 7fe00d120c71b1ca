//! The same rules once more, slow and plain: for each kind a regex tried at every character, arithmetic over strings, the words
//! around by another regex, and overlaps resolved by trying all pairs. Compared kind by kind on generated texts.

use std::ops::Range;
use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;

use super::super::{PiiKind, PiiKinds, Scanner};

type Validator = fn(&str) -> bool;
type Edges = fn(&str, Range<usize>) -> bool;

/// How sure a form is alone and with a word around; `None` is not at all, and `NEAR` a matter of distance.
struct Form {
    kind: PiiKind,
    regex: Regex,
    is_valid: Validator,
    edges: Edges,
    alone: Option<f32>,
    in_context: Option<f32>,
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

fn before(text: &str, at: usize) -> Option<char> {
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

fn digits(text: &str) -> Vec<u32> {
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

fn luhn(text: &str) -> bool {
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

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
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

const COMPARED: [PiiKind; 13] = [
    PiiKind::Cpf,
    PiiKind::Cnpj,
    PiiKind::Cep,
    PiiKind::PixKey,
    PiiKind::CreditCard,
    PiiKind::Iban,
    PiiKind::Ssn,
    PiiKind::Itin,
    PiiKind::AwsAccessKey,
    PiiKind::AwsSecretKey,
    PiiKind::Passport,
    PiiKind::IpAddress,
    PiiKind::MacAddress,
];

/// The words for a kind, as alternatives of whole words.
fn words(kind: PiiKind) -> &'static str {
    match kind {
        PiiKind::Cpf => "cpfs?",
        PiiKind::Cnpj => "cnpjs?",
        PiiKind::Cep => "ceps?|código[^A-Za-z\u{80}-\u{10ffff}]{0,4}postal",
        PiiKind::PixKey => "pix|chave",
        PiiKind::CreditCard => "cards?|cc|visa",
        PiiKind::Ssn => "ssns?|social[^A-Za-z\u{80}-\u{10ffff}]{0,4}security",
        PiiKind::Itin => "itin|taxpayer",
        PiiKind::AwsSecretKey => "secret|aws",
        PiiKind::AwsAccessKey => "aws",
        PiiKind::Passport => "passports?|passaporte",
        PiiKind::IpAddress => "ips?|host|server",
        _ => "nothing",
    }
}

const NUMBERING: &str = "version|section";

/// How near a whole word stands, labels of redaction put out of the way.
fn closeness(text: &str, words: &str, place: &Range<usize>) -> Option<f32> {
    let bytes = text.as_bytes();
    let mut blank = bytes.to_vec();
    for label in PiiKind::ALL.map(PiiKind::replacement) {
        for (at, label) in text.match_indices(label) {
            blank[at..at + label.len()].fill(b' ');
        }
    }
    let window = place.start.saturating_sub(40)..bytes.len().min(place.end + 40);
    // Bytes of other letters become one that is in no word, so that a window may cut a character.
    let accented = String::from_utf8(blank).expect("labels are ASCII");
    let regex = Regex::new(&format!("(?i){words}")).expect("a pattern");
    let is_letter = |c: char| c.is_ascii_alphabetic() || !c.is_ascii();
    let mut nearest: Option<usize> = None;
    let mut from = 0;
    while let Some(found) = regex.find_at(&accented, from) {
        from = found.start() + accented[found.start()..].chars().next().map_or(1, char::len_utf8);
        // The longest of the alternatives that ends a word: `cpfs` before `cpf`.
        let is_whole =
            !before(&accented, found.start()).is_some_and(is_letter) && !accented[found.end()..].starts_with(is_letter);
        if !is_whole || found.start() < window.start || found.end() > window.end {
            continue;
        }
        let distance = match () {
            () if found.end() <= place.start => place.start - found.end(),
            () if found.start() >= place.end => 2 * (found.start() - place.end),
            () => continue,
        };
        nearest = Some(nearest.map_or(distance, |nearest| nearest.min(distance)));
    }
    nearest.map(|distance| 1.0 - distance as f32 / 80.0)
}

fn expected(kind: PiiKind, text: &str) -> Vec<Range<usize>> {
    let mut candidates: Vec<(f32, Range<usize>)> = Vec::new();
    for form in FORMS.iter().filter(|form| form.kind == kind) {
        for (start, _) in text.char_indices() {
            let Some(found) = form.regex.find(&text[start..]) else { continue };
            let range = start..start + found.end();
            if !(form.edges)(text, range.clone()) || !(form.is_valid)(found.as_str()) {
                continue;
            }
            let near = closeness(text, words(kind), &range);
            let score = match (near, form.alone, form.in_context) {
                (Some(_), _, Some(score)) => score,
                (Some(near), _, None) => 0.6 + 0.3 * near,
                (None, Some(_), _) if kind == PiiKind::IpAddress && closeness(text, NUMBERING, &range).is_some() => {
                    continue;
                }
                (None, Some(score), _) => score,
                (None, None, _) => continue,
            };
            candidates.push((score, range));
        }
    }
    candidates.sort_by(|(score, range), (other_score, other)| {
        other_score.total_cmp(score).then(other.len().cmp(&range.len())).then(range.start.cmp(&other.start))
    });
    let mut kept: Vec<Range<usize>> = Vec::new();
    for (_, range) in candidates {
        if kept.iter().all(|other| range.end <= other.start || other.end <= range.start) {
            kept.push(range);
        }
    }
    kept.sort_by_key(|range| range.start);
    kept
}

fn with_check_digits(nine: u32, formatted: bool) -> String {
    let mut digits = digits(&format!("{nine:09}"));
    for length in [9, 10] {
        let sum: u32 = digits.iter().zip((2..=length + 1).rev()).map(|(digit, weight)| digit * weight).sum();
        digits.push(if sum % 11 < 2 { 0 } else { 11 - sum % 11 });
    }
    let text: String = digits.iter().map(u32::to_string).collect();
    if formatted { format!("{}.{}.{}-{}", &text[..3], &text[3..6], &text[6..9], &text[9..]) } else { text }
}

fn with_luhn(digits: &str) -> String {
    (0..10).map(|check| format!("{digits}{check}")).find(|number| luhn(number)).expect("one of ten")
}

fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "11.222.333/0001-81",
        "11222333/0001-81",
        "11222333000181",
        "11222333000182",
        "12.ABC.345/01DE-35",
        "12ABC34501DE35",
        "12ABC34501DE36",
        "01310-100",
        "01310100",
        "01.310-100",
        "123e4567-e89b-42d3-a456-426614174000",
        "71CDF9BA-C695-4E3C-B010-ABB521A3F1BE",
        "123e4567-e89b-12d3-a456-426614174000",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "3782 822463 10005",
        "3056 930902 5904",
        "378282246310005",
        "4006381333931",
        "4111 1111-1111 1111",
        "GB82 WEST 1234 5698 7654 32",
        "GB82WEST12345698765432",
        "DE89370400440532013000",
        "NO93 8601 1117 947",
        "GB83WEST12345698765432",
        "BR1800360305000010009795493C1",
        "536-90-4399",
        "536 90 4399",
        "666-90-4399",
        "912-70-1234",
        "912-49-1234",
        "912701234",
        "529-982-247-25",
        "529 982 247-25",
        "529 982 247 25",
        "529.982.247 25",
        "00:1a:2b:3c:4d:5e",
        "A0:B1:C2:D3:E4:F5",
        "aa:bb:cc:dd:ee:1f",
        "00:1a:2b:3c:4d",
        "00:1a:2b:3c:4d:5e:6f",
        "00:00:00:00:00:00",
        "00-1A-2B-3C-4D-5E",
        "00-1a-2b-3c-4d",
        "00-00-00-00-00-00",
        "5e",
        "::",
        "192.168.10.20",
        "1.2.3.4.5",
        "256.1.1.1",
        "10.0.0.01",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "AKIA",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AB123456",
        "C01234567",
        "123456789",
        "[CPF]",
        "[AWS-SECRET]",
        "[CEP]",
        "[PIX]",
    ]);
    let words = prop::sample::select(vec![
        "cpf",
        "CPF: ",
        "cnpj",
        "CEP ",
        "ceps",
        "Código postal ",
        "pix ",
        "chave",
        "card ",
        "VISA",
        "ssn ",
        "social security ",
        "ITIN ",
        "secret ",
        "aws_",
        "passport ",
        "passaporte",
        "ip ",
        "host:",
        "version ",
        "section ",
        " malte e lúpulo à parte",
    ]);
    prop_oneof![
        4 => fixed.prop_map(str::to_owned),
        3 => words.prop_map(str::to_owned),
        2 => (0u32..=999_999_999, any::<bool>()).prop_map(|(nine, formatted)| with_check_digits(nine, formatted)),
        1 => "4[0-9]{11}([0-9]{3})?".prop_map(|digits| with_luhn(&digits)),
        1 => "[0-9]{1,20}",
        4 => "[ .,:;/@+()_$\n-]{1,2}",
        1 => "[a-zA-Zé🍺]{1,6}",
        1 => " {10,45}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_scanner_agrees_with_the_slow_implementation(pieces in prop::collection::vec(piece(), 0..10)) {
        let text = pieces.concat();
        for kind in COMPARED {
            // IPv6 is judged by the standard library on both sides, so only IPv4 is compared: no text that may hold the other.
            let may_hold_ipv6 = text.contains("::") || text.matches(':').count() >= 6;
            if kind == PiiKind::IpAddress && may_hold_ipv6 {
                continue;
            }
            let mut found = Vec::new();
            Scanner::new(PiiKinds::from_iter([kind])).scan(&text, &mut found);
            let found: Vec<Range<usize>> = found.iter().map(|finding| finding.start..finding.end).collect();
            prop_assert_eq!(&found, &expected(kind, &text), "{:?} in {:?}", kind, &text);
        }
    }
}
