//! Reads a lake from a folder, and writes the built-in one out to be edited.

use std::collections::BTreeMap;
use std::path::Path;

use lakebed_contract::Lake;
use lakebed_contract::lake::BEER_FILES;

use crate::error::HarnessError;

/// Files a lake folder may hold; more is a mistake that would otherwise exhaust memory.
const LAKE_FILES_MAX: usize = 1_000;

/// The files of a lake by path inside its folder; what a worker process is handed.
pub type LakeFiles = BTreeMap<String, String>;

/// The files of the built-in beer lake, or of the one in `folder`.
pub fn files(folder: Option<&Path>) -> Result<LakeFiles, HarnessError> {
    let mut files = BTreeMap::new();
    match folder {
        None => files.extend(BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))),
        Some(folder) => read_into(&mut files, folder, "")?,
    }
    Ok(files)
}

/// The built-in beer lake, or the one in `folder`.
pub fn open(folder: Option<&Path>) -> Result<Lake, HarnessError> {
    Ok(Lake::from_files(&files(folder)?)?)
}

fn read_into(files: &mut BTreeMap<String, String>, folder: &Path, prefix: &str) -> Result<(), HarnessError> {
    for entry in std::fs::read_dir(folder).map_err(HarnessError::file("read the lake folder", folder))? {
        let entry = entry.map_err(HarnessError::file("read the lake folder", folder))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            read_into(files, &path, &format!("{prefix}{name}/"))?;
        } else if ["toml", "yaml", "sql", "json"].iter().any(|end| path.extension().is_some_and(|e| e == *end)) {
            if files.len() == LAKE_FILES_MAX {
                let message = format!("failed to read lake `{}`: more than {LAKE_FILES_MAX} files", folder.display());
                return Err(HarnessError::Input { message });
            }
            let text = std::fs::read_to_string(&path).map_err(HarnessError::file("read lake file", &path))?;
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}

/// Writes the beer lake into `folder`, which must be new or empty.
pub fn write_beer(folder: &Path) -> Result<usize, HarnessError> {
    let occupied = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(HarnessError::ForeignFolder { path: folder.to_owned() });
    }
    for (path, text) in BEER_FILES {
        let target = folder.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(HarnessError::file("create folder", parent))?;
        }
        std::fs::write(&target, text).map_err(HarnessError::file("write lake file", &target))?;
    }
    Ok(BEER_FILES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lake_written_out_is_the_lake_read_back() {
        let folder = tempfile::tempdir().expect("temp dir");
        let target = folder.path().join("lake");
        write_beer(&target).expect("write");
        let lake = open(Some(&target)).expect("read");
        assert_eq!(lake.tables, Lake::beer().tables);
        assert!(matches!(write_beer(&target), Err(HarnessError::ForeignFolder { .. })));
    }

    #[test]
    fn a_broken_contract_is_named() {
        let folder = tempfile::tempdir().expect("temp dir");
        write_beer(folder.path()).expect("write");
        std::fs::write(folder.path().join("contracts/beer.yaml"), "kind: [").expect("break it");
        let error = open(Some(folder.path())).expect_err("broken contract");
        assert!(error.to_string().contains("contracts/beer.yaml"), "{error}");
        assert_eq!(error.fault(), crate::error::Fault::Input);
    }
}
