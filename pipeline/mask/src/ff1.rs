//! FF1 of NIST SP 800-38G with AES-256 over short strings of numerals, without allocation.
//!
//! The rounds are the `fpe` crate's; here are the numerals, as two machine words instead of big numbers. Promises: a permutation
//! of the strings of one length; the official samples come out. A string with fewer than a million neighbours is refused: such a
//! permutation can be learnt by trying. Knows no formats.

use aes::Aes256;
use fpe::ff1::{FF1, NumeralString, Operations};
use lakebed_contract::Secret;

/// Longest string: two halves that fit a machine word in radix 36.
pub(crate) const NUMERALS_MAX: usize = 24;

/// The cipher under one key in one radix.
pub(crate) struct Ff1 {
    cipher: FF1<Aes256>,
    radix: u32,
}

/// The string has no more than this many numerals, too few to be encrypted, or more than [`NUMERALS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to encrypt {numerals} numerals of radix {radix}: FF1 needs at least a million possible values (NIST SP 800-38G \
     Rev. 1), and at most {NUMERALS_MAX} numerals are taken"
)]
pub(crate) struct BadLength {
    numerals: usize,
    radix: u32,
}

impl Ff1 {
    /// `radix` is at most 36.
    pub(crate) fn new(key: &Secret<[u8; 32]>, radix: u32) -> Self {
        debug_assert!((2..=36).contains(&radix));
        Self { cipher: FF1::new(key.expose(), radix).expect("the radix is between 2 and 65536"), radix }
    }

    /// Replaces `numerals`, each below the radix, by their encryption.
    pub(crate) fn encrypt(&self, tweak: &[u8], numerals: &mut [u8]) -> Result<(), BadLength> {
        self.apply(numerals, |string| self.cipher.encrypt(tweak, string).ok())
    }

    /// The way back; only tests go it.
    #[cfg(test)]
    pub(crate) fn decrypt(&self, tweak: &[u8], numerals: &mut [u8]) -> Result<(), BadLength> {
        self.apply(numerals, |string| self.cipher.decrypt(tweak, string).ok())
    }

    fn apply(&self, numerals: &mut [u8], cipher: impl FnOnce(&Numerals) -> Option<Numerals>) -> Result<(), BadLength> {
        let refused = BadLength { numerals: numerals.len(), radix: self.radix };
        if numerals.len() > NUMERALS_MAX {
            return Err(refused);
        }
        let (left, right) = numerals.split_at_mut(numerals.len() / 2);
        let string = Numerals { left: Half::read(left, self.radix), right: Half::read(right, self.radix) };
        let changed = cipher(&string).ok_or(refused)?;
        changed.left.write(left);
        changed.right.write(right);
        Ok(())
    }
}

/// A string of numerals as the two numbers that FF1 computes with.
struct Numerals {
    left: Half,
    right: Half,
}

/// `count` numerals as a number, most significant first.
#[derive(Clone, Copy)]
struct Half {
    number: u64,
    count: usize,
    radix: u32,
}

impl Half {
    fn read(numerals: &[u8], radix: u32) -> Self {
        let number = numerals.iter().fold(0, |number, numeral| number * u64::from(radix) + u64::from(*numeral));
        Self { number, count: numerals.len(), radix }
    }

    fn write(self, numerals: &mut [u8]) {
        let (mut number, radix) = (self.number, u64::from(self.radix));
        for numeral in numerals.iter_mut().rev() {
            *numeral = (number % radix) as u8;
            number /= radix;
        }
    }

    /// `summand` modulo `modulus`, which is at most 36^12.
    fn reduce(summand: impl Iterator<Item = u8>, modulus: u64) -> u64 {
        // FF1 gives twelve bytes at most for halves of this length.
        let number = summand.fold(0u128, |number, byte| number << 8 | u128::from(byte));
        match u64::try_from(number) {
            Ok(number) => number % modulus,
            Err(_) => (number % u128::from(modulus)) as u64,
        }
    }
}

/// A number as so many of its last bytes.
struct BigEndian {
    bytes: [u8; 16],
    from: usize,
}

impl AsRef<[u8]> for BigEndian {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl Operations for Half {
    type Bytes = BigEndian;

    fn numeral_count(&self) -> usize {
        self.count
    }

