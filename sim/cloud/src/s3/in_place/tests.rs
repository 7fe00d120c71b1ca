//! Every change, cut off at every point: after the next start the store is as before it or as after it.

mod scenarios;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::s3::file_name;
use crate::s3::index::ObjectRecord;
use crate::s3::planning::{self, Arriving, Plan, Target};
use crate::s3::versioning::{self, Versioning};

const BUCKET: &str = "b";
const KEY: &str = "dir/k";

/// A change of the one key. Versions are named by the number of the change that made them.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Bytes in a file.
    Put(Versioning),
    /// Bytes in the index.
    PutSmall(Versioning),
    Mark(Versioning),
    RemoveCurrent,
    Remove(i64),
}

/// A state directory with one bucket.
struct World {
    dir: TempDir,
    index: Index,
    files: Files,
    number: i64,
    /// What is being tried, for whoever reads a failure.
    trial: String,
}

impl World {
    fn new(steps: &[Step]) -> Self {
        Self::with(steps, Fsync::Never)
    }

    fn with(steps: &[Step], fsync: Fsync) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for folder in ["s3/b", STAGING, DISPLACED] {
            fs::create_dir_all(dir.path().join(folder)).expect("made");
        }
        let index = Index::open(&dir.path().join("index"), Fsync::Never).expect("opens");
        let files = Files::open(dir.path(), fsync, &index).expect("opens");
        let mut world = Self { dir, index, files, number: 0, trial: String::new() };
        steps.iter().for_each(|step| world.make(*step));
        world
    }

    fn make(&mut self, step: Step) {
        let plan = self.plan(step);
        self.files.make(&mut self.index, &plan.change, &plan.rows).expect("made");
    }

    /// Makes a change whose commit the index refuses, as on a full disk.
    fn fail_to_make(&mut self, plan: &Plan<'_>) {
        let other = rusqlite::Connection::open(self.dir.path().join("index")).expect("opens");
        let refuse = "CREATE TRIGGER full BEFORE UPDATE ON last_change BEGIN SELECT RAISE(ABORT, 'disk full'); END";
        other.execute_batch(refuse).expect("made");
        self.files.make(&mut self.index, &plan.change, &plan.rows).expect_err("the disk is full");
        other.execute_batch("DROP TRIGGER full").expect("dropped");
    }

    /// What `step` does; for a write its bytes are staged.
    fn plan(&mut self, step: Step) -> Plan<'static> {
        self.number += 1;
        let (number, place) = (self.number, (BUCKET, KEY));
        let current = self.index.object(BUCKET, KEY).expect("looked up");
        let bucket_dir = self.dir.path().join("s3/b");
        let plan = match step {
            Step::Put(versioning) => {
                let staged = format!("{STAGING}/{number}");
                fs::write(self.dir.path().join(&staged), number.to_string()).expect("written");
                let file = current.as_ref().and_then(|current| current.own_file()).map(str::to_owned);
                let file = file.unwrap_or_else(|| file_name::choose(&bucket_dir, KEY));
                let (record, arriving) = (record(number, file, versioning), Arriving::Staged(staged));
                planning::write(&self.index, versioning, place, current, record, arriving)
            }
            Step::PutSmall(versioning) => {
                let record = record(number, String::new(), versioning);
                let arriving = Arriving::Bytes(Bytes::from(number.to_string()));
                planning::write(&self.index, versioning, place, current, record, arriving)
            }
            Step::Mark(versioning) => {
                let marker = ObjectRecord { is_marker: true, ..record(number, String::new(), versioning) };
                planning::mark(&self.index, versioning, place, current, marker)
            }
            Step::RemoveCurrent => {
                let target = Target::Current(current.expect("an object"));
                planning::remove(&self.index, place, &target, number, &bucket_dir)
            }
            Step::Remove(sequence) => {
                let kept = self.index.version(BUCKET, KEY, sequence).expect("looked up").expect("a version");
                planning::remove(&self.index, place, &Target::Version(kept), number, &bucket_dir)
            }
        };
        plan.expect("planned")
    }

    /// As after a kill and a start.
    fn restart(&mut self) {
        self.files = Files::open(self.dir.path(), Fsync::Never, &self.index).expect("opens");
        assert!(!self.files.has_open());
        sweep(&self.dir.path().join(STAGING), |_| false).expect("swept");
        sweep(&self.dir.path().join(DISPLACED), |_| false).expect("swept");
    }

    /// All versions and all files; checks that they belong together.
    fn state(&self) -> Vec<String> {
        let mut files = BTreeMap::new();
        read_files(&self.dir.path().join("s3/b"), &mut files);
        let mut bodies = self.bodies();
        let mut lines = Vec::new();
        for version in self.index.versions(BUCKET, None, usize::MAX).expect("listed") {
            let (is_latest, since) = (version.is_latest(), version.non_current_since);
            let record = version.record;
            let is_current = is_latest && !record.is_marker;
            let body = match record.own_file() {
                Some(file) => files.remove(&self.dir.path().join("s3/b").join(file)),
                None => bodies.remove(&record.sequence),
            };
            let expected = (!record.is_marker).then(|| record.sequence.to_string());
            assert_eq!(body, expected, "the bytes of {}; {}", record.sequence, self.trial);
            if let Some(file) = record.own_file() {
                assert_eq!(file == KEY, is_current, "the current version lies under its key; {}", self.trial);
            }
            lines.push(format!(
                "{} id={:?} marker={} file={} latest={is_latest} since={since:?}",
                record.sequence,
                record.version_id,
                record.is_marker,
                record.own_file().is_some()
            ));
        }
        assert!(files.is_empty(), "files without a version: {files:?}; {}", self.trial);
        assert!(bodies.is_empty(), "bytes without a version: {bodies:?}; {}", self.trial);
        lines
    }

    /// Everything the index has of bytes.
    fn bodies(&self) -> BTreeMap<i64, String> {
        let other = rusqlite::Connection::open(self.dir.path().join("index")).expect("opens");
        let mut query = other.prepare("SELECT sequence, CAST(bytes AS TEXT) FROM body").expect("a table");
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("read");
        rows.map(|row| row.expect("a row")).collect()
    }
}

