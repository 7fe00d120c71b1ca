//! The file an object lies in that is not small, relative to its bucket's directory.
//!
//! Usually the key itself, so that other programs can read a kept lake. Keys that are no sound relative path (an empty,
//! `.` or `..` segment, a segment too long for a file system, a control character) lie at `%/<SHA-256 of the key>`
//! instead, and so does a key that is a file where an earlier key needs a directory, or the reverse (`a` and `a/b`), and one
//! whose name is taken because the file system takes two keys for one (`a` and `A`).
//! The index knows which name was chosen. No name leaves the bucket's directory.

use std::path::Path;

use sha2::{Digest, Sha256};

/// Directory of escaped names; a key whose first segment it is, is escaped as well.
pub(super) const ESCAPED: &str = "%";
/// Longest segment taken as it is; common file systems allow 255 bytes.
const SEGMENT_BYTES_MAX: usize = 240;

/// The name under which `key` is put for the first time, given what is already in the bucket's directory.
pub(super) fn choose(bucket_dir: &Path, key: &str) -> String {
    if is_sound(key) && !clashes(bucket_dir, key) { key.to_owned() } else { escaped(key) }
}

/// `%/<SHA-256 of the key>`.
fn escaped(key: &str) -> String {
    format!("{ESCAPED}/{}", data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes())))
}

fn is_sound(key: &str) -> bool {
    let is_sound_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.len() <= SEGMENT_BYTES_MAX
            && !segment.chars().any(|character| character.is_control() || character == '\\')
    };
    key.split('/').all(is_sound_segment) && key.split('/').next() != Some(ESCAPED)
}

/// Whether anything stands where the file should be, or a file where a directory should be.
fn clashes(bucket_dir: &Path, key: &str) -> bool {
    if bucket_dir.join(key).exists() {
        // The directory of longer keys. Or a file, though the key is new: of a key that the file system does not tell from
        // this one, such as one in the other case.
        return true;
    }
    // The deepest folder that is there decides about all above it.
    let mut folders = key.rmatch_indices('/').map(|(at, _)| bucket_dir.join(&key[..at]));
    let deepest = folders.find_map(|folder| folder.metadata().ok());
    deepest.is_some_and(|deepest| !deepest.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_keys_are_their_own_names() {
        let dir = tempfile::tempdir().expect("a directory");
        for key in ["a", "raw/review/generation=1/x.csv.gz", "é/ü b+c", "a.b/..c", "%2e"] {
            assert_eq!(choose(dir.path(), key), key);
        }
    }

    #[test]
    fn unsound_keys_are_escaped_to_one_flat_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let long = "x".repeat(241);
        for key in ["", "/", "a//b", "a/", "/a", "..", "../x", "a/../../x", "./a", "%/x", "%", "a\0b", "a\\b", &long] {
            let name = choose(dir.path(), key);
            assert!(name.starts_with("%/") && name.len() == 66, "{key:?} lies at {name:?}");
        }
        assert_ne!(choose(dir.path(), "a/"), choose(dir.path(), "/a"));
    }

    #[test]
    fn a_file_and_a_directory_of_one_name_do_not_meet() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("a")).expect("made");
        std::fs::write(dir.path().join("a/b"), b"").expect("written");
        assert!(choose(dir.path(), "a").starts_with("%/"));
        assert!(choose(dir.path(), "a/b/c").starts_with("%/"));
        assert_eq!(choose(dir.path(), "a/c"), "a/c");
        assert_eq!(choose(dir.path(), "a/c/d/e"), "a/c/d/e");
        assert!(choose(dir.path(), "a/b/c/d").starts_with("%/"));
        assert!(choose(dir.path(), "a/b").starts_with("%/"), "another key's, as the key is new");
    }
}
