//! The keys and aliases of KMS, in memory and in one file.
//!
//! Promises: `keys.json` is replaced whole, by a rename, before a change is answered, and is on the disk by then whatever
//! [`crate::Fsync`] says: what a lost key encrypted is lost too, and keys are made rarely. Only its owner can read it and its
//! folder. A change that cannot be written did not happen; one that is written and of which only the flush of the folder failed
//! did, and its request is answered with an error nevertheless. Key material lies in the file in clear: the emulator has nothing
//! to encrypt it with that would not lie beside it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use lakebed_contract::{Clock, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entropy;
use super::error::KmsError;
use crate::durability::sync_dir;
use crate::error::CloudError;
use crate::place::{ACCOUNT, REGION};

/// Keys there may be, AWS's quota being 100,000. Each change copies and writes all of them while every other request waits: a key
/// with an alias is about 400 bytes, so that is less than 1 MB as long as descriptions are short.
const KEYS_MAX: usize = 2_000;
/// Aliases of one key; AWS's quota.
const ALIASES_OF_A_KEY_MAX: usize = 50;
const FILE: &str = "keys.json";
/// What becomes the file.
const NEW_FILE: &str = "keys.json.new";
/// The form of the file.
const FORM: u32 = 1;

/// One symmetric key. Has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) id: Uuid,
    pub(super) description: String,
    pub(super) is_enabled: bool,
    /// Microseconds since the epoch.
    created_us: i64,
    /// What AWS calls the id of the current key material: another draw, from which the material does not follow.
    pub(super) material_id: String,
    #[serde(with = "material")]
    pub(super) material: Secret<[u8; 32]>,
}

impl Key {
    pub(super) fn arn(&self) -> String {
        format!("{}key/{}", arn_prefix(), self.id)
    }

    pub(super) fn created(&self) -> Timestamp {
        Timestamp(self.created_us)
    }
}

/// A name of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    pub(super) key: Uuid,
    created_us: i64,
}

impl Alias {
    pub(super) fn created(&self) -> Timestamp {
        Timestamp(self.created_us)
    }
}

/// What there is. Its methods change it in memory; [`Keys::change`] makes that last.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct State {
    form: u32,
    pub(super) keys: BTreeMap<Uuid, Key>,
    /// By name, with `alias/`.
    pub(super) aliases: BTreeMap<String, Alias>,
}

impl State {
    /// The key that an id, an ARN or an alias names.
    pub(super) fn key(&self, named: &str) -> Result<&Key, KmsError> {
        let local = local_part(named)?;
        if !local.starts_with("alias/") {
            return self.key_itself(named);
        }
        let alias = self.aliases.get(local).ok_or_else(|| no_alias(local))?;
        self.keys.get(&alias.key).ok_or_else(|| no_key(alias.key))
    }

    /// The key that an id or an ARN names.
    pub(super) fn key_itself(&self, named: &str) -> Result<&Key, KmsError> {
        let id = id_of(named)?;
        self.keys.get(&id).ok_or_else(|| no_key(id))
    }

    pub(super) fn create_key(&mut self, description: &str, now: Timestamp) -> Result<Key, KmsError> {
        if self.keys.len() >= KEYS_MAX {
            let message = format!("There are {KEYS_MAX} keys, which is as many as are kept here");
            return Err(KmsError::new("LimitExceededException", message));
        }
        let key = Key {
            id: uuid::Builder::from_random_bytes(entropy::draw()?).into_uuid(),
            description: description.to_owned(),
            is_enabled: true,
            created_us: now.0,
            material_id: HEXLOWER.encode(&entropy::draw::<32>()?),
            material: Secret::new(entropy::draw()?),
        };
        self.keys.insert(key.id, key.clone());
        Ok(key)
    }

    pub(super) fn set_enabled(&mut self, named: &str, is_enabled: bool) -> Result<(), KmsError> {
        let id = self.key_itself(named)?.id;
        if let Some(key) = self.keys.get_mut(&id) {
            key.is_enabled = is_enabled;
        }
        Ok(())
    }

