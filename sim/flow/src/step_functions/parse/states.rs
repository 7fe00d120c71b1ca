//! Reads the states that cannot fail by trying: Pass, Choice, Wait, Fail.

use chrono::DateTime;

use super::super::choice::Rule;
use super::super::definition::{FailText, Fields, Kind, WaitFor};
use super::super::template::Expression;
use super::{ALWAYS, GOES_ON, PATHS, read_seconds};

pub(super) fn read_pass(fields: &Fields<'_>) -> Result<Kind, String> {
    fields.only(&[ALWAYS, GOES_ON, PATHS, &["Parameters", "Result", "ResultPath"]])?;
    Ok(Kind::Pass {
        parameters: fields.template("Parameters")?,
        result: fields.get("Result").cloned(),
        result_path: fields.result_path()?,
    })
}

pub(super) fn read_choice(fields: &Fields<'_>) -> Result<Kind, String> {
    fields.only(&[ALWAYS, PATHS, &["Choices", "Default"]])?;
    let mut rules = Vec::new();
    for choice in fields.list("Choices")? {
        let choice = Fields::of(choice, "a choice")?;
        rules.push((Rule::parse(choice.object)?, choice.required_text("Next")?.to_owned()));
    }
    if rules.is_empty() {
        return Err("`Choices` must hold at least one rule".to_owned());
    }
    Ok(Kind::Choice { rules, default: fields.text("Default")?.map(str::to_owned) })
}

pub(super) fn read_wait(fields: &Fields<'_>) -> Result<Kind, String> {
    let own = &["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    fields.only(&[ALWAYS, GOES_ON, PATHS, own])?;
    if own.iter().filter(|name| fields.get(name).is_some()).count() != 1 {
        return Err(format!("it needs exactly one of {}", own.join(", ")));
    }
    let wait = if let Some(seconds) = read_seconds(fields, "Seconds", "SecondsPath")? {
        WaitFor::Seconds(seconds)
    } else if let Some(path) = fields.path("TimestampPath")? {
        WaitFor::TimestampAt(path)
    } else {
        let text = fields.required_text("Timestamp")?;
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| format!("`Timestamp` `{text}` is not RFC 3339"))?;
        WaitFor::Timestamp(at)
    };
    Ok(Kind::Wait(wait))
}

pub(super) fn read_fail(fields: &Fields<'_>) -> Result<Kind, String> {
    fields.only(&[ALWAYS, &["Error", "ErrorPath", "Cause", "CausePath"]])?;
    let text = |fixed: &str, path: &str| match (fields.text(fixed)?, fields.text(path)?) {
        (Some(_), Some(_)) => Err(format!("`{fixed}` and `{path}` exclude each other")),
        (Some(text), None) => Ok(FailText::Fixed(text.to_owned())),
        (None, Some(text)) => {
            Expression::parse(text).map(FailText::Expression).map_err(|reason| format!("`{path}`: {reason}"))
        }
        (None, None) => Ok(FailText::None),
    };
    Ok(Kind::Fail { error: text("Error", "ErrorPath")?, cause: text("Cause", "CausePath")? })
}
