//! Where the mask keys of real data come from: `LAKEBED_MASK_KEY`, else a file of the user's, made on first use.
//!
//! The file is `LAKEBED_MASK_KEY_FILE`, else one in the configuration folder. It is read only if nobody but its owner can read it,
//! and not from beside the data. Losing it means that new tokens no longer join with old ones. Both hold a key, or several with
//! their versions (`contract::mask_key`), of which the highest masks; if that one is encrypted, KMS is asked to decrypt it. With
//! `LAKEBED_MASK_KEY_KMS` a key that is made is made by KMS, and the file holds nothing in clear; it is never on a disk, in a log or
//! in an argument list. A demo does not use any of them: the key of its generated data follows from the seed.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lakebed_contract::mask_key::{EncryptedKey, KeyProvider, KeyProviderError, MaskKey, WrittenKey, WrittenRing};
use lakebed_harness::backend::ExternalStores;
use lakebed_harness::wiring::MaskSecret;
use lakebed_harness::{HarnessError, mask_kms};

use crate::environment::{Environment, MaskKeyText};
use crate::exit::InputError;
use crate::external;

/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;
/// Version of a key that is made; the next ones are the user's to give.
const FIRST_VERSION: u32 = 1;

/// The text of `LAKEBED_MASK_KEY`.
struct EnvironmentKeys<'a>(&'a Option<MaskKeyText>);

impl KeyProvider for EnvironmentKeys<'_> {
    fn written_ring(&self) -> Result<Option<WrittenRing>, KeyProviderError> {
        let Some(text) = self.0 else { return Ok(None) };
        // Commas serve where line ends are hard to write.
        let ring = WrittenRing::parse(&text.0.replace(',', "\n"));
        ring.map(Some).map_err(|source| KeyProviderError::Ring { provider: "LAKEBED_MASK_KEY".to_owned(), source })
    }
}

/// A file that only its owner can read, outside the folder of the data.
struct FileKeys<'a> {
    path: &'a Path,
    state_dir: &'a Path,
}

impl KeyProvider for FileKeys<'_> {
    fn written_ring(&self) -> Result<Option<WrittenRing>, KeyProviderError> {
        let provider = || format!("`{}`", self.path.display());
        let unreadable = |source| KeyProviderError::Read { provider: provider(), source };
        let exposed = |reason: String| KeyProviderError::Exposed { provider: provider(), reason };
        // Also of a file that is not there yet: it must not be made here.
        if is_inside(self.path, self.state_dir) {
            return Err(exposed(
                "its place is beside the data it protects; keep it out of the state folder".to_owned(),
            ));
        }
        let mut file = match File::open(self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        // Of the open file: what is checked is what is read.
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & OTHERS != 0 {
            let (mode, path) = (mode & 0o777, self.path.display());
            return Err(exposed(format!("others than its owner may use it (mode {mode:03o}); chmod 600 '{path}'")));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        let ring = WrittenRing::parse(&text);
        ring.map(Some).map_err(|source| KeyProviderError::Ring { provider: provider(), source })
    }
}

fn is_inside(path: &Path, folder: &Path) -> bool {
    resolved(path).starts_with(resolved(folder))
}

/// A path without symbolic links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|ancestor| {
        let rest = absolute.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    });
    there.unwrap_or(absolute)
}

/// The key for real data; made and stored when there is none yet. `state_dir` is where the data will lie.
pub(crate) fn for_real_data(environment: &Environment, state_dir: &Path) -> anyhow::Result<MaskSecret> {
    let (written, place) = match written_by(&EnvironmentKeys(&environment.mask_key_hex))? {
        Some(written) => (written, "LAKEBED_MASK_KEY".to_owned()),
        None => of_file(environment, state_dir)?,
    };
    match (written.newest(), &environment.mask_key_kms) {
        (WrittenKey::Encrypted(key), _) => Ok(MaskSecret::of(&opened(key)?)),
        (WrittenKey::Plain(key), None) => Ok(MaskSecret::of(key)),
        (WrittenKey::Plain(_), Some(id)) => Err(InputError::because(
            format!(
                "failed to mask with a key of KMS key `{id}`, as LAKEBED_MASK_KEY_KMS asks: the newest key of {place} is in \
                 clear"
            ),
            "add a newer one that KMS has encrypted (README.md, \"Secrets and personal data\"), or unset LAKEBED_MASK_KEY_KMS",
        )),
    }
}

