//! The checksum of an object that was joined from parts.
//!
//! An upload has one algorithm. A composite checksum is that of the parts' checksums, followed by `-` and their number;
//! one of the full object is combined from those of the parts, without reading their bytes again, which only CRCs can.
//! An upload that was begun without a word about checksums gets AWS's default, CRC64NVME of the full object, and does not
//! speak of it until it is completed. Knows nothing of files.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::CrcAlgorithm;
use s3s::dto::{ChecksumAlgorithm, ChecksumType};
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::checksum::{self, Algorithm, Checksums};
use super::integrity::wrong_checksum;

/// Whether the checksum of the object is one of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Of the parts' checksums.
    Composite,
    /// Of all bytes.
    #[default]
    FullObject,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Composite => ChecksumType::COMPOSITE,
            Self::FullObject => ChecksumType::FULL_OBJECT,
        }
    }
}

/// How an upload is checksummed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadChecksum {
    pub(super) algorithm: Algorithm,
    kind: Kind,
    /// Whether the client asked for it.
    is_asked: bool,
}

impl Default for UploadChecksum {
    fn default() -> Self {
        Self { algorithm: Algorithm::DEFAULT, kind: Kind::FullObject, is_asked: false }
    }
}

impl UploadChecksum {
    /// What CreateMultipartUpload asks for.
    pub(super) fn asked(algorithm: Option<&ChecksumAlgorithm>, kind: Option<&ChecksumType>) -> S3Result<Self> {
        let kind = kind.map(kind_named).transpose()?;
        let Some(algorithm) = algorithm else {
            if kind.is_some() {
                return Err(s3_error!(
                    InvalidRequest,
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
                ));
            }
            return Ok(Self::default());
        };
        let algorithm = Algorithm::named(algorithm.as_str())
            .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))?;
        let (usual, other) = match algorithm {
            Algorithm::Crc64Nvme => (Kind::FullObject, None),
            Algorithm::Crc32 | Algorithm::Crc32c => (Kind::Composite, Some(Kind::FullObject)),
            Algorithm::Sha1 | Algorithm::Sha256 => (Kind::Composite, None),
        };
        let kind = kind.unwrap_or(usual);
        if kind != usual && Some(kind) != other {
            let (kind, algorithm) = (kind.name(), lower_case(algorithm));
            return Err(s3_error!(
                InvalidRequest,
                "The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
            ));
        }
        Ok(Self { algorithm, kind, is_asked: true })
    }

    /// What answers about the upload say; nothing of a default.
    pub(super) fn shown(self) -> (Option<ChecksumAlgorithm>, Option<ChecksumType>) {
        if !self.is_asked {
            return (None, None);
        }
        (Some(self.algorithm.into()), Some(ChecksumType::from_static(self.kind.name())))
    }

    /// The checksums of a part that answers show: those of the upload, and in the answer to the part itself what was
    /// `sent` with it.
    pub(super) fn shown_of_part(self, kept: &Checksums, sent: Option<Algorithm>) -> Checksums {
        let is_shown = |algorithm: Algorithm| Some(algorithm) == sent || (self.is_asked && algorithm == self.algorithm);
        let shown = kept.iter().filter(|(algorithm, _)| is_shown(**algorithm));
        shown.map(|(algorithm, value)| (*algorithm, value.clone())).collect()
    }

    /// Refuses a part whose checksum is not of the upload's algorithm. Without a word about it any is welcome, and of
    /// the full object AWS computes what a part does not bring.
    pub(super) fn check_sent(self, sent: Option<Algorithm>) -> S3Result<()> {
        let is_welcome = match sent {
            _ if !self.is_asked => true,
            None => self.kind == Kind::FullObject,
            Some(sent) => sent == self.algorithm,
        };
        if is_welcome { Ok(()) } else { Err(self.mismatch(sent)) }
    }

    fn mismatch(self, actual: Option<Algorithm>) -> S3Error {
        let expected = lower_case(self.algorithm);
        let actual = actual.map_or_else(|| "null".to_owned(), lower_case);
        s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}"
        )
    }

    /// Compares what a CompleteMultipartUpload says about the part of this number with what is known of it.
    pub(super) fn check_listed(self, number: i32, listed: &Checksums, kept: &Checksums) -> S3Result<()> {
        let is_value = |(algorithm, value): (&Algorithm, &String)| {
            BASE64_STANDARD.decode(value).is_ok_and(|bytes| bytes.len() == algorithm.bytes())
        };
        if listed.len() > 1 || !listed.iter().all(is_value) {
            return Err(s3_error!(InvalidArgument, "Invalid Base64 or multiple checksums present in request"));
        }
        if listed.is_empty() && self.is_asked && self.kind == Kind::Composite {
            let algorithm = lower_case(self.algorithm);
            return Err(s3_error!(
                InvalidRequest,
                "The upload was created using a {algorithm} checksum. The complete request must include the checksum for \
                 each part. It was missing for part {number} in the request."
            ));
        }
        // An algorithm that the upload does not have is as wrong as another value.
        let is_right = |(algorithm, value): (&Algorithm, &String)| {
            *algorithm == self.algorithm && kept.get(algorithm).is_none_or(|kept| kept == value)
        };
        if listed.iter().all(is_right) { Ok(()) } else { Err(s3_error!(InvalidPart)) }
    }

    /// `BadDigest` for a CompleteMultipartUpload that names another type than the upload has.
    pub(super) fn check_type(self, said: Option<&ChecksumType>) -> S3Result<()> {
        if said.map(kind_named).transpose()?.is_none_or(|said| said == self.kind) {
            return Ok(());
        }
        Err(s3_error!(
            BadDigest,
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            self.kind.name()
        ))
    }

    /// The checksum of the joined object, from length and checksum of each part.
    pub(super) fn of_parts<'a>(
        self,
        parts: impl ExactSizeIterator<Item = (u64, &'a Checksums)>,
    ) -> S3Result<Checksums> {
        let count = parts.len();
        let mut digests = Vec::with_capacity(count);
        for (length, checksums) in parts {
            let digest = checksums.get(&self.algorithm).and_then(|value| BASE64_STANDARD.decode(value).ok());
            digests.push((length, digest.ok_or_else(|| s3_error!(InternalError, "a part has no checksum"))?));
        }
        let value = match (self.kind, crc_of(self.algorithm)) {
            (Kind::FullObject, Some(crc)) => combined(crc, self.algorithm.bytes(), &digests),
            (Kind::FullObject | Kind::Composite, _) => format!("{}-{count}", digest_of(self.algorithm, &digests)?),
        };
        Ok(Checksums::from([(self.algorithm, value)]))
    }

    /// Compares a checksum that a CompleteMultipartUpload brings with the computed one. Gives those that are of another
    /// algorithm, which only bytes can verify.
    pub(super) fn check_whole(self, announced: Checksums, computed: &Checksums) -> S3Result<Checksums> {
        let mut others = Checksums::new();
        for (algorithm, value) in announced {
            if algorithm == self.algorithm {
                let computed = computed.get(&algorithm).map(String::as_str).unwrap_or_default();
                // The number of parts may be left out.
                let is_the_same = value == computed || computed.split_once('-').is_some_and(|(sum, _)| sum == value);
                if !is_the_same {
                    return Err(wrong_checksum(algorithm));
                }
            } else if self.is_asked {
                return Err(self.mismatch(Some(algorithm)));
            } else if value.contains('-') {
                return Err(s3_error!(
                    NotImplemented,
                    "a composite checksum of an upload that was begun without an algorithm is not implemented"
                ));
            } else {
                others.insert(algorithm, value);
            }
        }
        Ok(others)
    }
}