    pub(super) fn create_alias(&mut self, name: &str, target: &str, now: Timestamp) -> Result<(), KmsError> {
        check_own_alias(name)?;
        if local_part(target)?.starts_with("alias/") {
            return Err(KmsError::validation("Aliases must refer to keys. Not aliases"));
        }
        let key = self.key_itself(target)?.id;
        if self.aliases.contains_key(name) {
            let message = format!("An alias with the name {} already exists", alias_arn(name));
            return Err(KmsError::new("AlreadyExistsException", message));
        }
        if self.aliases.values().filter(|alias| alias.key == key).count() >= ALIASES_OF_A_KEY_MAX {
            let message = format!("A key has {ALIASES_OF_A_KEY_MAX} aliases at most");
            return Err(KmsError::new("LimitExceededException", message));
        }
        self.aliases.insert(name.to_owned(), Alias { key, created_us: now.0 });
        Ok(())
    }

    pub(super) fn delete_alias(&mut self, name: &str) -> Result<(), KmsError> {
        check_own_alias(name)?;
        self.aliases.remove(name).map(drop).ok_or_else(|| no_alias(name))
    }
}

/// The keys and where they lie.
pub(super) struct Keys {
    state: Mutex<State>,
    folder: PathBuf,
    clock: Clock,
}

impl Keys {
    /// Reads the keys of a folder, which is made if it is missing.
    pub(super) fn open(folder: &Path, clock: Clock) -> Result<Self, CloudError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(CloudError::state("create", folder))?;
        // Of one that was there, too.
        let closed = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
        closed.map_err(CloudError::state("set permissions of", folder))?;
        let path = folder.join(FILE);
        let state = match fs::read(&path) {
            Ok(text) => parse(&text).map_err(|reason| CloudError::Corrupt { path, reason })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                State { form: FORM, keys: BTreeMap::new(), aliases: BTreeMap::new() }
            }
            Err(error) => return Err(CloudError::state("read", path)(error)),
        };
        Ok(Self { state: Mutex::new(state), folder: folder.to_owned(), clock })
    }

    /// The keys as they are now. Nobody may change them through it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A change is made in a copy, so one that died left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the keys; returns when the change is on the disk. What is in memory is what is in the file, also after a failure.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut State, Timestamp) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let mut state = self.state();
        let mut changed = state.clone();
        let answer = change(&mut changed, self.clock.now())?;
        self.write(&changed)?;
        *state = changed;
        self.flush()?;
        Ok(answer)
    }

    /// Replaces the file; it is as before if that fails.
    fn write(&self, state: &State) -> io::Result<()> {
        let new = self.folder.join(NEW_FILE);
        // What a process left here when it died may be readable by others, and would stay so if it were written over.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_all()?;
        fs::rename(new, self.folder.join(FILE))
    }

    /// Makes the name of the file last.
    fn flush(&self) -> io::Result<()> {
        sync_dir(&self.folder)?;
        // The folder itself may be new.
        self.folder.parent().map_or(Ok(()), sync_dir)
    }
}

fn parse(text: &[u8]) -> Result<State, String> {
    /// What a file of every form has.
    #[derive(Deserialize)]
    struct Head {
        form: u32,
    }
    // serde's own words may quote key material.
    let unreadable =
        |error: serde_json::Error| format!("no keys of KMS at line {} column {}", error.line(), error.column());
    let Head { form } = serde_json::from_slice(text).map_err(unreadable)?;
    if form != FORM {
        return Err(format!("its form is {form}, and only {FORM} is known"));
    }
    serde_json::from_slice(text).map_err(unreadable)
}

/// Refuses a name that no alias of a user's may have.
fn check_own_alias(name: &str) -> Result<(), KmsError> {
    let rest = name.strip_prefix("alias/").filter(|rest| !rest.is_empty());
    let rest = rest.ok_or_else(|| KmsError::validation("Invalid identifier"))?;
    if rest.contains(':') {
        return Err(KmsError::validation(format!("{name} contains invalid characters for an alias")));
    }
    if rest.starts_with("aws/") {
        return Err(KmsError::new("NotAuthorizedException", "Aliases that begin with alias/aws/ are AWS's own"));
    }
    Ok(())
}

