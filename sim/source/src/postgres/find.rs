//! Finding the binaries. Looks where it is told, then on the PATH it is given, then where distributions and Homebrew put
//! them; the newest version wins there. Reads no environment variable itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::SourceError;

/// Lowest major version: publications and slots behave as `lakebed-flow` expects from here on.
pub(super) const MAJOR_VERSION_MIN: u32 = 15;

/// Server binaries that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresInstallation {
    /// Directory that holds `postgres` and `initdb`.
    pub bin_dir: PathBuf,
    /// Version as the binary tells it, e.g. `15.14`.
    pub version: String,
}

impl PostgresInstallation {
    /// `15` of `15.14`.
    pub fn major(&self) -> u32 {
        major_of(&self.version)
    }
}

/// Finds Postgres 15 or newer. `explicit` (the value of LAKEBED_PG_BIN) excludes every other place; `path` is the PATH.
pub fn find_postgres(explicit: Option<&Path>, path: Option<OsString>) -> Result<PostgresInstallation, SourceError> {
    let candidates = match explicit {
        Some(dir) => vec![dir.to_owned()],
        None => {
            let mut candidates: Vec<PathBuf> =
                path.as_deref().map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
            candidates.retain(|dir| dir.join("postgres").is_file());
            candidates.extend(well_known(Path::new("/")));
            candidates
        }
    };
    let mut looked_at = Vec::new();
    for bin_dir in candidates {
        match inspect(&bin_dir) {
            Ok(installation) => return Ok(installation),
            Err(reason) => looked_at.push(format!("`{}` ({reason})", bin_dir.display())),
        }
    }
    if explicit.is_none() {
        let places =
            WELL_KNOWN.map(|place| format!("{}/{}*/{}", place.parent, place.prefix, place.rest).replace("//", "/"));
        looked_at.push(format!("PATH, {} (nothing else there)", places.join(", ")));
    }
    Err(SourceError::PostgresNotFound { minimum: MAJOR_VERSION_MIN, looked_at: looked_at.join(", ") })
}

/// `<parent>/<prefix><version>/<rest>`.
struct Place {
    parent: &'static str,
    prefix: &'static str,
    rest: &'static str,
}

const WELL_KNOWN: [Place; 4] = [
    Place { parent: "usr/lib/postgresql", prefix: "", rest: "bin" },
    Place { parent: "usr", prefix: "pgsql-", rest: "bin" },
    Place { parent: "opt/homebrew/opt", prefix: "postgresql@", rest: "bin" },
    Place { parent: "usr/local/opt", prefix: "postgresql@", rest: "bin" },
];

/// Existing directories of the well-known places below `root`, per place the highest version first.
fn well_known(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in WELL_KNOWN {
        let Ok(entries) = std::fs::read_dir(root.join(place.parent)) else { continue };
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.strip_prefix(place.prefix)?.parse().ok()?;
                let dir = entry.path().join(place.rest);
                dir.join("postgres").is_file().then_some((version, dir))
            })
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        found.extend(versions.into_iter().map(|(_, dir)| dir));
    }
    found
}

fn inspect(bin_dir: &Path) -> Result<PostgresInstallation, String> {
    for program in ["postgres", "initdb"] {
        if !bin_dir.join(program).is_file() {
            return Err(format!("no `{program}` there"));
        }
    }
    let output = Command::new(bin_dir.join("postgres"))
        .arg("--version")
        .output()
        .map_err(|error| format!("`postgres --version` did not run: {error}"))?;
    let version = version_of(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| "`postgres --version` told no version".to_owned())?;
    if major_of(&version) < MAJOR_VERSION_MIN {
        return Err(format!("version {version} is too old"));
    }
    let bin_dir = bin_dir.canonicalize().unwrap_or_else(|_| bin_dir.to_owned());
    Ok(PostgresInstallation { bin_dir, version })
}

/// `postgres (PostgreSQL) 15.14 (Debian …)` → `15.14`; `18beta1` counts as `18beta1`.
fn version_of(text: &str) -> Option<String> {
    let version = text.split(')').nth(1)?.split_whitespace().next()?;
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

fn major_of(version: &str) -> u32 {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake_installation(dir: &Path, version: &str) {
        std::fs::create_dir_all(dir).unwrap();
        for program in ["postgres", "initdb"] {
            let file = dir.join(program);
            std::fs::write(&file, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Debian {version}-1)'\n"))
                .unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn versions_are_read_from_the_words_of_the_binary() {
        assert_eq!(version_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n").as_deref(), Some("15.14"));
        assert_eq!(version_of("postgres (PostgreSQL) 18beta1").as_deref(), Some("18beta1"));
        assert_eq!(version_of("something else"), None);
        assert_eq!(major_of("18beta1"), 18);
    }

    #[test]
    fn the_highest_of_the_well_known_versions_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17"] {
            fake_installation(&root.path().join("usr/lib/postgresql").join(version).join("bin"), version);
        }
        let found = well_known(root.path());
        assert_eq!(found.len(), 3);
        assert!(found[0].ends_with("17/bin") && found[2].ends_with("9/bin"), "{found:?}");
    }

    #[test]
    fn the_path_is_asked_before_the_well_known_places_and_old_versions_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        fake_installation(&old, "14.9");
        fake_installation(&new, "16.3");
        let path = std::env::join_paths([&old, &new]).unwrap();
        assert_eq!(find_postgres(None, Some(path)).unwrap().version, "16.3");
    }

    #[test]
    fn an_explicit_directory_excludes_the_others_and_the_error_tells_where_it_looked() {
        let root = tempfile::tempdir().unwrap();
        let old = root.path().join("old");
        fake_installation(&old, "14.9");
        let refused = find_postgres(Some(&old), None).expect_err("14 is too old").to_string();
        assert!(refused.contains("14.9 is too old"), "{refused}");
        let missing = find_postgres(Some(&root.path().join("nowhere")), None).expect_err("nothing there").to_string();
        assert!(missing.contains("nowhere"), "{missing}");
    }
}
