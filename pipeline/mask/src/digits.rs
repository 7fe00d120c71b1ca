//! The digits of a value, apart from what stands between them; and the check digits that follow from them.
//!
//! A symbol is 0 to 9, or 10 to 35 for a letter. Promises: a value with anything but ASCII digits, ASCII letters and the usual
//! separators is no number. Knows nothing of keys.

use crate::ff1::NUMERALS_MAX;

/// The digits and letters of a value, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symbols {
    symbols: [u8; NUMERALS_MAX],
    count: usize,
}

impl Symbols {
    /// Reads a value; `None` when it holds more symbols than fit, or a sign that stands in no number.
    pub(crate) fn read(value: &str) -> Option<Self> {
        let mut read = Self { symbols: [0; NUMERALS_MAX], count: 0 };
        for byte in value.bytes() {
            let symbol = match byte {
                b'0'..=b'9' => byte - b'0',
                b'A'..=b'Z' => byte - b'A' + 10,
                b'a'..=b'z' => byte - b'a' + 10,
                b' ' | b'.' | b'-' | b'/' | b'(' | b')' | b'+' => continue,
                _ => return None,
            };
            *read.symbols.get_mut(read.count)? = symbol;
            read.count += 1;
        }
        Some(read)
    }

    /// Appends `value` with its digits and letters replaced by these, letters in upper case.
    pub(crate) fn write(&self, value: &str, out: &mut String) {
        let mut symbols = self.as_ref().iter().copied();
        out.extend(value.chars().map(
            |layout| match layout.is_ascii_alphanumeric().then(|| symbols.next()).flatten() {
                Some(symbol @ 0..=9) => char::from(b'0' + symbol),
                Some(letter) => char::from(b'A' + (letter - 10)),
                None => layout,
            },
        ));
    }
}

impl AsMut<[u8]> for Symbols {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.symbols[..self.count]
    }
}

impl AsRef<[u8]> for Symbols {
    fn as_ref(&self) -> &[u8] {
        &self.symbols[..self.count]
    }
}

/// The digit modulo 11 of Brazilian numbers.
fn modulo_eleven(sum: u32) -> u8 {
    let rest = (sum % 11) as u8;
    if rest < 2 { 0 } else { 11 - rest }
}

/// Both check digits of a CPF's nine digits.
pub(crate) fn cpf_checks(nine: &[u8]) -> [u8; 2] {
    // The second sum weighs every digit by one more.
    let (mut sum, mut digits) = (0, 0);
    for (digit, weight) in nine.iter().zip((0..=10).rev()) {
        digits += u32::from(*digit);
        sum += u32::from(*digit) * weight;
    }
    let first = modulo_eleven(sum);
    [first, modulo_eleven(sum + digits + 2 * u32::from(first))]
}

/// Both check digits of a CNPJ's twelve digits or letters. A letter counts as its ASCII code less that of `0`.
pub(crate) fn cnpj_checks(twelve: &[u8]) -> [u8; 2] {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let worth = |symbol: &u8| u32::from(if *symbol > 9 { *symbol - 10 + b'A' - b'0' } else { *symbol });
    let weighted = |weights: &[u32]| twelve.iter().zip(weights).map(|(symbol, weight)| worth(symbol) * weight).sum();
    let sum: u32 = weighted(&WEIGHTS[1..]);
    let first = modulo_eleven(sum);
    let sum: u32 = weighted(&WEIGHTS);
    [first, modulo_eleven(sum + 2 * u32::from(first))]
}

/// The Luhn digit behind the other digits of a card number.
pub(crate) fn card_check(digits: &[u8]) -> u8 {
    let doubled = |digit: u8| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let worth = |(place, digit): (usize, &u8)| u32::from(if place % 2 == 0 { doubled(*digit) } else { *digit });
    let sum: u32 = digits.iter().rev().enumerate().map(worth).sum();
    ((10 - sum % 10) % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(text: &str) -> Vec<u8> {
        Symbols::read(text).expect("a number").as_ref().to_vec()
    }

    #[test]
    fn check_digits_are_those_of_published_numbers() {
        assert_eq!(cpf_checks(&symbols("529982247")), [2, 5]);
        assert_eq!(cpf_checks(&symbols("111444777")), [3, 5]);
        assert_eq!(cnpj_checks(&symbols("112223330001")), [8, 1]);
        // The example of Receita Federal for the alphanumeric form.
        assert_eq!(cnpj_checks(&symbols("12ABC34501DE")), [3, 5]);
        for (card, check) in [("411111111111111", 1), ("37828224631000", 5), ("601111111111111", 7)] {
            assert_eq!(card_check(&symbols(card)), check, "{card}");
        }
    }

    #[test]
    fn numbers_are_read_and_written_in_their_layout() {
        let mut read = Symbols::read("12.abc-9").expect("a number");
        assert_eq!(read.as_ref(), [1, 2, 10, 11, 12, 9]);
        read.as_mut().reverse();
        let mut written = String::new();
        read.write("12.abc-9", &mut written);
        assert_eq!(written, "9C.BA2-1");
        for no_number in ["12_3", "1,2", "é1", "1\n", &"1".repeat(25)] {
            assert!(Symbols::read(no_number).is_none(), "{no_number}");
        }
        assert_eq!(symbols("").len(), 0);
    }
}