/// What the key file holds, and its name; it is made when there is none yet.
fn of_file(environment: &Environment, state_dir: &Path) -> anyhow::Result<(WrittenRing, String)> {
    let (path, is_named) = path_of(environment)?;
    let (keys, place) = (FileKeys { path: &path, state_dir }, format!("`{}`", path.display()));
    if let Some(written) = written_by(&keys)? {
        return Ok((written, place));
    }
    let kms = environment.mask_key_kms.as_deref();
    // A folder that is not there may be a secret that was not mounted: nothing is made in its place.
    if is_named && !(kms.is_some() && path.parent().is_some_and(Path::is_dir)) {
        return Err(InputError::because(
            format!("failed to find the mask key: {place}, named by LAKEBED_MASK_KEY_FILE, is not there"),
            "mount the secret, or make one with: (umask 077; openssl rand -hex 32 > FILE)",
        ));
    }
    let line = match kms {
        Some(id) => of_kms(async |stores| mask_kms::new_line(id, FIRST_VERSION, stores).await)?,
        None => plain_line().context("failed to draw a new mask key")?,
    };
    if create(&path, &line).with_context(|| format!("failed to write a new mask key to {place}"))? {
        let how = if kms.is_some() { ", encrypted by KMS" } else { "" };
        crate::printer::line(&format!("made a new mask key{how}: {} (keep it; tokens depend on it)", path.display()));
    }
    let written = written_by(&keys)?;
    Ok((written.with_context(|| format!("failed to find the mask key just written to {place}"))?, place))
}

/// The key, when KMS has decrypted it.
fn opened(key: &EncryptedKey) -> anyhow::Result<MaskKey> {
    of_kms(async |stores| mask_kms::open(key, stores).await)
}

/// Asks the KMS that the environment or a profile leads to.
fn of_kms<T>(ask: impl AsyncFn(&ExternalStores) -> Result<T, HarnessError>) -> anyhow::Result<T> {
    let stores = external::stores()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(&stores)).map_err(|error| match error {
        HarnessError::Input { message } => InputError::because(
            message,
            "does that key exist there, is it enabled, and may these credentials call kms:Decrypt and \
             kms:GenerateDataKeyWithoutPlaintext with it? KMS is found by AWS_ENDPOINT_URL_KMS, AWS_ENDPOINT_URL and AWS_REGION",
        ),
        other => other.into(),
    })
}

/// The key file, and whether the user named it.
fn path_of(environment: &Environment) -> anyhow::Result<(PathBuf, bool)> {
    if let Some(path) = &environment.mask_key_file {
        // Its folder is asked for, which a bare name does not tell.
        return Ok((std::path::absolute(path).unwrap_or_else(|_| path.clone()), true));
    }
    let Some(config) = &environment.config_home else {
        return Err(InputError::because(
            "failed to find a mask key: neither LAKEBED_MASK_KEY nor HOME is set",
            "export LAKEBED_MASK_KEY=$(openssl rand -hex 32) and keep it",
        ));
    };
    Ok((config.join("lakebed").join("mask.key"), false))
}

fn written_by(provider: &impl KeyProvider) -> anyhow::Result<Option<WrittenRing>> {
    provider.written_ring().map_err(|error| {
        let hint = match &error {
            KeyProviderError::Exposed { .. } => "whoever can read the key can find the values behind the tokens",
            KeyProviderError::Ring { .. } => {
                "one key is 64 hexadecimal digits (openssl rand -hex 32); several are `<version>:<digits>`, one a line, or \
                 `<version>:kms:<ARN of a KMS key>:<base64>` where KMS has encrypted them"
            }
            KeyProviderError::Read { .. } => {
                "restore the key from your backup; a new key breaks the joins with old tokens"
            }
        };
        let reason = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        InputError::because(format!("{error}{reason}"), hint)
    })
}