fn record(number: i64, file: String, versioning: Versioning) -> ObjectRecord {
    let record = json!({
        "file": file, "size": number.to_string().len(), "etag": "00", "last_modified": number, "sequence": number,
        "checksums": {}, "headers": { "metadata": {} },
    });
    let mut record: ObjectRecord = serde_json::from_value(record).expect("a record");
    record.version_id = versioning.new_id(lakebed_contract::Seed(1), number);
    record
}

fn read_files(directory: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_files(&path, files);
        } else {
            let body = fs::read_to_string(&path).expect("read");
            files.insert(path, body);
        }
    }
}

const OFF: Versioning = Versioning::Off;
const ON: Versioning = Versioning::Enabled;
const SUSPENDED: Versioning = Versioning::Suspended;

#[test]
fn an_entry_that_is_torn_or_older_than_the_index_changes_nothing() {
    let mut world = World::new(&[Step::Put(OFF)]);
    let first = world.plan(Step::Put(OFF));
    world.files.make(&mut world.index, &first.change, &first.rows).expect("made");
    let entry = fs::read(world.dir.path().join(journal::NAME)).expect("read");
    world.make(Step::Put(OFF));
    let state = world.state();
    // A power cut lost the newer entry, or half of it.
    for length in [0, 5, entry.len() - 1, entry.len()] {
        fs::write(world.dir.path().join(journal::NAME), &entry[..length]).expect("written");
        world.restart();
        assert_eq!(world.state(), state);
    }
}

#[test]
fn intents_of_an_earlier_version_are_finished_unless_their_bytes_are_others() {
    let intent = |size: u64| {
        let record = serde_json::to_value(record(2, "k".to_owned(), OFF)).expect("written");
        let mut record = record;
        record["size"] = size.into();
        json!({"Put": {"staged": "gone", "record": record, "event": null}}).to_string()
    };
    for (size, finished) in [(1, true), (7, false)] {
        let mut world = World::new(&[]);
        fs::write(world.dir.path().join("s3/b/k"), b"2").expect("written");
        fs::write(world.dir.path().join("s3/b/deleted"), b"x").expect("written");
        let other = rusqlite::Connection::open(world.dir.path().join("index")).expect("opens");
        let insert = "INSERT INTO intent (bucket, key, intent) VALUES ('b', CAST(? AS BLOB), ?)";
        other.execute(insert, ["k", &intent(size)]).expect("put");
        other.execute(insert, ["deleted", r#"{"Delete":{"file":"deleted"}}"#]).expect("put");
        assert_eq!(finish_old_intents(&mut world.index, world.dir.path()).expect("finished"), 2);
        assert_eq!(world.index.object(BUCKET, "k").expect("looked up").is_some(), finished);
        assert!(!world.dir.path().join("s3/b/deleted").exists());
        assert!(world.index.old_intents().expect("listed").is_empty());
    }
}

#[test]
fn under_interval_the_paths_to_flush_are_remembered() {
    let mut world = World::new(&[]);
    world.files.fsync = Fsync::Interval;
    world.make(Step::Put(OFF));
    let root = world.dir.path();
    let unsynced = world.files.take_unsynced();
    assert!(unsynced.contains(&root.join("s3/b").join(KEY)) && unsynced.contains(&root.join("s3/b/dir")));
    assert!(unsynced.contains(&root.join("s3/b")), "the directory got a new one");
    assert!(unsynced.iter().all(|path| sync(path).is_ok()));
    assert!(world.files.take_unsynced().is_empty());
    assert!(sync(&root.join("gone")).is_ok());
}

#[test]
fn the_null_version_is_found_wherever_it_is_kept() {
    let sequence = |steps: &[Step]| {
        let world = World::new(steps);
        let null = versioning::target(&world.index, BUCKET, KEY, versioning::Addressed::Null).expect("looked up");
        null.map(|null| null.record().sequence)
    };
    assert_eq!(sequence(&[Step::Put(OFF)]), Some(1));
    assert_eq!(sequence(&[Step::Put(OFF), Step::Put(ON)]), Some(1));
    assert_eq!(sequence(&[Step::Put(ON), Step::Mark(SUSPENDED)]), Some(2));
    assert_eq!(sequence(&[Step::Put(ON)]), None);
}
