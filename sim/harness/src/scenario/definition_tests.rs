//! What is accepted and what is refused, with the words a user reads.

use super::*;

const MINIMAL: &str = "question = \"why?\"\n";

fn refused(text: &str) -> String {
    Scenario::parse("scenarios/x.toml", text).expect_err(text).to_string()
}

fn check_refused(text: &str, line: usize, words: &[&str]) {
    let told = refused(text);
    assert!(told.starts_with(&format!("failed to read scenario scenarios/x.toml:{line}: ")), "{told}");
    for word in words {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
}

#[test]
fn a_question_is_enough() {
    let scenario = Scenario::parse("a/0099-why.toml", MINIMAL).expect("accepted");
    assert_eq!((scenario.name.as_str(), scenario.seed, scenario.scale), ("0099-why", Seed(7), 0.001));
    assert!(scenario.phases.is_empty() && scenario.faults.is_empty() && !scenario.needs_state());
}

#[test]
fn unknown_keys_are_refused_with_line_and_the_nearest_valid_one() {
    check_refused("question = \"why?\"\nsede = 3\n", 2, &["there is no key `sede` here, did you mean `seed`?"]);
    check_refused("question = \"?\"\n\n[workload]\nrout = \"batch\"\n", 4, &["`rout`", "did you mean `route`?"]);
    check_refused("question = \"?\"\n[workload]\nroute = \"bacth\"\n", 3, &["word `bacth`", "did you mean `batch`?"]);
    check_refused("question = \"?\"\n[[phase]]\ndo = \"copy\"\nchange = 3\n", 4, &["did you mean `changes`?"]);
    check_refused("question = \"?\"\n[expect]\nzzzzzzzz = 3\n", 3, &["`zzzzzzzz` here; known: "]);
    check_refused("question = 3\n", 1, &["string"]);
    check_refused("question = \"why?\n", 1, &[]);
    check_refused("seed = 3\n", 1, &["question"]);
}

#[test]
fn faults_must_name_a_point_and_a_kind_it_knows() {
    let fault = |body: &str| format!("{MINIMAL}[[fault]]\n{body}");
    let put = "stage = \"firehose\"\noperation = \"put_object\"\n";
    let accepted =
        Scenario::parse("x", &fault(&format!("{put}kind = \"duplicate\"\noccurrence = [1, 3]"))).expect("valid");
    assert_eq!(accepted.faults[0].when, When::Occurrences(vec![1, 3]));
    let stage = "stage = \"firehos\"\noperation = \"put_object\"\nkind = \"error\"\noccurrence = 1";
    check_refused(&fault(stage), 3, &["stage `firehos`", "did you mean `firehose`?"]);
    let operation = "stage = \"firehose\"\noperation = \"putobject\"\nkind = \"error\"\noccurrence = 1";
    check_refused(&fault(operation), 4, &["operation `putobject`", "did you mean `put_object`?"]);
    check_refused(&fault(&format!("{put}kind = \"kill\"\noccurrence = 1")), 5, &["kind `kill`", "duplicate"]);
    check_refused(&fault(&format!("{put}kind = \"eror\"\noccurrence = 1")), 5, &["did you mean `error`?"]);
    check_refused(&fault(&format!("{put}kind = \"error\"")), 2, &["`occurrence`", "`probability`"]);
    check_refused(&fault(&format!("{put}kind = \"error\"\noccurrence = 0")), 6, &["counted from 1"]);
    check_refused(&fault(&format!("{put}kind = \"error\"\nprobability = 1.5")), 6, &["probability 1.5"]);
    let both = fault(&format!("{put}kind = \"error\"\noccurrence = 1\nprobability = 0.5"));
    check_refused(&both, 2, &["either"]);
}

#[test]
fn faults_may_strike_in_the_embedded_stores() {
    let fault = |body: &str| format!("{MINIMAL}[[fault]]\n{body}");
    let put = "stage = \"kinesis\"\noperation = \"PutRecords\"\n";
    let delayed = fault(&format!("{put}kind = \"delay\"\nprobability = 0.5\ndelay_ms = [5, 50]"));
    let accepted = Scenario::parse("x", &delayed).expect("valid");
    assert_eq!(accepted.faults[0].delay, Delay { ms_min: 5, ms_max: 50 });
    let any = "stage = \"s3\"\noperation = \"*\"\nkind = \"drop-answer\"\noccurrence = 1";
    assert_eq!(Scenario::parse("x", &fault(any)).expect("valid").faults[0].kind, FaultKind::DropAnswer);
    let misspelt = "stage = \"s3\"\noperation = \"PutObjct\"\nkind = \"error\"\noccurrence = 1";
    check_refused(&fault(misspelt), 4, &["operation `PutObjct`", "did you mean `PutObject`?"]);
    let twice = "stage = \"s3\"\noperation = \"PutObject\"\nkind = \"duplicate\"\noccurrence = 1";
    check_refused(&fault(twice), 5, &["`s3.PutObject` cannot be hit by kind `duplicate`", "drop-answer"]);
    let stage = "stage = \"dynamod\"\noperation = \"PutItem\"\nkind = \"error\"\noccurrence = 1";
    check_refused(&fault(stage), 3, &["did you mean `dynamodb`?"]);
    let no_delay = fault(&format!("{put}kind = \"error\"\noccurrence = 1\ndelay_ms = 5"));
    check_refused(&no_delay, 7, &["belongs to kind `delay`"]);
    check_refused(&fault(&format!("{put}kind = \"delay\"\noccurrence = 1\ndelay_ms = [9, 5]")), 7, &["[least, most]"]);
    let elsewhere = format!("backend = \"docker\"\n{}", fault(any));
    check_refused(&elsewhere, 1, &["only the embedded backend's stores"]);
    let limited = format!("{MINIMAL}backend = \"docker\"\n[workload]\nlimits = \"aws\"\n");
    check_refused(&limited, 2, &["only the embedded backend's stores"]);
    let limits = |word: &str| format!("{MINIMAL}[workload]\nlimits = \"{word}\"\n");
    assert_eq!(Scenario::parse("x", &limits("aws")).expect("valid").workload.limits, LimitsName::Aws);
    check_refused(&limits("asw"), 3, &["did you mean `aws`?"]);
}

#[test]
fn phases_steps_and_expectations_must_fit_together() {
    let phase = |body: &str| format!("{MINIMAL}[[phase]]\n{body}\n");
    check_refused(&phase("do = \"refresh\""), 2, &["the first phase", "copy"]);
    check_refused(&phase("do = \"copy\"\n[[phase]]\ndo = \"copy\""), 2, &["the first phase, and no other"]);
    check_refused(&phase("do = \"copy\"\nchanges = 9\ncases = [\"key_updat\"]"), 5, &["did you mean `key_update`?"]);
    check_refused(&phase("do = \"copy\"\ncases = [\"key_update\"]"), 4, &["no `changes`"]);
    let step = phase("do = \"copy\"\n[[step]]\nafter = \"copi\"\ndo = \"restart\"");
    check_refused(&step, 5, &["phase `copi`", "did you mean `copy`?"]);
    check_refused(&format!("{MINIMAL}[expect.invariants]\nI11 = \"pass\"\n"), 3, &["invariant `I11`"]);
    check_refused(&format!("{MINIMAL}[expect.objects_at_least]\nesc = 1\n"), 3, &["did you mean `ecs`?"]);
    check_refused(&format!("{MINIMAL}scale = 0.0\n"), 2, &["scale 0"]);
    let empty = "[workload]\nempty = true\n[[phase]]\ndo = \"copy\"\nchanges = 1\n";
    check_refused(&format!("{MINIMAL}{empty}"), 3, &["nothing to change"]);
    let restart = phase("do = \"copy\"\n[[step]]\nafter = \"copy\"\ndo = \"restart\"");
    check_refused(&restart, 6, &["a refresh after it"]);
    let restart = format!("{restart}[[phase]]\ndo = \"refresh\"\n");
    assert!(Scenario::parse("x", &restart).expect("valid").needs_state());
}
