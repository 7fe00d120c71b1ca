//! Files and index in step with one commit per change: a journal of a single entry, written before the files are touched.
//!
//! A change without files is one commit of the index, and nothing of what follows: bytes of small objects are rows too.
//!
//! Changes are numbered and made one after the other, under one lock; the index keeps the number of the last one. So the
//! journal file has room for one change, the one under way or the last. A change goes:
//!
//! 1. journal: what is going to be renamed, and what becomes superfluous ([`Change`]), in one write;
//! 2. moves: the file that stands where another goes is linked aside first, so its bytes are never out of reach and its
//!    name is never missing; then the new file is renamed into place;
//! 3. one commit of the index: rows, the event that is due, the number of the change;
//! 4. what became superfluous is removed.
//!
//! Who dies in between leaves a journal whose change is the last of the index (then step 4 is made up for) or newer (then
//! the moves are taken back, last one first, and the entry is forgotten: nothing is taken back twice); an older one,
//! which changes without files or a power cut leave, is done with. The same happens at once when a step fails. So repair
//! looks at one change, whatever the number of objects, and never binds a row to bytes it was not committed with. A change
//! that cannot even be taken back stays open: its key is refused, and no other change begins, until that succeeds.
//!
//! With [`Fsync::Always`] each step is on the disk before the next begins. With [`Fsync::Interval`] the paths are
//! remembered for the next flush. What a power cut does to keys that were written after the last flush (or at any time,
//! with [`Fsync::Never`]) is up to the file system: the name may be there without its row, or be gone, or hold the bytes of
//! a later version than the row tells; a read notices it if the size differs. Knows nothing of HTTP, versions or events.

mod journal;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use journal::Journal;

use super::index::{Current, Index, OldIntent, OpenOldIntent, Rows};
use crate::config::Fsync;
use crate::error::CloudError;

/// Directories under the state directory.
pub(super) const OBJECTS: &str = "s3";
pub(super) const STAGING: &str = "s3-staging";
/// Files that a change put aside and that its end removes.
pub(super) const DISPLACED: &str = "s3-displaced";
/// Most paths remembered for the next flush; beyond it each change flushes its own.
const UNSYNCED_PATHS_MAX: usize = 65_536;

/// What happens to files while a version comes or goes. Paths are relative to the state directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) bucket: String,
    pub(super) key: String,
    /// Greater than that of every earlier change; [`Rows::number`] as well.
    pub(super) number: i64,
    /// Made in this order before the commit.
    pub(super) moves: Vec<Move>,
    /// Removed after the commit.
    pub(super) superfluous: Vec<String>,
}

/// One file that gets another name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Move {
    pub(super) from: String,
    pub(super) to: String,
    /// Whether the old name stays, because another file is about to take it.
    pub(super) is_link: bool,
}

impl Change {
    pub(super) fn new(bucket: &str, key: &str, number: i64) -> Self {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Self { bucket, key, number, moves: Vec::new(), superfluous: Vec::new() }
    }

    pub(super) fn rename(&mut self, from: String, to: String) {
        self.moves.push(Move { from, to, is_link: false });
    }

    /// Puts a file aside whose name another is about to take.
    pub(super) fn set_aside(&mut self, from: String, to: String) {
        self.moves.push(Move { from, to, is_link: true });
    }
}

/// Path of an object's file, relative to the state directory.
pub(super) fn object_path(bucket: &str, file: &str) -> String {
    format!("{OBJECTS}/{bucket}/{file}")
}

/// What kept a change from being made.
#[derive(Debug)]
pub(super) enum ChangeError {
    Metadata(rusqlite::Error),
    File(io::Error),
    /// An earlier change is still open.
    Unfinished,
}

impl From<rusqlite::Error> for ChangeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Metadata(error)
    }
}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl ChangeError {
    /// As an error of the start.
    pub(super) fn at_start(self, path: &Path) -> CloudError {
        match self {
            Self::Metadata(source) => CloudError::Metadata { path: path.to_owned(), source },
            Self::File(source) => CloudError::state("finish what was interrupted in", path)(source),
            Self::Unfinished => {
                CloudError::state("finish what was interrupted in", path)(io::Error::other("a change is open"))
            }
        }
    }
}

/// The files of the store. To be used under the lock of the index only.
pub(super) struct Files {
    state_dir: PathBuf,
    fsync: Fsync,
    journal: Journal,
    /// The change that is under way, or that could be neither finished nor taken back.
    open: Option<Change>,
    unsynced: BTreeSet<PathBuf>,
}

impl Files {
    /// Opens the journal and settles the change a dead process left open.
    pub(super) fn open(state_dir: &Path, fsync: Fsync, index: &Index) -> Result<Self, ChangeError> {
        let (journal, open) = Journal::open(state_dir, fsync)?;
        let mut files = Self { state_dir: state_dir.to_owned(), fsync, journal, open, unsynced: BTreeSet::new() };
        files.settle(index)?;
        Ok(files)
    }

