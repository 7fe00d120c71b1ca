//! Types of a DMS `table-def` as sets of values, and how such a set stands to that of a contract's type.

use serde_json::Value;

use crate::table::ColumnType;

/// Whole numbers up to this are exact as a double.
const EXACT_IN_DOUBLE: u128 = 1 << 53;

/// What values a type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    /// Numbers of a magnitude up to `limit`, with so many digits after the point.
    Exact {
        limit: u128,
        scale: u32,
    },
    /// Binary fractions of so many bits.
    Float(u8),
    Text,
    Date,
    Instant,
}

pub(super) enum Fit {
    Same,
    Narrower,
    Wider,
    Spelt,
    OtherKind,
}

impl Fit {
    /// Whether one type may well have become the other.
    pub(super) fn is_of_a_kind(&self) -> bool {
        matches!(self, Self::Same | Self::Narrower | Self::Wider)
    }
}

impl Kind {
    fn bits(bits: u32) -> Self {
        Self::Exact { limit: 1 << bits, scale: 0 }
    }

    fn decimal(precision: u32, scale: u32) -> Self {
        let before = precision.saturating_sub(scale);
        Self::Exact { limit: 10_u128.checked_pow(before).unwrap_or(u128::MAX), scale }
    }

    fn of(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Integer => Self::bits(31),
            ColumnType::Bigint => Self::bits(63),
            ColumnType::Double => Self::Float(64),
            ColumnType::Decimal { precision, scale } => Self::decimal(precision.into(), scale.into()),
            ColumnType::Text => Self::Text,
            ColumnType::Date => Self::Date,
            ColumnType::Timestamptz => Self::Instant,
        }
    }

    /// How this type of the source stands to one of the contract, by what is read of a JSON value: a string may spell a value of any
    /// type, a bare number or boolean is none of another.
    pub(super) fn against(self, column_type: ColumnType) -> Fit {
        match (self, Self::of(column_type)) {
            (source, contract) if source == contract => Fit::Same,
            // Powers of two and of ten never meet, so a limit that counts and one that does not compare alike.
            (Self::Exact { limit, scale }, Self::Exact { limit: most, scale: finest }) => {
                if limit <= most && scale <= finest { Fit::Narrower } else { Fit::Wider }
            }
            (Self::Float(bits), Self::Float(most)) if bits < most => Fit::Narrower,
            (Self::Exact { limit, scale: 0 }, Self::Float(_)) if limit <= EXACT_IN_DOUBLE => Fit::Narrower,
            (Self::Exact { .. }, Self::Float(_)) | (Self::Float(_), Self::Exact { .. }) => Fit::Wider,
            (Self::Date | Self::Instant, Self::Text) => Fit::Narrower,
            (Self::Text, _) => Fit::Spelt,
            _ => Fit::OtherKind,
        }
    }
}

/// The values of a column by its definition in a `table-def`; `None` for a type that is not known.
pub(super) fn kind_of(definition: &Value) -> Option<Kind> {
    Some(match definition.get("type")?.as_str()? {
        "BOOL" | "BOOLEAN" => Kind::Boolean,
        "INT8" => Kind::bits(7),
        "UINT8" => Kind::bits(8),
        "INT16" => Kind::bits(15),
        "UINT16" => Kind::bits(16),
        "INT32" => Kind::bits(31),
        "UINT32" => Kind::bits(32),
        "INT64" => Kind::bits(63),
        "UINT64" => Kind::bits(64),
        "FLOAT" | "REAL4" => Kind::Float(32),
        "DOUBLE" | "REAL8" => Kind::Float(64),
        "NUMERIC" => match digits(definition) {
            Some((precision, scale)) => Kind::decimal(precision, scale),
            None => Kind::Exact { limit: u128::MAX, scale: u32::MAX },
        },
        // A BLOB comes as a text of hex digits.
        "STRING" | "WSTRING" | "CLOB" | "NCLOB" | "BLOB" | "BYTES" => Kind::Text,
        "DATE" | "DATE32" => Kind::Date,
        "TIMESTAMP" | "DATETIME" => Kind::Instant,
        _ => return None,
    })
}

/// Precision and scale; `None` where not both are told.
pub(super) fn digits(definition: &Value) -> Option<(u32, u32)> {
    let number = |name: &str| u32::try_from(definition.get(name)?.as_u64()?).ok();
    Some((number("precision")?, number("scale")?))
}
