//! The masking policy: which transform each PII class gets before it may leave `raw/`.
//!
//! Deny by default: a class that a contract names and the policy does not is an error when the lake is read, so no
//! run can start with an unmasked class. Knows the words, not the arithmetic: the transforms live in `lakebed-mask`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::table::ColumnType;

/// What bronze does with a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Keyed HMAC token of the canonical value: `tok_<key version>_<base32>`. Equal values of one domain give equal tokens.
    Token {
        /// Domain separation: classes that share a domain can be joined on their tokens.
        domain: String,
    },
    /// Date cut to the first of January of its year.
    Year,
    /// The first `n` characters.
    Prefix(usize),
    /// Free text: found PII is replaced by `[EMAIL]`, `[PHONE]`, `[CPF]`; the rest stays.
    Redact,
    /// NULL.
    Drop,
    /// Unchanged; the explicit way to say that a class may stay in clear.
    Keep,
}

impl Transform {
    /// The one column type it works on; `None` when it works on any.
    pub fn column_type(&self) -> Option<ColumnType> {
        match self {
            Self::Token { .. } | Self::Prefix(_) | Self::Redact => Some(ColumnType::Text),
            Self::Year => Some(ColumnType::Date),
            Self::Drop | Self::Keep => None,
        }
    }
}

/// Class name → transform.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    transforms: BTreeMap<String, Transform>,
}

/// What is wrong with `policy.yaml`.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not YAML, or not of the policy's shape.
    #[error("failed to parse `policy.yaml`")]
    Syntax(#[source] serde_norway::Error),
    /// A transform that does not exist.
    #[error(
        "failed to accept `policy.yaml`: class `{class}` has transform `{transform}`; \
         known: token, year, prefix:<n>, redact, drop, keep"
    )]
    UnknownTransform {
        /// The class.
        class: String,
        /// What stands there.
        transform: String,
    },
    /// A sensitive column nobody decided about.
    #[error(
        "failed to accept the lake: column `{table}.{column}` has class `{class}`, for which `policy.yaml` has no transform"
    )]
    Undecided {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Its class.
        class: String,
    },
    /// A transform that cannot work on a column's type.
    #[error(
        "failed to accept the lake: column `{table}.{column}` has type {found} and class `{class}`, whose transform in \
         `policy.yaml` works on {needed} only; `drop` and `keep` work on any type"
    )]
    WrongType {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Its class.
        class: String,
        /// Its type.
        found: ColumnType,
        /// The type the transform works on.
        needed: ColumnType,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[expect(dead_code, reason = "read to insist that it is there and is a number")]
    version: u32,
    classes: BTreeMap<String, ClassRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassRule {
    bronze: String,
    domain: Option<String>,
}

impl Policy {
    /// Reads `policy.yaml`.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = serde_norway::from_str(text).map_err(PolicyError::Syntax)?;
        let mut transforms = BTreeMap::new();
        for (class, rule) in file.classes {
            let transform = match rule.bronze.as_str() {
                "token" => Transform::Token { domain: rule.domain.unwrap_or_else(|| class.clone()) },
                "year" => Transform::Year,
                "redact" => Transform::Redact,
                "drop" => Transform::Drop,
                "keep" => Transform::Keep,
                other => match other.strip_prefix("prefix:").and_then(|n| n.parse().ok()) {
                    Some(n) => Transform::Prefix(n),
                    None => return Err(PolicyError::UnknownTransform { class, transform: other.to_owned() }),
                },
            };
            transforms.insert(class, transform);
        }
        Ok(Self { transforms })
    }

    /// The transform of a class; `None` when the policy does not know it.
    pub fn transform(&self, class: &str) -> Option<&Transform> {
        self.transforms.get(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_are_read_and_unknown_ones_refused() {
        let policy = Policy::from_yaml(
            "version: 1\nclasses:\n  email: {bronze: token}\n  contact: {bronze: token, domain: email}\n  cep: {bronze: 'prefix:3'}\n",
        )
        .expect("valid");
        assert_eq!(policy.transform("email"), Some(&Transform::Token { domain: "email".into() }));
        assert_eq!(policy.transform("contact"), policy.transform("email"));
        assert_eq!(policy.transform("cep"), Some(&Transform::Prefix(3)));
        assert_eq!(policy.transform("cpf"), None);
        let refused = Policy::from_yaml("version: 1\nclasses:\n  email: {bronze: md5}\n").expect_err("unknown");
        assert!(refused.to_string().contains("`md5`"));
    }
}
