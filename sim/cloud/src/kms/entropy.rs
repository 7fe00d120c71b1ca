//! Chance that nobody can repeat: key material, nonces, data keys and ids of KMS.
//!
//! The system's randomness and not the run's seed: the seed stands in reports, and a real secret must not follow from it. No
//! scenario depends on what is drawn here.

use std::fs::File;
use std::io::{self, Read};

/// Fills `bytes` with the system's randomness.
pub(super) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

/// `N` unpredictable bytes.
pub(super) fn draw<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}
