//! The checksums a client may send with a body, and their header names.
//!
//! Knows the algorithms `s3s` can compute. A checksum that was sent is verified and kept; where none was sent, the default
//! of AWS is computed and kept. How the checksum of joined parts follows from theirs: [`super::composed`].

use std::collections::BTreeMap;

use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::{Checksum, ChecksumAlgorithm, ChecksumAlgorithmList, ChecksumType};
use serde::{Deserialize, Serialize};

/// A checksum algorithm of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// Base64 values by algorithm.
pub(super) type Checksums = BTreeMap<Algorithm, String>;

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// What AWS computes for an object that came without a checksum.
    pub(super) const DEFAULT: Self = Self::Crc64Nvme;

    /// The algorithm AWS calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Name of the header and of the trailer.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// AWS's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Length of a value before base64.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl From<Algorithm> for ChecksumAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        Self::from_static(algorithm.name())
    }
}

/// How the checksum of an object was made; `None` when it has none.
pub(super) fn type_of(checksums: &Checksums) -> Option<ChecksumType> {
    let value = checksums.values().next()?;
    // A checksum of checksums ends with the number of its parts.
    let name = if value.contains('-') { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    Some(ChecksumType::from_static(name))
}

/// The algorithms of an object's checksums, as listings name them.
pub(super) fn algorithms_of(checksums: &Checksums) -> Option<ChecksumAlgorithmList> {
    (!checksums.is_empty()).then(|| checksums.keys().copied().map(ChecksumAlgorithm::from).collect())
}

/// What the headers of a request announce: a value, or `None` when it follows in a trailer.
pub(super) fn announced(headers: &HeaderMap) -> BTreeMap<Algorithm, Option<String>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trailers = text("x-amz-trailer").unwrap_or_default().to_ascii_lowercase();
    let in_trailer = |name: &str| trailers.split(',').any(|trailer| trailer.trim() == name);
    let announced = Algorithm::ALL.into_iter().filter_map(|algorithm| {
        let value = text(algorithm.header()).map(str::to_owned);
        (value.is_some() || in_trailer(algorithm.header())).then_some((algorithm, value))
    });
    announced.collect()
}

/// A hasher for these algorithms.
pub(super) fn hasher(algorithms: impl IntoIterator<Item = Algorithm>) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    for algorithm in algorithms {
        match algorithm {
            Algorithm::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Algorithm::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Algorithm::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Algorithm::Sha1 => hasher.sha1 = Some(Sha1::new()),
            Algorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
    }
    hasher
}

/// From the form of `s3s`.
pub(super) fn from_dto(checksum: Checksum) -> Checksums {
    let values = [
        (Algorithm::Crc32, checksum.checksum_crc32),
        (Algorithm::Crc32c, checksum.checksum_crc32c),
        (Algorithm::Crc64Nvme, checksum.checksum_crc64nvme),
        (Algorithm::Sha1, checksum.checksum_sha1),
        (Algorithm::Sha256, checksum.checksum_sha256),
    ];
    values.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?))).collect()
}

/// To the form of `s3s`, for answers.
pub(super) fn to_dto(checksums: &Checksums) -> Checksum {
    let value = |algorithm| checksums.get(&algorithm).cloned();
    Checksum {
        checksum_crc32: value(Algorithm::Crc32),
        checksum_crc32c: value(Algorithm::Crc32c),
        checksum_crc64nvme: value(Algorithm::Crc64Nvme),
        checksum_sha1: value(Algorithm::Sha1),
        checksum_sha256: value(Algorithm::Sha256),
        checksum_type: None,
    }
}

/// Says checksums in an answer, or a part of one: `s3s` has many with these members, and no type for them all.
macro_rules! say {
    ($checksums:expr, in $output:expr) => {{
        let said = $crate::s3::checksum::to_dto($checksums);
        $output.checksum_crc32 = said.checksum_crc32;
        $output.checksum_crc32c = said.checksum_crc32c;
        $output.checksum_crc64nvme = said.checksum_crc64nvme;
        $output.checksum_sha1 = said.checksum_sha1;
        $output.checksum_sha256 = said.checksum_sha256;
    }};
}

pub(super) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_digits_one_to_nine() {
        let mut hasher = hasher(Algorithm::ALL);
        hasher.update(b"123456789");
        let sums = from_dto(hasher.finalize());
        assert_eq!(sums[&Algorithm::Crc32], "y/Q5Jg=="); // cbf43926
        assert_eq!(sums[&Algorithm::Crc32c], "4waSgw=="); // e3069283
        assert_eq!(sums[&Algorithm::Crc64Nvme], "rosUhgp5mIg="); // ae8b14860a799888
        assert_eq!(sums.len(), 5);
    }
}
