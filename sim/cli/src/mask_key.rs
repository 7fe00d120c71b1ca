//! Where the mask key of real data comes from: `LAKEBED_MASK_KEY`, else a file of the user's, made on first use.
//!
//! The file lies in the configuration folder, readable by its owner only and never beside the data. Losing it means that new
//! tokens no longer join with old ones. Generated data does not use it: its key follows from the seed.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context;
use lakebed_harness::wiring::MaskSecret;

use crate::environment::Environment;
use crate::exit::InputError;

const VERSION: u32 = 1;

/// The key of the environment alone, if it is set.
pub(crate) fn from_environment(environment: &Environment) -> anyhow::Result<Option<MaskSecret>> {
    let Some(text) = &environment.mask_key_hex else { return Ok(None) };
    MaskSecret::from_hex(VERSION, &text.0).map(Some).ok_or_else(|| {
        InputError::because(
            "failed to read LAKEBED_MASK_KEY: it must be 64 hexadecimal digits",
            "make one with: openssl rand -hex 32",
        )
    })
}

/// The key for real data; made and stored when there is none yet.
pub(crate) fn for_real_data(environment: &Environment) -> anyhow::Result<MaskSecret> {
    if let Some(key) = from_environment(environment)? {
        return Ok(key);
    }
    let Some(config) = &environment.config_home else {
        return Err(InputError::because(
            "failed to find a mask key: neither LAKEBED_MASK_KEY nor HOME is set",
            "export LAKEBED_MASK_KEY=$(openssl rand -hex 32) and keep it",
        ));
    };
    let path = config.join("lakebed").join("mask.key");
    if !path.exists() {
        create(&path).with_context(|| format!("failed to write a new mask key to `{}`", path.display()))?;
        crate::printer::line(&format!("made a new mask key: {} (keep it; tokens depend on it)", path.display()));
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    MaskSecret::from_hex(VERSION, &text).ok_or_else(|| {
        InputError::because(
            format!("failed to read mask key `{}`: it must hold 64 hexadecimal digits", path.display()),
            "restore the file from your backup; a new key breaks the joins with old tokens",
        )
    })
}

/// Writes a fresh key. The one use of the system's randomness: a key must not follow from a seed that stands in a report.
fn create(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(file, "{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_then_read_again() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("temp dir");
        let mut environment = Environment::read();
        environment.mask_key_hex = None;
        environment.config_home = Some(folder.path().to_owned());
        let first = for_real_data(&environment).expect("made").to_hex();
        assert_eq!(for_real_data(&environment).expect("read").to_hex(), first);
        let mode = std::fs::metadata(folder.path().join("lakebed/mask.key")).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
