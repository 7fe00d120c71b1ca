//! ARNs of tables, indexes and streams: one region, one account.
//!
//! dynoxide writes its own name where AWS writes a region. [`relabel`] puts the region of this place into an answer on
//! its way out, so a client never sees the other form; dynoxide itself reads only the table name of an ARN it is given,
//! so nothing has to be turned back on the way in. Knows no operation.

use serde_json::Value;

pub(super) use crate::place::REGION;

/// The account of this place, as dynoxide writes it.
const ACCOUNT: &str = dynoxide::streams::LOCAL_ACCOUNT;

/// `arn:aws:dynamodb:…:table/<table>/stream/<label>`, as `DescribeTable` names it.
pub(super) fn stream_arn(table: &str, label: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}/stream/{label}")
}

/// Table and label of a stream ARN; `None` when it cannot be one of ours.
pub(super) fn parse_stream_arn(arn: &str) -> Option<(&str, &str)> {
    let (head, label) = arn.rsplit_once("/stream/")?;
    let (_, table) = head.rsplit_once(":table/")?;
    (stream_arn(table, label) == arn).then_some((table, label))
}

/// Gives every ARN of an answer this place's region. Only members called `…Arn` are looked at, so a name or tag that
/// happens to look like an ARN stays as the user wrote it.
pub(super) fn relabel(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(arn) if name.ends_with("Arn") => {
                        if let Some(relabelled) = with_region(arn) {
                            *arn = relabelled;
                        }
                    }
                    other => relabel(other),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(relabel),
        _ => {}
    }
}

/// The ARN with dynoxide's region replaced; `None` when it has another one.
fn with_region(arn: &str) -> Option<String> {
    let mut parts: Vec<&str> = arn.splitn(6, ':').collect();
    let region = parts.get_mut(3).filter(|region| **region == dynoxide::streams::LOCAL_REGION)?;
    *region = REGION;
    Some(parts.join(":"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arns_name_table_and_label() {
        let arn = stream_arn("orders.v1", "17.5");
        assert_eq!(arn, "arn:aws:dynamodb:us-east-1:000000000000:table/orders.v1/stream/17.5");
        assert_eq!(parse_stream_arn(&arn), Some(("orders.v1", "17.5")));
        for other in ["arn:aws:dynamodb:eu-west-1:1:table/orders/stream/17.5", "arn:aws:dynamodb:us-east-1", ""] {
            assert_eq!(parse_stream_arn(other), None, "{other}");
        }
    }

    #[test]
    fn only_arns_of_the_other_region_change() {
        let theirs = dynoxide::streams::table_arn("orders");
        let mut answer = json!({
            "TableArn": theirs,
            "Indexes": [{ "IndexArn": dynoxide::streams::index_arn("orders", "by-day") }],
            "SSEDescription": { "KMSMasterKeyArn": "arn:aws:kms:eu-west-1:1:key/k" },
            "Tag": theirs,
        });
        relabel(&mut answer);
        let expected = json!({
            "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/orders",
            "Indexes": [{ "IndexArn": "arn:aws:dynamodb:us-east-1:000000000000:table/orders/index/by-day" }],
            "SSEDescription": { "KMSMasterKeyArn": "arn:aws:kms:eu-west-1:1:key/k" },
            "Tag": theirs,
        });
        assert_eq!(answer, expected);
    }
}
