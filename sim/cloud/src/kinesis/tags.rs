//! Tags of streams and their consumers: AddTagsToStream, RemoveTagsFromStream, ListTagsForStream, and the same by ARN.
//!
//! Tags are kept with the stream's description and mean nothing to us.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::consumers::{self, ConsumerArn};
use super::description::StreamDescription;
use super::error::{ACCOUNT, KinesisError};
use super::stream::Stream;
use super::wire::ListTagsForStream;

/// Most tags of a stream.
const TAGS_MAX: usize = 50;
/// Keys that begin so are AWS's own.
const RESERVED_PREFIX: &str = "aws:";

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

/// The tags of the stream, or of the consumer that is named.
fn tags_of<'a>(
    description: &'a mut StreamDescription,
    consumer: Option<&ConsumerArn>,
) -> Result<&'a mut BTreeMap<String, String>, KinesisError> {
    match consumer {
        None => Ok(&mut description.tags),
        Some(arn) => Ok(&mut consumers::registered_mut(description, arn)?.tags),
    }
}

/// AddTagsToStream and TagResource.
pub(super) fn add(
    stream: &Stream,
    consumer: Option<&ConsumerArn>,
    added: Option<&BTreeMap<String, String>>,
) -> Result<Value, KinesisError> {
    stream.change(|description, _| {
        let tags = tags_of(description, consumer)?;
        if let Some(added) = added {
            merge(&stream.name, tags, added)?;
        }
        Ok(Value::Null)
    })
}

/// RemoveTagsFromStream and UntagResource; keys that are not there are none of its concern.
pub(super) fn remove(
    stream: &Stream,
    consumer: Option<&ConsumerArn>,
    keys: Option<&[String]>,
) -> Result<Value, KinesisError> {
    let keys = keys.unwrap_or_default();
    let name = &stream.name;
    let failed = |why: &str| {
        let what = format!("Failed to remove tags from stream {name} under account {ACCOUNT} because {why}");
        KinesisError::invalid_argument(what)
    };
    refuse_characters(keys.iter(), failed)?;
    stream.change(|description, _| {
        tags_of(description, consumer)?.retain(|key, _| !keys.contains(key));
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
pub(super) fn list_all(stream: &Stream, consumer: Option<&ConsumerArn>) -> Result<Value, KinesisError> {
    let layout = stream.layout()?;
    let tags = match consumer {
        None => &layout.description.tags,
        Some(arn) => &consumers::registered(&layout.description, arn)?.tags,
    };
    Ok(json!({ "Tags": tags.iter().map(tag_json).collect::<Vec<_>>() }))
}

fn tag_json((key, value): (&String, &String)) -> Value {
    json!({ "Key": key, "Value": value })
}
