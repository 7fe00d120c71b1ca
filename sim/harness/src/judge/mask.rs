//! The mask, worked out a second time from its definition alone; shares nothing with `lakebed-mask`.
//!
//! Tokens: canonical form by class, a key per domain by HMAC, the first 16 bytes of a second HMAC in base32. Redaction does not
//! search for PII at all: it replaces what the source says it planted, so a search that finds too little or too much differs.
//! Knows no columns of its own; [`Expectation`] reads contract and policy.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, Mac};
use lakebed_contract::policy::{Layer, Policy, Transform};
use lakebed_contract::secret::Secret;
use lakebed_contract::table::{Column, ColumnType};
use sha2::Sha256;

use super::Planted;
use super::cell::Cell;
use super::error::JudgeError;

/// Bytes of the HMAC that a token shows.
const TOKEN_BYTES: usize = 16;

/// What silver must hold for a source value of one column.
pub(super) enum Expectation {
    /// The value itself.
    Same,
    /// Its token.
    Token { class: String, key: Secret<[u8; 32]> },
    /// The first of January of its year.
    Year,
    /// Its first characters.
    Prefix(usize),
    /// The text with the planted values replaced.
    Redacted,
    /// NULL.
    Nothing,
}

/// The mask key, and what was planted in free text.
pub(super) struct Mask {
    key: Secret<[u8; 32]>,
    version: u32,
    planted: AhoCorasick,
    labels: Vec<&'static str>,
}

impl Mask {
    pub(super) fn new(key: &Secret<[u8; 32]>, version: u32, planted: &[Planted]) -> Result<Self, JudgeError> {
        let in_text: Vec<(&str, &'static str)> = planted
            .iter()
            .filter(|planted| planted.in_text && !planted.value.is_empty())
            .filter_map(|planted| Some((planted.value.as_str(), label(&planted.class)?)))
            .collect();
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build(in_text.iter().map(|(value, _)| value))
            .map_err(JudgeError::Search)?;
        let labels = in_text.into_iter().map(|(_, label)| label).collect();
        Ok(Self { key: key.clone(), version, planted: automaton, labels })
    }

    /// What the policy makes of a column; the reason when the definition of the mask says nothing about the combination.
    pub(super) fn expectation(&self, column: &Column, policy: &Policy) -> Result<Expectation, String> {
        let Some(class) = &column.class else { return Ok(Expectation::Same) };
        let transform = policy.transform(class).ok_or_else(|| format!("class `{class}` has no transform"))?;
        let in_silver = policy.transform_at(Layer::Silver, class).unwrap_or(&Transform::Keep);
        if *in_silver != Transform::Keep {
            return Err(format!("the judge does not work out `{in_silver}` of class `{class}` in silver"));
        }
        match (transform, column.column_type) {
            (Transform::Keep, _) => Ok(Expectation::Same),
            (Transform::Drop, _) => Ok(Expectation::Nothing),
            (Transform::Token { domain }, ColumnType::Text) => {
                let class = if has_form(domain) { domain.clone() } else { class.clone() };
                Ok(Expectation::Token { class, key: Secret::new(domain_key(&self.key, domain)) })
            }
            (Transform::Year, ColumnType::Date) => Ok(Expectation::Year),
            (Transform::Prefix(length), ColumnType::Text) => Ok(Expectation::Prefix(*length)),
            (Transform::Redact, ColumnType::Text) => Ok(Expectation::Redacted),
            (other, of) => Err(format!("the judge does not work out `{other}` of class `{class}` on type {of}")),
        }
    }

    /// Fingerprint of what silver must hold where the source holds `cell`.
    pub(super) fn fingerprint(&self, expectation: &Expectation, cell: Cell<'_>) -> u64 {
        match (expectation, cell) {
            (Expectation::Nothing, _) | (_, Cell::Null) => Cell::Null.fingerprint(),
            (Expectation::Token { class, key }, Cell::Text(text)) => {
                Cell::Text(&token(key, self.version, &canonical(class, text))).fingerprint()
            }
            (Expectation::Year, Cell::Date(days)) => Cell::Date(first_of_january(days)).fingerprint(),
            (Expectation::Prefix(length), Cell::Text(text)) => {
                let end = text.char_indices().nth(*length).map_or(text.len(), |(at, _)| at);
                Cell::Text(&text[..end]).fingerprint()
            }
            (Expectation::Redacted, Cell::Text(text)) => Cell::Text(&self.redacted(text)).fingerprint(),
            (_, other) => other.fingerprint(),
        }
    }

    fn redacted(&self, text: &str) -> String {
        self.planted.replace_all(text, &self.labels)
    }
}

fn label(class: &str) -> Option<&'static str> {
    match class {
        "EMAIL" => Some("[EMAIL]"),
        "CPF" => Some("[CPF]"),
        "PHONE" => Some("[PHONE]"),
        _ => None,
    }
}

fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn domain_key(master: &Secret<[u8; 32]>, domain: &str) -> [u8; 32] {
    hmac_sha256(master.expose(), &[b"lakebed/v1/", domain.as_bytes(), &[1]])
}

fn token(key: &Secret<[u8; 32]>, version: u32, canonical: &str) -> String {
    let mac = hmac_sha256(key.expose(), &[canonical.as_bytes()]);
    format!("tok_{version}_{}", BASE32_NOPAD.encode(&mac[..TOKEN_BYTES]).to_ascii_lowercase())
}