/// A fresh key in clear. The one use of the system's randomness here: a key must not follow from a seed that stands in a report.
fn plain_line() -> std::io::Result<String> {
    let mut key = [0u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a key file, whole and on disk before anything is masked with it; says whether it did, or somebody else was first.
fn create(path: &Path, line: &str) -> std::io::Result<bool> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    // Readable by its owner only from the first moment.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{line}")?;
    file.as_file().sync_all()?;
    let is_first = match file.persist_noclobber(path) {
        Ok(_) => true,
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error.error),
    };
    // Who was first may not have come to this yet, and his key is about to be used here.
    File::open(folder)?.sync_all()?;
    Ok(is_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment with nothing of a key in it but a configuration folder.
    fn environment(config: &Path) -> Environment {
        let mut environment = Environment::read();
        environment.mask_key_hex = None;
        environment.mask_key_file = None;
        environment.mask_key_kms = None;
        environment.config_home = Some(config.to_owned());
        environment
    }

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    }

    fn hex(byte: &str) -> String {
        byte.repeat(32)
    }

    #[test]
    fn a_key_is_made_once_private_and_then_read_again() {
        let folder = tempfile::tempdir().expect("temp dir");
        let environment = environment(folder.path());
        let state = folder.path().join("state");
        let first = for_real_data(&environment, &state).expect("made").to_hex();
        assert_eq!(for_real_data(&environment, &state).expect("read").to_hex(), first);
        let mode = std::fs::metadata(folder.path().join("lakebed/mask.key")).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn first_runs_at_the_same_moment_agree_on_one_key() {
        let folder = tempfile::tempdir().expect("temp dir");
        let environment = environment(folder.path());
        let state = folder.path().join("state");
        let start = std::sync::Barrier::new(8);
        let first_run = || {
            start.wait();
            for_real_data(&environment, &state).expect("made or read").to_hex()
        };
        let keys: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(first_run)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(keys.len(), 1);
        let left = std::fs::read_dir(folder.path().join("lakebed")).expect("a folder").count();
        assert_eq!(left, 1, "no temporary file stays");
        let again = create(&folder.path().join("lakebed/mask.key"), &hex("00")).expect("no failure");
        assert!(!again, "a key is never replaced");
    }

    #[test]
    fn no_key_is_made_beside_the_data() {
        let folder = tempfile::tempdir().expect("temp dir");
        let environment = environment(&folder.path().join("config"));
        // The folder of the data need not be there yet.
        for state in [folder.path().to_owned(), folder.path().join("config"), folder.path().join("config/lakebed")] {
            let error = for_real_data(&environment, &state).expect_err("must be refused").to_string();
            assert!(error.contains("beside the data"), "{error}");
            assert!(!folder.path().join("config").exists(), "nothing is made before it is refused");
        }
    }

    #[test]
    fn the_highest_version_of_a_file_or_variable_masks() {
        let folder = tempfile::tempdir().expect("temp dir");
        let mut environment = environment(folder.path());
        let path = folder.path().join("keys");
        write(&path, &format!("# old\n1:{}\n2:{}\n", hex("01"), hex("02")), 0o400);
        environment.mask_key_file = Some(path);
        let state = folder.path().join("state");
        let key = for_real_data(&environment, &state).expect("read");
        assert_eq!((key.version, key.to_hex()), (2, hex("02")));
        environment.mask_key_hex = Some(MaskKeyText(format!("3:{},4:{}", hex("03"), hex("04"))));
        let key = for_real_data(&environment, &state).expect("the variable comes first");
        assert_eq!((key.version, key.to_hex()), (4, hex("04")));
        environment.mask_key_hex = Some(MaskKeyText(format!("1:kms:alias/gone:AQID,5:{}", hex("05"))));
        let key = for_real_data(&environment, &state).expect("KMS is not asked for an older key");
        assert_eq!((key.version, key.to_hex()), (5, hex("05")));
    }

    #[test]
    fn who_asks_for_kms_does_not_mask_with_a_key_in_clear() {
        let folder = tempfile::tempdir().expect("temp dir");
        let mut environment = environment(folder.path());
        environment.mask_key_kms = Some("alias/mask".to_owned());
        // The newest key decides, and KMS is not asked before.
        environment.mask_key_hex = Some(MaskKeyText(format!("1:kms:alias/mask:AQID,2:{}", hex("ab"))));
        let state = folder.path().join("state");
        let error = for_real_data(&environment, &state).expect_err("must be refused").to_string();
        assert!(
            error.contains("alias/mask") && error.contains("the newest key of LAKEBED_MASK_KEY is in clear"),
            "{error}"
        );
        assert!(!error.contains("abab"), "the key stands in the error");
        // A secret that is not mounted is not made up.
        environment.mask_key_hex = None;
        environment.mask_key_file = Some(folder.path().join("secrets/mask.key"));
        let error = for_real_data(&environment, &state).expect_err("must be refused").to_string();
        assert!(error.contains("is not there") && !folder.path().join("secrets").exists(), "{error}");
    }

    #[test]
    fn keys_that_are_not_kept_safely_are_refused() {
        let folder = tempfile::tempdir().expect("temp dir");
        let mut environment = environment(folder.path());
        let (path, state) = (folder.path().join("keys"), folder.path().join("state"));
        std::fs::create_dir(&state).expect("a folder");
        environment.mask_key_file = Some(path.clone());
        let refused = |environment: &Environment| {
            let error = for_real_data(environment, &state).expect_err("must be refused").to_string();
            assert!(!error.contains("abab"), "the key stands in the error");
            error
        };
        assert!(refused(&environment).contains("named by LAKEBED_MASK_KEY_FILE, is not there"));
        for mode in [0o640, 0o604, 0o660] {
            write(&path, &hex("ab"), mode);
            let error = refused(&environment);
            assert!(error.contains(&format!("mode {mode:03o}")) && error.contains("chmod 600"), "{error}");
        }
        write(&path, &hex("ab")[1..], 0o600);
        assert!(refused(&environment).contains("line 1 must be"));
        let beside = state.join("mask.key");
        write(&beside, &hex("ab"), 0o600);
        environment.mask_key_file = Some(beside);
        assert!(refused(&environment).contains("beside the data"));
        environment.mask_key_hex = Some(MaskKeyText("1:kms:alias/mask:ab".to_owned()));
        assert!(refused(&environment).contains("line 1 must be"));
    }
}
