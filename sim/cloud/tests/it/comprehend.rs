//! Comprehend's detection of personal data, over raw JSON, with a detector that finds words in capitals.

use std::path::Path;
use std::sync::Arc;

use lakebed_cloud::{AccessKey, Auth, CloudConfig};
use lakebed_contract::fault::{Delay, Fault, When};
use lakebed_contract::{Clock, FaultKind, FaultPlan, PiiDetector, PiiEntity, Secret, Seed, Timestamp};
use serde_json::{Value, json};

use crate::wire::{body, send, send_json, status};
use crate::{Running, config};

const DETECT: &str = "Comprehend_20171127.DetectPiiEntities";
const CONTAINS: &str = "Comprehend_20171127.ContainsPiiEntities";

/// Finds `EMAIL` and `BR_CPF` by their names; a later one is surer than an earlier one. `PANIC` ends it.
#[derive(Debug)]
struct Words;

impl PiiDetector for Words {
    fn detect(&self, text: &str) -> Vec<PiiEntity> {
        assert!(!text.contains("PANIC"), "this is what it does");
        let mut found = Vec::new();
        for name in ["EMAIL", "BR_CPF"] {
            let place = |(begin, _)| PiiEntity { name, score: 0.0, begin, end: begin + name.len() };
            found.extend(text.match_indices(name).map(place));
        }
        found.sort_by_key(|entity| entity.begin);
        for (entity, score) in found.iter_mut().zip([0.5, 0.75, 0.95]) {
            entity.score = score;
        }
        found
    }
}

fn detecting(state_dir: &Path) -> CloudConfig {
    let mut config = config(state_dir, 0, Clock::virtual_at(Timestamp::from_seconds(1_700_000_000)), None);
    config.pii_detector = Some(Arc::new(Words));
    config
}

/// Stores with a detector.
pub(crate) async fn start(state_dir: &Path) -> Running {
    Running::start_as(detecting(state_dir)).await
}

/// Status and body of an answer, which must be JSON.
async fn ask(running: &Running, target: &str, request: &str) -> (u16, Value) {
    let answer = send_json(running.cloud.port(), target, request).await;
    let head = answer.to_lowercase();
    assert!(head.contains("content-type: application/x-amz-json-1.1\r\n"), "{answer}");
    assert!(head.contains("x-amzn-requestid: "), "{answer}");
    (status(&answer), serde_json::from_str(body(&answer)).expect("JSON"))
}

/// `<code>: <message>` of a refusal.
async fn told(running: &Running, target: &str, request: &str) -> String {
    let (status, answer) = ask(running, target, request).await;
    assert_eq!(status, 400, "{answer}");
    let message = answer["message"].as_str().or_else(|| answer["Message"].as_str());
    format!("{}: {}", answer["__type"].as_str().expect("a code"), message.expect("a message"))
}

