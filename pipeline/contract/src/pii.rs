//! What finds personal data in a text, as seen by whoever only asks: the stores answer Comprehend's operations with it and
//! know nothing of the engine behind.
//!
//! Plain types, no engine. [`PiiEntity`] holds places, never text, so it may be shown.

use std::fmt;

/// Finds personal data in texts. Shared by threads; the same text has the same answer.
pub trait PiiDetector: fmt::Debug + Send + Sync {
    /// What stands in `text`, in order and without overlaps. Cannot fail, and neither keeps nor logs the text.
    fn detect(&self, text: &str) -> Vec<PiiEntity>;
}

/// Where personal data stands in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PiiEntity {
    /// Its type: Amazon Comprehend's name (`PiiEntityType` of its API) where it has one, our own where it has none.
    pub name: &'static str,
    /// How sure, from 0 to 1.
    pub score: f32,
    /// Byte offset of its first byte; on a character boundary.
    pub begin: usize,
    /// Byte offset behind its last byte; on a character boundary.
    pub end: usize,
}
