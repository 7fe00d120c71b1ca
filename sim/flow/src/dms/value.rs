//! Postgres text form → JSON value, as DMS writes it.
//!
//! Total: a text that does not have the form its type promises (NaN, infinite dates, years before Christ) becomes a JSON
//! string, so that nothing is lost here and ingest can quarantine it. Numbers keep their exact digits. Expects the session
//! options of [`super::session::SESSION_OPTIONS`] (ISO dates, UTC, shortest floats, hex bytea).

use chrono::{NaiveDateTime, TimeDelta};
use tokio_postgres::types::Type;

use super::settings::DmsSettings;
use super::shape::ColumnShape;

/// Digits above which DMS writes an integer in scientific notation, unless `UseLargeIntegerValue`.
const PLAIN_INTEGER_DIGITS_MAX: usize = 16;
/// Widest `numeric` that DMS writes as a number.
const NUMERIC_PRECISION_MAX: i32 = 38;

/// The JSON text of a value that is not NULL.
pub(super) fn to_json(column: &ColumnShape, text: &str, settings: &DmsSettings) -> String {
    match Type::from_oid(column.type_oid) {
        Some(Type::BOOL) => boolean(text, settings),
        Some(Type::INT2 | Type::INT4 | Type::INT8) => integer(text, settings),
        Some(Type::FLOAT4 | Type::FLOAT8) => number(text),
        Some(Type::NUMERIC) => match column.numeric_precision() {
            Some((precision, _)) if precision > NUMERIC_PRECISION_MAX => string(text),
            _ => number(text),
        },
        Some(Type::TIMESTAMP | Type::TIMESTAMPTZ) => timestamp(text),
        Some(Type::BYTEA) => bytea(text, settings),
        _ => string(text),
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn boolean(text: &str, settings: &DmsSettings) -> String {
    let word = match text {
        "t" => "true",
        "f" => "false",
        other => return string(other),
    };
    if settings.map_boolean_as_boolean { word.to_owned() } else { string(word) }
}

fn integer(text: &str, settings: &DmsSettings) -> String {
    let digits = text.trim_start_matches('-').len();
    if settings.use_large_integer_value || digits <= PLAIN_INTEGER_DIGITS_MAX {
        return number(text);
    }
    match text.parse::<f64>() {
        Ok(rounded) => format!("{rounded:.16E}").replace('E', "E+"),
        Err(_) => string(text),
    }
}

fn number(text: &str) -> String {
    if is_json_number(text) { text.to_owned() } else { string(text) }
}

fn is_json_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

fn bytea(text: &str, settings: &DmsSettings) -> String {
    let Some(hex) = text.strip_prefix("\\x") else { return string(text) };
    if settings.no_hex_prefix { string(hex) } else { string(&format!("0x{hex}")) }
}

fn timestamp(text: &str) -> String {
    match text {
        // What DMS documents for infinite moments.
        "infinity" => string("9999-12-31T23:59:59Z"),
        "-infinity" => string("4713-01-01 00:00:00 BC"),
        _ => utc(text).map_or_else(|| string(text), |moment| string(&moment)),
    }
}

/// `2010-11-01 00:02:00.1+00` → `2010-11-01T00:02:00.100000Z`; no fraction when it is zero.
fn utc(text: &str) -> Option<String> {
    let (date, rest) = text.split_once(' ')?;
    let (time, offset) = match rest.find(['+', '-']) {
        Some(at) => (&rest[..at], offset_seconds(&rest[at..])?),
        None => (rest, 0),
    };
    let whole = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b':' || b == b'-');
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let sound = whole(date) && whole(clock) && clock.len() == 8 && fraction.len() <= 6;
    if !sound || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = match fraction.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits:0<6}"),
    };
    if offset == 0 {
        return Some(format!("{date}T{clock}{fraction}Z"));
    }
    let local = NaiveDateTime::parse_from_str(&format!("{date} {clock}"), "%Y-%m-%d %H:%M:%S").ok()?;
    let moment = local.checked_sub_signed(TimeDelta::seconds(offset))?;
    Some(format!("{}{fraction}Z", moment.format("%Y-%m-%dT%H:%M:%S")))
}

