//! The mask, worked out a second time from its definition alone; shares nothing with `lakebed-mask`.
//!
//! Tokens: canonical form by class, a key per domain by HMAC, the first 16 bytes of a second HMAC in base32. Redaction does not
//! search for PII at all: it replaces what the source says it planted, so a search that finds too little or too much differs.
//! Knows no columns of its own: contract and policy tell. Does not work out `fpe`, which leaves a column unchecked.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, Mac};
use lakebed_contract::policy::{Excerpt, Layer, Policy, Transform};
use lakebed_contract::secret::Secret;
use lakebed_contract::table::{Column, ColumnType};
use sha2::Sha256;

use super::Planted;
use super::cell::Cell;
use super::error::JudgeError;
use super::shown::shown;

/// Bytes of the HMAC that a token shows.
const TOKEN_BYTES: usize = 16;

/// What silver must hold for a source value of one column: what bronze and silver do with it, in this order.
pub(super) struct Expectation(Vec<Step>);

/// What a layer does with a value.
enum Step {
    /// Its token.
    Token { class: String, key: Secret<[u8; 32]> },
    /// A date or an instant becomes the beginning of something longer.
    Coarse(Coarse),
    /// Its first characters.
    Prefix(usize),
    /// Its display form.
    Shown(Excerpt),
    /// The text with the planted values replaced.
    Redacted,
    /// NULL.
    Nothing,
}

/// Whose beginning.
#[derive(Clone, Copy, Debug)]
enum Coarse {
    Year,
    Month,
    Day,
    /// So many years, counted from year 0.
    Band(i32),
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
        let Some(class) = &column.class else { return Ok(Expectation(Vec::new())) };
        let mut steps = Vec::new();
        for layer in [Layer::Bronze, Layer::Silver] {
            let transform = policy.transform_at(layer, class);
            let transform = transform.ok_or_else(|| format!("class `{class}` has no transform"))?;
            steps.extend(self.step(transform, class, column.column_type)?);
        }
        Ok(Expectation(steps))
    }

    /// What a transform does; `None` when nothing.
    fn step(&self, transform: &Transform, class: &str, of: ColumnType) -> Result<Option<Step>, String> {
        let is_time = matches!(of, ColumnType::Date | ColumnType::Timestamptz);
        Ok(Some(match (transform, of) {
            (Transform::Keep, _) => return Ok(None),
            (Transform::Drop, _) => Step::Nothing,
            (Transform::Token { domain }, ColumnType::Text) => {
                let class = if has_form(domain) { domain.as_str() } else { class };
                Step::Token { class: class.to_owned(), key: Secret::new(domain_key(&self.key, domain)) }
            }
            (Transform::Year, _) if is_time => Step::Coarse(Coarse::Year),
            (Transform::Month, _) if is_time => Step::Coarse(Coarse::Month),
            (Transform::Day, ColumnType::Timestamptz) => Step::Coarse(Coarse::Day),
            (Transform::Band(years), ColumnType::Date) => Step::Coarse(Coarse::Band(i32::from(*years))),
            (Transform::Prefix(length), ColumnType::Text) => Step::Prefix(*length),
            (Transform::Partial(excerpt), ColumnType::Text) => Step::Shown(*excerpt),
            (Transform::Redact, ColumnType::Text) => Step::Redacted,
            (other, of) => {
                return Err(format!("the judge does not work out `{other}` of class `{class}` on type {of}"));
            }
        }))
    }

    /// Fingerprint of what silver must hold where the source holds `cell`.
    pub(super) fn fingerprint(&self, expectation: &Expectation, cell: Cell<'_>) -> u64 {
        self.fingerprint_after(&expectation.0, cell)
    }

    fn fingerprint_after(&self, steps: &[Step], cell: Cell<'_>) -> u64 {
        let Some((step, rest)) = steps.split_first() else { return cell.fingerprint() };
        match (step, cell) {
            (Step::Nothing, _) | (_, Cell::Null) => Cell::Null.fingerprint(),
            (Step::Token { class, key }, Cell::Text(text)) => {
                self.fingerprint_after(rest, Cell::Text(&token(key, self.version, &canonical(class, text))))
            }
            (Step::Coarse(coarse), cell) => self.fingerprint_after(rest, coarse.beginning(cell)),
            (Step::Prefix(length), Cell::Text(text)) => {
                let end = text.char_indices().nth(*length).map_or(text.len(), |(at, _)| at);
                self.fingerprint_after(rest, Cell::Text(&text[..end]))
            }
            (Step::Shown(excerpt), Cell::Text(text)) => {
                self.fingerprint_after(rest, Cell::Text(&shown(*excerpt, text)))
            }
            (Step::Redacted, Cell::Text(text)) => self.fingerprint_after(rest, Cell::Text(&self.redacted(text))),
            (_, other) => self.fingerprint_after(rest, other),
        }
    }

    fn redacted(&self, text: &str) -> String {
        self.planted.replace_all(text, &self.labels)
    }
}

impl Coarse {
    /// The beginning of the year, month, day or band in which a date or an instant lies; anything else is left as it is.
    fn beginning(self, cell: Cell<'_>) -> Cell<'_> {
        match cell {
            Cell::Date(days) => Cell::Date(self.first_day(days).unwrap_or(days)),
            Cell::Instant(micros) => Cell::Instant(self.midnight(micros).unwrap_or(micros)),
            other => other,
        }
    }

    fn first_day(self, days: i32) -> Option<i32> {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
        let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(epoch.num_days_from_ce())?)?;
        i32::try_from(self.first(date)?.signed_duration_since(epoch).num_days()).ok()
    }

