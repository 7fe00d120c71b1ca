//! JSONPath as Step Functions uses it: members, indexes and `[*]`, from the input (`$`) or the context object (`$$`).
//!
//! Promises: a path is checked once, when its document is parsed; a path with `..`, a filter or a slice is refused there.
//! Writing (`ResultPath`) takes reference paths only, without wildcards, and makes the objects on its way.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    Index(i64),
    Wildcard,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    text: String,
    context: bool,
    steps: Vec<Step>,
}

impl Path {
    /// The whole input, `$`.
    pub(crate) fn root() -> Self {
        Self { text: "$".to_owned(), context: false, steps: Vec::new() }
    }

    /// Reads a path; the error says what is not supported.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (context, rest) = match (text.strip_prefix("$$"), text.strip_prefix('$')) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(format!("path `{text}` does not start with `$`")),
        };
        let steps = parse_steps(rest).map_err(|reason| format!("path `{text}`: {reason}"))?;
        Ok(Self { text: text.to_owned(), context, steps })
    }

    /// The path as written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the path can be written to: from the input, without wildcards.
    pub(crate) fn is_reference(&self) -> bool {
        !self.context && !self.steps.contains(&Step::Wildcard)
    }

    /// The value at this path. With a wildcard, an array of all values it stands for; `None` when there is nothing.
    pub(crate) fn select<'a>(&self, input: &'a Value, context: &'a Value) -> Option<Cow<'a, Value>> {
        let start = if self.context { context } else { input };
        if !self.steps.contains(&Step::Wildcard) {
            return self.steps.iter().try_fold(start, |at, step| child(at, step)).map(Cow::Borrowed);
        }
        let mut found = vec![start];
        for step in &self.steps {
            found = found.into_iter().flat_map(|at| children(at, step)).collect();
        }
        Some(Cow::Owned(Value::Array(found.into_iter().cloned().collect())))
    }

    /// Puts `value` at this path of `document`. Fails where a step would have to pass through something that is not an
    /// object, or beyond the end of an array.
    pub(crate) fn write(&self, mut document: Value, value: Value) -> Result<Value, String> {
        let mut at = &mut document;
        for step in &self.steps {
            at = match (step, at) {
                (Step::Member(name), slot @ Value::Null) => {
                    *slot = Value::Object(Map::new());
                    let made = slot.as_object_mut().expect("just made");
                    made.entry(name.clone()).or_insert(Value::Null)
                }
                (Step::Member(name), Value::Object(object)) => object.entry(name.clone()).or_insert(Value::Null),
                (Step::Index(index), Value::Array(array)) => {
                    let position = position(*index, array.len());
                    position
                        .and_then(|position| array.get_mut(position))
                        .ok_or_else(|| format!("`{}` is beyond the array", self.text))?
                }
                _ => return Err(format!("`{}` passes through a value that is not an object", self.text)),
            };
        }
        *at = value;
        Ok(document)
    }
}

fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

fn child<'a>(at: &'a Value, step: &Step) -> Option<&'a Value> {
    match (step, at) {
        (Step::Member(name), Value::Object(object)) => object.get(name),
        (Step::Index(index), Value::Array(array)) => array.get(position(*index, array.len())?),
        _ => None,
    }
}

fn children<'a>(at: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, at) {
        (Step::Wildcard, Value::Array(array)) => array.iter().collect(),
        (Step::Wildcard, Value::Object(object)) => object.values().collect(),
        (Step::Wildcard, _) => Vec::new(),
        (step, at) => child(at, step).into_iter().collect(),
    }
}

fn parse_steps(mut rest: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '.' if rest.starts_with('.') => return Err("`..` is not supported".to_owned()),
            '.' => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                steps.push(member(&rest[..end])?);
                rest = &rest[end..];
            }
            '[' => {
                let (step, after) = bracket(rest)?;
                steps.push(step);
                rest = after;
            }
            other => return Err(format!("expected `.` or `[`, found `{other}`")),
        }
    }
    Ok(steps)
}

fn member(name: &str) -> Result<Step, String> {
    match name {
        "" => Err("a member name is empty".to_owned()),
        "*" => Ok(Step::Wildcard),
        name if name.contains(|c: char| c.is_whitespace() || "()'\"?@,:".contains(c)) => {
            Err(format!("`{name}` must be written as `['{name}']`, or is not supported"))
        }
        name => Ok(Step::Member(name.to_owned())),
    }
}

fn bracket(rest: &str) -> Result<(Step, &str), String> {
    for quote in ['\'', '"'] {
        if let Some(inner) = rest.strip_prefix(quote) {
            let end = inner.find(quote).ok_or("a quoted member is not closed")?;
            let after = inner[end + 1..].strip_prefix(']').ok_or("`]` is missing after a quoted member")?;
            return Ok((Step::Member(inner[..end].to_owned()), after));
        }
    }
    let end = rest.find(']').ok_or("`]` is missing")?;
    let step = match &rest[..end] {
        "*" => Step::Wildcard,
        index => Step::Index(
            index
                .parse()
                .map_err(|_| format!("`[{index}]` is not supported, only an index, `*` or a quoted member"))?,
        ),
    };
    Ok((step, &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selects() {
        let input = json!({"a": {"b": [1, 2, {"c": 3}]}, "x y": 4, "rows": [{"s": "A"}, {"s": "B"}, {}]});
        let context = json!({"Execution": {"Name": "n"}});
        let cases = [
            ("$", Some(input.clone())),
            ("$.a.b[0]", Some(json!(1))),
            ("$.a.b[-1].c", Some(json!(3))),
            ("$['x y']", Some(json!(4))),
            ("$.a[\"b\"][1]", Some(json!(2))),
            ("$.rows[*].s", Some(json!(["A", "B"]))),
            ("$.none[*].s", Some(json!([]))),
            ("$$.Execution.Name", Some(json!("n"))),
            ("$.a.none", None),
            ("$.a.b[9]", None),
            ("$.a.b.c", None),
        ];
        for (path, expected) in cases {
            let selected = Path::parse(path).expect(path).select(&input, &context).map(Cow::into_owned);
            assert_eq!(selected, expected, "{path}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for path in ["a", "$a", "$..a", "$.a[?(@.b)]", "$.a[0:2]", "$.", "$.a[", "$['a", "$.a b", ""] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn writes_and_makes_objects_on_the_way() {
        let cases = [
            ("$", json!({"a": 1}), Ok(json!(9))),
            ("$.b", json!({"a": 1}), Ok(json!({"a": 1, "b": 9}))),
            ("$.b.c", json!({"a": 1}), Ok(json!({"a": 1, "b": {"c": 9}}))),
            ("$.a[1]", json!({"a": [1, 2]}), Ok(json!({"a": [1, 9]}))),
            ("$.a[2]", json!({"a": [1, 2]}), Err(())),
            ("$.a.b", json!({"a": 1}), Err(())),
            ("$.a", json!("text"), Err(())),
        ];
        for (path, document, expected) in cases {
            let written = Path::parse(path).expect(path).write(document, json!(9)).map_err(drop);
            assert_eq!(written, expected, "{path}");
        }
    }
}
