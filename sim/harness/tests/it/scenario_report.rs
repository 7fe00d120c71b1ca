//! Scenario reports: what each format says of runs that passed, failed and broke, whatever characters stand in them.

use std::collections::BTreeMap;

use lakebed_contract::MaskedColumn;
use lakebed_contract::event::Outcome;
use lakebed_harness::scenario::outcome::{Expectation, FaultTally, ScenarioOutcome, ScenarioResult, StepTiming};
use lakebed_harness::scenario::report::{html, junit, markdown, write_report};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Characters that some format gives a meaning, or cannot hold.
const NASTY: &str =
    "a|b *c* `d` _e_ <script>alert('x')</script> & \"q\" ]]> \u{1}\u{1b}[31m \\ ~~f~~\r\n# ünï\t\u{fffe}";

fn counts(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
    entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn expectation(what: &str, expected: &str, found: &str) -> Expectation {
    let [what, expected, found] = [what, expected, found].map(str::to_owned);
    Expectation { met: expected == found, what, expected, found }
}

fn masked(table: &str, column: &str, class: &str, transform: &str, found: &[(&str, u64)]) -> MaskedColumn {
    let [table, column, class, transform] = [table, column, class, transform].map(str::to_owned);
    MaskedColumn { table, column, class, transform, values: 350, masked: 21, unshaped: 0, findings: counts(found) }
}

fn passed() -> ScenarioOutcome {
    ScenarioOutcome {
        name: "0004-firehose-duplicates".into(),
        question: "Does a duplicated Firehose object change silver or gold?".into(),
        seed: 7,
        scale: 0.002,
        backend: "embedded".into(),
        result: ScenarioResult::Passed,
        verdict: "pass".into(),
        invariants: (1..=10).map(|n| (format!("I{n}"), (Outcome::Pass, format!("holds for {n} tables")))).collect(),
        expectations: vec![expectation("verdict", "pass", "pass"), expectation("silver.review.rows", "317", "317")],
        faults: vec![FaultTally {
            stage: "firehose".into(),
            operation: "put_object".into(),
            kind: "deliver_twice".into(),
            offered: 12,
            struck: 3,
        }],
        steps: vec![StepTiming { step: "load".into(), ms: 1_204 }, StepTiming { step: "changes".into(), ms: 87 }],
        rows: BTreeMap::from([
            ("silver".to_owned(), counts(&[("review", 317), ("beer", 13)])),
            ("bronze".to_owned(), counts(&[("review", 350), ("beer", 13)])),
            ("gold".to_owned(), counts(&[("top_drinkers", 40)])),
        ]),
        masking: vec![
            masked("profile", "email", "email", "token", &[]),
            masked("review", "comment", "free_text", "redact", &[("EMAIL", 17), ("PHONE", 5)]),
        ],
        digests: [("bronze", "b0"), ("silver", "51"), ("gold", "60")].map(|(k, v)| (k.to_owned(), v.repeat(32))).into(),
        total_ms: 3_050,
        repeat: "lakebed run scenarios/0004-firehose-duplicates.toml --seed 7".into(),
        error: None,
    }
}

fn failed() -> ScenarioOutcome {
    let mut outcome = ScenarioOutcome {
        name: "0011-nasty".into(),
        question: NASTY.into(),
        seed: 8,
        result: ScenarioResult::Failed,
        verdict: "fail".into(),
        expectations: vec![
            expectation("gold.same_as", "0001-main", "another digest"),
            expectation(NASTY, "0", "2"),
            expectation("clear_values_found", "0", "0"),
        ],
        faults: Vec::new(),
        repeat: format!("lakebed run '{NASTY}' --seed 8"),
        ..passed()
    };
    outcome.invariants.insert("I8".into(), (Outcome::Fail, NASTY.into()));
    outcome.invariants.insert("I9".into(), (Outcome::Unchecked, "no slot".into()));
    outcome
}

fn broken() -> ScenarioOutcome {
    ScenarioOutcome {
        name: "0012-broken".into(),
        seed: 9,
        result: ScenarioResult::Broken,
        verdict: "none".into(),
        invariants: BTreeMap::new(),
        expectations: Vec::new(),
        steps: Vec::new(),
        rows: BTreeMap::new(),
        masking: Vec::new(),
        digests: BTreeMap::new(),
        total_ms: 12,
        error: Some("failed to start PostgreSQL\ncaused by: ```no space``` left on device <disk>".into()),
        ..passed()
    }
}

fn all() -> [ScenarioOutcome; 3] {
    [passed(), failed(), broken()]
}

#[test]
fn each_format_shows_what_passed_failed_and_broke() {
    insta::assert_snapshot!("scenario_report_markdown", markdown(&all()));
    insta::assert_snapshot!("scenario_report_html", html(&all()));
    insta::assert_snapshot!("scenario_report_junit", junit(&all()));
}

#[test]
fn a_report_of_nothing_and_one_of_passes_say_so() {
    for outcomes in [&[][..], &[passed()]] {
        let page = markdown(outcomes);
        assert!(page.contains(&format!("{} run: {} passed, 0 failed", outcomes.len(), outcomes.len())), "{page}");
        assert!(!page.contains("did not pass") && !html(outcomes).contains("did not pass"));
        assert_eq!(
            elements(&junit(outcomes)).iter().filter(|element| element.name == "testcase").count(),
            outcomes.len()
        );
    }
}

/// An element as a reader of the XML sees it.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
}

