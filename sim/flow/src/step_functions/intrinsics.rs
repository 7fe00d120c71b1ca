//! Intrinsic functions: `States.Format('…{}…', $.x)` and the few others a `.$` field may call.
//!
//! Promises: name and number of arguments are checked when the document is parsed; UUIDs come from the execution's
//! seeded generator. A function that is not in [`Function`] is refused by name.

use lakebed_contract::seed::uuid_from;
use serde_json::{Number, Value};

use super::path::Path;
use super::template::Scope;

/// Calls may be nested this deep, as on AWS.
pub(crate) const NESTING_MAX: usize = 10;

/// The functions there are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Format,
    StringToJson,
    JsonToString,
    Array,
    ArrayContains,
    ArrayLength,
    ArrayGetItem,
    MathAdd,
    Uuid,
}

const FUNCTIONS: [(&str, Function, std::ops::RangeInclusive<usize>); 9] = [
    ("States.Format", Function::Format, 1..=usize::MAX),
    ("States.StringToJson", Function::StringToJson, 1..=1),
    ("States.JsonToString", Function::JsonToString, 1..=1),
    ("States.Array", Function::Array, 0..=usize::MAX),
    ("States.ArrayContains", Function::ArrayContains, 2..=2),
    ("States.ArrayLength", Function::ArrayLength, 1..=1),
    ("States.ArrayGetItem", Function::ArrayGetItem, 2..=2),
    ("States.MathAdd", Function::MathAdd, 2..=2),
    ("States.UUID", Function::Uuid, 0..=0),
];

/// A call with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    name: &'static str,
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug, PartialEq)]
enum Argument {
    /// Between the quotes, escapes untouched.
    Text(String),
    Literal(Value),
    Path(Path),
    Call(Call),
}

impl Call {
    /// Reads a call; the error names the function or the character that is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (call, rest) = parse_call(text.trim(), 1)?;
        if rest.trim().is_empty() { Ok(call) } else { Err(format!("`{rest}` follows the call of `{}`", call.name)) }
    }

    /// Calls the function; the error becomes the cause of a `States.IntrinsicFailure`.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, String> {
        if self.function == Function::Format {
            return self.format(scope);
        }
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            arguments.push(self.argument(argument, scope)?);
        }
        let fails = |reason: &str| Err(format!("{} {reason}", self.name));
        match (self.function, arguments.as_slice()) {
            (Function::Array, _) => Ok(Value::Array(arguments)),
            (Function::Uuid, _) => {
                let mut rng = scope.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(Value::String(uuid_from(&mut *rng).to_string()))
            }
            (Function::JsonToString, [value]) => Ok(Value::String(value.to_string())),
            (Function::StringToJson, [Value::String(text)]) => {
                serde_json::from_str(text).or_else(|_| fails("was given a string that is not JSON"))
            }
            (Function::ArrayContains, [Value::Array(array), wanted]) => Ok(Value::Bool(array.contains(wanted))),
            (Function::ArrayLength, [Value::Array(array)]) => Ok(Value::from(array.len())),
            (Function::ArrayGetItem, [Value::Array(array), Value::Number(index)]) => index
                .as_u64()
                .and_then(|index| array.get(usize::try_from(index).ok()?))
                .cloned()
                .map_or_else(|| fails("was given an index beyond the array"), Ok),
            (Function::MathAdd, [Value::Number(left), Value::Number(right)]) => left
                .as_i64()
                .zip(right.as_i64())
                .and_then(|(left, right)| left.checked_add(right))
                .map_or_else(|| fails("takes whole numbers"), |sum| Ok(Value::from(sum))),
            _ => fails("was given an argument of the wrong type"),
        }
    }

    fn argument(&self, argument: &Argument, scope: &Scope<'_>) -> Result<Value, String> {
        match argument {
            Argument::Text(raw) => Ok(Value::String(unescape(raw))),
            Argument::Literal(value) => Ok(value.clone()),
            Argument::Path(path) => path
                .select(scope.input, scope.context)
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(|| format!("{}: nothing is at `{}`", self.name, path.text())),
            Argument::Call(call) => call.evaluate(scope),
        }
    }

    fn format(&self, scope: &Scope<'_>) -> Result<Value, String> {
        let (first, values) = self.arguments.split_first().expect("Format takes at least one argument");
        let template = match first {
            Argument::Text(raw) => raw.clone(),
            other => match self.argument(other, scope)? {
                Value::String(text) => text,
                _ => return Err("States.Format takes a string first".to_owned()),
            },
        };
        let mut values = values.iter();
        let mut text = String::new();
        let mut chars = template.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.extend(chars.next()),
                '{' if chars.peek() == Some(&'}') => {
                    chars.next();
                    let value = values.next().ok_or("States.Format has more `{}` than values")?;
                    match self.argument(value, scope)? {
                        Value::String(value) => text.push_str(&value),
                        value => text.push_str(&value.to_string()),
                    }
                }
                c => text.push(c),
            }
        }
        if values.next().is_some() {
            return Err("States.Format has more values than `{}`".to_owned());
        }
        Ok(Value::String(text))
    }
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { text.extend(chars.next()) } else { text.push(c) }
    }
    text
}

