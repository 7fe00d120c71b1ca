//! DynamoDB's expressions: words in any order, deep nesting, damaged sentences.

use std::collections::BTreeMap;

use bytes::Bytes;
use lakebed_cloud::CloudConfig;
use lakebed_cloud::dynamodb::DynamoDb;
use lakebed_contract::{Clock, Seed, Timestamp};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const INPUTS: u32 = 8_000;
/// Codes that blame the client.
const REFUSALS: [&str; 3] = ["ValidationException", "ConditionalCheckFailedException", "SerializationException"];

const WORDS: &[&str] = &[
    "a",
    "b.c",
    "l[0]",
    "l[99999999999]",
    "#n",
    "#missing",
    ":v",
    ":list",
    ":missing",
    "=",
    "<>",
    "<",
    "<=",
    "AND",
    "OR",
    "NOT",
    "BETWEEN",
    "IN",
    "(",
    ")",
    ",",
    "size",
    "size(",
    "contains(",
    "attribute_exists(",
    "attribute_not_exists(",
    "attribute_type(",
    "begins_with(",
    "if_not_exists(",
    "list_append(",
    "SET",
    "REMOVE",
    "ADD",
    "DELETE",
    "+",
    "-",
    ".",
    "[",
    "]",
    "pk",
    "status",
    "name",
    "\u{e9}",
    "'",
    "1",
    "",
];
const CONDITIONS: &[&str] = &[
    "attribute_not_exists(pk) OR (a = :v AND NOT contains(l, :v))",
    "size(a) BETWEEN :one AND :one",
    "a IN (:v, :v)",
    "begins_with(pk, :v) OR n < :one",
];
const UPDATES: &[&str] = &[
    "SET a = if_not_exists(a, :v), l = list_append(l, :list) REMOVE b.c",
    "ADD n :one",
    "SET l[0] = :v, n = n + :one",
];
const KEYS: &[&str] = &["pk = :v"];
const PROJECTIONS: &[&str] = &["#n, b.c, l[0].d"];

/// Half of them are one of `sound`, a little damaged.
fn sentence(rng: &mut ChaCha8Rng, sound: &[&str]) -> String {
    match rng.random_range(0..8) {
        0 => {
            let deep = rng.random_range(1..2_000);
            format!("{}a = :v{}", "(".repeat(deep), ")".repeat(deep))
        }
        1 => {
            let deep = rng.random_range(1..2_000);
            format!("{} a = :v", "NOT ".repeat(deep))
        }
        2 | 3 => {
            let words = (0..rng.random_range(0..12)).filter_map(|_| WORDS.choose(rng).copied());
            words.collect::<Vec<_>>().join(if rng.random() { " " } else { "" })
        }
        _ => {
            let mut letters: Vec<char> = sound.choose(rng).copied().unwrap_or_default().chars().collect();
            for _ in 0..rng.random_range(0..4) {
                let at = rng.random_range(0..=letters.len());
                if at < letters.len() && rng.random() {
                    letters.remove(at);
                } else {
                    letters.insert(at, *['(', ')', ':', '#', '.', ' ', '[', '\0', 'é'].choose(rng).unwrap_or(&' '));
                }
            }
            letters.into_iter().collect()
        }
    }
}

/// Those of `all` that the sentence names, since a name or value that is not used is an error of its own; now and then
/// another one.
fn used(rng: &mut ChaCha8Rng, sentence: &str, all: Value) -> Option<Value> {
    let all = all.as_object().cloned().unwrap_or_default();
    let used = all.into_iter().filter(|(name, _)| sentence.contains(name.as_str()) || rng.random_ratio(1, 16));
    Some(Value::Object(used.collect())).filter(|used| used.as_object().is_some_and(|used| !used.is_empty()))
}

fn request(rng: &mut ChaCha8Rng) -> (&'static str, Value) {
    let key = json!({"pk": {"S": "a"}});
    let item = json!({
        "pk": {"S": "a"}, "a": {"S": "x"}, "n": {"N": "1"}, "b": {"M": {"c": {"N": "1"}}},
        "l": {"L": [{"M": {"d": {"N": "1"}}}]},
    });
    let (operation, member, sound, mut body) = match rng.random_range(0..6) {
        0 => ("PutItem", "ConditionExpression", CONDITIONS, json!({"Item": item})),
        1 => ("UpdateItem", "UpdateExpression", UPDATES, json!({"Key": key})),
        2 => ("DeleteItem", "ConditionExpression", CONDITIONS, json!({"Key": key})),
        3 => ("Query", "KeyConditionExpression", KEYS, json!({})),
        4 => ("Scan", "FilterExpression", CONDITIONS, json!({})),
        _ => ("GetItem", "ProjectionExpression", PROJECTIONS, json!({"Key": key})),
    };
    let sentence = sentence(rng, sound);
    body["TableName"] = json!("fuzz");
    if let Some(names) = used(rng, &sentence, json!({"#n": "name"})) {
        body["ExpressionAttributeNames"] = names;
    }
    let values = json!({":v": {"S": "x"}, ":one": {"N": "1"}, ":list": {"L": [{"N": "1"}]}});
    if let Some(values) = used(rng, &sentence, values).filter(|_| operation != "GetItem") {
        body["ExpressionAttributeValues"] = values;
    }
    body[member] = json!(sentence);
    (operation, body)
}

async fn call(db: &DynamoDb, operation: &str, body: &Value) -> (u16, Value) {
    let target = format!("DynamoDB_20120810.{operation}");
    let answer = db.handle(&target, "127.0.0.1", Bytes::from(body.to_string())).await;
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn expressions_of_any_words_are_refused_or_carried_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let db = DynamoDb::open(dir.path(), &CloudConfig::new(dir.path(), clock, Seed(7))).expect("opened");
    let table = json!({
        "TableName": "fuzz", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    });
    assert_eq!(call(&db, "CreateTable", &table).await.0, 200);
    let kept = json!({"pk": {"S": "kept"}, "a": {"N": "1"}});
    let put = call(&db, "PutItem", &json!({"TableName": "fuzz", "Item": kept})).await;
    assert_eq!(put.0, 200, "{}", put.1);
    let mut rng = Seed(7).rng("fuzz-expressions");
    let (mut accepted, mut false_conditions) = (BTreeMap::<&str, u32>::new(), 0);
    for input in 0..INPUTS {
        let (operation, body) = request(&mut rng);
        let (status, answer) = call(&db, operation, &body).await;
        *accepted.entry(operation).or_default() += u32::from(status == 200);
        let code = answer["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or_default();
        let is_answer = status == 200 || (status == 400 && REFUSALS.contains(&code));
        false_conditions += u32::from(code == "ConditionalCheckFailedException");
        assert!(is_answer, "input {input}: {operation} {body}\nanswer {status}: {answer}");
    }
    // Enough of them get past the parser to be carried out, by each operation.
    assert_eq!(accepted.len(), 6);
    assert!(accepted.values().all(|accepted| *accepted > INPUTS / 400), "{accepted:?} of {INPUTS} accepted");
    assert!(accepted.values().sum::<u32>() < INPUTS / 2, "{accepted:?} of {INPUTS} accepted");
    assert!(false_conditions > INPUTS / 400, "{false_conditions} of {INPUTS} had a condition that does not hold");
    let got = call(&db, "GetItem", &json!({"TableName": "fuzz", "Key": {"pk": {"S": "kept"}}})).await;
    assert_eq!(got.1["Item"], kept);
}
