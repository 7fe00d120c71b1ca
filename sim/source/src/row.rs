//! A row on its way to Postgres: as a line of CSV for COPY and files, or as SQL literals for an INSERT.
//!
//! Both forms come from one description of the row, so a generated file and a loaded table hold the same values. In CSV an
//! unquoted empty field is NULL and a quoted one the empty string, as Postgres reads and writes it.

use std::fmt::Write as _;

use chrono::NaiveDate;
use lakebed_contract::Timestamp;

/// One value.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    /// NULL.
    Null,
    /// `boolean`.
    Boolean(bool),
    /// `integer` or `bigint`.
    Integer(i64),
    /// `double precision`, never NaN or infinite.
    Double(f64),
    /// `numeric`: `unscaled` / 10^`scale`.
    Decimal {
        /// The digits without the point.
        unscaled: i128,
        /// Digits after the point.
        scale: u8,
    },
    /// `numeric` with one digit after the point, in tenths.
    Tenths(i64),
    /// `text`.
    Text(&'a str),
    /// `date`.
    Date(NaiveDate),
    /// `timestamptz`.
    Instant(Timestamp),
}

impl<'a> Field<'a> {
    /// Text or NULL.
    pub(crate) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// A row of one table.
pub(crate) trait SourceRow {
    /// Table name.
    const TABLE: &'static str;
    /// Columns, in the order of [`SourceRow::visit`]; the key first.
    const COLUMNS: &'static [&'static str];
    /// Calls `receive` for each field in order.
    fn visit(&self, receive: &mut dyn FnMut(Field<'_>));
}

/// Appends the names of the columns as a CSV line.
pub(crate) fn write_csv_header<R: SourceRow>(out: &mut String) {
    out.push_str(&R::COLUMNS.join(","));
    out.push('\n');
}

/// Appends `row` as a CSV line.
pub(crate) fn write_csv_row<R: SourceRow>(row: &R, out: &mut String) {
    let mut first = true;
    row.visit(&mut |field| write_csv_field(field, std::mem::take(&mut first), out));
    out.push('\n');
}

/// Appends one field of a CSV line, with the comma before it unless it is the first.
pub(crate) fn write_csv_field(field: Field<'_>, first: bool, out: &mut String) {
    if !first {
        out.push(',');
    }
    match field {
        Field::Null => {}
        Field::Text(text) => write_quoted(text, '"', out),
        other => write_plain(other, out),
    }
}

/// The row as `(…, …)` for an INSERT.
pub(crate) fn sql_values<R: SourceRow>(row: &R) -> String {
    let mut out = String::from("(");
    row.visit(&mut |field| {
        if out.len() > 1 {
            out.push_str(", ");
        }
        out.push_str(&sql_literal(field));
    });
    out.push(')');
    out
}

/// One value as an SQL literal. Needs `standard_conforming_strings = on`, which the session sets.
pub(crate) fn sql_literal(field: Field<'_>) -> String {
    let mut out = String::new();
    match field {
        Field::Null => out.push_str("NULL"),
        Field::Text(text) => write_quoted(text, '\'', &mut out),
        Field::Date(_) | Field::Instant(_) => {
            out.push('\'');
            write_plain(field, &mut out);
            out.push('\'');
        }
        other => write_plain(other, &mut out),
    }
    out
}

fn write_plain(field: Field<'_>, out: &mut String) {
    let written = match field {
        Field::Null => Ok(()),
        Field::Boolean(value) => write!(out, "{value}"),
        Field::Integer(value) => write!(out, "{value}"),
        // With an exponent where it is shorter: the least digits that read back as the same number.
        Field::Double(value) => write!(out, "{value:?}"),
        Field::Decimal { unscaled, scale } => write_decimal(unscaled, scale, out),
        Field::Tenths(value) => write!(out, "{}.{}", value / 10, value.abs() % 10),
        Field::Text(text) => out.write_str(text),
        Field::Date(date) => write!(out, "{date}"),
        Field::Instant(at) => write!(out, "{at}"),
    };
    written.expect("writing to a String cannot fail");
}

fn write_decimal(unscaled: i128, scale: u8, out: &mut String) -> std::fmt::Result {
    let (sign, digits) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs());
    if scale == 0 {
        return write!(out, "{sign}{digits}");
    }
    let (scale, one) = (usize::from(scale), 10_u128.pow(u32::from(scale)));
    write!(out, "{sign}{}.{:0scale$}", digits / one, digits % one)
}

fn write_quoted(text: &str, quote: char, out: &mut String) {
    out.push(quote);
    let mut rest = text;
    while let Some(at) = rest.find(quote) {
        out.push_str(&rest[..=at]);
        out.push(quote);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Odd;

    impl SourceRow for Odd {
        const TABLE: &'static str = "odd";
        const COLUMNS: &'static [&'static str] = &["a", "b", "c", "d", "e", "f", "g"];

        fn visit(&self, receive: &mut dyn FnMut(Field<'_>)) {
            receive(Field::Integer(-3));
            receive(Field::Null);
            receive(Field::Text(""));
            receive(Field::Text("it's \"so\",\nyes\\no"));
            receive(Field::Tenths(45));
            receive(Field::Date(NaiveDate::from_ymd_opt(1990, 2, 3).expect("a date")));
            receive(Field::Instant(Timestamp(1_230_768_000_000_001)));
        }
    }

    #[test]
    fn csv_keeps_null_and_empty_apart_and_doubles_quotes() {
        let mut line = String::new();
        write_csv_header::<Odd>(&mut line);
        write_csv_row(&Odd, &mut line);
        assert_eq!(
            line,
            "a,b,c,d,e,f,g\n-3,,\"\",\"it's \"\"so\"\",\nyes\\no\",4.5,1990-02-03,2009-01-01T00:00:00.000001Z\n"
        );
    }

    #[test]
    fn numbers_keep_every_digit() {
        let written = |field| sql_literal(field);
        for (unscaled, scale, expect) in
            [(-5, 2, "-0.05"), (12_345, 2, "123.45"), (7, 0, "7"), (0, 3, "0.000"), (-120, 1, "-12.0")]
        {
            assert_eq!(written(Field::Decimal { unscaled, scale }), expect);
        }
        let widest = 10_i128.pow(38) - 1;
        assert_eq!(written(Field::Decimal { unscaled: widest, scale: 38 }), format!("0.{}", "9".repeat(38)));
        assert_eq!(written(Field::Double(1e-300)), "1e-300");
        assert_eq!(written(Field::Double(0.1)), "0.1");
        assert_eq!(written(Field::Boolean(true)), "true");
    }

    #[test]
    fn literals_double_apostrophes_only() {
        assert_eq!(
            sql_values(&Odd),
            "(-3, NULL, '', 'it''s \"so\",\nyes\\no', 4.5, '1990-02-03', '2009-01-01T00:00:00.000001Z')"
        );
    }
}
