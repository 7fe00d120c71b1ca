//! A request against the shapes of a model.
//!
//! Types come first and alone, because AWS reads a request before it judges it. A list of structures is judged element by
//! element, each under its own path (`records.3.member.partitionKey`); the elements of any other list or map are judged
//! together, under the path of the whole. Bytes are counted without being decoded twice.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use regex::Regex;
use serde_json::{Map, Value};

use super::model::{Bounds, Member, Model, Shape};
use super::tables::PATTERNS;
use super::wording::{self, Dialect};

/// AWS tells no more violations than these.
pub(crate) const VIOLATIONS_MAX: usize = 10;

static COMPILED: [OnceLock<Option<Regex>>; PATTERNS.len()] = [const { OnceLock::new() }; PATTERNS.len()];

/// Whether the whole of `text` is of the pattern, as Java matches. A pattern that cannot be compiled would match nothing of
/// what it should, so it is passed over; a test says that there is none.
fn matches(pattern: usize, text: &str) -> bool {
    let compiled = COMPILED[pattern].get_or_init(|| compile(PATTERNS[pattern]));
    compiled.as_ref().is_none_or(|regex| regex.is_match(text))
}

/// Java's `\d` is ASCII only.
fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(&format!(r"\A(?:{})\z", pattern.replace(r"\d", "[0-9]"))).ok()
}

/// Refuses the first value that is not of its shape's type.
pub(super) fn check_types(model: &Model, dialect: Dialect, shape: usize, value: &Value) -> Result<(), String> {
    match (model.shape(shape), value) {
        (_, Value::Null) => Ok(()),
        (Shape::Structure(_, members), Value::Object(found)) => members.iter().try_for_each(|member| {
            let Some(value) = found.get(member.name) else { return Ok(()) };
            match (model.shape(member.shape), value) {
                (Shape::Blob(_), Value::String(encoded)) => {
                    decodes(encoded).map_err(|why| dialect.not_a_blob(member.name, &why))
                }
                _ => check_types(model, dialect, member.shape, value),
            }
        }),
        (Shape::List(element, _), Value::Array(elements)) => {
            elements.iter().try_for_each(|value| check_types(model, dialect, *element, value))
        }
        (Shape::Map(_, inner, _), Value::Object(entries)) => {
            entries.values().try_for_each(|value| check_types(model, dialect, *inner, value))
        }
        (Shape::Text(..), Value::String(_))
        | (Shape::Number(..) | Shape::Timestamp, Value::Number(_))
        | (Shape::Boolean, Value::Bool(_)) => Ok(()),
        (Shape::Blob(_), Value::String(encoded)) => decodes(encoded).map_err(|why| dialect.not_a_blob("value", &why)),
        (shape, value) => Err(dialect.wrong_type(shape, value)),
    }
}

fn decodes(encoded: &str) -> Result<(), String> {
    if !encoded.len().is_multiple_of(4) {
        let length = encoded.len();
        return Err(format!("Base64 encoded length is expected a multiple of 4 bytes but found: {length}"));
    }
    let decoded = BASE64_STANDARD.decode(encoded);
    decoded.map(|_bytes| ()).map_err(|_| "Invalid Base64 character or padding".to_owned())
}

/// What is broken in one request. No `Debug`: it quotes the request.
pub(super) struct Evaluation {
    model: &'static Model,
    broken: Vec<String>,
}

impl Evaluation {
    /// Judges a request whose types are right.
    pub(super) fn of(model: &'static Model, input: usize, request: &Value) -> Self {
        let mut evaluation = Self { model, broken: Vec::new() };
        if let (Shape::Structure(_, members), Value::Object(found)) = (model.shape(input), request) {
            evaluation.structure(members, found, "");
        }
        evaluation
    }

    /// The sentences of AWS, in the order of the model.
    pub(super) fn broken(self) -> Vec<String> {
        self.broken
    }

    fn structure(&mut self, members: &[Member], found: &Map<String, Value>, path: &str) {
        for member in members {
            if self.broken.len() >= VIOLATIONS_MAX {
                return;
            }
            let at = wording::path(path, member.name);
            match found.get(member.name).filter(|value| !value.is_null()) {
                Some(value) => self.value(member.shape, value, &at),
                None if member.is_required => self.push(wording::null(&at)),
                None => {}
            }
        }
    }

