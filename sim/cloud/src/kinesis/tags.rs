//! Tags of streams: AddTagsToStream, RemoveTagsFromStream, ListTagsForStream, and the same by ARN.
//!
//! Tags are kept with the stream's description and mean nothing to us.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::{ACCOUNT, KinesisError};
use super::stream::Stream;
use super::validation::{Pattern, Violations};
use super::wire::{AddTagsToStream, ListTagsForStream, NamesStream, RemoveTagsFromStream, TaggedResource};

/// Most tags of a stream.
const TAGS_MAX: usize = 50;
/// Most tags of one request, by the service model.
const REQUEST_TAGS_MAX: usize = 200;
const REQUEST_TAG_KEYS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;
/// Keys that begin so are AWS's own.
const RESERVED_PREFIX: &str = "aws:";

impl AddTagsToStream {
    pub(super) fn check(&self) -> Result<(), KinesisError> {
        let mut check = self.check_naming();
        check_tags(&mut check, self.tags.as_ref(), true);
        check.finish()
    }
}

impl RemoveTagsFromStream {
    pub(super) fn check(&self) -> Result<(), KinesisError> {
        let mut check = self.check_naming();
        check_tag_keys(&mut check, self.tag_keys.as_deref());
        check.finish()
    }
}

impl ListTagsForStream {
    pub(super) fn check(&self) -> Result<(), KinesisError> {
        let mut check = self.check_naming();
        check.length(self.exclusive_start_tag_key.as_deref(), "exclusiveStartTagKey", 1, KEY_CHARS_MAX);
        check.range(self.limit, "limit", 1, 50);
        check.finish()
    }
}

/// What must be there in a request that names a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Tags,
    TagKeys,
    Nothing,
}

impl TaggedResource {
    pub(super) fn check(&self, wanted: Wanted) -> Result<(), KinesisError> {
        let mut check = Violations::default();
        check.required(self.resource_arn.as_deref(), "resourceARN");
        check.arn(self.resource_arn.as_deref(), "resourceARN", Pattern::ResourceArn);
        match wanted {
            Wanted::Tags => check_tags(&mut check, self.tags.as_ref(), true),
            Wanted::TagKeys => check_tag_keys(&mut check, self.tag_keys.as_deref()),
            Wanted::Nothing => {}
        }
        check.finish()?;
        if self.stream_id.is_some() {
            return Err(KinesisError::not_implemented("StreamId"));
        }
        Ok(())
    }
}

/// Adds what is wrong with tags.
pub(super) fn check_tags(check: &mut Violations, tags: Option<&BTreeMap<String, String>>, is_required: bool) {
    let Some(tags) = tags else {
        if is_required {
            check.null("tags");
        }
        return;
    };
    let shown: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let shown = format!("{{{}}}", shown.join(", "));
    check.size(tags.len(), &shown, "tags", 1, REQUEST_TAGS_MAX);
    let length = |max: usize, min: usize| {
        format!(
            "satisfy constraint: [Member must have length less than or equal to {max}, Member must have length greater than or \
             equal to {min}]"
        )
    };
    if !tags.keys().all(|key| (1..=KEY_CHARS_MAX).contains(&key.chars().count())) {
        check.add(&shown, "tags", &format!("Map keys must {}", length(KEY_CHARS_MAX, 1)));
    }
    if !tags.values().all(|value| value.chars().count() <= VALUE_CHARS_MAX) {
        check.add(&shown, "tags", &format!("Map value must {}", length(VALUE_CHARS_MAX, 0)));
    }
}

fn check_tag_keys(check: &mut Violations, keys: Option<&[String]>) {
    let Some(keys) = keys else { return check.null("tagKeys") };
    let shown = format!("[{}]", keys.join(", "));
    check.size(keys.len(), &shown, "tagKeys", 1, REQUEST_TAG_KEYS_MAX);
    if !keys.iter().all(|key| (1..=KEY_CHARS_MAX).contains(&key.chars().count())) {
        let rule = "Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have \
                    length greater than or equal to 1]";
        check.add(&shown, "tagKeys", rule);
    }
}

/// Merges tags into those of the stream called `name`; new values replace old ones.
pub(super) fn merge(
    name: &str,
    existing: &mut BTreeMap<String, String>,
    added: &BTreeMap<String, String>,
) -> Result<(), KinesisError> {
    let failed = |why: &str| {
        KinesisError::invalid_argument(format!(
            "Failed to add tags to stream {name} under account {ACCOUNT} because {why}"
        ))
    };
    refuse_characters(added.iter().flat_map(|(key, value)| [key, value]), failed)?;
    if added.keys().any(|key| key.to_ascii_lowercase().starts_with(RESERVED_PREFIX)) {
        return Err(failed("some tag keys begin with the reserved prefix aws:."));
    }
    let new = added.keys().filter(|key| !existing.contains_key(*key)).count();
    if existing.len() + new > TAGS_MAX {
        return Err(failed(&format!("a given stream cannot have more than {TAGS_MAX} tags associated with it.")));
    }
    existing.extend(added.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(())
}

fn refuse_characters<'a>(
    mut texts: impl Iterator<Item = &'a String> + Clone,
    failed: impl FnOnce(&str) -> KinesisError,
) -> Result<(), KinesisError> {
    let is_allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_./=+-%@:".contains(c);
    if !texts.clone().all(|text| text.chars().all(is_allowed)) {
        return Err(KinesisError::invalid_argument(
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @ :.",
        ));
    }
    // AWS names the percent sign above and refuses it here.
    if texts.any(|text| text.contains('%')) {
        return Err(failed(
            "some tags contained illegal characters. The allowed characters are Unicode letters, white-spaces, \
             '_',',','/','=','+','-','@',':'.",
        ));
    }
    Ok(())
}

/// AddTagsToStream and TagResource.
pub(super) fn add(stream: &Stream, added: Option<&BTreeMap<String, String>>) -> Result<Value, KinesisError> {
    stream.change(|description, _| {
        if let Some(added) = added {
            merge(&stream.name, &mut description.tags, added)?;
        }
        Ok(Value::Null)
    })
}

/// RemoveTagsFromStream and UntagResource; keys that are not there are none of its concern.
pub(super) fn remove(stream: &Stream, keys: Option<&[String]>) -> Result<Value, KinesisError> {
    let keys = keys.unwrap_or_default();
    let name = &stream.name;
    let failed = |why: &str| {
        let what = format!("Failed to remove tags from stream {name} under account {ACCOUNT} because {why}");
        KinesisError::invalid_argument(what)
    };
    refuse_characters(keys.iter(), failed)?;
    stream.change(|description, _| {
        description.tags.retain(|key, _| !keys.contains(key));
        Ok(Value::Null)
    })
}

/// ListTagsForStream.
pub(super) fn list(stream: &Stream, request: &ListTagsForStream) -> Result<Value, KinesisError> {
    let layout = stream.layout()?;
    let after = request.exclusive_start_tag_key.as_deref();
    let limit = request.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(TAGS_MAX);
    let behind = layout.description.tags.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    let tags: Vec<Value> = behind.clone().take(limit).map(tag_json).collect();
    Ok(json!({ "Tags": tags, "HasMoreTags": behind.count() > limit }))
}

/// ListTagsForResource.
pub(super) fn list_all(stream: &Stream) -> Result<Value, KinesisError> {
    let layout = stream.layout()?;
    Ok(json!({ "Tags": layout.description.tags.iter().map(tag_json).collect::<Vec<_>>() }))
}

fn tag_json((key, value): (&String, &String)) -> Value {
    json!({ "Key": key, "Value": value })
}