fn arn_prefix() -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:")
}

pub(super) fn alias_arn(name: &str) -> String {
    format!("{}{name}", arn_prefix())
}

/// What follows the account in an ARN of ours; everything of what is no ARN.
fn local_part(named: &str) -> Result<&str, KmsError> {
    if !named.starts_with("arn:") {
        return Ok(named);
    }
    named.strip_prefix(&arn_prefix()).ok_or_else(|| KmsError::not_found(format!("Invalid arn {named}")))
}

fn id_of(named: &str) -> Result<Uuid, KmsError> {
    let local = local_part(named)?;
    let id = if named.starts_with("arn:") { local.strip_prefix("key/").unwrap_or_default() } else { local };
    // The one spelling that AWS has; the parser takes others.
    let parsed = Uuid::parse_str(id).ok().filter(|parsed| parsed.to_string() == id);
    parsed.ok_or_else(|| KmsError::not_found(format!("Invalid keyId '{named}'")))
}

fn no_key(id: Uuid) -> KmsError {
    KmsError::not_found(format!("Key '{}key/{id}' does not exist", arn_prefix()))
}

fn no_alias(name: &str) -> KmsError {
    KmsError::not_found(format!("Alias {} is not found.", alias_arn(name)))
}

/// Key material as it lies in the file.
mod material {
    use data_encoding::HEXLOWER;
    use lakebed_contract::Secret;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(material: &Secret<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&HEXLOWER.encode(material.expose()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<[u8; 32]>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Secret::new).ok_or_else(|| D::Error::custom("key material is 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn open(folder: &Path) -> Keys {
        Keys::open(folder, Clock::virtual_at(START)).expect("opened")
    }

    #[test]
    fn nobody_else_can_read_the_keys_whatever_lay_there_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("kms");
        let give = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
        };
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        fs::create_dir(&folder).expect("a folder");
        give(&folder, 0o755);
        fs::write(folder.join(NEW_FILE), "half a fi").expect("written");
        give(&folder.join(NEW_FILE), 0o644);
        let key = open(&folder).change(|state, now| state.create_key("", now)).expect("made");
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        assert!(open(&folder).state().key(&key.arn()).is_ok());
    }

    #[test]
    fn memory_and_file_are_the_same_after_a_change_that_failed() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = open(&dir.path().join("kms"));
        let key = keys.change(|state, now| state.create_key("", now)).expect("made");
        // A folder cannot be written over.
        fs::create_dir(keys.folder.join(NEW_FILE)).expect("a folder");
        keys.change(|state, _| state.set_enabled(&key.arn(), false)).expect_err("not written");
        assert!(keys.state().key(&key.arn()).is_ok_and(|key| key.is_enabled));
        assert!(open(&keys.folder).state().key(&key.arn()).is_ok_and(|key| key.is_enabled));
    }

    #[test]
    fn as_many_keys_as_there_may_be_are_less_than_a_megabyte() {
        let mut state = State { form: FORM, keys: BTreeMap::new(), aliases: BTreeMap::new() };
        for at in 0..KEYS_MAX {
            let key = state.create_key("", START).expect("made");
            state.create_alias(&format!("alias/key-{at}"), &key.arn(), START).expect("named");
        }
        let written = serde_json::to_vec(&state).expect("written").len();
        assert!(written < 1_000_000, "{written} bytes");
        assert!(state.create_key("", START).is_err(), "one too many");
    }

    #[test]
    fn a_name_without_the_prefix_is_no_alias_and_another_form_is_told_as_such() {
        let mut state = State { form: FORM, keys: BTreeMap::new(), aliases: BTreeMap::new() };
        let told = |refused: Result<(), KmsError>| format!("{:?}", refused.expect_err("refused"));
        assert!(told(state.delete_alias("mask")).contains("Invalid identifier"));
        assert!(told(state.delete_alias("alias/mask")).contains("NotFoundException"));
        assert_eq!(parse(br#"{"form":2,"keys":[]}"#).err().as_deref(), Some("its form is 2, and only 1 is known"));
    }
}
