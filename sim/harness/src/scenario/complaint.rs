//! What is wrong with a scenario file: the file, the line, the reason, and the nearest word that would be right.

use std::fmt;

/// Share of a word's letters that may differ for another word to be offered instead.
const LIKENESS_MIN: f64 = 0.6;

/// A refused scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// File as it was named.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to read scenario {}:{}: {}", self.file, self.line, self.reason)
    }
}

impl std::error::Error for Complaint {}

impl Complaint {
    /// About the first line that mentions `about`; about line 1 when none does.
    pub(super) fn about(file: &str, text: &str, about: &str, reason: String) -> Self {
        let line = text.lines().position(|line| line.contains(about)).map_or(1, |at| at + 1);
        Self { file: file.to_owned(), line, reason }
    }

    /// From what the TOML reader says.
    pub(super) fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        Self { file: file.to_owned(), line, reason: explain(error.message()) }
    }
}

/// Serde's words for an unknown key or word, with the nearest valid one put in front.
fn explain(message: &str) -> String {
    let message = message.trim();
    let unknown = ["unknown field `", "unknown variant `"].into_iter().find_map(|start| message.strip_prefix(start));
    let Some((found, rest)) = unknown.and_then(|rest| rest.split_once('`')) else { return message.to_owned() };
    let what = if message.starts_with("unknown field") { "key" } else { "word" };
    let valid: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let hint = nearest(found, valid.iter().copied()).map(|near| format!(", did you mean `{near}`?"));
    format!("there is no {what} `{found}` here{}; known: {}", hint.unwrap_or_default(), valid.join(", "))
}

/// The word of `known` that is most like `found`, if one is like it at all.
pub(super) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (strsim::normalized_damerau_levenshtein(found, word), word))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
