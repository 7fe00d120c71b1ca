//! Choice rules: comparisons of a variable with a literal or another variable, combined by `And`, `Or` and `Not`.
//!
//! Promises: every comparison operator of the States Language; an unknown one is refused when the document is parsed. A
//! variable of another type than the operator's makes the comparison false; a missing variable is a `States.Runtime`
//! error, except for `IsPresent`.

use std::cmp::Ordering;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::path::Path;
use super::template::Scope;

/// A rule.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Compare { variable: Path, test: Test },
}

/// What is asked of a variable.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Ordered { domain: Domain, relation: Relation, operand: Operand },
    Matches(String),
    Is { property: Property, expected: bool },
}

/// The type a comparison is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Domain {
    String,
    Numeric,
    Boolean,
    Timestamp,
}

/// How the variable must stand to the operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Relation {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// The other side of a comparison.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Literal(Value),
    Path(Path),
}

/// The `Is…` tests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Property {
    Null,
    Present,
    Numeric,
    String,
    Boolean,
    Timestamp,
}

impl Rule {
    /// Reads a rule, ignoring `Next` and `Comment`.
    pub(crate) fn parse(object: &Map<String, Value>) -> Result<Self, String> {
        let mut operators = object.iter().filter(|(name, _)| !["Variable", "Next", "Comment"].contains(&name.as_str()));
        let (name, value) = operators.next().ok_or("a choice rule has no operator")?;
        if let Some((second, _)) = operators.next() {
            return Err(format!("a choice rule has two operators, `{name}` and `{second}`"));
        }
        match name.as_str() {
            "And" => parse_list(name, value).map(Self::And),
            "Or" => parse_list(name, value).map(Self::Or),
            "Not" => {
                let inner = value.as_object().ok_or("`Not` must be a choice rule")?;
                Self::parse(inner).map(Box::new).map(Self::Not)
            }
            operator => {
                let variable = object.get("Variable").and_then(Value::as_str);
                let variable = variable.ok_or_else(|| format!("`{operator}` needs a `Variable`"))?;
                Ok(Self::Compare { variable: Path::parse(variable)?, test: Test::parse(operator, value)? })
            }
        }
    }