    fn value(&mut self, shape: usize, value: &Value, path: &str) {
        match (self.model.shape(shape), value) {
            (Shape::Structure(_, members), Value::Object(found)) => self.structure(members, found, path),
            (Shape::List(element, bounds), Value::Array(elements)) => {
                self.rules(shape, value, path, &length_rules(elements.len(), *bounds));
                self.elements(shape, *element, value, elements.iter(), path);
            }
            (Shape::Map(key, inner, bounds), Value::Object(entries)) => {
                self.rules(shape, value, path, &length_rules(entries.len(), *bounds));
                if entries.keys().any(|name| !self.is_sound(*key, &Value::String(name.clone()))) {
                    self.rules(shape, value, path, &[wording::of_keys(self.model.shape(*key))]);
                }
                if entries.values().any(|value| !self.is_sound(*inner, value)) {
                    self.rules(shape, value, path, &[wording::of_values(self.model.shape(*inner))]);
                }
            }
            (scalar, value) => self.rules(shape, value, path, &scalar_rules(scalar, value)),
        }
    }

    fn elements<'a>(
        &mut self,
        list: usize,
        element: usize,
        whole: &Value,
        mut elements: impl Iterator<Item = &'a Value>,
        path: &str,
    ) {
        if !matches!(self.model.shape(element), Shape::Structure(..)) {
            if !elements.all(|value| self.is_sound(element, value)) {
                self.rules(list, whole, path, &[wording::of_elements(self.model.shape(element))]);
            }
            return;
        }
        for (at, value) in elements.enumerate() {
            if self.broken.len() >= VIOLATIONS_MAX {
                return;
            }
            self.value(element, value, &format!("{path}.{}.member", at + 1));
        }
    }

    fn is_sound(&self, shape: usize, value: &Value) -> bool {
        let mut inner = Self { model: self.model, broken: Vec::new() };
        inner.value(shape, value, "");
        inner.broken.is_empty()
    }

    /// The value is written down only when something is broken.
    fn rules(&mut self, shape: usize, value: &Value, path: &str, rules: &[String]) {
        if rules.is_empty() || self.broken.len() >= VIOLATIONS_MAX {
            return;
        }
        let shown = format!("'{}'", wording::shown(self.model, self.model.shape(shape), value));
        for rule in rules {
            self.push(wording::violation(&shown, path, rule));
        }
    }

    fn push(&mut self, sentence: String) {
        if self.broken.len() < VIOLATIONS_MAX {
            self.broken.push(sentence);
        }
    }
}

fn length_rules(length: usize, bounds: Bounds) -> Vec<String> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    outside(length, bounds).into_iter().map(|(least, bound)| wording::length(least, bound)).collect()
}

/// The bound that is broken, and whether it is the lower one.
fn outside(found: i64, (least, most): Bounds) -> Option<(bool, i64)> {
    let below = least.filter(|least| found < *least).map(|least| (true, least));
    below.or(most.filter(|most| found > *most).map(|most| (false, most)))
}

fn scalar_rules(shape: &Shape, value: &Value) -> Vec<String> {
    match (shape, value) {
        (Shape::Text(bounds, pattern, allowed), Value::String(text)) => {
            let mut rules = Vec::new();
            if let Some(pattern) = pattern.filter(|pattern| !matches(*pattern, text)) {
                rules.push(wording::pattern(PATTERNS[pattern]));
            }
            rules.extend(length_rules(text.chars().count(), *bounds));
            if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
                rules.push(wording::one_of(allowed));
            }
            rules
        }
        (Shape::Blob(bounds), Value::String(encoded)) => length_rules(wording::blob_length(encoded), *bounds),
        (Shape::Number(_, bounds), Value::Number(number)) => {
            // What is no 64-bit integer is outside every range of the models, or a fraction that Java cuts off.
            let cut_off = number.as_f64().map_or(i64::MAX, |number| number as i64);
            let number = number.as_i64().unwrap_or(cut_off);
            outside(number, *bounds).into_iter().map(|(least, bound)| wording::range(least, bound)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_tables_can_be_compiled() {
        for pattern in PATTERNS {
            assert!(compile(pattern).is_some(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_is_of_the_whole_text() {
        let is = |pattern: &str, text: &str| compile(pattern).is_some_and(|regex| regex.is_match(text));
        assert!(is("[a-zA-Z0-9_.-]+", "a.B-9_"));
        assert!(!is("[a-zA-Z0-9_.-]+", "a b"));
        assert!(is(r"^(0|([1-9]\d{0,38}))$", &"9".repeat(39)));
        assert!(!is(r"^(0|([1-9]\d{0,38}))$", &"9".repeat(40)));
        assert!(!is(r"^(0|([1-9]\d{0,38}))$", "1\n"));
        assert!(!is(r"\d+", "\u{663}"), "digits of other scripts are none to Java");
    }
}