fn element(start: &BytesStart<'_>) -> Element {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.expect("a well-formed attribute");
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).expect("known entities");
        (attribute.key.0.to_owned(), value.into_owned())
    });
    Element { name: start.name().0.to_owned(), attributes: attributes.collect(), text: String::new() }
}

/// The elements in the order of their start tags, each with the text that follows its own tag.
fn elements(xml: &str) -> Vec<Element> {
    assert!(xml.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "a character XML cannot hold");
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut found, mut depth): (Vec<Element>, i32) = (Vec::new(), 0);
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(start) => {
                depth += 1;
                found.push(element(&start));
            }
            Event::Empty(start) => found.push(element(&start)),
            Event::End(_) => depth -= 1,
            Event::Text(text) => {
                if let Some(last) = found.last_mut() {
                    last.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let text = match reference.resolve_char_ref().expect("a valid reference") {
                    Some(c) => c.to_string(),
                    None => resolve_xml_entity(&reference).expect("a known entity").to_owned(),
                };
                found.last_mut().expect("inside an element").text.push_str(&text);
            }
            Event::Eof => break,
            Event::Decl(_) => {}
            other => panic!("nothing else belongs in a report: {other:?}"),
        }
    }
    assert_eq!(depth, 0, "every element is closed");
    found
}

#[test]
fn junit_is_xml_that_keeps_what_xml_can_hold() {
    let found = elements(&junit(&all()));
    let named = |name: &str| found.iter().filter(move |element| element.name == name).collect::<Vec<_>>();
    let suite = named("testsuite")[0];
    for (attribute, value) in
        [("name", "lakebed"), ("tests", "3"), ("failures", "1"), ("errors", "1"), ("skipped", "0"), ("time", "6.112")]
    {
        assert_eq!(suite.attributes[attribute], value, "{attribute}");
    }
    let cases = named("testcase");
    assert_eq!(cases.len(), 3);
    assert_eq!(cases[0].attributes["name"], "0004-firehose-duplicates [seed 7]");
    assert_eq!(cases[0].attributes["time"], "3.050");
    assert_eq!(cases[0].attributes["file"], "scenarios/0004-firehose-duplicates.toml");

    let readable: String =
        NASTY.chars().map(|c| if matches!(c, '\u{1}' | '\u{1b}' | '\u{fffe}') { '\u{fffd}' } else { c }).collect();
    let failure = named("failure")[0];
    assert_eq!(failure.attributes["message"], "gold.same_as: expected 0001-main, found another digest");
    assert!(failure.text.contains(&format!("{readable}: expected 0, found 2")), "{}", failure.text);
    assert!(failure.text.contains(&format!("repeat: lakebed run '{readable}' --seed 8")));
    assert!(!failure.text.contains("clear_values_found"), "a met expectation is no failure");
    let questions: Vec<_> =
        named("property").into_iter().filter(|property| property.attributes["name"] == "question").collect();
    assert_eq!(questions[1].attributes["value"], readable);

    let error = named("error")[0];
    assert!(error.attributes["message"].starts_with("failed to start PostgreSQL"));
    assert!(error.text.contains("```no space``` left on device <disk>"));
}

#[test]
fn html_needs_nothing_and_runs_nothing() {
    let page = html(&all());
    for forbidden in ["<script", "<link", "<img", "src=", "http:", "https:", "url(", "@import", "\u{1b}"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let opened = |tag: &str| page.matches(&format!("<{tag}")).count() - page.matches(&format!("<{tag}ead")).count();
    for tag in ["table", "section", "details", "tr", "td", "th", "pre", "div", "span"] {
        assert_eq!(opened(tag), page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(page.len() < 40_000, "{}", page.len());
}

#[test]
fn markdown_tables_keep_their_columns() {
    let mut columns = 0;
    let mut fenced = false;
    for line in markdown(&all()).lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced || !line.starts_with('|') {
            columns = 0;
            continue;
        }
        let cells = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        assert!(columns == 0 || columns == cells, "{line}");
        columns = cells;
    }
    assert!(!fenced, "a fence stays open");
}

#[test]
fn a_report_folder_holds_all_formats_and_is_replaced_whole() {
    let folder = tempfile::tempdir().expect("temp dir");
    let report = folder.path().join("reports/today");
    write_report(&report, &all()).expect("writes");
    std::fs::write(report.join("mine.txt"), "stays").expect("write");
    write_report(&report, &[failed()]).expect("writes again");
    let mut names: Vec<_> = std::fs::read_dir(&report)
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["README.md", "index.html", "junit.xml", "mine.txt", "outcomes.json"]);
    let kept = std::fs::read_to_string(report.join("outcomes.json")).expect("reads");
    assert_eq!(serde_json::from_str::<Vec<ScenarioOutcome>>(&kept).expect("parses"), [failed()]);
    assert_eq!(std::fs::read_to_string(report.join("junit.xml")).expect("reads"), junit(&[failed()]));

    let refused = write_report(&report.join("mine.txt"), &[]).expect_err("a file is no folder");
    assert!(refused.to_string().contains("mine.txt"), "{refused}");
}
