//! Pages of keys and aliases: what follows a marker, as much as was asked for.
//!
//! A marker names the last item of the page before, so a list that changes between two pages neither repeats nor skips what was
//! there all the time.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::error::KmsError;
use super::keys::{Alias, Keys, State, alias_arn};
use super::operations::seconds;
use super::request::Request;

const KEYS_A_PAGE: usize = 100;
const KEYS_A_PAGE_MAX: usize = 1000;
const ALIASES_A_PAGE: usize = 50;
const ALIASES_A_PAGE_MAX: usize = 100;

pub(super) fn keys(keys: &Keys, request: &Request) -> Result<Value, KmsError> {
    let state = keys.state();
    // Nobody shares keys with the one account there is.
    let lists_own = request.resource_owners.as_ref().is_none_or(|owners| owners.iter().any(|owner| owner == "SELF"));
    let all = state.keys.values().filter(|_| lists_own);
    let all = all.map(|key| (key.id.to_string(), json!({ "KeyId": key.id.to_string(), "KeyArn": key.arn() })));
    let page_size = request.limit.unwrap_or(KEYS_A_PAGE).min(KEYS_A_PAGE_MAX);
    page("Keys", all, page_size, request.marker.as_deref())
}

pub(super) fn aliases(keys: &Keys, request: &Request) -> Result<Value, KmsError> {
    let state: &State = &keys.state();
    let of_key = request.key_id.as_deref().map(|named| state.key_itself(named)).transpose()?.map(|key| key.id);
    let all = state.aliases.iter().filter(|(_, alias)| of_key.is_none_or(|key| alias.key == key));
    let all = all.map(|(name, alias)| (name.clone(), alias_entry(name, alias)));
    let page_size = request.limit.unwrap_or(ALIASES_A_PAGE).min(ALIASES_A_PAGE_MAX);
    page("Aliases", all, page_size, request.marker.as_deref())
}

fn alias_entry(name: &str, alias: &Alias) -> Value {
    json!({
        "AliasName": name,
        "AliasArn": alias_arn(name),
        "TargetKeyId": alias.key.to_string(),
        "CreationDate": seconds(alias.created()),
        // An alias is made and deleted; UpdateAlias is refused.
        "LastUpdatedDate": seconds(alias.created()),
    })
}

/// `all` is in the order of its names.
fn page(
    member: &str,
    all: impl Iterator<Item = (String, Value)>,
    page_size: usize,
    marker: Option<&str>,
) -> Result<Value, KmsError> {
    let last = marker.map(name_in).transpose()?;
    let mut rest = all.skip_while(|(name, _)| last.as_ref().is_some_and(|last| name <= last)).peekable();
    let (mut items, mut last_name) = (Vec::new(), String::new());
    while items.len() < page_size {
        let Some((name, item)) = rest.next() else { break };
        items.push(item);
        last_name = name;
    }
    let is_truncated = rest.peek().is_some();
    let mut answer = json!({ "Truncated": is_truncated });
    answer[member] = items.into();
    if is_truncated {
        answer["NextMarker"] = BASE64_URL_SAFE_NO_PAD.encode(last_name).into();
    }
    Ok(answer)
}

fn name_in(marker: &str) -> Result<String, KmsError> {
    let name = BASE64_URL_SAFE_NO_PAD.decode(marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| KmsError::new("InvalidMarkerException", "The marker is none that was given here"))
}
