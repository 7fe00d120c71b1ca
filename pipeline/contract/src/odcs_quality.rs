//! Reads the `quality` lists of a contract: of its table and of its properties.
//!
//! What would not be carried out as it is written is refused: SQL and custom rules, schedules, unknown metrics, units, severities
//! and fields, values that a column cannot hold, a pattern that does not compile. Rules of type `text` are for people, so they are
//! accepted and not kept; so are the fields that only describe a rule.

use std::collections::{BTreeMap, BTreeSet};

use serde_norway::Value;

use crate::quality::{Bound, Expectation, Metric, Missing, Pattern, QualityRule, Severity, Unit, Valid, ValueSet};
use crate::table::{Column, ColumnType};

/// A rule as it stands in the file.
pub(crate) type Entry = BTreeMap<String, Value>;

/// Fields of a rule that describe it and change nothing here.
const DESCRIPTIVE: [&str; 6] = ["authoritativeDefinitions", "businessImpact", "description", "id", "name", "tags"];

const DIMENSIONS: [&str; 7] =
    ["accuracy", "completeness", "conformity", "consistency", "coverage", "timeliness", "uniqueness"];

const OPERATORS: [&str; 8] = [
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];

/// Reads the rules of a property, or of the table if `column` is none of its columns.
pub(crate) fn read(entries: &[Entry], column: Option<&Column>, columns: &[Column]) -> Result<Vec<QualityRule>, String> {
    let mut rules = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let rule = read_rule(entry, column, columns).map_err(|why| {
            let place = column.map_or_else(|| "the table".to_owned(), |column| format!("property `{}`", column.name));
            format!("quality rule {} of {place} {why}", at + 1)
        })?;
        rules.extend(rule);
    }
    Ok(rules)
}

/// The rule, unless it is for people.
fn read_rule(entry: &Entry, column: Option<&Column>, columns: &[Column]) -> Result<Option<QualityRule>, String> {
    let is_for_people = match word(entry, "type")?.unwrap_or("library") {
        "library" => false,
        "text" => true,
        kind @ ("sql" | "custom") => return Err(format!("has type `{kind}`, which is not carried out; use a metric")),
        kind => return Err(format!("has the unknown type `{kind}`; known: library, text")),
    };
    let is_known = |field: &str| {
        let is_of_all = ["type", "dimension", "severity", "unit"].contains(&field) || DESCRIPTIVE.contains(&field);
        let is_of_library = ["metric", "rule", "arguments"].contains(&field) || OPERATORS.contains(&field);
        is_of_all || (is_of_library && !is_for_people)
    };
    if let Some(unknown) = entry.keys().find(|field| !is_known(field)) {
        return Err(format!("has the field `{unknown}`, which is not carried out in a rule of its type"));
    }
    if let Some(dimension) = word(entry, "dimension")?.filter(|dimension| !DIMENSIONS.contains(dimension)) {
        return Err(format!("has the unknown dimension `{dimension}`; known: {}", DIMENSIONS.join(", ")));
    }
    let severity = match word(entry, "severity")? {
        None => Severity::default(),
        Some("error") => Severity::Error,
        Some("warning") => Severity::Warning,
        Some("info") => Severity::Info,
        Some(other) => return Err(format!("has the unknown severity `{other}`; known: error, warning, info")),
    };
    if is_for_people {
        return Ok(None);
    }
    let metric = read_metric(entry, column, columns)?;
    let unit = match word(entry, "unit")? {
        None | Some("rows") => Unit::Rows,
        Some("percent") if metric != Metric::RowCount => Unit::Percent,
        Some("percent") => return Err("counts all rows, of which there is no share in percent".to_owned()),
        Some(other) => return Err(format!("has the unknown unit `{other}`; known: rows, percent")),
    };
    Ok(Some(QualityRule { metric, unit, expectation: read_expectation(entry)?, severity }))
}

/// A field that is one word, if it is there.
fn word<'e>(entry: &'e Entry, field: &str) -> Result<Option<&'e str>, String> {
    let Some(value) = entry.get(field) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| format!("has a `{field}` that is no text"))
}

