//! A value of any column type, owned.
//!
//! What a key may hold is a [`KeyPart`], which can be compared and counted; a [`Value`] is everything else too.

use std::fmt;

use chrono::NaiveDate;
use lakebed_contract::Timestamp;

use crate::row::Field;
use crate::truth::KeyPart;

/// One value. `Debug` does not show it: values stay out of logs and errors.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Double(f64),
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    /// Whatever a key can be too: whole numbers, text, dates and instants.
    Part(KeyPart),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Part(KeyPart::Text(text.into()))
    }

    pub(crate) fn integer(value: i64) -> Self {
        Self::Part(KeyPart::Integer(value))
    }

    pub(crate) fn field(&self) -> Field<'_> {
        match self {
            Self::Null => Field::Null,
            Self::Boolean(value) => Field::Boolean(*value),
            Self::Double(value) => Field::Double(*value),
            Self::Decimal { unscaled, scale } => Field::Decimal { unscaled: *unscaled, scale: *scale },
            Self::Part(part) => part_field(part),
        }
    }
}

/// A key's value on its way to Postgres.
pub(crate) fn part_field(part: &KeyPart) -> Field<'_> {
    match part {
        KeyPart::Integer(value) => Field::Integer(*value),
        KeyPart::Text(text) => Field::Text(text),
        KeyPart::Date(days) => Field::Date(date(*days)),
        KeyPart::Instant(micros) => Field::Instant(Timestamp(*micros)),
    }
}

/// The date so many days after 1970-01-01.
pub(crate) fn date(days: i32) -> NaiveDate {
    NaiveDate::from_epoch_days(days).expect("generated dates lie within the calendar")
}