fn kind_named(name: &ChecksumType) -> S3Result<Kind> {
    match name.as_str() {
        ChecksumType::COMPOSITE => Ok(Kind::Composite),
        ChecksumType::FULL_OBJECT => Ok(Kind::FullObject),
        _ => Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    }
}

fn lower_case(algorithm: Algorithm) -> String {
    algorithm.name().to_ascii_lowercase()
}

fn crc_of(algorithm: Algorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        Algorithm::Sha1 | Algorithm::Sha256 => None,
    }
}

/// The CRC, of so many bytes, of bytes of which each piece's length and CRC are known.
fn combined(crc: CrcAlgorithm, bytes: usize, pieces: &[(u64, Vec<u8>)]) -> String {
    let number = |digest: &[u8]| digest.iter().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
    let mut pieces = pieces.iter();
    let first = pieces.next().map_or(0, |(_, digest)| number(digest));
    let combined = pieces.fold(first, |sum, (length, digest)| match length {
        // Nothing follows, so nothing changes.
        0 => sum,
        length => crc_fast::checksum_combine(crc, sum, number(digest), *length),
    });
    let combined = combined.to_be_bytes();
    BASE64_STANDARD.encode(&combined[combined.len() - bytes..])
}

fn digest_of(algorithm: Algorithm, pieces: &[(u64, Vec<u8>)]) -> S3Result<String> {
    let mut hasher = checksum::hasher([algorithm]);
    pieces.iter().for_each(|(_, digest)| hasher.update(digest));
    let mut sums = checksum::from_dto(hasher.finalize());
    sums.remove(&algorithm).ok_or_else(|| s3_error!(InternalError, "a checksum was not computed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksums {
        let mut hasher = checksum::hasher([algorithm]);
        hasher.update(bytes);
        checksum::from_dto(hasher.finalize())
    }

    fn asked(algorithm: &'static str, kind: Option<&'static str>) -> Result<UploadChecksum, String> {
        let (algorithm, kind) = (ChecksumAlgorithm::from_static(algorithm), kind.map(ChecksumType::from_static));
        UploadChecksum::asked(Some(&algorithm), kind.as_ref()).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn each_algorithm_has_its_types() {
        let (full, composite) = (Some("FULL_OBJECT"), Some("COMPOSITE"));
        for (algorithm, kind, expected) in [
            ("CRC32", None, Some(Kind::Composite)),
            ("CRC32C", full, Some(Kind::FullObject)),
            ("CRC32", composite, Some(Kind::Composite)),
            ("CRC64NVME", None, Some(Kind::FullObject)),
            ("CRC64NVME", composite, None),
            ("SHA1", None, Some(Kind::Composite)),
            ("SHA256", full, None),
            ("SHA256", Some("PARTIAL"), None),
        ] {
            let found = asked(algorithm, kind);
            let expected = expected.ok_or_else(|| "InvalidRequest".to_owned());
            assert_eq!(found.map(|found| found.kind), expected, "{algorithm} {kind:?}");
        }
        assert!(UploadChecksum::asked(None, Some(&ChecksumType::from_static("COMPOSITE"))).is_err());
        assert_eq!(UploadChecksum::default().shown(), (None, None));
    }

    #[test]
    fn a_part_brings_the_checksum_of_its_upload() {
        let composite = asked("CRC32", None).expect("valid");
        let full = asked("CRC32", Some("FULL_OBJECT")).expect("valid");
        let message = |result: S3Result<()>| result.expect_err("refused").message().unwrap_or_default().to_owned();
        let begins = "Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: ";
        assert_eq!(message(composite.check_sent(None)), format!("{begins}null"));
        assert_eq!(message(full.check_sent(Some(Algorithm::Sha1))), format!("{begins}sha1"));
        assert!(full.check_sent(None).is_ok() && UploadChecksum::default().check_sent(Some(Algorithm::Sha1)).is_ok());

        let kept = sum(Algorithm::Crc32, b"x");
        assert!(message(composite.check_listed(3, &Checksums::new(), &kept)).contains("missing for part 3"));
        assert!(full.check_listed(3, &Checksums::new(), &kept).is_ok() && full.check_listed(3, &kept, &kept).is_ok());
        let code = |listed: &Checksums| match composite.check_listed(1, listed, &kept) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        };
        assert_eq!(code(&sum(Algorithm::Crc32, b"y")), "InvalidPart");
        assert_eq!(code(&sum(Algorithm::Sha1, b"x")), "InvalidPart");
        assert_eq!(code(&Checksums::from([(Algorithm::Crc32, "no base64".to_owned())])), "InvalidArgument");
    }

    #[test]
    fn a_composite_checksum_is_one_of_raw_digests() {
        // SHA-256 of the digests of "a" and "b".
        let parts = [sum(Algorithm::Sha256, b"a"), sum(Algorithm::Sha256, b"b")];
        let upload = asked("SHA256", None).expect("valid");
        let whole = upload.of_parts(parts.iter().map(|part| (1, part))).expect("computed");
        assert_eq!(whole[&Algorithm::Sha256], "5aAf7hTg7VxIcU8iGA8lrYNltT+XefedxKPX6Tlj+Uo=-2");
        let said = |value: &str| {
            let announced = Checksums::from([(Algorithm::Sha256, value.to_owned())]);
            upload.check_whole(announced, &whole).map_err(|error| error.code().as_str().to_owned())
        };
        assert!(said(&whole[&Algorithm::Sha256]).is_ok());
        assert!(said(whole[&Algorithm::Sha256].trim_end_matches("-2")).is_ok());
        assert_eq!(said(&whole[&Algorithm::Sha256].replace("-2", "-3")).expect_err("wrong"), "BadDigest");
    }

    proptest! {
        #[test]
        fn combined_crcs_are_those_of_all_bytes(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        ) {
            for algorithm in ["CRC32", "CRC32C", "CRC64NVME"] {
                let upload = asked(algorithm, Some("FULL_OBJECT")).expect("valid");
                let sums: Vec<_> = parts.iter().map(|part| sum(upload.algorithm, part)).collect();
                let lengths = parts.iter().map(|part| part.len() as u64);
                let pieces: Vec<_> = lengths.zip(&sums).collect();
                let whole = upload.of_parts(pieces.into_iter()).expect("computed");
                prop_assert_eq!(whole, sum(upload.algorithm, &parts.concat()));
            }
        }
    }
}