fn read_expectation(entry: &Entry) -> Result<Expectation, String> {
    let written: Vec<&str> = OPERATORS.into_iter().filter(|operator| entry.contains_key(*operator)).collect();
    let [operator] = written[..] else {
        return Err(format!("has {} operators, and needs exactly one of {}", written.len(), OPERATORS.join(", ")));
    };
    let value = &entry[operator];
    let number = |value: &Value| value.as_f64().and_then(Bound::new);
    let one = number(value).ok_or_else(|| format!("has a `{operator}` that is no number"));
    let range = || {
        let ends = match value.as_sequence().map(Vec::as_slice) {
            Some([low, high]) if low.as_f64() < high.as_f64() => number(low).zip(number(high)),
            _ => None,
        };
        ends.ok_or_else(|| format!("has a `{operator}` that is no list of two numbers, the smaller one first"))
    };
    Ok(match operator {
        "mustBe" => Expectation::Equal(one?),
        "mustNotBe" => Expectation::Unequal(one?),
        "mustBeGreaterThan" => Expectation::Greater(one?),
        "mustBeGreaterOrEqualTo" => Expectation::GreaterOrEqual(one?),
        "mustBeLessThan" => Expectation::Less(one?),
        "mustBeLessOrEqualTo" => Expectation::LessOrEqual(one?),
        "mustBeBetween" => range().map(|(low, high)| Expectation::Between(low, high))?,
        _ => range().map(|(low, high)| Expectation::NotBetween(low, high))?,
    })
}

fn read_metric(entry: &Entry, column: Option<&Column>, columns: &[Column]) -> Result<Metric, String> {
    let name = match (word(entry, "metric")?, word(entry, "rule")?) {
        (Some(name), None) | (None, Some(name)) => name,
        (Some(_), Some(_)) => return Err("has both `metric` and its old name `rule`".to_owned()),
        (None, None) => return Err("has no `metric`".to_owned()),
    };
    let mut arguments = read_arguments(entry)?;
    let metric = match (name, column) {
        ("nullValues", Some(column)) => Metric::NullValues { column: column.name.clone() },
        ("missingValues", Some(column)) => {
            let values = list(&mut arguments, "missingValues")?;
            let (nulls, others): (Vec<&Value>, Vec<&Value>) = values.iter().partition(|value| value.is_null());
            let missing = Missing { null: !nulls.is_empty(), values: value_set("missingValues", &others, column)? };
            Metric::MissingValues { column: column.name.clone(), missing }
        }
        ("invalidValues", Some(column)) => {
            Metric::InvalidValues { column: column.name.clone(), valid: read_valid(&mut arguments, column)? }
        }
        ("duplicateValues", Some(column)) => Metric::DuplicateValues { columns: vec![column.name.clone()] },
        ("duplicateValues", None) => {
            let names = list(&mut arguments, "properties")?.iter().map(|name| {
                let found = columns.iter().find(|column| name.as_str() == Some(column.name.as_str()));
                found.map(|column| column.name.clone())
            });
            let names = names.collect::<Option<Vec<_>>>();
            let names = names.ok_or("has `properties` that are not all of the table")?;
            if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
                return Err("names one of its `properties` twice".to_owned());
            }
            Metric::DuplicateValues { columns: names }
        }
        ("rowCount", None) => Metric::RowCount,
        ("rowCount", Some(_)) => return Err("has the metric `rowCount`, which belongs to the table".to_owned()),
        ("nullValues" | "missingValues" | "invalidValues", None) => {
            return Err(format!("has the metric `{name}`, which belongs to a property"));
        }
        _ => {
            return Err(format!(
                "has the unknown metric `{name}`; known: nullValues, missingValues, invalidValues, duplicateValues, rowCount"
            ));
        }
    };
    match arguments.keys().next() {
        Some(unknown) => Err(format!("has the argument `{unknown}`, which `{name}` does not take here")),
        None => Ok(metric),
    }
}

fn read_arguments(entry: &Entry) -> Result<BTreeMap<&str, &Value>, String> {
    match entry.get("arguments") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Mapping(arguments)) => {
            let arguments = arguments.iter().map(|(name, value)| name.as_str().map(|name| (name, value)));
            arguments.collect::<Option<_>>().ok_or_else(|| "has an argument whose name is no text".to_owned())
        }
        Some(_) => Err("has `arguments` that are no mapping".to_owned()),
    }
}

/// Takes an argument that is a list of at least one value.
fn list<'e>(arguments: &mut BTreeMap<&str, &'e Value>, name: &str) -> Result<&'e [Value], String> {
    let values = arguments.remove(name).and_then(Value::as_sequence).filter(|values| !values.is_empty());
    values.map(Vec::as_slice).ok_or_else(|| format!("needs the argument `{name}`, a list of at least one value"))
}

fn read_valid(arguments: &mut BTreeMap<&str, &Value>, column: &Column) -> Result<Valid, String> {
    let Some(pattern) = arguments.remove("pattern") else {
        if !arguments.contains_key("validValues") {
            return Err("needs one of the arguments `validValues` and `pattern`".to_owned());
        }
        let values: Vec<&Value> = list(arguments, "validValues")?.iter().collect();
        if values.iter().any(|value| value.is_null()) {
            return Err("lists null in `validValues`; NULLs are never invalid, `nullValues` counts them".to_owned());
        }
        return value_set("validValues", &values, column).map(Valid::OneOf);
    };
    if arguments.contains_key("validValues") {
        return Err("has both `validValues` and `pattern`; write a rule for each".to_owned());
    }
    if column.column_type != ColumnType::Text {
        return Err(format!("has a `pattern` for a column of type {}; patterns are for text", column.column_type));
    }
    let pattern = pattern.as_str().ok_or("has a `pattern` that is no text")?;
    Pattern::new(pattern).map(Valid::Matching).map_err(|why| format!("has a `pattern` that does not compile: {why}"))
}

