//! The last recorded run, to lay beside the live numbers. The one place that knows what a record looks like and where one lies.
//!
//! Today a record is the `run.json` that a kept run writes. A record that cannot be read is told, never taken for none.

use std::path::{Path, PathBuf};

use anyhow::Context;
use lakebed_harness::demo::DemoOutcome;
use lakebed_harness::measures::MeasuresSummary;
use serde::Deserialize;

/// What is compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct RecordedRun {
    #[serde(skip)]
    pub(crate) from: String,
    pub(crate) verdict: String,
    pub(crate) seed: u64,
    pub(crate) scale: f64,
    pub(crate) total_ms: u64,
    pub(crate) peak_rss_bytes: u64,
    #[serde(default)]
    pub(crate) measures: MeasuresSummary,
}

impl RecordedRun {
    /// The newest record among the folders' `run.json`; `None` where there is none.
    pub(crate) fn newest(folders: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        let written = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let found = folders.iter().map(|folder| folder.join(DemoOutcome::FILE));
        let newest = found.filter_map(|path| Some((written(&path)?, path))).max();
        newest.map(|(_, path)| Self::read(&path)).transpose()
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("failed to read the recorded run `{}`", path.display());
        let text = std::fs::read_to_string(path).with_context(failed)?;
        let mut run: Self = serde_json::from_str(&text).with_context(failed)?;
        run.from = path.display().to_string();
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_record_is_taken_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().expect("folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let summary = |seed: u64| {
            format!(
                r#"{{"verdict":"pass","seed":{seed},"scale":0.1,"total_ms":9,"peak_rss_bytes":1,"top_beers":[],
                    "measures":{{"stages":{{"dms":{{"rows":5,"bytes":50,"active_ms":1000}}}}}}}}"#
            )
        };
        for (folder, seed, modified) in [(&old, 1, 1_000), (&new, 2, 2_000)] {
            std::fs::create_dir(folder).expect("folder");
            std::fs::write(folder.join(DemoOutcome::FILE), summary(seed)).expect("written");
            let file = std::fs::File::options().append(true).open(folder.join(DemoOutcome::FILE)).expect("opens");
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(modified)).expect("set");
        }
        let folders = [new.clone(), old, folder.path().join("none")];
        let run = RecordedRun::newest(&folders).expect("readable").expect("there is one");
        assert_eq!((run.seed, run.measures.stages["dms"].rows), (2, 5));
        assert_eq!(RecordedRun::newest(&folders[2..]).expect("none is no error"), None);
        std::fs::write(new.join(DemoOutcome::FILE), "{").expect("broken");
        assert!(RecordedRun::newest(&folders).expect_err("told").to_string().contains("run.json"));
    }
}