/// `+05:30` → 19,800.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut seconds = 0;
    for (unit, part) in [3600, 60, 1].into_iter().zip(text[1..].split(':')) {
        seconds += unit * part.parse::<i64>().ok()?;
    }
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::super::shape::samples::column;
    use super::*;

    fn recommended(column_type: Type, text: &str) -> String {
        to_json(&column("c", column_type, false), text, &DmsSettings::lakebed_recommended())
    }

    fn default(column_type: Type, text: &str) -> String {
        to_json(&column("c", column_type, false), text, &DmsSettings::aws_default())
    }

    #[test]
    fn numbers_keep_their_digits() {
        for text in ["0", "-7", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(recommended(Type::INT8, text), text);
        }
        for text in ["4.50", "-0.001", "99999999999999999999999999999999999999"] {
            assert_eq!(recommended(Type::NUMERIC, text), text);
        }
        for text in ["1e+20", "2.2", "-0", "5"] {
            assert_eq!(recommended(Type::FLOAT8, text), text);
        }
    }

    #[test]
    fn what_json_cannot_say_as_a_number_becomes_a_string() {
        for text in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(recommended(Type::NUMERIC, text), format!("\"{text}\""));
            assert_eq!(recommended(Type::FLOAT8, text), format!("\"{text}\""));
        }
        let mut wide = column("c", Type::NUMERIC, false);
        wide.type_modifier = (39 << 16) + 4;
        assert_eq!(to_json(&wide, "1", &DmsSettings::lakebed_recommended()), "\"1\"");
        for text in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1 ", "0x1"] {
            assert!(!is_json_number(text), "{text}");
        }
    }

    #[test]
    fn the_aws_profile_loses_digits_of_large_integers() {
        assert_eq!(default(Type::INT8, "1234567890123456"), "1234567890123456");
        assert_eq!(default(Type::INT8, "123456789012345678"), "1.2345678901234568E+17");
        assert_eq!(default(Type::INT8, "-123456789012345678"), "-1.2345678901234568E+17");
    }

    #[test]
    fn booleans_bytes_and_text() {
        assert_eq!(recommended(Type::BOOL, "t"), "true");
        assert_eq!(default(Type::BOOL, "f"), "\"false\"");
        assert_eq!(recommended(Type::BYTEA, "\\x00ff"), "\"0x00ff\"");
        assert_eq!(recommended(Type::TEXT, "a \"b\"\n"), r#""a \"b\"\n""#);
        assert_eq!(recommended(Type::DATE, "2018-01-02"), "\"2018-01-02\"");
    }

    #[test]
    fn moments_are_utc_with_six_digits_or_none() {
        assert_eq!(recommended(Type::TIMESTAMPTZ, "2010-11-01 00:02:00.1+00"), "\"2010-11-01T00:02:00.100000Z\"");
        assert_eq!(recommended(Type::TIMESTAMPTZ, "2010-11-01 00:02:00+00"), "\"2010-11-01T00:02:00Z\"");
        assert_eq!(recommended(Type::TIMESTAMP, "2010-11-01 00:02:00.000001"), "\"2010-11-01T00:02:00.000001Z\"");
        assert_eq!(recommended(Type::TIMESTAMPTZ, "2026-01-01 00:30:00+05:30"), "\"2025-12-31T19:00:00Z\"");
        assert_eq!(recommended(Type::TIMESTAMPTZ, "2025-12-31 21:00:00.5-03"), "\"2026-01-01T00:00:00.500000Z\"");
        assert_eq!(
            recommended(Type::TIMESTAMPTZ, "294276-12-31 23:59:59.999999+00"),
            "\"294276-12-31T23:59:59.999999Z\""
        );
    }

    #[test]
    fn moments_outside_the_calendar_are_kept_as_text() {
        assert_eq!(recommended(Type::TIMESTAMPTZ, "infinity"), "\"9999-12-31T23:59:59Z\"");
        assert_eq!(recommended(Type::TIMESTAMPTZ, "-infinity"), "\"4713-01-01 00:00:00 BC\"");
        let before_christ = "0044-03-15 00:00:00+00 BC";
        assert_eq!(recommended(Type::TIMESTAMPTZ, before_christ), format!("\"{before_christ}\""));
    }

    proptest::proptest! {
        #[test]
        fn any_text_of_any_type_gives_json(text: String, at in 0usize..9) {
            let types = [Type::BOOL, Type::INT8, Type::FLOAT8, Type::NUMERIC, Type::DATE, Type::TIMESTAMP,
                Type::TIMESTAMPTZ, Type::BYTEA, Type::TEXT];
            for settings in [DmsSettings::aws_default(), DmsSettings::lakebed_recommended()] {
                let json = to_json(&column("c", types[at].clone(), false), &text, &settings);
                proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            }
        }
    }
}
