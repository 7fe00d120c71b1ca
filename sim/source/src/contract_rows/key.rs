//! Keys that never repeat: a whole number that counts up, in the clothes of the column's type, and back.
//!
//! The first row has number 1. One column of each key carries the number; the others, in a key of several, may hold anything.
//! Which types can do that is decided here; `boolean`, `double precision` and `numeric` cannot.

use lakebed_contract::{ColumnType, Timestamp};

use crate::truth::KeyPart;

/// 2007-01-01T00:00:00Z; row 1 is one second later.
const FIRST_INSTANT: Timestamp = Timestamp::from_seconds(1_167_609_600);
const MICROS_PER_SECOND: i64 = 1_000_000;
/// 1900-01-01 in days since 1970-01-01; row 1 is one day later.
const FIRST_DAY: i64 = -25_567;
/// Days from there to the year 9000.
const DAYS_MAX: i64 = 2_590_000;

/// The highest number a key of this type can carry; `None` when it can carry none.
pub(crate) fn capacity(column_type: ColumnType) -> Option<i64> {
    match column_type {
        ColumnType::Integer => Some(i64::from(i32::MAX)),
        ColumnType::Bigint | ColumnType::Text => Some(i64::MAX),
        ColumnType::Date => Some(DAYS_MAX),
        // Until the year 9000 or so; far beyond any table.
        ColumnType::Timestamptz => Some(200_000_000_000),
        ColumnType::Boolean | ColumnType::Double | ColumnType::Decimal { .. } => None,
    }
}

/// The key value of a number from 1 to [`capacity`].
pub(crate) fn encode(column_type: ColumnType, number: i64) -> KeyPart {
    match column_type {
        ColumnType::Text => KeyPart::Text(format!("k-{number:06}")),
        ColumnType::Date => KeyPart::Date(i32::try_from(FIRST_DAY + number).expect("below the capacity")),
        ColumnType::Timestamptz => KeyPart::Instant(FIRST_INSTANT.0 + number * MICROS_PER_SECOND),
        _ => KeyPart::Integer(number),
    }
}

/// The number a key value carries; `None` when it was not made by [`encode`].
pub(crate) fn decode(part: &KeyPart) -> Option<i64> {
    match part {
        KeyPart::Integer(number) => Some(*number),
        KeyPart::Text(text) => text.strip_prefix("k-")?.parse().ok(),
        KeyPart::Date(days) => Some(i64::from(*days) - FIRST_DAY),
        KeyPart::Instant(micros) => {
            let since = micros - FIRST_INSTANT.0;
            (since % MICROS_PER_SECOND == 0).then_some(since / MICROS_PER_SECOND)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_every_type_that_can_carry_them() {
        for column_type in
            [ColumnType::Integer, ColumnType::Bigint, ColumnType::Text, ColumnType::Date, ColumnType::Timestamptz]
        {
            let most = capacity(column_type).expect("can carry a key");
            for number in [1, 2, 999_999, 1_000_001, most] {
                if number <= most {
                    assert_eq!(decode(&encode(column_type, number)), Some(number), "{column_type}");
                }
            }
        }
        assert_eq!(decode(&KeyPart::Text("mine".into())), None);
        assert_eq!(capacity(ColumnType::Double), None);
    }
}