    /// Whether a change of this key is open.
    pub(super) fn is_open(&self, bucket: &str, key: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.bucket == bucket && open.key == key)
    }

    /// Whether any change is open.
    pub(super) fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// Makes a change: files and rows, or neither.
    pub(super) fn make(&mut self, index: &mut Index, change: &Change, rows: &Rows<'_>) -> Result<(), ChangeError> {
        if self.has_open() {
            return Err(ChangeError::Unfinished);
        }
        if change.moves.is_empty() && change.superfluous.is_empty() {
            return Ok(index.apply(rows)?);
        }
        // Open from here on: an entry whose write failed may be in the journal all the same.
        self.open = Some(change.clone());
        let moved = self.journal.write(change).and_then(|()| self.make_moves(change));
        let made = moved.map_err(ChangeError::from).and_then(|()| Ok(index.apply(rows)?));
        if made.is_ok() {
            self.open = None;
            self.finish(change);
            return made;
        }
        if let Err(error) = self.settle(index) {
            tracing::error!(?error, "failed to take back a change of an object");
        }
        made
    }

    /// Finishes the open change or takes it back, as the index says.
    pub(super) fn settle(&mut self, index: &Index) -> Result<(), ChangeError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let settled = self.settled(index, &open);
        if settled.is_err() {
            self.open = Some(open);
        }
        settled
    }

    fn settled(&mut self, index: &Index, open: &Change) -> Result<(), ChangeError> {
        match index.last_change()?.cmp(&open.number) {
            Ordering::Less => {
                self.take_back(open)?;
                // Taken back a second time, when its staging file is gone, it would look as if the file that stands
                // where the staged one was to go were the staged one.
                self.journal.forget()?;
            }
            Ordering::Equal => self.finish(open),
            Ordering::Greater => (),
        }
        Ok(())
    }

    fn make_moves(&mut self, change: &Change) -> io::Result<()> {
        for Move { from, to, is_link } in &change.moves {
            let (from, to) = (self.state_dir.join(from), self.state_dir.join(to));
            let created = if *is_link { link_aside(&from, &to)? } else { rename_making_dirs(&from, &to)? };
            // Staging files are swept; and the folder of a file that is put aside changes with the move that takes its name.
            let is_source_kept = !is_link && !from.starts_with(self.state_dir.join(STAGING));
            let from = Some(from.as_path()).filter(|_| is_source_kept);
            self.changed(from.into_iter().chain([to.as_path()]), created)?;
        }
        Ok(())
    }

    fn take_back(&mut self, change: &Change) -> io::Result<()> {
        for Move { from, to: target, is_link } in change.moves.iter().rev() {
            let (from, to) = (self.state_dir.join(from), self.state_dir.join(target));
            // A link went aside before anything took its name; a rename that did not happen left its file.
            if to.try_exists()? && (*is_link || !from.try_exists()? && self.is_set_aside(change, target)?) {
                let created = rename_making_dirs(&to, &from)?;
                // Two names of one file: nothing had taken the name yet, and a rename between them does nothing.
                remove_file(&to)?;
                self.changed([from.as_path(), to.as_path()], created)?;
            }
            self.prune(target);
        }
        Ok(())
    }

    /// Whether the file that stood at `place`, if the change was to put one aside, is aside. As long as it is not, nothing
    /// has taken its name, even if a power cut took the file that was to.
    fn is_set_aside(&self, change: &Change, place: &str) -> io::Result<bool> {
        let aside = change.moves.iter().find(|moved| moved.is_link && moved.from == place);
        aside.map_or(Ok(true), |aside| self.state_dir.join(&aside.to).try_exists())
    }

    /// What is superfluous after a commit is removed. Nothing names it any more: if it stays it wastes space, no more.
    fn finish(&mut self, change: &Change) {
        for superfluous in &change.superfluous {
            let path = self.state_dir.join(superfluous);
            let mut removed = remove_file(&path);
            if !path.starts_with(self.state_dir.join(DISPLACED)) {
                // What is aside is swept by the next start, if a power cut brings it back.
                removed = removed.and_then(|()| self.changed([path.as_path()], Vec::new()));
            }
            if let Err(error) = removed {
                tracing::error!(%error, "failed to remove a superfluous file");
            }
            self.prune(superfluous);
        }
        change.moves.iter().filter(|moved| !moved.is_link).for_each(|moved| self.prune(&moved.from));
    }

    /// Removes the directories of a bucket that a file left empty.
    fn prune(&self, file: &str) {
        let Some((OBJECTS, in_objects)) = file.split_once('/') else { return };
        let Some((bucket, file)) = in_objects.split_once('/') else { return };
        let bucket_dir = self.state_dir.join(OBJECTS).join(bucket);
        let path = bucket_dir.join(file);
        // A directory that is not empty ends the walk; so does one that is gone.
        let mut parents = path.ancestors().skip(1).take_while(|parent| *parent != bucket_dir);
        while parents.next().is_some_and(|parent| fs::remove_dir(parent).is_ok()) {}
    }

    /// Makes a staged file a part. The index is told afterwards; a part that it does not name is swept at the next start.
    /// Its bytes are on the disk already, if they have to be.
    pub(super) fn place_part(&mut self, staged: &Path, part: &Path) -> io::Result<()> {
        fs::rename(staged, part)?;
        self.changed([part], Vec::new())
    }

    /// Brings the bytes of a staged file to the disk, if the policy says so. Needs no lock.
    pub(super) fn sync_staged(fsync: Fsync, staged: &Path) -> io::Result<()> {
        if fsync == Fsync::Always { File::open(staged)?.sync_data() } else { Ok(()) }
    }

    /// Files that came or went, and directories that were made for them.
    fn changed<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>, made: Vec<PathBuf>) -> io::Result<()> {
        if self.fsync == Fsync::Never {
            return Ok(());
        }
        let mut changed = BTreeSet::from_iter(made);
        for path in paths {
            changed.extend(path.parent().map(Path::to_owned));
            if self.fsync == Fsync::Interval {
                changed.insert(path.to_owned());
            }
        }
        if self.fsync == Fsync::Interval && self.unsynced.len() + changed.len() <= UNSYNCED_PATHS_MAX {
            self.unsynced.extend(changed);
            return Ok(());
        }
        changed.iter().try_for_each(|path| sync(path))
    }

    /// What a flush is to bring to the disk with [`sync`].
    pub(super) fn take_unsynced(&mut self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.unsynced)
    }

    /// Gives back what could not be brought to the disk.
    pub(super) fn put_back_unsynced(&mut self, paths: BTreeSet<PathBuf>) {
        self.unsynced.extend(paths);
    }
}

