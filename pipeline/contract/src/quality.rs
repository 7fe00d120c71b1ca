//! Data quality rules of a contract: what is counted, in which unit, what the number must be, and what follows if it is not.
//!
//! The library metrics of ODCS v3.1.0. Rules are read in `odcs_quality` and carried out by whoever has the rows; here is what
//! they mean. Knows no rows, only values and counts. Everything shown of a rule is names and the contract's own numbers, so it
//! may stand in a log; the values that a rule lists are not shown.

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualityRule {
    /// What is counted.
    pub metric: Metric,
    /// How the count is told.
    pub unit: Unit,
    /// What the number must be.
    pub expectation: Expectation,
    /// What follows if it is not.
    pub severity: Severity,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// NULLs of a column.
    NullValues {
        /// Name of the column.
        column: String,
    },
    /// Values of a column that stand for a missing one.
    MissingValues {
        /// Name of the column.
        column: String,
        /// Which values do.
        missing: Missing,
    },
    /// Values of a column, other than NULL, that are not valid.
    InvalidValues {
        /// Name of the column.
        column: String,
        /// Which values are.
        valid: Valid,
    },
    /// Rows whose values were in an earlier row already. A row with a NULL among them equals no other.
    DuplicateValues {
        /// Names of the columns.
        columns: Vec<String>,
    },
    /// Rows.
    RowCount,
}

impl Metric {
    /// The standard's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NullValues { .. } => "nullValues",
            Self::MissingValues { .. } => "missingValues",
            Self::InvalidValues { .. } => "invalidValues",
            Self::DuplicateValues { .. } => "duplicateValues",
            Self::RowCount => "rowCount",
        }
    }

    /// Names of the columns it looks at.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::NullValues { column } | Self::MissingValues { column, .. } | Self::InvalidValues { column, .. } => {
                std::slice::from_ref(column)
            }
            Self::DuplicateValues { columns } => columns,
            Self::RowCount => &[],
        }
    }
}

/// What stands for a missing value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whether NULL does.
    pub null: bool,
    /// Other values that do.
    pub values: ValueSet,
}

/// What is a valid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Valid {
    /// One of these.
    OneOf(ValueSet),
    /// A text in which the pattern is found.
    Matching(Pattern),
}

/// Values of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSet {
    /// Of a column of text.
    Texts(BTreeSet<String>),
    /// Of a column of whole or decimal numbers: times ten to the power of its scale.
    Numbers(BTreeSet<i128>),
}

/// A regular expression, compiled. Found anywhere in a text unless it is anchored.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// Why it cannot be compiled, in one line: its syntax is wrong, it is too large, or it looks around or back.
    pub fn new(text: &str) -> Result<Self, String> {
        // The last line says why; the others point into the pattern.
        Regex::new(text).map(Self).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
    }

    /// Whether it is found in `text`.
    pub fn is_found_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// How a count is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unit {
    /// As it is.
    #[default]
    Rows,
    /// As a share of the rows that were looked at; of none of them it is 0.
    Percent,
}

impl Unit {
    /// The number that `count` of `looked_at` rows are.
    pub fn number(self, count: u64, looked_at: u64) -> f64 {
        match self {
            Self::Rows => count as f64,
            Self::Percent if looked_at == 0 => 0.0,
            Self::Percent => 100.0 * count as f64 / looked_at as f64,
        }
    }
}

/// What follows from a broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Severity {
    /// Nothing of the rows is published.
    #[default]
    Error,
    /// They are, and somebody is warned.
    Warning,
    /// They are, and somebody is told.
    Info,
}