    fn midnight(self, micros: i64) -> Option<i64> {
        let date = self.first(DateTime::from_timestamp_micros(micros)?.date_naive())?;
        Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
    }

    fn first(self, date: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
            Self::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1),
            Self::Day => Some(date),
            Self::Band(years) => NaiveDate::from_ymd_opt(date.year() - date.year().rem_euclid(years), 1, 1),
        }
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
    let words = || text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    // Without any digit or letter to keep, `n/a` and `-` would be one person: they are spelt as words.
    let or_words = |kept: String| if kept.is_empty() { words() } else { kept };
    match class {
        "email" => text.trim().to_lowercase(),
        _ if DIGITS.contains(&class) => or_words(text.chars().filter(char::is_ascii_digit).collect()),
        _ if COMPACT.contains(&class) => {
            or_words(text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect())
        }
        _ if EXACT.contains(&class) => text.trim().to_owned(),
        _ => words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Lake;

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
        assert_eq!(canonical("phone", " N/A "), "n/a");
        assert_eq!(canonical("cnpj", "- -"), "- -");
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
        let is = |steps: Vec<Step>, cell: Cell<'_>, expected: Cell<'_>| {
            assert_eq!(mask.fingerprint(&Expectation(steps), cell), expected.fingerprint(), "{cell:?}");
        };
        is(vec![Step::Prefix(3)], Cell::Text("çã1-2"), Cell::Text("çã1"));
        is(vec![Step::Prefix(3)], Cell::Text("ab"), Cell::Text("ab"));
        is(vec![Step::Nothing], Cell::Text("x"), Cell::Null);
        is(vec![Step::Redacted], Cell::Null, Cell::Null);
        is(vec![], Cell::Int(7), Cell::Int(7));
        is(vec![Step::Prefix(3), Step::Nothing], Cell::Text("abc"), Cell::Null);
        is(vec![Step::Prefix(3), Step::Prefix(2)], Cell::Text("abcd"), Cell::Text("ab"));
    }

    #[test]
    fn dates_and_instants_begin_with_their_year_month_day_or_band() {
        let begins = |coarse: Coarse, cell: Cell<'_>, expected: Cell<'_>| {
            assert_eq!(coarse.beginning(cell), expected, "{coarse:?} {cell:?}");
        };
        begins(Coarse::Year, Cell::Date(-1), Cell::Date(-365));
        begins(Coarse::Year, Cell::Date(365 + 40), Cell::Date(365));
        begins(Coarse::Month, Cell::Date(40), Cell::Date(31));
        // 1994-12-31, 1995-01-01
        begins(Coarse::Band(5), Cell::Date(9_130), Cell::Date(7_305));
        begins(Coarse::Band(5), Cell::Date(9_131), Cell::Date(9_131));
        // -0001-07-01 is in the band that begins with year -10.
        begins(Coarse::Band(10), Cell::Date(-719_712), Cell::Date(-723_180));
        const DAY: i64 = 86_400_000_000;
        begins(Coarse::Day, Cell::Instant(-1), Cell::Instant(-DAY));
        begins(Coarse::Month, Cell::Instant(40 * DAY + 1), Cell::Instant(31 * DAY));
        begins(Coarse::Year, Cell::Instant(-1), Cell::Instant(-365 * DAY));
        begins(Coarse::Year, Cell::Null, Cell::Null);
        begins(Coarse::Year, Cell::Date(i32::MAX), Cell::Date(i32::MAX));
    }

    #[test]
    fn both_layers_of_the_policy_are_worked_out() {
        let policy = "version: 1\nclasses:\n  birth: {bronze: month, silver: 'band:5y'}\n  seen: {bronze: day}\n  \
            code: {bronze: token, silver: 'prefix:6'}\n  gone: {bronze: keep, silver: drop}\n  phone: {bronze: partial}\n  card: {bronze: 'fpe:credit_card'}\n";
        let policy = Policy::from_yaml(policy).expect("a policy");
        let lake = Lake::beer();
        let mut column = lake.tables[0].columns[0].clone();
        let mask = mask(&[]);
        let mut expectation = |class: &str, of: ColumnType| {
            (column.class, column.column_type) = (Some(class.to_owned()), of);
            mask.expectation(&column, &policy)
        };
        let mut is = |class: &str, of: ColumnType, cell: Cell<'_>, expected: Cell<'_>| {
            let expectation = expectation(class, of).expect(class);
            assert_eq!(mask.fingerprint(&expectation, cell), expected.fingerprint(), "{class}");
        };
        is("birth", ColumnType::Date, Cell::Date(9_130), Cell::Date(7_305));
        is("seen", ColumnType::Timestamptz, Cell::Instant(-1), Cell::Instant(-86_400_000_000));
        is("code", ColumnType::Text, Cell::Text("x"), Cell::Text("tok_1_"));
        is("phone", ColumnType::Text, Cell::Text("11 91234-5678"), Cell::Text("****5678"));
        is("gone", ColumnType::Bigint, Cell::Int(7), Cell::Null);
        let refused = expectation("card", ColumnType::Text).err().expect("not worked out");
        assert!(refused.contains("does not work out `fpe`"), "{refused}");
    }
}
