//! The mask, worked out a second time from its definition alone; shares nothing with `lakebed-mask`.
//!
//! Each transform of the policy is done here once more, in bronze and then in silver. Redaction does not
//! search for PII at all: it replaces what the source says it planted, so a search that finds too little or too much differs.
//! Knows no columns of its own: contract and policy tell. What they cannot mean together (a class nobody decided about, a transform
//! of another type) is said to be unchecked; a lake with such a pair is refused when it is read.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};
use lakebed_contract::policy::{Excerpt, Layer, Policy, Transform};
use lakebed_contract::secret::Secret;
use lakebed_contract::table::{Column, ColumnType};

use super::Planted;
use super::cell::Cell;
use super::error::JudgeError;
use super::fpe::Encryption;
use super::shown::shown;
use super::token::Tokens;

/// What silver must hold for a source value of one column: what bronze and silver do with it, in this order.
pub(super) struct Expectation(Vec<Step>);

/// What a layer does with a value.
enum Step {
    /// Its token.
    Token(Tokens),
    /// Its encryption, or the token of what is not of the shape.
    Encrypted(Box<Encryption>, Tokens),
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
            (Transform::Token { domain }, ColumnType::Text) => Step::Token(self.tokens(domain, class)),
            (Transform::Fpe { domain, shape }, ColumnType::Text) => {
                Step::Encrypted(Box::new(Encryption::new(&self.key, domain, *shape)), self.tokens(domain, class))
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

    fn tokens(&self, domain: &str, class: &str) -> Tokens {
        Tokens::new(&self.key, self.version, domain, class)
    }

    /// Fingerprint of what silver must hold where the source holds `cell`.
    pub(super) fn fingerprint(&self, expectation: &Expectation, cell: Cell<'_>) -> u64 {
        self.fingerprint_after(&expectation.0, cell)
    }

    fn fingerprint_after(&self, steps: &[Step], cell: Cell<'_>) -> u64 {
        let Some((step, rest)) = steps.split_first() else { return cell.fingerprint() };
        match (step, cell) {
            (Step::Nothing, _) | (_, Cell::Null) => Cell::Null.fingerprint(),
            (Step::Token(tokens), Cell::Text(text)) => self.fingerprint_after(rest, Cell::Text(&tokens.of(text))),
            (Step::Encrypted(encryption, tokens), Cell::Text(text)) => {
                let encrypted = encryption.of(text).unwrap_or_else(|| tokens.of(text));
                self.fingerprint_after(rest, Cell::Text(&encrypted))
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

#[cfg(test)]
mod tests;
