//! Who we are, and who the server runs as.
//!
//! Postgres refuses to run as root. When we are root its processes get the uid and gid of `postgres`, or of `nobody` where
//! there is no such user; std clears the supplementary groups on the way. Otherwise the server runs as ourselves.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use lakebed_contract::Secret;

use crate::error::SourceError;

/// An unprivileged user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Whether this user may pass through a directory, by its mode bits.
    fn may_enter(self, directory: &Metadata) -> bool {
        let mode = directory.mode();
        let bit = match () {
            () if directory.uid() == self.uid => 0o100,
            () if directory.gid() == self.gid => 0o010,
            () => 0o001,
        };
        directory.is_dir() && mode & bit != 0
    }

    /// Whether this user may pass through `directory` and each directory above it.
    pub(super) fn can_reach(self, directory: &Path) -> bool {
        directory
            .canonicalize()
            .is_ok_and(|path| path.ancestors().all(|dir| dir.metadata().is_ok_and(|found| self.may_enter(&found))))
    }
}

/// The user the server must drop to; `None` when we are not root and it can run as ourselves.
pub(super) fn unprivileged_account() -> Result<Option<Account>, SourceError> {
    // Without unsafe code there is no geteuid; a file we make tells the same.
    let ours = tempfile::tempfile().map_err(SourceError::io("make a temporary file"))?;
    if ours.metadata().map_err(SourceError::io("read the owner of a temporary file"))?.uid() != 0 {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id_of("-u", name), id_of("-g", name))
            && uid != 0
        {
            return Ok(Some(Account { uid, gid }));
        }
    }
    Err(SourceError::Io {
        what: "find an unprivileged user for Postgres (neither `postgres` nor `nobody` exists)".to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

fn id_of(option: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([option, name]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().parse().ok())?
}

/// Makes `command` run as `account`, in a directory every user may enter.
pub(super) fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command.current_dir("/");
}

/// A password nobody can guess. The one number that does not come from the seed: it protects a port and decides nothing.
pub fn random_password() -> Result<Secret<String>, SourceError> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(SourceError::io("read random bytes for a password"))?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_directory_on_the_way_cannot_be_passed() {
        let stranger = Account { uid: 64_123, gid: 64_123 };
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let allow = |mode| std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        allow(0o755);
        assert!(stranger.can_reach(&inner));
        allow(0o700);
        assert!(!stranger.can_reach(&inner));
        assert!(!stranger.can_reach(&outer.path().join("missing")));
    }

    #[test]
    fn passwords_differ_and_are_hidden() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 32);
        assert_eq!(format!("{one:?}"), "***");
    }
}
