//! Which bytes of a buffer are worth a closer look: digits and `@`, sixty-four bytes at a time.
//!
//! Every kind but names, addresses and access key ids holds a digit or an `@`, and most prose holds neither for long stretches.
//! The loops run over arrays of fixed size and have no branches, so that the compiler turns them into vector instructions of
//! whatever the target has. Knows nothing of rows or kinds.

/// Bytes that are looked at at once.
pub(super) const BLOCK_BYTES: usize = 64;
/// Gathers the lowest bit of each of eight bytes into the topmost byte of the product.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// The digits and `@`s of a buffer, in order.
pub(super) struct Triggers<'a> {
    bytes: &'a [u8],
    /// Where the block begins whose bits are in `mask`.
    base: usize,
    /// A bit for each trigger of the block.
    mask: u64,
}

impl<'a> Triggers<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut triggers = Self { bytes, base: 0, mask: 0 };
        triggers.load(0);
        triggers
    }

    /// The first trigger at or after `from`, which must not go back.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        if from >= self.base + BLOCK_BYTES {
            self.load(from - from % BLOCK_BYTES);
        }
        if from > self.base {
            self.mask &= u64::MAX << (from - self.base);
        }
        if self.mask == 0 {
            self.load(self.base + BLOCK_BYTES);
        }
        (self.mask != 0).then(|| self.base + self.mask.trailing_zeros() as usize)
    }

    /// Moves to the first block at or after `base` that holds a trigger; to an empty one behind the end if there is none.
    fn load(&mut self, mut base: usize) {
        let rest = self.bytes.get(base..).unwrap_or_default();
        let (blocks, tail) = rest.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            if has_trigger(block) {
                (self.base, self.mask) = (base, mask(block));
                return;
            }
            base += BLOCK_BYTES;
        }
        let mut block = [0; BLOCK_BYTES];
        block[..tail.len()].copy_from_slice(tail);
        (self.base, self.mask) = (base, mask(&block));
    }
}

#[inline]
fn is_trigger(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | (byte == b'@')
}

fn has_trigger(block: &[u8; BLOCK_BYTES]) -> bool {
    block.iter().fold(0, |any, &byte| any | u8::from(is_trigger(byte))) != 0
}

fn mask(block: &[u8; BLOCK_BYTES]) -> u64 {
    bits(block, is_trigger)
}

/// A bit for each byte of a block that `is` accepts, the first byte's lowest.
#[inline]
pub(super) fn bits(block: &[u8; BLOCK_BYTES], is: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0; BLOCK_BYTES];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is(*byte));
    }
    let (eights, _) = flags.as_chunks::<8>();
    let gathered = eights.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    gathered.enumerate().fold(0, |mask, (at, bits)| mask | bits << (8 * at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn triggers_are_the_digits_and_at_signs(bytes in prop::collection::vec(prop_oneof![9 => Just(b'x'), 1 => any::<u8>()], 0..400)) {
            let expected: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit() || bytes[*at] == b'@').collect();
            let (mut triggers, mut found, mut from) = (Triggers::of(&bytes), Vec::new(), 0);
            while let Some(at) = triggers.next(from) {
                found.push(at);
                from = at + 1;
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn jumps_land_on_the_next_trigger(bytes in prop::collection::vec(prop_oneof![20 => Just(b'x'), 1 => Just(b'7')], 0..600), jumps in prop::collection::vec(0usize..150, 1..20)) {
            let (mut triggers, mut from) = (Triggers::of(&bytes), 0);
            for jump in jumps {
                from += jump;
                let expected = (from..bytes.len()).find(|at| bytes[*at] == b'7');
                prop_assert_eq!(triggers.next(from), expected);
            }
        }
    }
}