#[tokio::test]
async fn entities_have_offsets_in_code_points() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    // One, two, three and four bytes a code point before the first one.
    let request = json!({ "Text": "oé€😀 EMAIL, ção BR_CPF EMAIL", "LanguageCode": "pt" });
    let expected = json!({ "Entities": [
        { "Score": 0.5, "Type": "EMAIL", "BeginOffset": 5, "EndOffset": 10 },
        { "Score": 0.75, "Type": "BR_CPF", "BeginOffset": 16, "EndOffset": 22 },
        { "Score": 0.95, "Type": "EMAIL", "BeginOffset": 23, "EndOffset": 28 },
    ] });
    assert_eq!(ask(&running, DETECT, &request.to_string()).await, (200, expected));
    let labels = json!({ "Labels": [{ "Name": "EMAIL", "Score": 0.95 }, { "Name": "BR_CPF", "Score": 0.75 }] });
    assert_eq!(ask(&running, CONTAINS, &request.to_string()).await, (200, labels));

    let nothing = r#"{"Text":"nothing","LanguageCode":"es"}"#;
    assert_eq!(ask(&running, DETECT, nothing).await, (200, json!({ "Entities": [] })));
    assert_eq!(ask(&running, CONTAINS, nothing).await, (200, json!({ "Labels": [] })));
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_without_its_text() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    for target in [DETECT, CONTAINS] {
        let check = async |request: &str, expect: &str| assert_eq!(told(&running, target, request).await, expect);
        let null =
            |member: &str| format!("Value null at '{member}' failed to satisfy constraint: Member must not be null");
        let (text, language) = (null("text"), null("languageCode"));
        check("{}", &format!("ValidationException: 2 validation errors detected: {text}; {language}")).await;
        let no_text = r#"{"Text":null,"LanguageCode":"en"}"#;
        check(no_text, &format!("ValidationException: 1 validation error detected: {text}")).await;
        let no_language = r#"{"Text":"EMAIL"}"#;
        check(no_language, &format!("ValidationException: 1 validation error detected: {language}")).await;
        check(
            r#"{"Text":"","LanguageCode":"xx"}"#,
            "ValidationException: 2 validation errors detected: Value '' at 'text' failed to satisfy constraint: Member must \
             have length greater than or equal to 1; Value 'xx' at 'languageCode' failed to satisfy constraint: Member must \
             satisfy enum value set: [en, es, fr, de, it, pt, ar, hi, ja, ko, zh, zh-TW]",
        )
        .await;
        check(
            r#"{"Text":"EMAIL","LanguageCode":"fr"}"#,
            "UnsupportedLanguageException: Language `fr` is not supported here; supported are en, es, pt.",
        )
        .await;
        check("null", "InvalidRequestException: The request has no text or no language.").await;
        check(r#"{"Text":["EMAIL"]}"#, "SerializationException: Start of list found where not expected").await;
        check(r#"{"Text":"EMAIL""#, "SerializationException: malformed JSON at line 1 column 15").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_text_has_a_hundred_thousand_bytes_at_most() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    let of = |text: &str| json!({ "Text": text, "LanguageCode": "en" }).to_string();
    let longest = "é".repeat(50_000);
    assert_eq!(ask(&running, DETECT, &of(&longest)).await, (200, json!({ "Entities": [] })));
    let expect = "TextSizeLimitExceededException: Input text size exceeds limit. Max length of request text allowed is 100000 \
                  bytes while in this request the text size is 100001 bytes";
    for target in [DETECT, CONTAINS] {
        assert_eq!(told(&running, target, &of(&format!("{longest}x"))).await, expect);
    }
    running.stop().await;
}

#[tokio::test]
async fn everything_else_of_comprehend_is_refused_as_all_of_it_is_without_a_detector() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (with, without) = (start(one.path()).await, Running::start(two.path()).await);
    let check = async |running: &Running, target: &str, says: &str| {
        let told = told(running, target, r#"{"Text":"EMAIL","LanguageCode":"en"}"#).await;
        assert_eq!(told, format!("UnknownOperationException: {says}"));
    };
    for operation in ["DetectSentiment", "BatchDetectEntities", "Nonsense", ""] {
        let says = format!("Comprehend operation `{operation}` is not implemented");
        check(&with, &format!("Comprehend_20171127.{operation}"), &says).await;
    }
    for target in [DETECT, CONTAINS, "Comprehend_20171127.DetectSentiment"] {
        check(&without, target, &format!("no service here implements `{target}`")).await;
    }
    let headers = [("x-amz-target", DETECT), ("content-type", "application/x-amz-cbor-1.1")];
    let cbor = send(with.cloud.port(), "POST /", &headers, "").await;
    assert!(status(&cbor) == 400 && cbor.contains("Comprehend does not speak CBOR"), "{cbor}");
    for (running, is_named) in [(&with, true), (&without, false)] {
        let health = send(running.cloud.port(), "GET /_lakebed/health", &[], "").await;
        assert_eq!(health.contains("\"comprehend\":\"running\""), is_named, "{health}");
    }
    with.stop().await;
    without.stop().await;
}

#[tokio::test]
async fn faults_strike_and_a_broken_detector_is_a_failure_of_the_service() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = detecting(dir.path());
    let first = Fault {
        stage: "comprehend".to_owned(),
        operation: "DetectPiiEntities".to_owned(),
        kind: FaultKind::Error,
        when: When::Occurrences(vec![1]),
        delay: Delay::default(),
    };
    config.faults = FaultPlan::new(Seed(7), vec![first]);
    let running = Running::start_as(config).await;
    let failure = json!({ "__type": "InternalServerException", "Message": "An internal server error occurred." });
    let request = r#"{"Text":"EMAIL","LanguageCode":"en"}"#;
    assert_eq!(ask(&running, DETECT, request).await, (500, failure.clone()));
    assert_eq!(ask(&running, DETECT, request).await.0, 200);
    assert_eq!(ask(&running, DETECT, r#"{"Text":"PANIC","LanguageCode":"en"}"#).await, (500, failure));
    assert_eq!(ask(&running, DETECT, request).await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn an_enforced_key_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = detecting(dir.path());
    let key = AccessKey { id: "AKIDEXAMPLE".to_owned(), secret: Secret::new("secret".to_owned()) };
    config.auth = Auth::Enforce(vec![key]);
    let running = Running::start_as(config).await;
    let request = r#"{"Text":"EMAIL","LanguageCode":"en"}"#;
    let expect = "MissingAuthenticationTokenException: Missing Authentication Token";
    assert_eq!(told(&running, DETECT, request).await, expect);
    // Signed for Comprehend at its moment, without saying what is asked.
    let scope = "AKIDEXAMPLE/20231114/us-east-1/comprehend/aws4_request";
    let signed = |headers: &str| format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={headers}, Signature=00");
    let date = ("x-amz-date", "20231114T221320Z");
    let untold = send(running.cloud.port(), "POST /", &[date, ("authorization", &*signed("host"))], request).await;
    assert!(status(&untold) == 400 && untold.contains("UnknownOperationException"), "{untold}");
    let wrong = [date, ("x-amz-target", DETECT), ("authorization", &*signed("host;x-amz-date;x-amz-target"))];
    let wrong = send(running.cloud.port(), "POST /", &wrong, request).await;
    assert!(status(&wrong) == 400 && wrong.contains("InvalidSignatureException"), "{wrong}");
    assert!(!wrong.contains("scoped"), "Comprehend is the right scope: {wrong}");
    running.stop().await;
}
