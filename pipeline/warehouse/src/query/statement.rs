//! Looks at a statement before DuckDB does: one statement, of a kind that only reads.
//!
//! Promises: sees through comments, strings, quoted names and dollar quotes, so none of them hides a second statement. It is the
//! first fence, not the only one: DuckDB runs it in memory, shut off from files and settings.

use crate::error::{Result, WarehouseError};

/// What may come first.
const ALLOWED: [&str; 4] = ["SELECT", "WITH", "DESCRIBE", "SHOW"];
/// What a WITH must not lead to.
const WRITING: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];

/// A statement that passed.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Its text, without a closing semicolon.
    pub(crate) sql: String,
    /// Names and keywords in it, quoted or not.
    pub(crate) words: Vec<String>,
}

/// Accepts or refuses a text.
pub(crate) fn check(sql: &str) -> Result<Statement> {
    let refuse = |reason: &str| Err(WarehouseError::QueryRefused { reason: reason.to_owned() });
    let scan = scan(sql)?;
    if scan.second_statement {
        return refuse("it holds more than one statement");
    }
    let Some(first) = scan.words.first() else { return refuse("it is empty") };
    if !ALLOWED.contains(&first.text.to_ascii_uppercase().as_str()) {
        return refuse("only SELECT, WITH, DESCRIBE and SHOW are allowed");
    }
    let writes =
        |word: &Word| word.depth == 0 && !word.quoted && WRITING.contains(&word.text.to_ascii_uppercase().as_str());
    if scan.words.iter().any(writes) {
        return refuse("it writes; only reading is allowed");
    }
    let words = scan.words.into_iter().map(|word| word.text).collect();
    Ok(Statement { sql: sql[..scan.end].to_owned(), words })
}

struct Word {
    text: String,
    quoted: bool,
    depth: u32,
}

struct Scan {
    words: Vec<Word>,
    /// Where the first statement ends.
    end: usize,
    second_statement: bool,
}

fn scan(sql: &str) -> Result<Scan> {
    let open = |what: &str| WarehouseError::QueryRefused { reason: format!("{what} is not closed") };
    let mut scan = Scan { words: Vec::new(), end: sql.len(), second_statement: false };
    let (mut at, mut depth, mut ended) = (0, 0u32, false);
    while let Some(next) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let start = at;
        if next.is_whitespace() {
            at += next.len_utf8();
            continue;
        }
        if rest.starts_with("--") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            at += comment.find("*/").ok_or_else(|| open("a comment"))? + 4;
            continue;
        }
        if ended {
            scan.second_statement = true;
            break;
        }
        match next {
            ';' => {
                (ended, scan.end) = (true, at);
                at += 1;
            }
            '\'' => {
                let escapes = scan.words.last().is_some_and(|word| {
                    word.text.eq_ignore_ascii_case("e") && !word.quoted && sql[..at].ends_with(['e', 'E'])
                });
                at += quoted(rest, '\'', escapes).ok_or_else(|| open("a string"))?;
            }
            '"' => {
                at += quoted(rest, '"', false).ok_or_else(|| open("a quoted name"))?;
                let text = sql[start + 1..at - 1].replace("\"\"", "\"");
                scan.words.push(Word { text, quoted: true, depth });
            }
            '$' => at += dollar_quoted(rest).ok_or_else(|| open("a dollar-quoted string"))?,
            _ if next.is_alphanumeric() || next == '_' => {
                let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                at += length;
                scan.words.push(Word { text: rest[..length].to_owned(), quoted: false, depth });
            }
            _ => {
                depth = match next {
                    '(' => depth + 1,
                    ')' => depth.saturating_sub(1),
                    _ => depth,
                };
                at += next.len_utf8();
            }
        }
    }
    Ok(scan)
}

/// Length of a quoted text with its quotes; a doubled quote stands for itself.
fn quoted(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => {
                    chars.next();
                }
                _ => return Some(at + quote.len_utf8()),
            }
        }
    }
    None
}

/// Length of `$tag$ … $tag$`; a lone `$` (a parameter) counts for itself.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_length = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len() - 1);
    let tag = &text[..tag_length + 1];
    if !text[tag.len()..].starts_with('$') || tag[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Some(1);
    }
    let delimiter = &text[..tag.len() + 1];
    let body = &text[delimiter.len()..];
    Some(delimiter.len() + body.find(delimiter)? + delimiter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_statements_pass() {
        for sql in [
            "SELECT 1",
            "select ';' as a, \"b;c\" from t -- ; x\n;",
            "/* ; */ WITH a AS (SELECT 1) SELECT * FROM a;  -- end",
            "DESCRIBE silver.review",
            "SHOW TABLES",
            "SELECT $$ a; b $$, $t$ ; $t$",
            "SELECT e'it\\'s; fine'",
            "SELECT \"update\" FROM t",
            "SELECT 'a''; DROP TABLE t'",
        ] {
            assert!(check(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for sql in [
            "",
            "-- nothing",
            "INSERT INTO t VALUES (1)",
            "SELECT 1; SELECT 2",
            "SELECT 1; DROP TABLE t",
            "SELECT '\\'; DROP TABLE t; --'",
            "WITH a AS (SELECT 1) DELETE FROM t",
            "COPY t TO '/tmp/x'",
            "ATTACH 'x.db'",
            "PRAGMA version",
            "EXPLAIN SELECT 1",
            "SET a = 1",
            "(SELECT 1); SELECT 2",
            "SELECT 'open",
            "SELECT /* open",
            "SELECT $a$ open",
        ] {
            assert!(check(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn words_are_names_and_keywords_only() {
        let words = check("SELECT a.b, 'beer' FROM silver.\"review\" /* brewery */").expect("passes").words;
        assert_eq!(words, ["SELECT", "a", "b", "FROM", "silver", "review"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic(sql in "\\PC{0,60}") {
            let _verdict = check(&sql);
        }
    }
}
