//! Decimal text to integer arithmetic, exactly: `4.50`, `-0`, `1.2345678901234567E+17`. Never through a float.
//!
//! Nearly every number is a few digits with or without a point; those take a short way through 64 bits, the rest the long one.

/// Digits that fit into 64 bits whatever they are.
const DIGITS_SHORT: usize = 18;

/// `text` times ten to the power of `scale`, if that is an integer that fits; `None` when `text` is no number or a
/// non-zero digit would be lost.
#[inline]
pub(super) fn exact(text: &str, scale: u8) -> Option<i128> {
    short(text.as_bytes(), scale).map(i128::from).or_else(|| exact_long(text, scale))
}

/// The value of a text like `-12` or `4.5` with few digits, or `None` for any other.
#[inline]
pub(super) fn short(text: &[u8], scale: u8) -> Option<i64> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if unsigned.is_empty() || unsigned.len() > DIGITS_SHORT {
        return None;
    }
    let (mut number, mut point) = (0i64, None);
    for (at, byte) in unsigned.iter().enumerate() {
        match byte.wrapping_sub(b'0') {
            digit @ 0..=9 => number = number * 10 + i64::from(digit),
            _ if *byte == b'.' && point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let fraction = point.map_or(0, |point| unsigned.len() - point - 1);
    let digits = unsigned.len() - usize::from(point.is_some());
    let missing = usize::from(scale).checked_sub(fraction)?;
    if digits == 0 || digits + missing > DIGITS_SHORT {
        return None;
    }
    let scaled = number * POWERS_OF_TEN[missing];
    Some(if negative { -scaled } else { scaled })
}

/// Ten to the power of `precision`, which no unscaled value of that precision reaches. At most 38.
#[inline]
pub(super) fn limit(precision: u8) -> u128 {
    match POWERS_OF_TEN.get(usize::from(precision)) {
        Some(power) => u128::from(power.unsigned_abs()),
        None => 10u128.pow(u32::from(precision)),
    }
}

const POWERS_OF_TEN: [i64; DIGITS_SHORT + 1] = {
    let mut powers = [1; DIGITS_SHORT + 1];
    let mut at = 1;
    while at <= DIGITS_SHORT {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

fn exact_long(text: &str, scale: u8) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let mantissa = Mantissa::parse(mantissa)?;
    let exponent = exponent.map_or(Some(0), parse_exponent)?;
    if mantissa.digits == 0 {
        return Some(0);
    }
    let shift = u32::try_from(mantissa.exponent + exponent + i64::from(scale)).ok()?;
    let scaled = mantissa.digits.checked_mul(10i128.checked_pow(shift)?)?;
    Some(if negative { -scaled } else { scaled })
}

/// Digits without trailing zeros, and the power of ten they are multiplied with.
struct Mantissa {
    digits: i128,
    exponent: i64,
}

impl Mantissa {
    fn parse(text: &str) -> Option<Self> {
        let (mut digits, mut zeros, mut fraction, mut seen, mut point) = (0i128, 0u32, 0i64, false, false);
        for byte in text.bytes() {
            match byte {
                b'.' if !point => {
                    point = true;
                    continue;
                }
                b'0' => zeros += 1,
                b'1'..=b'9' => {
                    let shift = if digits == 0 { 0 } else { zeros + 1 };
                    digits = digits.checked_mul(10i128.checked_pow(shift)?)?.checked_add(i128::from(byte - b'0'))?;
                    zeros = 0;
                }
                _ => return None,
            }
            seen = true;
            fraction += i64::from(point);
        }
        seen.then_some(Self { digits, exponent: i64::from(zeros) - fraction })
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // No exponent beyond this fits any column; clamping keeps the arithmetic in range.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_exact_values_are_accepted() {
        let check =
            |text: &str, scale: u8, expected: Option<i128>| assert_eq!(exact(text, scale), expected, "{text:?}");
        check("4.5", 1, Some(45));
        check("4.50", 1, Some(45));
        check("4.55", 1, None);
        check("-0", 1, Some(0));
        check("-0.0", 0, Some(0));
        check("+7", 0, Some(7));
        check(".5", 1, Some(5));
        check("5.", 0, Some(5));
        check("1e-30", 1, None);
        check("0e-30", 1, Some(0));
        check("1.2345678901234567E+17", 0, Some(123_456_789_012_345_670));
        check("9.223372036854775807e18", 0, Some(i128::from(i64::MAX)));
        check("12e-1", 1, Some(12));
        check("100000000000000000000000000000000000000.0", 0, Some(10i128.pow(38)));
        check(&format!("1.{}", "0".repeat(500)), 2, Some(100));
        check(&format!("0.{}1", "0".repeat(500)), 2, None);
        check("1e999999999999999999999", 0, None);
        check("0e999999999999999999999", 0, Some(0));
        for no_number in ["", "-", ".", "e5", "1e", "1e+", "NaN", "Infinity", "1 ", " 1", "1.2.3", "0x1f", "1_000", "٣"]
        {
            check(no_number, 2, None);
        }
    }

    proptest! {
        #[test]
        fn integers_survive_every_spelling(value: i64, zeros in 0usize..5) {
            let expected = Some(i128::from(value));
            prop_assert_eq!(exact(&value.to_string(), 0), expected);
            prop_assert_eq!(exact(&format!("{value}.{}", "0".repeat(zeros)), 0), expected);
            prop_assert_eq!(exact(&format!("{value}{}e-{zeros}", "0".repeat(zeros)), 0), expected);
        }

        #[test]
        fn the_short_way_leads_where_the_long_one_does(text in "-?[0-9]{0,20}(\\.[0-9]{0,4})?", scale in 0u8..=38) {
            if let Some(value) = short(text.as_bytes(), scale) {
                prop_assert_eq!(exact_long(&text, scale), Some(i128::from(value)));
            }
        }

        #[test]
        fn any_text_is_survived(text: String, scale in 0u8..=38) {
            exact(&text, scale);
        }
    }
}