    /// Whether the rule holds.
    pub(crate) fn holds(&self, scope: &Scope<'_>) -> Result<bool, Fault> {
        match self {
            Self::Not(rule) => rule.holds(scope).map(|holds| !holds),
            Self::And(rules) => {
                for rule in rules {
                    if !rule.holds(scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(rules) => {
                for rule in rules {
                    if rule.holds(scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Compare { variable, test } => {
                let value = variable.select(scope.input, scope.context);
                match (test, value) {
                    (Test::Is { property: Property::Present, expected }, value) => Ok(value.is_some() == *expected),
                    (_, None) => Err(Fault::runtime(format!("nothing is at `{}`", variable.text()))),
                    (test, Some(value)) => test.holds(&value, scope),
                }
            }
        }
    }
}

fn parse_list(name: &str, value: &Value) -> Result<Vec<Rule>, String> {
    let rules = value.as_array().filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| format!("`{name}` must be a list of choice rules"))?;
    rules
        .iter()
        .map(|rule| Rule::parse(rule.as_object().ok_or_else(|| format!("`{name}` holds something that is no rule"))?))
        .collect()
}

impl Test {
    fn parse(operator: &str, value: &Value) -> Result<Self, String> {
        let wrong_type = || format!("`{operator}` was given a value of the wrong type");
        let unknown = || format!("choice operator `{operator}` does not exist");
        if operator == "StringMatches" {
            return value.as_str().map(|pattern| Self::Matches(pattern.to_owned())).ok_or_else(wrong_type);
        }
        if let Some(property) = operator.strip_prefix("Is") {
            let property = match property {
                "Null" => Property::Null,
                "Present" => Property::Present,
                "Numeric" => Property::Numeric,
                "String" => Property::String,
                "Boolean" => Property::Boolean,
                "Timestamp" => Property::Timestamp,
                _ => return Err(unknown()),
            };
            return value.as_bool().map(|expected| Self::Is { property, expected }).ok_or_else(wrong_type);
        }
        let domains = [Domain::String, Domain::Numeric, Domain::Boolean, Domain::Timestamp];
        let (domain, rest) = domains
            .iter()
            .find_map(|domain| operator.strip_prefix(domain.name()).map(|rest| (*domain, rest)))
            .ok_or_else(unknown)?;
        let (relation, is_path) = rest.strip_suffix("Path").map_or((rest, false), |relation| (relation, true));
        let relation = match relation {
            "Equals" => Relation::Equals,
            _ if domain == Domain::Boolean => return Err(unknown()),
            "LessThan" => Relation::LessThan,
            "LessThanEquals" => Relation::LessThanEquals,
            "GreaterThan" => Relation::GreaterThan,
            "GreaterThanEquals" => Relation::GreaterThanEquals,
            _ => return Err(unknown()),
        };
        let operand = if is_path {
            Operand::Path(Path::parse(value.as_str().ok_or_else(wrong_type)?)?)
        } else {
            domain.compare(value, value).ok_or_else(wrong_type)?;
            Operand::Literal(value.clone())
        };
        Ok(Self::Ordered { domain, relation, operand })
    }

    fn holds(&self, value: &Value, scope: &Scope<'_>) -> Result<bool, Fault> {
        Ok(match self {
            Self::Matches(pattern) => value.as_str().is_some_and(|text| matches(pattern, text)),
            Self::Is { property, expected } => property.of(value) == *expected,
            Self::Ordered { domain, relation, operand } => {
                let ordering = match operand {
                    Operand::Literal(literal) => domain.compare(value, literal),
                    Operand::Path(path) => {
                        let other = path.select(scope.input, scope.context);
                        let other = other.ok_or_else(|| Fault::runtime(format!("nothing is at `{}`", path.text())))?;
                        domain.compare(value, &other)
                    }
                };
                ordering.is_some_and(|ordering| relation.allows(ordering))
            }
        })
    }
}

impl Domain {
    fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Numeric => "Numeric",
            Self::Boolean => "Boolean",
            Self::Timestamp => "Timestamp",
        }
    }

    /// How two values of this domain stand to each other; `None` when one of them is of another type.
    fn compare(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            Self::String => Some(left.as_str()?.cmp(right.as_str()?)),
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Timestamp => Some(timestamp(left)?.cmp(&timestamp(right)?)),
            Self::Numeric => match (left.as_i64(), right.as_i64()) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
            },
        }
    }
}

impl Relation {
    fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::Equals => ordering.is_eq(),
            Self::LessThan => ordering.is_lt(),
            Self::LessThanEquals => ordering.is_le(),
            Self::GreaterThan => ordering.is_gt(),
            Self::GreaterThanEquals => ordering.is_ge(),
        }
    }
}

impl Property {
    fn of(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Present => true,
            Self::Numeric => value.is_number(),
            Self::String => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => timestamp(value).is_some(),
        }
    }
}

fn timestamp(value: &Value) -> Option<DateTime<chrono::FixedOffset>> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok()
}

