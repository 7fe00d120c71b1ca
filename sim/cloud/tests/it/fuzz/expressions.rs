//! DynamoDB's expressions: words in any order, deep nesting, damaged sentences.

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

const WORDS: [&str; 46] = [
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
const SOUND: [&str; 9] = [
    "attribute_not_exists(pk) OR (a = :v AND NOT contains(l, :v))",
    "size(a) BETWEEN :v AND :v",
    "a IN (:v, :v)",
    "begins_with(pk, :v)",
    "SET a = if_not_exists(a, :v), l = list_append(l, :list) REMOVE b.c",
    "ADD n :v",
    "SET l[0] = :v",
    "pk = :v AND sk >= :v",
    "#n, b.c, l[0].d",
];

fn sentence(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..4) {
        0 => {
            let deep = rng.random_range(1..2_000);
            format!("{}a = :v{}", "(".repeat(deep), ")".repeat(deep))
        }
        1 => {
            let deep = rng.random_range(1..2_000);
            format!("{} a = :v", "NOT ".repeat(deep))
        }
        2 => {
            let words = (0..rng.random_range(0..12)).filter_map(|_| WORDS.choose(rng).copied());
            words.collect::<Vec<_>>().join(if rng.random() { " " } else { "" })
        }
        _ => {
            let mut letters: Vec<char> = SOUND.choose(rng).copied().unwrap_or_default().chars().collect();
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

fn request(rng: &mut ChaCha8Rng) -> (&'static str, Value) {
    let key = json!({"pk": {"S": "a"}});
    let sentence = sentence(rng);
    let (operation, mut body) = match rng.random_range(0..6) {
        0 => ("PutItem", json!({"Item": key, "ConditionExpression": sentence})),
        1 => ("UpdateItem", json!({"Key": key, "UpdateExpression": sentence})),
        2 => ("DeleteItem", json!({"Key": key, "ConditionExpression": sentence})),
        3 => ("Query", json!({"KeyConditionExpression": sentence})),
        4 => ("Scan", json!({"FilterExpression": sentence})),
        _ => ("GetItem", json!({"Key": key, "ProjectionExpression": sentence})),
    };
    body["TableName"] = json!("fuzz");
    if rng.random() {
        body["ExpressionAttributeNames"] = json!({"#n": "name"});
    }
    if rng.random() && operation != "GetItem" {
        body["ExpressionAttributeValues"] = json!({":v": {"S": "x"}, ":list": {"L": [{"N": "1"}]}});
    }
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
    let mut accepted = 0;
    for input in 0..INPUTS {
        let (operation, body) = request(&mut rng);
        let (status, answer) = call(&db, operation, &body).await;
        accepted += u32::from(status == 200);
        let code = answer["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or_default();
        let is_answer = status == 200 || (status == 400 && REFUSALS.contains(&code));
        assert!(is_answer, "input {input}: {operation} {body}\nanswer {status}: {answer}");
    }
    assert!(accepted > 0 && accepted < INPUTS / 2, "{accepted} of {INPUTS} accepted");
    let got = call(&db, "GetItem", &json!({"TableName": "fuzz", "Key": {"pk": {"S": "kept"}}})).await;
    assert_eq!(got.1["Item"], kept);
}
