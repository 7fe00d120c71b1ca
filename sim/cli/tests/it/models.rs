//! Generated tables that are committed are what their generator prints.

use std::path::Path;
use std::process::Command;

use crate::oracle;

/// Prints where botocore keeps its models, and its version.
const WHERE: &str = "import botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), 'data')); \
                     print(botocore.__version__)";

#[test]
fn the_validation_tables_are_those_of_the_service_models() {
    let Some(python) = oracle::python() else { return };
    let cloud = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud");
    let committed = std::fs::read_to_string(cloud.join("src/validation/tables.rs")).expect("the tables");
    let run = |arguments: &[&str]| {
        let output = Command::new(&python).args(arguments).output().expect("python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let found = run(&["-c", WHERE]);
    let (data, version) = found.trim_end().split_once('\n').expect("two lines");
    if !committed.contains(&format!("from botocore {version};")) {
        // Another botocore has other models: then it is no oracle of these tables. That of `make test` is the right one.
        assert!(!oracle::required(), "the tables are not from botocore {version}; run sim/cloud/models/generate.py");
        eprintln!("SKIPPED: the tables are not from the botocore {version} that is installed");
        return;
    }
    let generator = cloud.join("models/generate.py");
    let printed = run(&[&generator.to_string_lossy(), data]);
    let differs = printed.lines().zip(committed.lines()).find(|(printed, committed)| printed != committed);
    assert_eq!(differs, None, "the generator prints the left, the file says the right");
    assert_eq!(printed, committed);
}