/// `StringMatches`: `*` stands for any characters, `\*` for a star.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => parts.push(String::new()),
            '\\' => parts.last_mut().expect("never empty").extend(chars.next()),
            c => parts.last_mut().expect("never empty").push(c),
        }
    }
    let (first, rest) = parts.split_first().expect("never empty");
    let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
    for part in middle {
        match text.find(part.as_str()) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Seed;
    use serde_json::json;
    use std::sync::Mutex;

    fn holds(rule: Value) -> Result<bool, String> {
        let input = json!({"n": 5, "f": 5.5, "s": "beer", "b": true, "t": "2026-01-02T00:00:00Z", "z": null, "m": 5,
            "big": 9_007_199_254_740_993_i64});
        let rng = Mutex::new(Seed(7).rng("test"));
        Rule::parse(rule.as_object().expect("an object"))?
            .holds(&Scope { input: &input, context: &json!({}), rng: &rng })
            .map_err(|fault| fault.error)
    }

    #[test]
    fn comparisons() {
        let cases = [
            (json!({"Variable": "$.n", "NumericEquals": 5}), true),
            (json!({"Variable": "$.n", "NumericLessThan": 5}), false),
            (json!({"Variable": "$.n", "NumericLessThanEquals": 5}), true),
            (json!({"Variable": "$.f", "NumericGreaterThan": 5}), true),
            (json!({"Variable": "$.n", "NumericGreaterThanEquals": 6}), false),
            (json!({"Variable": "$.big", "NumericEquals": 9_007_199_254_740_992_i64}), false),
            (json!({"Variable": "$.n", "NumericEqualsPath": "$.m"}), true),
            (json!({"Variable": "$.s", "NumericEquals": 5}), false),
            (json!({"Variable": "$.s", "StringEquals": "beer"}), true),
            (json!({"Variable": "$.s", "StringLessThan": "c"}), true),
            (json!({"Variable": "$.s", "StringGreaterThanEquals": "c"}), false),
            (json!({"Variable": "$.s", "StringMatches": "b*r"}), true),
            (json!({"Variable": "$.s", "StringMatches": "b*e"}), false),
            (json!({"Variable": "$.s", "StringMatches": "*ee*"}), true),
            (json!({"Variable": "$.s", "StringMatches": "bee\\*"}), false),
            (json!({"Variable": "$.b", "BooleanEquals": true}), true),
            (json!({"Variable": "$.t", "TimestampLessThan": "2026-01-02T00:00:01+00:00"}), true),
            (json!({"Variable": "$.t", "TimestampEquals": "2026-01-01T22:00:00-02:00"}), true),
            (json!({"Variable": "$.z", "IsNull": true}), true),
            (json!({"Variable": "$.none", "IsPresent": false}), true),
            (json!({"Variable": "$.n", "IsNumeric": true}), true),
            (json!({"Variable": "$.n", "IsString": true}), false),
            (json!({"Variable": "$.b", "IsBoolean": true}), true),
            (json!({"Variable": "$.t", "IsTimestamp": true}), true),
            (json!({"Not": {"Variable": "$.n", "NumericEquals": 5}}), false),
            (
                json!({"And": [{"Variable": "$.n", "NumericEquals": 5}, {"Variable": "$.b", "BooleanEquals": false}]}),
                false,
            ),
            (
                json!({"Or": [{"Variable": "$.n", "NumericEquals": 6}, {"Variable": "$.b", "BooleanEquals": true}]}),
                true,
            ),
        ];
        for (rule, expected) in cases {
            assert_eq!(holds(rule.clone()), Ok(expected), "{rule}");
        }
    }

    #[test]
    fn and_stops_at_the_first_rule_that_fails() {
        let guarded =
            json!({"And": [{"Variable": "$.none", "IsPresent": true}, {"Variable": "$.none", "NumericEquals": 1}]});
        assert_eq!(holds(guarded), Ok(false));
        assert_eq!(holds(json!({"Variable": "$.none", "NumericEquals": 1})), Err("States.Runtime".to_owned()));
    }

    #[test]
    fn refusals() {
        for rule in [
            json!({"Variable": "$.n"}),
            json!({"Variable": "$.n", "NumericAbout": 5}),
            json!({"Variable": "$.n", "NumericEquals": "5"}),
            json!({"Variable": "$.n", "BooleanLessThan": true}),
            json!({"Variable": "$.n", "NumericEquals": 5, "StringEquals": "x"}),
            json!({"Variable": "$.n", "IsOdd": true}),
            json!({"Variable": "$.t", "TimestampEquals": "yesterday"}),
            json!({"NumericEquals": 5}),
            json!({"And": []}),
            json!({"Not": []}),
        ] {
            assert!(holds(rule.clone()).is_err(), "{rule}");
        }
    }
}