/// Gives a file a second name. A file that is missing has no bytes to keep. Gives the directories that changed.
fn link_aside(from: &Path, to: &Path) -> io::Result<Vec<PathBuf>> {
    let made = match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if !from.try_exists()? {
                return Ok(Vec::new());
            }
            let made = make_parents(to)?;
            fs::hard_link(from, to).map(|()| made)
        }
        linked => linked.map(|()| Vec::new()),
    };
    // Not every file system has links; without them the name is missing for a moment.
    made.or_else(|_no_link| rename_making_dirs(from, to))
}

fn rename_making_dirs(from: &Path, to: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = make_parents(to)?;
            fs::rename(from, to).map(|()| made)
        }
        renamed => renamed.map(|()| Vec::new()),
    }
}

/// Makes the directory of a file; gives those whose entries changed by it.
fn make_parents(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    for parent in path.ancestors().skip(1) {
        changed.push(parent.to_owned());
        if parent.is_dir() {
            break;
        }
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(changed)
}

/// A missing file is as good as a removed one.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Brings a file or the entries of a directory to the disk; what is gone needs nothing.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the files of a directory that are not to be kept.
pub(super) fn sweep(directory: &Path, keep: impl Fn(&str) -> bool) -> Result<(), CloudError> {
    for entry in fs::read_dir(directory).map_err(CloudError::state("list", directory))? {
        let entry = entry.map_err(CloudError::state("list", directory))?;
        if !keep(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(CloudError::state("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// Finishes the writes and removals that a process of an earlier version, which kept its intents in the index, left
/// half done. A write whose file does not have its size is forgotten.
pub(super) fn finish_old_intents(index: &mut Index, state_dir: &Path) -> Result<usize, ChangeError> {
    let intents = index.old_intents()?;
    let count = intents.len();
    for OpenOldIntent { id, bucket, key, intent } in intents {
        let current = index.object(&bucket, &key)?;
        match intent {
            OldIntent::Put { staged, record, event } => {
                let file = fs::metadata(state_dir.join(object_path(&bucket, &record.file)));
                let has_its_size = file.is_ok_and(|file| file.is_file() && file.len() == record.size);
                let was_renamed = has_its_size && !state_dir.join(STAGING).join(staged).try_exists()?;
                if was_renamed && current.is_none_or(|current| current.sequence < record.sequence) {
                    let number = record.sequence.max(index.last_change()?);
                    let current = Current::Is(record);
                    index.apply(&Rows { current, event, ..Rows::new(&bucket, &key, number) })?;
                }
            }
            OldIntent::Delete { file } => {
                if current.is_none_or(|current| current.file != file) {
                    remove_file(&state_dir.join(object_path(&bucket, &file)))?;
                }
            }
        }
        index.forget_old_intent(id)?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