/// Classes whose values have a spelling of their own, which they keep when another class joins them in their domain.
fn has_form(class: &str) -> bool {
    const NAMES: [&str; 2] = ["full_name", "address"];
    DIGITS.contains(&class)
        || COMPACT.contains(&class)
        || EXACT.contains(&class)
        || NAMES.contains(&class)
        || class == "email"
}

const DIGITS: [&str; 5] = ["cpf", "phone", "credit_card", "ssn", "itin"];
const COMPACT: [&str; 7] = ["cnpj", "postal_code", "rg", "iban", "mac_address", "passport", "driver_licence"];
const EXACT: [&str; 3] = ["aws_access_key", "aws_secret_key", "url_credentials"];

fn canonical(class: &str, text: &str) -> String {
    match class {
        "email" => text.trim().to_lowercase(),
        _ if DIGITS.contains(&class) => text.chars().filter(char::is_ascii_digit).collect(),
        _ if COMPACT.contains(&class) => {
            text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect()
        }
        _ if EXACT.contains(&class) => text.trim().to_owned(),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(),
    }
}

fn first_of_january(days: i32) -> i32 {
    use chrono::{Datelike, NaiveDate};
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a valid date");
    NaiveDate::from_num_days_from_ce_opt(days.saturating_add(epoch.num_days_from_ce()))
        .and_then(|date| NaiveDate::from_ymd_opt(date.year(), 1, 1))
        .and_then(|date| i32::try_from(date.signed_duration_since(epoch).num_days()).ok())
        .unwrap_or(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> Secret<[u8; 32]> {
        Secret::new(std::array::from_fn(|at| at as u8))
    }

    fn planted(class: &str, value: &str, in_text: bool) -> Planted {
        Planted { class: class.to_owned(), value: value.to_owned(), in_text }
    }

    fn mask(planted: &[Planted]) -> Mask {
        Mask::new(&master(), 1, planted).expect("patterns build")
    }

    // python3 -c 'import hmac,base64;s="sha256";h=lambda k,m:hmac.new(k,m,s).digest();k=h(bytes(range(32)),b"lakebed/v1/email\x01");print(base64.b32encode(h(k,b"ana.lima@example.com")[:16]).decode().rstrip("=").lower())'
    #[test]
    fn tokens_equal_the_vectors_computed_by_python() {
        for (domain, version, canonical, expected) in [
            ("email", 1, "ana.lima@example.com", "tok_1_ohmg25nss3j3m2hnze7hs3aqhm"),
            ("cpf", 1, "52998224725", "tok_1_4jrxclssvpvvwnw6xluzg2ug5i"),
            ("full_name", 1, "ana lúcia de lima", "tok_1_yphyxinvg5stbpnhngd6ohjslm"),
            ("email", 1, "", "tok_1_ddrwhqu7hz537ylym6ut5llg6e"),
            ("phone", 3, "5511987654321", "tok_3_xfhichkrddr7a2cpwqc6jbespe"),
        ] {
            assert_eq!(token(&Secret::new(domain_key(&master(), domain)), version, canonical), expected);
        }
    }

    #[test]
    fn canonical_forms_follow_the_class() {
        assert_eq!(canonical("email", "  Ana.Lima@Example.COM "), "ana.lima@example.com");
        assert_eq!(canonical("cpf", "529.982.247-25"), "52998224725");
        assert_eq!(canonical("phone", "+55 (11) 98765-4321"), "5511987654321");
        assert_eq!(canonical("full_name", " Ana  Lúcia\tde LIMA "), "ana lúcia de lima");
    }

    #[test]
    fn redaction_replaces_planted_values_longest_first_and_nothing_else() {
        let mask = mask(&[
            planted("EMAIL", "b@x.com", true),
            planted("EMAIL", "ab@x.com.br", true),
            planted("EMAIL", "ab@x.com", true),
            planted("CPF", "529.982.247-25", true),
            planted("PHONE", "(11) 98765-4321", true),
            planted("NAME", "Ana Lima", true),
            planted("EMAIL", "profile@x.com", false),
        ]);
        let text = "Ana Lima: ab@x.com.br, ab@x.com b@x.com!\n529.982.247-25/(11) 98765-4321 profile@x.com ção";
        assert_eq!(mask.redacted(text), "Ana Lima: [EMAIL], [EMAIL] [EMAIL]!\n[CPF]/[PHONE] profile@x.com ção");
    }

    #[test]
    fn other_transforms_are_exact() {
        let mask = mask(&[]);
        let is = |expectation: &Expectation, cell, expected: Cell<'_>| {
            assert_eq!(mask.fingerprint(expectation, cell), expected.fingerprint(), "{cell:?}");
        };
        is(&Expectation::Prefix(3), Cell::Text("çã1-2"), Cell::Text("çã1"));
        is(&Expectation::Prefix(3), Cell::Text("ab"), Cell::Text("ab"));
        is(&Expectation::Year, Cell::Date(-1), Cell::Date(-365));
        is(&Expectation::Year, Cell::Date(365 + 40), Cell::Date(365));
        is(&Expectation::Nothing, Cell::Text("x"), Cell::Null);
        is(&Expectation::Redacted, Cell::Null, Cell::Null);
        is(&Expectation::Same, Cell::Int(7), Cell::Int(7));
    }
}
