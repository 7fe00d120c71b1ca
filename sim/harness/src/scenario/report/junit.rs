//! JUnit XML, in the dialect that GitHub's test reporters, GitLab and Jenkins all read.
//!
//! One suite `lakebed`, one case for each scenario and seed: `classname`, `name`, `file` and `time`, with `failure` for unmet
//! expectations and `error` for runs that broke. What a person wants beside it stands in `properties` and `system-out`. There
//! is no timestamp, so the same outcomes give the same bytes. Characters that XML cannot hold become U+FFFD.

use std::fmt::Write as _;

use super::sections::{Totals, details, seconds};
use crate::scenario::outcome::{ScenarioOutcome, ScenarioResult};

/// Longest `message` attribute, in characters: what a list of tests still shows on one line.
const MESSAGE_CHARS_MAX: usize = 200;

/// The outcomes as one JUnit document.
pub fn junit(outcomes: &[ScenarioOutcome]) -> String {
    let totals = Totals::of(outcomes);
    let counts = format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="0" time="{}""#,
        outcomes.len(),
        totals.failed,
        totals.broken,
        seconds(totals.total_ms)
    );
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    put(&mut out, format_args!("<testsuites name=\"lakebed\" {counts}>\n"));
    put(&mut out, format_args!("  <testsuite name=\"lakebed\" id=\"0\" {counts}>\n"));
    for outcome in outcomes {
        write_case(outcome, &mut out);
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn write_case(outcome: &ScenarioOutcome, out: &mut String) {
    let name = format!("{} [seed {}]", outcome.name, outcome.seed);
    let attributes = [
        ("classname", "lakebed.scenarios".to_owned()),
        ("name", name),
        ("file", format!("scenarios/{}.toml", outcome.name)),
        ("time", seconds(outcome.total_ms)),
    ];
    out.push_str("    <testcase");
    write_attributes(&attributes, out);
    out.push_str(">\n      <properties>\n");
    for (name, value) in properties(outcome) {
        out.push_str("        <property");
        write_attributes(&[("name", name.to_owned()), ("value", value)], out);
        out.push_str("/>\n");
    }
    out.push_str("      </properties>\n");
    match outcome.result {
        ScenarioResult::Passed => {}
        ScenarioResult::Failed => write_problem("failure", "expectation", outcome, out),
        ScenarioResult::Broken => write_problem("error", "broken", outcome, out),
    }
    put(out, format_args!("      <system-out>{}</system-out>\n", escape(&plain_text(outcome), false)));
    out.push_str("    </testcase>\n");
}

fn properties(outcome: &ScenarioOutcome) -> Vec<(&'static str, String)> {
    vec![
        ("question", outcome.question.clone()),
        ("seed", outcome.seed.to_string()),
        ("scale", outcome.scale.to_string()),
        ("backend", outcome.backend.clone()),
        ("judge", outcome.verdict.clone()),
        ("repeat", outcome.repeat.clone()),
    ]
}

/// `<failure>` or `<error>`: one line as message; every unmet expectation, the error and the repeating command as text.
fn write_problem(element: &str, kind: &str, outcome: &ScenarioOutcome, out: &mut String) {
    let mut lines: Vec<String> = outcome
        .unmet()
        .map(|unmet| format!("{}: expected {}, found {}", unmet.what, unmet.expected, unmet.found))
        .collect();
    lines.extend(outcome.error.clone());
    let message = match lines.first() {
        Some(first) if first.chars().count() > MESSAGE_CHARS_MAX => {
            first.chars().take(MESSAGE_CHARS_MAX).chain(['…']).collect()
        }
        Some(first) => first.clone(),
        None => format!("the judge's word is {}", outcome.verdict),
    };
    lines.push(format!("repeat: {}", outcome.repeat));
    put(out, format_args!("      <{element}"));
    write_attributes(&[("message", message), ("type", kind.to_owned())], out);
    put(out, format_args!(">{}</{element}>\n", escape(&lines.join("\n"), false)));
}

/// The tables of the report as aligned plain text.
fn plain_text(outcome: &ScenarioOutcome) -> String {
    let mut text = format!("{}\n", outcome.question);
    for table in details(outcome) {
        put(&mut text, format_args!("\n{}\n", table.title));
        for row in &table.rows {
            let cells: Vec<String> =
                table.head.iter().zip(row).map(|(head, cell)| format!("{head}={}", one_line(cell))).collect();
            put(&mut text, format_args!("  {}\n", cells.join("  ")));
        }
    }
    put(&mut text, format_args!("\nrepeat: {}\n", outcome.repeat));
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn write_attributes(attributes: &[(&str, String)], out: &mut String) {
    for (name, value) in attributes {
        put(out, format_args!(" {name}=\"{}\"", escape(value, true)));
    }
}

/// Escapes text, and for attributes also line ends and tabs, which a parser would otherwise make spaces of.
fn escape(text: &str, attribute: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' | '\t' if !attribute => out.push(c),
            // A bare carriage return would be read back as a line feed, even in text.
            '\n' | '\t' | '\r' => put(&mut out, format_args!("&#{};", u32::from(c))),
            c if is_xml(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out
}

/// Whether XML 1.0 may hold the character. What is left out are control characters and the two that are no characters.
fn is_xml(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}
