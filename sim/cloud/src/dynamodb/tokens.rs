//! `ClientRequestToken` of transactions: the same request with the same token is done once within ten minutes.
//!
//! The token, a digest of the items and the answer are kept beside the tables, so a repetition is recognised after a restart
//! too, and ten minutes are ten minutes of the clock. dynoxide's own memory of tokens is passed by. One such transaction runs
//! at a time: a second one with the same token waits and gets the answer of the first. What failed is not kept. A process that
//! dies between the commit and the note forgets the token; a repetition is then done again. A repetition tells the capacity
//! that the first call consumed, not what AWS charges for looking it up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dynoxide::DynoxideError;
use lakebed_contract::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::Failure;
use super::changes::ChangeLog;
use crate::validation;

/// How long a token is remembered.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// AWS's longest token; what is longer is refused by dynoxide, which words it.
const TOKEN_CHARS_MAX: usize = 36;

const TOKEN: &str = "ClientRequestToken";

/// Transactions that may be repeated.
#[derive(Debug)]
pub(super) struct Tokens {
    changes: Arc<ChangeLog>,
    /// Held while a transaction with a token runs.
    one_at_a_time: Mutex<()>,
}

impl Tokens {
    pub(super) fn new(changes: Arc<ChangeLog>) -> Self {
        Self { changes, one_at_a_time: Mutex::new(()) }
    }

    /// Runs an operation by its body, or gives the answer that the same request with the same token got before.
    pub(super) fn run(
        &self,
        operation: &str,
        body: &str,
        now: Timestamp,
        run: impl FnOnce(&str) -> Result<String, Failure>,
    ) -> Result<String, Failure> {
        let items = match operation {
            "TransactWriteItems" => "TransactItems",
            "ExecuteTransaction" => "TransactStatements",
            _ => return run(body),
        };
        // What is no JSON, or has a token of another type, is refused by whoever reads it.
        let Ok(Value::Object(mut request)) = serde_json::from_str(body) else { return run(body) };
        let Some(Value::String(token)) = request.get(TOKEN).cloned() else { return run(body) };
        if token.is_empty() {
            let broken = validation::violation("", "clientRequestToken", &validation::length(true, 1));
            return Err(Failure::validation(&validation::violations(&[broken])));
        }
        if token.chars().count() > TOKEN_CHARS_MAX {
            return run(body);
        }
        request.remove(TOKEN);
        let mut digest = Sha256::new();
        digest_of(request.get(items).unwrap_or(&Value::Null), &mut digest);
        let digest = digest.finalize().to_vec();
        let key = format!("{operation}/{token}");
        let _alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        match self.changes.token(&key, now)? {
            Some((known, answer)) if known == digest => return Ok(answer),
            Some(_) => {
                let told = "An error occurred (IdempotentParameterMismatchException)";
                return Err(DynoxideError::IdempotentParameterMismatchException(told.to_owned()).into());
            }
            None => {}
        }
        let answer = run(&Value::Object(request).to_string())?;
        self.changes.keep_token(&key, &digest, &answer, now)?;
        Ok(answer)
    }
}

/// Feeds a value in a form that does not depend on the order of members.
fn digest_of(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            digest.update([b'{']);
            for name in names {
                digest_of(&Value::String(name.clone()), digest);
                digest_of(&members[name.as_str()], digest);
            }
            digest.update([b'}']);
        }
        Value::Array(elements) => {
            digest.update([b'[']);
            elements.iter().for_each(|element| digest_of(element, digest));
            digest.update([b']']);
        }
        scalar => digest.update(format!("{scalar},")),
    }
}

impl ChangeLog {
    /// Digest and answer of a token that is not too old.
    fn token(&self, key: &str, now: Timestamp) -> rusqlite::Result<Option<(Vec<u8>, String)>> {
        self.lock()
            .prepare_cached(r#"SELECT digest, answer FROM "lakebed:tokens" WHERE token = ?1 AND second > ?2"#)?
            .query_row(params![key, too_old(now)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn keep_token(&self, key: &str, digest: &[u8], answer: &str, now: Timestamp) -> rusqlite::Result<()> {
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        self.lock()
            .prepare_cached(
                r#"INSERT OR REPLACE INTO "lakebed:tokens" (token, digest, answer, second) VALUES (?1, ?2, ?3, ?4)"#,
            )?
            .execute(params![key, digest, answer, now.seconds()])
            .map(|_rows| ())
    }

    /// Drops the tokens whose time is over.
    pub(super) fn forget_tokens(&self, now: Timestamp) -> rusqlite::Result<()> {
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        let connection = self.lock();
        let mut statement = connection.prepare_cached(r#"DELETE FROM "lakebed:tokens" WHERE second <= ?1"#)?;
        statement.execute(params![too_old(now)]).map(|_rows| ())
    }
}

/// Tokens of this second and before count no more.
fn too_old(now: Timestamp) -> i64 {
    now.seconds().saturating_sub_unsigned(TOKEN_LIFETIME.as_secs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_the_order_of_members() {
        let of = |text: &str| {
            let mut digest = Sha256::new();
            digest_of(&serde_json::from_str(text).expect("JSON"), &mut digest);
            digest.finalize().to_vec()
        };
        assert_eq!(of(r#"{"a":1,"b":[{"c":"x","d":null}]}"#), of(r#"{"b":[{"d":null,"c":"x"}],"a":1}"#));
        let all = [json!({ "a": 1 }), json!({ "a": "1" }), json!(["a", 1]), json!({ "a": [1] }), json!([["a"], 1])];
        let distinct: std::collections::BTreeSet<_> = all.iter().map(|value| of(&value.to_string())).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
