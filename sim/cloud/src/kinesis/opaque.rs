//! What a client is given as text that means nothing to it, and gives back: shard iterators and the tokens of listings.
//!
//! Base64 of JSON. Not signed: a client can make up a text, and then reads what it could have asked for anyway. Does not know
//! when a text is too old.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The text of an iterator or a token.
pub(super) fn to_text(content: &impl Serialize) -> String {
    BASE64_STANDARD.encode(serde_json::to_vec(content).expect("iterators and tokens are plain data"))
}

/// What a text says; `None` for one that was never given out.
pub(super) fn parse<Content: DeserializeOwned>(text: &str) -> Option<Content> {
    serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()
}