/// Values that a column may hold, as it holds them.
fn value_set(argument: &str, values: &[&Value], column: &Column) -> Result<ValueSet, String> {
    let wrong = |what: &str| format!("lists a value in `{argument}` that is {what}");
    let scale = match column.column_type {
        ColumnType::Text => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<BTreeSet<_>>>();
            return texts.map(ValueSet::Texts).ok_or_else(|| wrong("no text; put it in quotes"));
        }
        ColumnType::Integer | ColumnType::Bigint => 0,
        ColumnType::Decimal { scale, .. } => scale,
        // Of null alone.
        _ if values.is_empty() => 0,
        other => return Err(format!("lists values of type {other}; known: text, integer, bigint, numeric")),
    };
    let numbers = values.iter().map(|value| match value {
        Value::Number(number) => unscaled(&number.to_string(), scale),
        Value::String(text) => unscaled(text, scale),
        _ => None,
    });
    let numbers = numbers.collect::<Option<BTreeSet<_>>>();
    numbers.map(ValueSet::Numbers).ok_or_else(|| wrong(&format!("no {}", column.column_type)))
}

/// A decimal number times ten to the power of `scale`, if that is a whole one.
fn unscaled(text: &str, scale: u8) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zeros = usize::from(scale).checked_sub(fraction.len())?;
    let number: i128 = format!("{whole}{fraction}{}", "0".repeat(zeros)).parse().ok()?;
    Some(sign * number)
}

#[cfg(test)]
mod tests {
    use crate::TableContract;

    use super::*;

    /// A table with one rule of a property `c` of some type, or of the table.
    fn contract(kind: &str, rule: &str, of_table: bool) -> Result<TableContract, String> {
        let of = |is_there: bool| if is_there { format!("quality: [{{{rule}}}]") } else { "quality: []".to_owned() };
        let text = format!(
            "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    {}\n    \
             properties:\n      - {{name: id, physicalType: bigint, primaryKey: true}}\n      - name: c\n        \
             physicalType: {kind}\n        {}\n",
            of(of_table),
            of(!of_table)
        );
        TableContract::from_odcs_yaml("contracts/t.yaml", &text).map_err(|error| error.to_string())
    }

    /// The rule of a property of some type.
    #[track_caller]
    fn read_of(kind: &str, rule: &str) -> QualityRule {
        contract(kind, rule, false).expect("valid").quality.remove(0)
    }

    #[track_caller]
    fn refused(kind: &str, rule: &str, why: &str) {
        let error = contract(kind, rule, false).expect_err("must be refused");
        assert!(error.contains("contracts/t.yaml`: quality rule 1 of property `c`") && error.contains(why), "{error}");
    }

    #[test]
    fn a_rule_is_read_with_its_defaults() {
        let rule = read_of("text", "metric: nullValues, mustBe: 0, dimension: completeness, name: n, description: d");
        assert_eq!((rule.unit, rule.severity), (Unit::Rows, Severity::Error));
        assert_eq!(rule.to_string(), "nullValues of `c` must be 0");
        let rule =
            read_of("date", "type: library, rule: nullValues, mustBeLessThan: 2.5, unit: percent, severity: info");
        assert_eq!(rule.to_string(), "nullValues of `c` must be less than 2.5 percent");
        assert_eq!(rule.severity, Severity::Info);
        assert!(contract("text", "type: text, description: as it should be", false).expect("valid").quality.is_empty());
    }

    #[test]
    fn each_operator_is_read() {
        for (operator, shown) in [
            ("mustBe: 5", "must be 5"),
            ("mustNotBe: 3.14", "must not be 3.14"),
            ("mustBeGreaterThan: 59", "must be greater than 59"),
            ("mustBeGreaterOrEqualTo: 60", "must be 60 or more"),
            ("mustBeLessThan: 1000", "must be less than 1000"),
            ("mustBeLessOrEqualTo: 999", "must be 999 or less"),
            ("mustBeBetween: [0, 100]", "must be greater than 0 and less than 100"),
            ("mustNotBeBetween: [0, 100]", "must not be greater than 0 and less than 100"),
        ] {
            let table = contract("text", &format!("metric: rowCount, {operator}"), true).expect("valid");
            assert_eq!(table.quality[0].to_string(), format!("rowCount {shown}"));
        }
    }

