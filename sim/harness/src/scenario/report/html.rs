//! One HTML page that needs nothing else: no script, no font, no picture, no network.
//!
//! Light and dark follow the reader's system. Every state is a word, never a colour alone, so the page also reads in a text
//! browser or on paper. A content security policy in the page itself keeps whatever stands in an outcome from loading or
//! running anything, beside the escaping that already does.

use lakebed_contract::event::Outcome;

use super::sections::{Table, Totals, details, invariant_names, label, outcome_word, result_word, summary};
use crate::scenario::outcome::{ScenarioOutcome, ScenarioResult};

const STYLE: &str = include_str!("style.css");

/// The outcomes as one HTML page.
pub fn html(outcomes: &[ScenarioOutcome]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>lakebed scenarios</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Scenarios</h1>\n<p>{}</p>\n",
        escape(&Totals::of(outcomes).sentence())
    );
    push_summary(outcomes, &mut page);
    push_grid(outcomes, &mut page);
    let not_passed: Vec<_> = outcomes.iter().filter(|outcome| outcome.result != ScenarioResult::Passed).collect();
    if !not_passed.is_empty() {
        page.push_str("<h2>What did not pass</h2>\n");
        for outcome in not_passed {
            push_problem(outcome, &mut page);
        }
    }
    page.push_str("<h2>All runs</h2>\n");
    for (at, outcome) in outcomes.iter().enumerate() {
        push_details(at, outcome, &mut page);
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// The table of all runs; each name leads to its details, each result is marked.
fn push_summary(outcomes: &[ScenarioOutcome], page: &mut String) {
    let table = summary(outcomes);
    open_table(&table.head, page);
    for (at, (row, outcome)) in table.rows.iter().zip(outcomes).enumerate() {
        page.push_str(&format!("<tr class=\"{}\">", outcome.result.as_str()));
        for (column, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            match column {
                0 => page.push_str(&format!("<td><a href=\"#run-{at}\">{cell}</a></td>")),
                2 => page.push_str(&format!("<td class=\"mark\">{cell}</td>")),
                _ => page.push_str(&format!("<td>{cell}</td>")),
            }
        }
        page.push_str("</tr>\n");
    }
    close_table(page);
}

/// The invariants: a line for each run, a column for each invariant.
fn push_grid(outcomes: &[ScenarioOutcome], page: &mut String) {
    let names = invariant_names(outcomes);
    if names.is_empty() {
        return;
    }
    page.push_str("<h2>Invariants</h2>\n");
    let head: Vec<String> = ["scenario"].iter().chain(&names).map(|name| (*name).to_owned()).collect();
    open_table(&head, page);
    for outcome in outcomes {
        page.push_str(&format!("<tr><th scope=\"row\">{}</th>", escape(&label(outcome))));
        for name in &names {
            match outcome.invariants.get(*name) {
                Some((word, why)) => page.push_str(&format!(
                    "<td class=\"light {}\" title=\"{}\">{}</td>",
                    light(*word),
                    escape(why),
                    outcome_word(*word)
                )),
                None => page.push_str("<td>–</td>"),
            }
        }
        page.push_str("</tr>\n");
    }
    close_table(page);
}

fn light(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "passed",
        Outcome::Fail => "failed",
        Outcome::Unchecked => "unchecked",
    }
}

fn push_problem(outcome: &ScenarioOutcome, page: &mut String) {
    page.push_str(&format!(
        "<section class=\"{}\">\n<h3><span class=\"mark\">{}</span> {}</h3>\n<p>{}</p>\n",
        outcome.result.as_str(),
        result_word(outcome.result),
        escape(&label(outcome)),
        escape(&outcome.question)
    ));
    let unmet: Vec<_> =
        outcome.unmet().map(|unmet| vec![unmet.what.clone(), unmet.expected.clone(), unmet.found.clone()]).collect();
    if !unmet.is_empty() {
        let head = ["not met", "expected", "found"].map(str::to_owned).to_vec();
        push_table(&Table { title: "", head, rows: unmet }, page);
    }
    if let Some(error) = &outcome.error {
        page.push_str(&format!("<pre>{}</pre>\n", escape(error)));
    }
    page.push_str(&format!("<p>Repeat it:</p>\n<pre>{}</pre>\n</section>\n", escape(&outcome.repeat)));
}

fn push_details(at: usize, outcome: &ScenarioOutcome, page: &mut String) {
    page.push_str(&format!(
        "<section id=\"run-{at}\" class=\"{}\">\n<h3>{}</h3>\n<p>{}</p>\n\
         <p>Result: <span class=\"mark\">{}</span>. Judge: {}. Scale {}, backend {}.</p>\n",
        outcome.result.as_str(),
        escape(&label(outcome)),
        escape(&outcome.question),
        result_word(outcome.result),
        escape(&outcome.verdict),
        outcome.scale,
        escape(&outcome.backend)
    ));
    for table in details(outcome) {
        page.push_str(&format!("<details><summary>{}</summary>\n", table.title));
        push_table(&table, page);
        page.push_str("</details>\n");
    }
    page.push_str(&format!("<pre>{}</pre>\n</section>\n", escape(&outcome.repeat)));
}

fn push_table(table: &Table, page: &mut String) {
    open_table(&table.head, page);
    for row in &table.rows {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        page.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    close_table(page);
}

fn open_table(head: &[String], page: &mut String) {
    let cells: String = head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell))).collect();
    page.push_str(&format!("<div class=\"wide\"><table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n"));
}

fn close_table(page: &mut String) {
    page.push_str("</tbody>\n</table></div>\n");
}

/// Escapes for text and quoted attributes alike; control characters become U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}
