//! Payload templates: `Parameters`, `ItemSelector` and `ResultSelector`, whose `name.$` fields are paths or calls.
//!
//! Promises: parsed once; every path and call inside is checked then. Objects inside arrays are templates too.

use std::sync::Mutex;

use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::intrinsics::Call;
use super::path::Path;

/// What a template or choice is evaluated against.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// `$`
    pub(crate) input: &'a Value,
    /// `$$`
    pub(crate) context: &'a Value,
    /// Source of `States.UUID`.
    pub(crate) rng: &'a Mutex<ChaCha8Rng>,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Template {
    Literal(Value),
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
    Expression(Expression),
}

/// The value of a `name.$` field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Path(Path),
    Call(Call),
}

impl Expression {
    /// Reads a path or an intrinsic function call.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('$') { Path::parse(text).map(Self::Path) } else { Call::parse(text).map(Self::Call) }
    }

    /// Its value in `scope`.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Fault> {
        match self {
            Self::Path(path) => path
                .select(scope.input, scope.context)
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(|| Fault::new("States.ParameterPathFailure", format!("nothing is at `{}`", path.text()))),
            Self::Call(call) => call.evaluate(scope).map_err(|cause| Fault::new("States.IntrinsicFailure", cause)),
        }
    }
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Object(object) => {
                let mut members = Vec::with_capacity(object.len());
                for (name, value) in object {
                    members.push(match name.strip_suffix(".$") {
                        None => (name.clone(), Self::parse(value)?),
                        Some(bare) => {
                            let text = value.as_str().ok_or_else(|| format!("field `{name}` must be a string"))?;
                            let expression =
                                Expression::parse(text).map_err(|reason| format!("field `{name}`: {reason}"))?;
                            (bare.to_owned(), Self::Expression(expression))
                        }
                    });
                }
                Ok(Self::Object(members))
            }
            Value::Array(items) => items.iter().map(Self::parse).collect::<Result<_, _>>().map(Self::Array),
            literal => Ok(Self::Literal(literal.clone())),
        }
    }

    /// Names of the top-level fields; empty when the template is no object.
    pub(crate) fn field_names(&self) -> impl Iterator<Item = &str> {
        let members = if let Self::Object(members) = self { members.as_slice() } else { &[] };
        members.iter().map(|(name, _)| name.as_str())
    }

    /// Fills the template.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Fault> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(scope),
            Self::Array(items) => {
                items.iter().map(|item| item.evaluate(scope)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Object(members) => {
                let mut object = Map::new();
                for (name, template) in members {
                    object.insert(name.clone(), template.evaluate(scope)?);
                }
                Ok(Value::Object(object))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Seed;
    use serde_json::json;

    #[test]
    fn fills_fields_at_any_depth() {
        let template =
            json!({"a": 1, "b.$": "$.x", "c": [{"d.$": "States.JsonToString($)"}, "$.x"], "e": {"f.$": "$$.n"}});
        let (input, context, rng) = (json!({"x": 2}), json!({"n": 3}), Mutex::new(Seed(7).rng("test")));
        let filled =
            Template::parse(&template).expect("valid").evaluate(&Scope { input: &input, context: &context, rng: &rng });
        assert_eq!(filled.expect("fills"), json!({"a": 1, "b": 2, "c": [{"d": "{\"x\":2}"}, "$.x"], "e": {"f": 3}}));
    }

    #[test]
    fn refuses_bad_fields() {
        for template in [json!({"a.$": 1}), json!({"a.$": "x"}), json!([{"a.$": "$["}])] {
            assert!(Template::parse(&template).is_err(), "{template}");
        }
    }
}
