//! One value, free of the engine it came from, and its fingerprint.
//!
//! Equal values have equal fingerprints whatever engine they came from, because a [`Cell`] has one canonical form per value.
//! Different ones meet by chance only (2^-64 per pair). The mixing is our own because the standard hasher, compiled without
//! optimisation, took a third of the judge's time; it is no defence against somebody who looks for collisions.

use std::hash::Hasher;

/// Tells values of different kinds apart.
#[derive(Clone, Copy)]
enum Kind {
    Null = 1,
    Bool,
    Int,
    Double,
    Decimal,
    Text,
    Date,
    Instant,
    Foreign,
}

/// One value, free of the engine it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// `unscaled` / 10^`scale`
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
    /// A value no column of the lake can hold, such as a numeric NaN; equal to nothing but itself.
    Foreign(&'a str),
}

impl Cell<'_> {
    /// Equal for equal values: decimals lose trailing zeros, all NaN are one, zero has no sign.
    pub(super) fn fingerprint(&self) -> u64 {
        match *self {
            Self::Null => number(Kind::Null, 0),
            Self::Bool(value) => number(Kind::Bool, value.into()),
            Self::Int(value) => number(Kind::Int, value.cast_unsigned()),
            Self::Double(value) => number(
                Kind::Double,
                match value {
                    nan if nan.is_nan() => f64::NAN.to_bits(),
                    0.0 => 0,
                    other => other.to_bits(),
                },
            ),
            Self::Decimal { mut unscaled, mut scale } => {
                while scale > 0 && unscaled % 10 == 0 {
                    unscaled /= 10;
                    scale -= 1;
                }
                let bits = unscaled.cast_unsigned();
                let low = number(Kind::Decimal, (bits & u128::from(u64::MAX)) as u64);
                mix(mix(low, (bits >> 64) as u64), scale.into())
            }
            Self::Text(value) => text(Kind::Text, value),
            Self::Date(value) => number(Kind::Date, i64::from(value).cast_unsigned()),
            Self::Instant(value) => number(Kind::Instant, value.cast_unsigned()),
            Self::Foreign(value) => text(Kind::Foreign, value),
        }
    }
}

/// Joins a number to what was joined before; for equal `before`, different numbers never meet.
pub(super) fn mix(before: u64, number: u64) -> u64 {
    // The finaliser of SplitMix64: a permutation in which each bit of the input moves half of the output's.
    let mut x = (before ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn number(kind: Kind, value: u64) -> u64 {
    mix(mix(0, kind as u64), value)
}

fn text(kind: Kind, text: &str) -> u64 {
    mix_bytes(mix(0, kind as u64), text.as_bytes())
}

/// Joins a byte string, its length included.
fn mix_bytes(before: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mixed = words.iter().fold(mix(before, bytes.len() as u64), |mixed, word| mix(mixed, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mixed, u64::from_le_bytes(last))
}

/// [`mix`] as a hasher for the judge's own maps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scrambler(u64);

impl Hasher for Scrambler {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = mix_bytes(self.0, bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.0 = mix(self.0, value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0, value);
    }

    fn write_i64(&mut self, value: i64) {
        self.0 = mix(self.0, value.cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn equal_values_have_equal_fingerprints_and_others_do_not() {
        let decimal = |unscaled, scale| Cell::Decimal { unscaled, scale }.fingerprint();
        assert_eq!(decimal(45, 1), decimal(45_000, 4));
        assert_eq!(decimal(0, 4), decimal(0, 0));
        assert_ne!(decimal(45, 1), decimal(45, 2));
        assert_eq!(Cell::Double(-0.0).fingerprint(), Cell::Double(0.0).fingerprint());
        assert_eq!(Cell::Double(f64::NAN).fingerprint(), Cell::Double(-f64::NAN).fingerprint());
        let cells = [Cell::Null, Cell::Text(""), Cell::Int(0), Cell::Date(0), Cell::Instant(0), Cell::Bool(false)];
        for (at, cell) in cells.iter().enumerate() {
            for other in &cells[at + 1..] {
                assert_ne!(cell.fingerprint(), other.fingerprint(), "{cell:?} {other:?}");
            }
        }
    }

    #[test]
    fn close_texts_and_numbers_do_not_meet() {
        let texts: Vec<String> = (0..50_000).map(|n| format!("{:>width$}", n, width = n % 40)).collect();
        let texts: HashSet<&str> = texts.iter().map(String::as_str).collect();
        let mut fingerprints: HashSet<u64> = texts.iter().map(|text| Cell::Text(text).fingerprint()).collect();
        fingerprints.extend((0..50_000).map(|n| Cell::Int(n).fingerprint()));
        fingerprints.extend((1..50_000).map(|n| Cell::Decimal { unscaled: -n, scale: 0 }.fingerprint()));
        assert_eq!(fingerprints.len(), texts.len() + 50_000 + 49_999);
        assert_ne!(Cell::Text("a").fingerprint(), Cell::Text("a\0").fingerprint());
    }
}
