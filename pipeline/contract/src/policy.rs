//! The masking policy: which transform each PII class gets in each layer.
//!
//! `policy.yaml` gives each class a transform in bronze, before anything leaves `raw/`, and may coarsen it once more in silver; a
//! layer that is not named keeps what the layer before made. Deny by default: a class that a contract names and the policy does
//! not is an error when the lake is read, so no run can start with an unmasked class. Which classes exist is the policy's word
//! alone: a contract may use any name that stands here.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::table::{ColumnType, TableContract};
use crate::transform::WordError;
pub use crate::transform::{Excerpt, FPE_DOMAIN_MIN, Layer, Shape, Transform};

/// The word with which a contract says that a column has no class.
pub(crate) const NO_CLASS: &str = "public";

/// Class name → transforms.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    classes: BTreeMap<String, Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    bronze: Transform,
    silver: Transform,
}

/// What is wrong with `policy.yaml`.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not YAML, or not of the policy's shape.
    #[error("failed to parse `policy.yaml`")]
    Syntax(#[source] serde_norway::Error),
    /// Written for another lakebed.
    #[error("failed to accept `policy.yaml`: version {0} is not known; known: 1")]
    Version(u32),
    /// A transform that does not exist.
    #[error(
        "failed to accept `policy.yaml`: class `{class}` has transform `{transform}` in {layer}; known: token, fpe, \
         partial, year, band:<n>y, month, day, prefix:<n>, redact, drop, keep"
    )]
    UnknownTransform {
        /// The class.
        class: String,
        /// Where.
        layer: Layer,
        /// What stands there.
        transform: String,
    },
    /// A transform that cannot be done as it is written.
    #[error("failed to accept `policy.yaml`: class `{class}` in {layer}: {reason}")]
    Refused {
        /// The class.
        class: String,
        /// Where.
        layer: Layer,
        /// Why, and what is allowed.
        reason: String,
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
        "failed to accept the lake: column `{table}.{column}` has type {found} and class `{class}`, whose transform \
         `{transform}` in `policy.yaml` works on {needed} only; `drop` and `keep` work on any type"
    )]
    WrongType {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Its class.
        class: Box<str>,
        /// The transform's word.
        transform: Box<str>,
        /// Its type.
        found: ColumnType,
        /// The types the transform works on.
        needed: Box<str>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    version: u32,
    classes: BTreeMap<String, ClassRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassRule {
    bronze: String,
    domain: Option<String>,
    silver: Option<String>,
    gold: Option<String>,
}

impl Policy {
    /// Reads `policy.yaml`.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = serde_norway::from_str(text).map_err(PolicyError::Syntax)?;
        if file.version != 1 {
            return Err(PolicyError::Version(file.version));
        }
        let mut classes = BTreeMap::new();
        for (class, rule) in file.classes {
            let rule = rule.read(&class)?;
            classes.insert(class, rule);
        }
        Ok(Self { classes })
    }

    /// The transform of a class on its way into bronze; `None` when the policy does not know it.
    pub fn transform(&self, class: &str) -> Option<&Transform> {
        self.transform_at(Layer::Bronze, class)
    }

    /// What a layer does with the values of a class as the layer before left them; `None` when the policy does not know it.
    pub fn transform_at(&self, layer: Layer, class: &str) -> Option<&Transform> {
        let rule = self.classes.get(class)?;
        Some(match layer {
            Layer::Bronze => &rule.bronze,
            Layer::Silver => &rule.silver,
            Layer::Gold => &Transform::Keep,
        })
    }

    /// Each class of a table has a transform, and one that can work on the column's type in every layer.
    pub fn check(&self, table: &TableContract) -> Result<(), PolicyError> {
        for column in &table.columns {
            let Some(class) = &column.class else { continue };
            for layer in [Layer::Bronze, Layer::Silver, Layer::Gold] {
                let Some(transform) = self.transform_at(layer, class) else {
                    return Err(PolicyError::Undecided {
                        table: table.name.clone(),
                        column: column.name.clone(),
                        class: class.clone(),
                    });
                };
                if !transform.fits(column.column_type) {
                    return Err(PolicyError::WrongType {
                        table: table.name.clone(),
                        column: column.name.clone(),
                        class: class.as_str().into(),
                        transform: transform.to_string().into(),
                        found: column.column_type,
                        needed: transform.needs().into(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl ClassRule {
    fn read(self, class: &str) -> Result<Rule, PolicyError> {
        let refused = |layer: Layer, reason: &str| PolicyError::Refused {
            class: class.to_owned(),
            layer,
            reason: reason.to_owned(),
        };
        if class == NO_CLASS {
            let reason = "in a contract this word says that a column has no class, so no transform would ever be applied \
                          to it; call the class something else";
            return Err(refused(Layer::Bronze, reason));
        }
        let read = |layer: Layer, word: &str| {
            Transform::parse(word, class, self.domain.as_deref().unwrap_or(class)).map_err(|error| match error {
                WordError::Unknown => {
                    PolicyError::UnknownTransform { class: class.to_owned(), layer, transform: word.to_owned() }
                }
                WordError::Refused(reason) => refused(layer, &reason),
            })
        };
        let bronze = read(Layer::Bronze, &self.bronze)?;
        if self.domain.is_some() && !matches!(bronze, Transform::Token { .. } | Transform::Fpe { .. }) {
            return Err(refused(
                Layer::Bronze,
                "`domain` separates the values of `token` and `fpe`; it means nothing here",
            ));
        }
        let silver = self.silver.as_deref().map_or(Ok(Transform::Keep), |word| read(Layer::Silver, word))?;
        if !silver.needs_no_key() {
            let reason =
                "values are masked before they get here; allowed: drop, keep, prefix:<n>, year, band:<n>y, month, day";
            return Err(refused(Layer::Silver, reason));
        }
        if self.gold.is_some() {
            let reason = "transforms are applied in bronze and silver only; leave the column out of the gold SQL, or \
                          coarsen it in silver";
            return Err(refused(Layer::Gold, reason));
        }
        Ok(Rule { bronze, silver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(classes: &str) -> Result<Policy, PolicyError> {
        Policy::from_yaml(&format!("version: 1\nclasses: {{{classes}}}\n"))
    }

    #[test]
    fn transforms_are_read_and_unknown_ones_refused() {
        let policy =
            policy("email: {bronze: token}, contact: {bronze: token, domain: email}, cep: {bronze: 'prefix:3'}")
                .expect("valid");
        assert_eq!(policy.transform("email"), Some(&Transform::Token { domain: "email".into() }));
        assert_eq!(policy.transform("contact"), policy.transform("email"));
        assert_eq!(policy.transform("cep"), Some(&Transform::Prefix(3)));
        assert_eq!(policy.transform("cpf"), None);
        assert_eq!(policy.transform_at(Layer::Silver, "cpf"), None);
    }

    #[test]
    fn a_layer_that_is_not_named_keeps_what_it_gets() {
        let policy = policy(
            "birth_date: {bronze: month, silver: 'band:5y'}, cpf: {bronze: fpe, domain: person}, note: {bronze: redact}",
        )
        .expect("valid");
        let at = |layer, class| policy.transform_at(layer, class).map(Transform::to_string);
        assert_eq!(at(Layer::Bronze, "birth_date").as_deref(), Some("month"));
        assert_eq!(at(Layer::Silver, "birth_date").as_deref(), Some("band:5y"));
        assert_eq!(at(Layer::Gold, "birth_date").as_deref(), Some("keep"));
        assert_eq!(at(Layer::Silver, "note").as_deref(), Some("keep"));
        let fpe = Transform::Fpe { domain: "person".into(), shape: Shape::Cpf };
        assert_eq!(policy.transform("cpf"), Some(&fpe));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_a_sentence() {
        let check = |classes: &str, says: &str| {
            let refused = policy(classes).expect_err(classes).to_string();
            assert!(refused.contains(says), "{classes}: {refused}");
        };
        check("email: {bronze: md5}", "`md5` in bronze; known: token, fpe");
        check("email: {bronze: fpe}", "class `email` in bronze: `fpe` does not know the shape");
        check("zip: {bronze: 'fpe:digits:5'}", "fewer than 1000000 values");
        check("email: {bronze: drop, domain: x}", "`domain` separates");
        check("email: {bronze: token, silver: token}", "class `email` in silver: values are masked before");
        check("note: {bronze: keep, silver: redact}", "in silver: values are masked before");
        check(
            "public: {bronze: drop}",
            "class `public` in bronze: in a contract this word says that a column has no class",
        );
        check("email: {bronze: 'prefix:17'}", "`prefix` takes 0 to 16 characters");
        check("birth_date: {bronze: year, gold: drop}", "in gold: transforms are applied in bronze and silver only");
        let parse = |text: &str| Policy::from_yaml(text).expect_err(text).to_string();
        assert!(parse("version: 2\nclasses: {}\n").contains("version 2 is not known"));
        assert!(parse("version: 1\nclasses: {email: {silver: drop}}\n").contains("failed to parse"));
        assert!(parse("version: 1\nclasses: {email: {bronze: drop, brass: drop}}\n").contains("failed to parse"));
    }

    #[test]
    fn columns_are_checked_in_every_layer() {
        let contract = |physical: &str, class: &str| {
            crate::odcs::read(
                "t.yaml",
                &include_str!("../../beer/contracts/beer.yaml").replacen(
                    "physicalType: numeric(4,1)",
                    &format!("physicalType: {physical}\n        classification: {class}"),
                    1,
                ),
            )
            .expect("a contract")
        };
        let policy = policy("birth: {bronze: keep, silver: year}, seen: {bronze: day}, any_name: {bronze: drop}")
            .expect("valid");
        policy.check(&contract("date", "birth")).expect("year of a date");
        policy.check(&contract("timestamptz", "birth")).expect("year of an instant");
        policy.check(&contract("numeric(4,1)", "any_name")).expect("classes are the policy's word");
        let refused =
            |physical: &str, class: &str| policy.check(&contract(physical, class)).expect_err("refused").to_string();
        assert!(refused("text", "birth").contains("transform `year`"));
        assert!(refused("date", "seen").contains("works on timestamptz only"));
        assert!(refused("text", "driver_licence").contains("class `driver_licence`, for which `policy.yaml` has no"));
    }
}