impl Severity {
    /// The word in a contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A number to compare with. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound(f64);

impl Eq for Bound {}

impl Bound {
    /// A bound; `None` unless it is finite.
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a number must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// `mustBe`
    Equal(Bound),
    /// `mustNotBe`
    Unequal(Bound),
    /// `mustBeGreaterThan`
    Greater(Bound),
    /// `mustBeGreaterOrEqualTo`
    GreaterOrEqual(Bound),
    /// `mustBeLessThan`
    Less(Bound),
    /// `mustBeLessOrEqualTo`
    LessOrEqual(Bound),
    /// `mustBeBetween`: greater than the one and less than the other, as the standard says
    Between(Bound, Bound),
    /// `mustNotBeBetween`: the opposite
    NotBetween(Bound, Bound),
}

impl Expectation {
    /// Whether `number` is what it must be.
    pub fn holds(&self, number: f64) -> bool {
        match self {
            Self::Equal(bound) => number == bound.0,
            Self::Unequal(bound) => number != bound.0,
            Self::Greater(bound) => number > bound.0,
            Self::GreaterOrEqual(bound) => number >= bound.0,
            Self::Less(bound) => number < bound.0,
            Self::LessOrEqual(bound) => number <= bound.0,
            Self::Between(low, high) => low.0 < number && number < high.0,
            Self::NotBetween(low, high) => number <= low.0 || high.0 <= number,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(bound) => write!(f, "must be {bound}"),
            Self::Unequal(bound) => write!(f, "must not be {bound}"),
            Self::Greater(bound) => write!(f, "must be greater than {bound}"),
            Self::GreaterOrEqual(bound) => write!(f, "must be {bound} or more"),
            Self::Less(bound) => write!(f, "must be less than {bound}"),
            Self::LessOrEqual(bound) => write!(f, "must be {bound} or less"),
            Self::Between(low, high) => write!(f, "must be greater than {low} and less than {high}"),
            Self::NotBetween(low, high) => write!(f, "must not be greater than {low} and less than {high}"),
        }
    }
}

impl fmt::Display for QualityRule {
    /// One line: metric, columns, expectation, unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.metric.word())?;
        if !self.metric.columns().is_empty() {
            write!(f, " of `{}`", self.metric.columns().join("`, `"))?;
        }
        write!(f, " {}", self.expectation)?;
        f.write_str(if self.unit == Unit::Percent { " percent" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_holds_on_its_side_of_the_bound() {
        let bound = |number| Bound::new(number).expect("finite");
        let (two, four) = (bound(2.0), bound(4.0));
        let held = |expectation: Expectation| {
            let numbers = [1.0, 2.0, 3.0, 4.0, 5.0];
            numbers.map(|number| if expectation.holds(number) { 'y' } else { '.' }).iter().collect::<String>()
        };
        assert_eq!(held(Expectation::Equal(two)), ".y...");
        assert_eq!(held(Expectation::Unequal(two)), "y.yyy");
        assert_eq!(held(Expectation::Greater(two)), "..yyy");
        assert_eq!(held(Expectation::GreaterOrEqual(two)), ".yyyy");
        assert_eq!(held(Expectation::Less(two)), "y....");
        assert_eq!(held(Expectation::LessOrEqual(two)), "yy...");
        assert_eq!(held(Expectation::Between(two, four)), "..y..");
        assert_eq!(held(Expectation::NotBetween(two, four)), "yy.yy");
        assert!(Bound::new(f64::NAN).is_none() && Bound::new(f64::INFINITY).is_none());
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(Unit::Percent.number(0, 0), 0.0);
        assert_eq!(Unit::Percent.number(1, 8), 12.5);
        assert_eq!(Unit::Rows.number(3, 8), 3.0);
    }

    #[test]
    fn a_pattern_is_found_anywhere_and_a_wrong_one_says_why() {
        let pattern = |text| Pattern::new(text).expect("compiles");
        assert!(pattern("[0-9]{3}").is_found_in("a123b") && !pattern("^[0-9]{3}$").is_found_in("a123b"));
        assert!(pattern("a") == pattern("a") && pattern("a") != pattern("b"));
        assert!(Pattern::new("(a").expect_err("unclosed").contains("unclosed group"));
        assert!(Pattern::new("(?=a)").expect_err("looks ahead").contains("look-around"));
    }
}
