//! Markdown for a repository or a job summary: a table of all runs, then what did not pass, then everything.
//!
//! GitHub's dialect. Cells and sentences are escaped so that a name full of pipes, stars or tags shows as it is written; errors
//! and commands stand in fences longer than any run of backticks inside them.

use super::sections::{Table, Totals, details, label, result_word, summary};
use crate::scenario::outcome::{ScenarioOutcome, ScenarioResult};

/// The outcomes as one Markdown page.
pub fn markdown(outcomes: &[ScenarioOutcome]) -> String {
    let mut page = format!("# Scenarios\n\n{}\n\n", Totals::of(outcomes).sentence());
    push_table(&summary(outcomes), &mut page);
    let not_passed: Vec<_> = outcomes.iter().filter(|outcome| outcome.result != ScenarioResult::Passed).collect();
    if !not_passed.is_empty() {
        page.push_str("\n## What did not pass\n");
        for outcome in not_passed {
            push_problem(outcome, &mut page);
        }
    }
    page.push_str("\n## All runs\n");
    for outcome in outcomes {
        push_details(outcome, &mut page);
    }
    page
}

/// What went wrong, and how to see it again.
fn push_problem(outcome: &ScenarioOutcome, page: &mut String) {
    page.push_str(&format!("\n### {}: {}\n\n", result_word(outcome.result), inline(&label(outcome))));
    page.push_str(&format!("Question: {}\n", inline(&outcome.question)));
    let unmet: Vec<_> =
        outcome.unmet().map(|unmet| vec![unmet.what.clone(), unmet.expected.clone(), unmet.found.clone()]).collect();
    if !unmet.is_empty() {
        page.push('\n');
        let head = ["not met", "expected", "found"].map(str::to_owned).to_vec();
        push_table(&Table { title: "", head, rows: unmet }, page);
    }
    if let Some(error) = &outcome.error {
        page.push('\n');
        push_fence("text", error, page);
    }
    page.push_str("\nRepeat it:\n\n");
    push_fence("sh", &outcome.repeat, page);
}

fn push_details(outcome: &ScenarioOutcome, page: &mut String) {
    page.push_str(&format!("\n### {}\n\n", inline(&label(outcome))));
    page.push_str(&format!("Question: {}\n\n", inline(&outcome.question)));
    page.push_str(&format!(
        "Result: {}. Judge: {}. Scale {}, backend {}.\n",
        result_word(outcome.result),
        inline(&outcome.verdict),
        outcome.scale,
        inline(&outcome.backend)
    ));
    for table in details(outcome) {
        page.push_str(&format!("\n**{}**\n\n", table.title));
        push_table(&table, page);
    }
    page.push('\n');
    push_fence("sh", &outcome.repeat, page);
}

fn push_table(table: &Table, page: &mut String) {
    let mut push_line = |cells: &mut dyn Iterator<Item = String>| {
        page.push('|');
        for cell in cells {
            page.push_str(&format!(" {cell} |"));
        }
        page.push('\n');
    };
    push_line(&mut table.head.iter().map(|cell| inline(cell)));
    push_line(&mut table.head.iter().map(|_| "---".to_owned()));
    for row in &table.rows {
        push_line(&mut row.iter().map(|cell| inline(cell)));
    }
}

fn push_fence(language: &str, text: &str, page: &mut String) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    page.push_str(&format!("{fence}{language}\n{}\n{fence}\n", printable(text, "\n").trim_end()));
}

/// Text on one line that Markdown shows as it is written.
fn inline(text: &str) -> String {
    let text = printable(text, " ");
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Inside a word an underscore marks nothing, and names read better without a backslash.
            '_' if before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric()) => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        before = c;
    }
    out
}

/// Line ends as `line_end`, tabs as spaces, other control characters as U+FFFD.
fn printable(text: &str, line_end: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\r' => out.push_str(line_end),
            '\t' => out.push(' '),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}