fn parse_call(text: &str, depth: usize) -> Result<(Call, &str), String> {
    if depth > NESTING_MAX {
        return Err(format!("intrinsic functions are nested more than {NESTING_MAX} deep"));
    }
    let (name, mut rest) = text.split_once('(').ok_or_else(|| format!("`{text}` is no path and no function call"))?;
    let name = name.trim();
    let (name, function, arity) = FUNCTIONS
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| format!("intrinsic function `{name}` is not supported"))?;
    let mut arguments = Vec::new();
    rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix(')') {
        rest = after;
    } else {
        loop {
            let (argument, after) = parse_argument(rest.trim_start(), depth)?;
            arguments.push(argument);
            let after = after.trim_start();
            match (after.strip_prefix(','), after.strip_prefix(')')) {
                (Some(after), _) => rest = after,
                (None, Some(after)) => {
                    rest = after;
                    break;
                }
                (None, None) => return Err(format!("`,` or `)` is missing in the call of `{name}`")),
            }
        }
    }
    if !arity.contains(&arguments.len()) {
        return Err(format!("`{name}` does not take {} arguments", arguments.len()));
    }
    Ok((Call { name, function: *function, arguments }, rest))
}

fn parse_argument(text: &str, depth: usize) -> Result<(Argument, &str), String> {
    if let Some(inner) = text.strip_prefix('\'') {
        let end = closing_quote(inner).ok_or("a string in an intrinsic function is not closed")?;
        return Ok((Argument::Text(inner[..end].to_owned()), &inner[end + 1..]));
    }
    if text.starts_with("States.") {
        let (call, rest) = parse_call(text, depth + 1)?;
        return Ok((Argument::Call(call), rest));
    }
    let end = argument_end(text);
    let (word, rest) = (text[..end].trim(), &text[end..]);
    let argument = match word {
        path if path.starts_with('$') => Argument::Path(Path::parse(path)?),
        "true" => Argument::Literal(Value::Bool(true)),
        "false" => Argument::Literal(Value::Bool(false)),
        "null" => Argument::Literal(Value::Null),
        number => Argument::Literal(Value::Number(
            serde_json::from_str::<Number>(number).map_err(|_| format!("`{word}` is no argument"))?,
        )),
    };
    Ok((argument, rest))
}

/// Where an unquoted argument ends: at `,` or `)` outside brackets and their quotes.
fn argument_end(text: &str) -> usize {
    let (mut in_brackets, mut quoted) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' if in_brackets => quoted = !quoted,
            '[' if !quoted => in_brackets = true,
            ']' if !quoted => in_brackets = false,
            ',' | ')' if !in_brackets => return at,
            _ => (),
        }
    }
    text.len()
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => return Some(at),
            _ => (),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Seed;
    use serde_json::json;
    use std::sync::Mutex;

    fn evaluate(text: &str, input: &Value) -> Result<Value, String> {
        let rng = Mutex::new(Seed(7).rng("test"));
        Call::parse(text)?.evaluate(&Scope { input, context: &json!({"Execution": {"Name": "run"}}), rng: &rng })
    }

    #[test]
    fn calls() {
        let input =
            json!({"name": "Ana", "n": 3, "list": [{"s": "OK"}, {"s": "FAILED"}], "text": "{\"a\":1}", "k,x)": 5});
        let cases = [
            ("States.Format('Hello {}, {}', $.name, $.n)", json!("Hello Ana, 3")),
            (r"States.Format('it\'s \{\} {}', $.name)", json!("it's {} Ana")),
            ("States.Format('{}', States.JsonToString($.list[0]))", json!("{\"s\":\"OK\"}")),
            ("States.StringToJson($.text)", json!({"a": 1})),
            ("States.JsonToString($.n)", json!("3")),
            ("States.Array(1, 'a', true, null, $.n)", json!([1, "a", true, null, 3])),
            ("States.Array()", json!([])),
            ("States.Array($['k,x)'], 1)", json!([5, 1])),
            ("States.ArrayContains($.list[*].s, 'FAILED')", json!(true)),
            ("States.ArrayContains($.list[*].s, 'x')", json!(false)),
            ("States.ArrayLength($.list)", json!(2)),
            ("States.ArrayGetItem($.list[*].s, 0)", json!("OK")),
            ("States.MathAdd($.n, -1)", json!(2)),
            ("States.Format('{}', $$.Execution.Name)", json!("run")),
        ];
        for (text, expected) in cases {
            assert_eq!(evaluate(text, &input), Ok(expected), "{text}");
        }
    }

    #[test]
    fn uuids_come_from_the_generator() {
        let input = json!({});
        assert_eq!(evaluate("States.UUID()", &input), evaluate("States.UUID()", &input));
        let uuid = evaluate("States.UUID()", &input).expect("a uuid");
        assert_eq!(uuid.as_str().map(str::len), Some(36));
    }

    #[test]
    fn refusals() {
        let input = json!({"a": "not json"});
        for text in [
            "States.Base64Encode('x')",
            "States.UUID(1)",
            "States.Array(1",
            "States.Array('x)",
            "States.Array(abc)",
            "States.Array(1) x",
            "States.StringToJson($.a)",
            "States.StringToJson($.none)",
            "States.Format('{}')",
            "States.Format('x', 1)",
            "States.ArrayLength('x')",
            "Hello",
        ] {
            assert!(evaluate(text, &input).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "States.Array(".repeat(11), ")".repeat(11));
        assert!(Call::parse(&deep).is_err());
    }
}