    fn to_be_bytes(&self, _radix: u32, b: usize) -> BigEndian {
        BigEndian { bytes: u128::from(self.number).to_be_bytes(), from: 16 - b }
    }

    fn add_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, m: usize) -> Self {
        let modulus = u64::from(radix).pow(m as u32);
        let number = (self.number % modulus + Self::reduce(other, modulus)) % modulus;
        Self { number, count: m, radix }
    }

    fn sub_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, m: usize) -> Self {
        let modulus = u64::from(radix).pow(m as u32);
        let number = (self.number % modulus + modulus - Self::reduce(other, modulus)) % modulus;
        Self { number, count: m, radix }
    }
}

impl NumeralString for Numerals {
    type Ops = Half;

    fn is_valid(&self, radix: u32) -> bool {
        self.left.radix == radix && self.right.radix == radix
    }

    fn numeral_count(&self) -> usize {
        self.left.count + self.right.count
    }

    fn split(&self) -> (Half, Half) {
        (self.left, self.right)
    }

    fn concat(left: Half, right: Half) -> Self {
        Self { left, right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fpe::ff1::FlexibleNumeralString;
    use proptest::prelude::*;

    /// The key of the AES-256 samples.
    const KEY: [u8; 32] = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c, 0xef, 0x43,
        0x59, 0xd8, 0xd5, 0x80, 0xaa, 0x4f, 0x7f, 0x03, 0x6d, 0x6f, 0x04, 0xfc, 0x6a, 0x94,
    ];

    fn numerals(text: &str) -> Vec<u8> {
        text.chars().map(|symbol| symbol.to_digit(36).expect("a symbol of radix 36") as u8).collect()
    }

    /// FF1 samples 7, 8 and 9 of NIST's "FF1samples.pdf" (AES-256; the other six are of shorter keys, which are not used here).
    #[test]
    fn the_official_samples_come_out() {
        let check = |radix: u32, tweak: &[u8], plain: &str, cipher: &str| {
            let ff1 = Ff1::new(&Secret::new(KEY), radix);
            let mut string = numerals(plain);
            ff1.encrypt(tweak, &mut string).expect("long enough");
            assert_eq!(string, numerals(cipher), "{plain}");
            ff1.decrypt(tweak, &mut string).expect("long enough");
            assert_eq!(string, numerals(plain));
        };
        check(10, b"", "0123456789", "6657667009");
        check(10, b"9876543210", "0123456789", "1001623463");
        check(36, b"7777pqrs777", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd");
    }

    #[test]
    fn fewer_than_a_million_values_are_refused() {
        let encrypt = |radix: u32, count: usize| Ff1::new(&Secret::new(KEY), radix).encrypt(b"", &mut vec![1; count]);
        let refused = encrypt(10, 5).expect_err("100,000 values").to_string();
        assert!(refused.contains("5 numerals of radix 10") && refused.contains("a million"), "{refused}");
        assert!(encrypt(10, 6).is_ok());
        assert!(encrypt(36, 3).is_err());
        assert!(encrypt(36, 4).is_ok());
        assert!(encrypt(10, NUMERALS_MAX + 1).is_err());
        assert!(encrypt(10, 0).is_err());
    }

    proptest! {
        #[test]
        fn words_compute_what_big_numbers_compute(
            key: [u8; 32], tweak: Vec<u8>, radix in prop_oneof![Just(10u32), Just(36)],
            raw in prop::collection::vec(any::<u8>(), 6..=NUMERALS_MAX),
        ) {
            let plain: Vec<u8> = raw.iter().map(|byte| (u32::from(*byte) % radix) as u8).collect();
            let ff1 = Ff1::new(&Secret::new(key), radix);
            let mut ours = plain.clone();
            ff1.encrypt(&tweak, &mut ours).expect("long enough");
            let big = FlexibleNumeralString::from(plain.iter().map(|numeral| u16::from(*numeral)).collect::<Vec<_>>());
            let theirs = FF1::<Aes256>::new(&key, radix).expect("a radix").encrypt(&tweak, &big).expect("long enough");
            let theirs: Vec<u16> = theirs.into();
            prop_assert_eq!(ours.iter().map(|numeral| u16::from(*numeral)).collect::<Vec<_>>(), theirs);
            ff1.decrypt(&tweak, &mut ours).expect("long enough");
            prop_assert_eq!(ours, plain);
        }
    }
}
