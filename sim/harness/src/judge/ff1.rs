//! FF1 of NIST SP 800-38G, step by step as its algorithm 7 is written; shares nothing with `lakebed-mask`, nor the crate under it.
//!
//! Promises: the nine official samples come out, of every key length. Numerals are a vector of digits, and what the standard calls
//! a number is one of 128 bits, which is enough for a string of 24 numerals in radix 36 and longer ones in smaller radices; what
//! does not fit is refused, as are strings of which there are fewer than a million. Knows no formats, and not which block cipher it is.

/// What the block cipher takes and gives.
pub(super) type Block = [u8; 16];

/// Fewest strings among which may be permuted (SP 800-38G Rev. 1).
const STRINGS_MIN: u128 = 1_000_000;

/// The encryption of `numerals`, each below `radix`; `None` when there are too few or too many strings of that length.
pub(super) fn encrypt(cipher: &dyn Fn(Block) -> Block, radix: u8, tweak: &[u8], numerals: &[u8]) -> Option<Vec<u8>> {
    let base = u128::from(radix);
    let strings = base.checked_pow(u32::try_from(numerals.len()).ok()?)?;
    if strings < STRINGS_MIN {
        return None;
    }
    // Steps 1 and 2: the halves.
    let left_count = numerals.len() / 2;
    let right_count = numerals.len() - left_count;
    let (mut left, mut right) = (numerals[..left_count].to_vec(), numerals[left_count..].to_vec());
    // Step 3: bytes that hold the longer half, and step 4: bytes that are added to it.
    let most = base.pow(right_count as u32) - 1;
    let half_bytes = (u128::BITS - most.leading_zeros()).div_ceil(8) as usize;
    let added_bytes = 4 * half_bytes.div_ceil(4) + 4;
    // Step 5: the first block.
    let mut first = vec![1, 2, 1, 0, 0, radix, 10, left_count as u8];
    first.extend((numerals.len() as u32).to_be_bytes());
    first.extend(u32::try_from(tweak.len()).ok()?.to_be_bytes());
    let filling = vec![0; (16 - (tweak.len() + half_bytes + 1) % 16) % 16];
    for round in 0..10u8 {
        let right_number = number(base, &right).to_be_bytes();
        let input = [&first[..], tweak, &filling[..], &[round], &right_number[16 - half_bytes..]].concat();
        // Twelve bytes at most are taken, so one block is always enough of step 6.iii.
        let summand = number(256, &chained(cipher, &input)[..added_bytes]);
        let count = if round % 2 == 0 { left_count } else { right_count };
        let sum = (number(base, &left) + summand) % base.pow(count as u32);
        left = std::mem::replace(&mut right, numerals_of(base, sum, count));
    }
    Some([left, right].concat())
}

/// Algorithm 6: CBC-MAC over whole blocks.
fn chained(cipher: &dyn Fn(Block) -> Block, input: &[u8]) -> Block {
    let next = |before: Block, block: &[u8]| cipher(std::array::from_fn(|at| before[at] ^ block[at]));
    input.chunks_exact(16).fold([0; 16], next)
}

/// The number that is written so, the greatest place first.
fn number(base: u128, digits: &[u8]) -> u128 {
    digits.iter().fold(0, |number, digit| number * base + u128::from(*digit))
}

/// A number written with so many numerals.
fn numerals_of(base: u128, number: u128, count: usize) -> Vec<u8> {
    (0..count).rev().map(|place| (number / base.pow(place as u32) % base) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::consts::U16;
    use aes::cipher::{BlockEncrypt, BlockSizeUser, KeyInit};
    use aes::{Aes128, Aes192, Aes256};

    /// The longest key of the samples; the shorter ones are its beginnings.
    const LONG: [u8; 32] = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c, 0xef, 0x43,
        0x59, 0xd8, 0xd5, 0x80, 0xaa, 0x4f, 0x7f, 0x03, 0x6d, 0x6f, 0x04, 0xfc, 0x6a, 0x94,
    ];

    fn encrypted<C>(key: &[u8], radix: u8, tweak: &[u8], plain: &str) -> String
    where
        C: BlockEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit,
    {
        let aes = C::new_from_slice(key).expect("a key of its length");
        let cipher = |mut block: Block| {
            aes.encrypt_block((&mut block).into());
            block
        };
        let plain: Vec<u8> = plain.chars().map(|symbol| symbol.to_digit(36).expect("a numeral") as u8).collect();
        let found = encrypt(&cipher, radix, tweak, &plain).expect("neither too short nor too long");
        found.into_iter().map(|numeral| char::from_digit(numeral.into(), 36).expect("a numeral")).collect()
    }

    /// "FF1samples.pdf" of NIST: three strings with keys of three lengths.
    #[test]
    fn the_nine_official_samples_come_out() {
        let cases: [(u8, &[u8], &str, [&str; 3]); 3] = [
            (10, b"", "0123456789", ["2433477484", "2830668132", "6657667009"]),
            (10, b"9876543210", "0123456789", ["6124200773", "2496655549", "1001623463"]),
            (
                36,
                b"7777pqrs777",
                "0123456789abcdefghi",
                ["a9tv40mll9kdu509eum", "xbj3kv35jrawxv32ysr", "xs8a0azh2avyalyzuwd"],
            ),
        ];
        for (radix, tweak, plain, expected) in cases {
            assert_eq!(encrypted::<Aes128>(&LONG[..16], radix, tweak, plain), expected[0]);
            assert_eq!(encrypted::<Aes192>(&LONG[..24], radix, tweak, plain), expected[1]);
            assert_eq!(encrypted::<Aes256>(&LONG, radix, tweak, plain), expected[2]);
        }
    }

    #[test]
    fn too_few_and_too_many_strings_are_refused() {
        let length = |radix: u8, count: usize| {
            encrypt(&|block| block, radix, b"", &vec![1; count]).map(|encrypted| encrypted.len())
        };
        assert_eq!((length(10, 5), length(10, 6)), (None, Some(6)));
        assert_eq!((length(36, 3), length(36, 4)), (None, Some(4)));
        assert_eq!((length(36, 24), length(36, 25)), (Some(24), None));
        assert_eq!(length(10, 0), None);
    }
}
