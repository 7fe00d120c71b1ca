//! Garbage: sound requests that were damaged, and sentences made of words that do not belong together.
//!
//! The inputs follow from a fixed number, so each run tries the same ones. What is wanted of every answer: it is one, it
//! blames the client, and what was stored before is still there. Knows nothing of memory safety: no code here is unsafe.

mod expressions;
mod http;
mod kinesis;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Damages `sound` in one to four places; `others` lend pieces.
fn damaged(rng: &mut ChaCha8Rng, sound: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let to = (at + rng.random_range(0..40)).min(bytes.len());
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let noise: Vec<u8> = (0..rng.random_range(1..12)).map(|_| rng.random()).collect();
                bytes.splice(at..at, noise);
            }
            4 => {
                let other = &others[rng.random_range(0..others.len())];
                let from = rng.random_range(0..other.len());
                let piece = other[from..(from + rng.random_range(1..60)).min(other.len())].to_vec();
                bytes.splice(at..to, piece);
            }
            5 => {
                let odd: [&[u8]; 8] = [b"-1", b"18446744073709551616", b"\0", b"%00", b"..", b"{", b"\"", b"\xff\xfe"];
                bytes.splice(at..to.min(at + 3), odd[rng.random_range(0..odd.len())].iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}