    #[test]
    fn values_are_read_as_the_column_holds_them() {
        let valid = |kind: &str, values: &str| {
            let rule = format!("metric: invalidValues, mustBe: 0, arguments: {{validValues: [{values}]}}");
            match read_of(kind, &rule).metric {
                Metric::InvalidValues { valid: Valid::OneOf(ValueSet::Numbers(numbers)), .. } => {
                    Vec::from_iter(numbers)
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(valid("'numeric(3,1)'", "4, 4.5, '-0.50', 4.0"), [-5, 40, 45]);
        assert_eq!(valid("integer", "-3, '7'"), [-3, 7]);
        let missing = "metric: missingValues, mustBe: 0, arguments: {missingValues: [null, '', 'N/A']}";
        let texts = ["", "N/A"].map(str::to_owned);
        let missing_of_text = Missing { null: true, values: ValueSet::Texts(texts.into()) };
        assert_eq!(
            read_of("text", missing).metric,
            Metric::MissingValues { column: "c".into(), missing: missing_of_text }
        );
        read_of("date", "metric: missingValues, mustBe: 0, arguments: {missingValues: [null]}");
        refused("date", missing, "lists values of type date");
        refused("text", "metric: invalidValues, mustBe: 0, arguments: {validValues: [1]}", "in quotes");
        refused("integer", "metric: invalidValues, mustBe: 0, arguments: {validValues: [1.5]}", "no integer");
        refused("integer", "metric: invalidValues, mustBe: 0, arguments: {validValues: [null]}", "never invalid");
        refused("integer", "metric: invalidValues, mustBe: 0, arguments: {pattern: '1'}", "patterns are for text");
        refused("text", "metric: invalidValues, mustBe: 0, arguments: {pattern: '(1'}", "does not compile");
        refused("text", "metric: invalidValues, mustBe: 0", "needs one of the arguments");
        refused("text", "metric: invalidValues, mustBe: 0, arguments: {validValues: []}", "at least one value");
    }

    #[test]
    fn duplicates_are_of_a_property_or_of_several() {
        let several = |names: &str| {
            contract("text", &format!("metric: duplicateValues, mustBe: 0, arguments: {{properties: [{names}]}}"), true)
        };
        assert_eq!(several("id, c").expect("valid").quality[0].to_string(), "duplicateValues of `id`, `c` must be 0");
        assert!(several("id, d").expect_err("no such column").contains("`properties` that are not all of the table"));
        assert!(several("id, id").expect_err("twice").contains("quality rule 1 of the table names one"));
        assert_eq!(
            read_of("text", "metric: duplicateValues, mustBeLessThan: 1, unit: percent").to_string(),
            "duplicateValues of `c` must be less than 1 percent"
        );
    }

    #[test]
    fn what_is_not_carried_out_is_refused() {
        refused("text", "type: sql, query: 'SELECT 1', mustBe: 1", "type `sql`, which is not carried out");
        refused("text", "type: custom, engine: soda, implementation: x", "type `custom`, which is not carried out");
        refused("text", "type: text, mustBe: 1", "field `mustBe`");
        refused("text", "metric: nullValues, mustBe: 0, schedule: '0 20 * * *'", "field `schedule`");
        refused("text", "metric: nullValues, mustbe: 0", "field `mustbe`");
        refused("text", "metric: nullCount, mustBe: 0", "unknown metric `nullCount`");
        refused("text", "metric: rowCount, mustBe: 0", "belongs to the table");
        refused("text", "metric: nullValues, rule: nullValues, mustBe: 0", "both `metric`");
        refused("text", "mustBe: 0", "no `metric`");
        refused("text", "metric: nullValues", "has 0 operators");
        refused("text", "metric: nullValues, mustBeGreaterThan: 0, mustBeLessThan: 9", "has 2 operators");
        refused("text", "metric: nullValues, mustBe: '0'", "no number");
        refused("text", "metric: nullValues, mustBe: .nan", "no number");
        refused("text", "metric: nullValues, mustBeBetween: [9, 1]", "the smaller one first");
        refused("text", "metric: nullValues, mustBe: 0, unit: bytes", "unknown unit `bytes`");
        refused("text", "metric: nullValues, mustBe: 0, severity: fatal", "unknown severity `fatal`");
        refused("text", "metric: nullValues, mustBe: 0, dimension: beauty", "unknown dimension `beauty`");
        refused("text", "metric: nullValues, mustBe: 0, arguments: {pattern: a}", "argument `pattern`");
        let of_table = |rule: &str| contract("text", rule, true).expect_err("must be refused");
        assert!(of_table("metric: nullValues, mustBe: 0").contains("of the table has the metric `nullValues`"));
        assert!(of_table("metric: rowCount, mustBe: 0, unit: percent").contains("no share in percent"));
    }
}
