//! One column value, typed by its contract. Text in, exact value out, or nothing.

use std::borrow::Cow;

use lakebed_contract::{Column, ColumnType};

use super::record::{Rule, Violation};
use super::{decimal, time};

/// A value of one of the contract's types.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i32),
    Bigint(i64),
    Double(f64),
    /// Unscaled: the value times ten to the power of the column's scale.
    Decimal(i128),
    Text(Cow<'a, str>),
    /// Days since the epoch.
    Date(i32),
    /// Microseconds since the epoch, UTC.
    Timestamp(i64),
}

impl<'a> Value<'a> {
    /// Reads a value of a type from its text; `None` when the text is no such value, or not exactly.
    #[inline]
    pub(crate) fn parse(text: Cow<'a, str>, column_type: ColumnType) -> Option<Self> {
        Some(match column_type {
            ColumnType::Text => Self::Text(text),
            ColumnType::Boolean => Self::Boolean(boolean(&text)?),
            ColumnType::Integer => Self::Integer(integer(&text)?),
            ColumnType::Bigint => Self::Bigint(bigint(&text)?),
            ColumnType::Double => Self::Double(double(&text)?),
            ColumnType::Decimal { precision, scale } => {
                Self::Decimal(numeric(&text, scale, decimal::limit(precision))?)
            }
            ColumnType::Date => Self::Date(time::date(&text)?),
            ColumnType::Timestamptz => Self::Timestamp(time::timestamp(&text)?),
        })
    }

    /// Reads an instant given as seconds since the epoch, with or without a fraction.
    pub(crate) fn from_epoch_seconds(text: &str) -> Option<Self> {
        Some(Self::Timestamp(decimal::exact(text, 6)?.try_into().ok()?))
    }

    /// Reads the JSON text of a DMS column. A string may hold a value of any type; a bare number or boolean only its own.
    pub(crate) fn from_json(json: &'a str, column: &Column) -> Result<Self, Violation> {
        let column_type = column.column_type;
        let wrong = || wrong_type(column);
        let number = matches!(
            column_type,
            ColumnType::Integer | ColumnType::Bigint | ColumnType::Double | ColumnType::Decimal { .. }
        );
        match json.as_bytes().first() {
            Some(b'n') => Ok(Self::Null),
            Some(b'"') => Self::parse(json_string(json).ok_or_else(wrong)?, column_type).ok_or_else(wrong),
            Some(b't' | b'f') if column_type == ColumnType::Boolean => Ok(Self::Boolean(json == "true")),
            Some(b'-' | b'0'..=b'9') if number => Self::parse(Cow::Borrowed(json), column_type).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

/// The violation of a value that is not of its column's type.
pub(super) fn wrong_type(column: &Column) -> Violation {
    Violation::new(Rule::Type, format!("column `{}` is not exactly a {}", column.name, column.column_type))
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "t" | "true" => Some(true),
        "f" | "false" => Some(false),
        _ => None,
    }
}

#[inline]
pub(super) fn integer(text: &str) -> Option<i32> {
    bigint(text)?.try_into().ok()
}

#[inline]
pub(super) fn bigint(text: &str) -> Option<i64> {
    // The plain form first: it is nearly all there is.
    decimal::short(text.as_bytes(), 0).or_else(|| decimal::exact(text, 0)?.try_into().ok())
}

/// The unscaled value, less than `limit` whatever its sign.
#[inline]
pub(super) fn numeric(text: &str, scale: u8, limit: u128) -> Option<i128> {
    decimal::exact(text, scale).filter(|unscaled| unscaled.unsigned_abs() < limit)
}

pub(super) fn double(text: &str) -> Option<f64> {
    let named = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => {
            let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            return numeric.then(|| text.parse().ok()).flatten().filter(|value: &f64| value.is_finite());
        }
    };
    Some(named)
}

/// The content of a JSON string; `None` when an escape in it is no character.
fn json_string(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_name: &str) -> Column {
        let column_type = ColumnType::parse(type_name).expect("known type");
        Column {
            name: "c".to_owned(),
            column_type,
            nullable: true,
            is_key: false,
            class: None,
            former_names: Vec::new(),
        }
    }

    #[test]
    fn json_values_are_read_by_the_column_type() {
        let check = |type_name: &str, json: &str, expected: Option<Value<'_>>| {
            let column = column(type_name);
            let found = Value::from_json(json, &column).ok();
            assert_eq!(found, expected, "{type_name} {json}");
        };
        check("bigint", "9007199254740993", Some(Value::Bigint(9_007_199_254_740_993)));
        check("bigint", "1.2345678901234567E+17", Some(Value::Bigint(123_456_789_012_345_670)));
        check("bigint", "\"12\"", Some(Value::Bigint(12)));
        check("bigint", "1.5", None);
        check("bigint", "9223372036854775808", None);
        check("bigint", "true", None);
        check("integer", "2147483648", None);
        check("integer", "-2147483648", Some(Value::Integer(i32::MIN)));
        check("numeric(4,1)", "4.50", Some(Value::Decimal(45)));
        check("numeric(4,1)", "999.9", Some(Value::Decimal(9_999)));
        check("numeric(4,1)", "1000", None);
        check("numeric(4,1)", "4.55", None);
        check("numeric(4,1)", "\"NaN\"", None);
        check("boolean", "true", Some(Value::Boolean(true)));
        check("boolean", "\"f\"", Some(Value::Boolean(false)));
        check("boolean", "1", None);
        check("text", "\"a\\u0000\\n\"", Some(Value::Text("a\0\n".into())));
        check("text", "\"\"", Some(Value::Text("".into())));
        check("text", "\"\\ud800\"", None);
        check("text", "5", None);
        check("text", "{\"a\":1}", None);
        check("text", "null", Some(Value::Null));
        check("date", "\"1970-01-02\"", Some(Value::Date(1)));
        check("timestamptz", "\"1970-01-01T00:00:01Z\"", Some(Value::Timestamp(1_000_000)));
        check("double precision", "2.20000005", Some(Value::Double(2.200_000_05)));
        check("double precision", "\"-Infinity\"", Some(Value::Double(f64::NEG_INFINITY)));
        check("double precision", "\"inf\"", None);
        check("double precision", "1e999", None);
    }

    #[test]
    fn epoch_seconds_become_instants() {
        assert_eq!(Value::from_epoch_seconds("1304346608"), Some(Value::Timestamp(1_304_346_608_000_000)));
        assert_eq!(Value::from_epoch_seconds("-1.5"), Some(Value::Timestamp(-1_500_000)));
        assert_eq!(Value::from_epoch_seconds("2011-05-02"), None);
    }
}
