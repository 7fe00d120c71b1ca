//! Reads what criterion left in its folder, so that micro-benchmarks stand in the same record as everything else.

use std::path::Path;

use serde::Deserialize;

use super::record::MicroResult;
use crate::error::HarnessError;

/// Name under which `benches/micro.rs` measures.
const FUNCTION: &str = "measured";

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

#[derive(Deserialize)]
struct Described {
    group_id: String,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Elements(u64),
    Bytes(u64),
}

/// The latest result of each of our micro-benchmarks, by name.
///
/// # Errors
/// A folder that is not criterion's, or a result that cannot be read.
pub fn read(folder: &Path) -> Result<Vec<MicroResult>, HarnessError> {
    let mut results = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(HarnessError::file("read criterion's folder", folder))? {
        let entry = entry.map_err(HarnessError::file("read criterion's folder", folder))?;
        let newest = entry.path().join(FUNCTION).join("new");
        if newest.is_dir() {
            let described: Described = json(&newest.join("benchmark.json"))?;
            let median = json::<Estimates>(&newest.join("estimates.json"))?.median;
            let (elements, bytes) = match described.throughput {
                Some(Throughput::Elements(count)) => (Some(count), None),
                Some(Throughput::Bytes(count)) => (None, Some(count)),
                None => (None, None),
            };
            results.push(MicroResult {
                name: described.group_id,
                median_ns: median.point_estimate,
                low_ns: median.confidence_interval.lower_bound,
                high_ns: median.confidence_interval.upper_bound,
                elements,
                bytes,
            });
        }
    }
    results.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(results)
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, HarnessError> {
    let text = std::fs::read(path).map_err(HarnessError::file("read criterion's result", path))?;
    serde_json::from_slice(&text).map_err(|error| HarnessError::Input {
        message: format!("failed to read criterion's result `{}`: {error}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_with_its_interval_and_other_folders_are_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = folder.path().join("mask_token/measured/new");
        std::fs::create_dir_all(&new).expect("made");
        std::fs::create_dir_all(folder.path().join("report")).expect("made");
        std::fs::write(
            new.join("benchmark.json"),
            r#"{"group_id":"mask/token","function_id":"measured","throughput":{"Elements":40}}"#,
        )
        .expect("written");
        std::fs::write(
            new.join("estimates.json"),
            r#"{"median":{"point_estimate":5.0,"confidence_interval":{"lower_bound":4.0,"upper_bound":6.0}}}"#,
        )
        .expect("written");
        let results = read(folder.path()).expect("read");
        assert_eq!(results.len(), 1);
        assert_eq!(
            (results[0].name.as_str(), results[0].median_ns, results[0].elements),
            ("mask/token", 5.0, Some(40))
        );
        assert!(read(&folder.path().join("nowhere")).is_err());
    }
}
