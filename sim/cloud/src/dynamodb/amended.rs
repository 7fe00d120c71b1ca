//! Where dynoxide's answers are mended: what it tells that AWS does not.
//!
//! A description of a table names the view type of its stream, which dynoxide does not know (see [`super::images`]). A
//! transaction's read with a projection holds what the projection names, and the key only if that is named. Knows no other
//! operation.

use dynoxide::actions::transact_get_items::{TransactGet, TransactGetItemsRequest, TransactGetItemsResponse};
use dynoxide::{Database, DynoxideError};
use serde_json::{Value, json};

use super::answer::Failure;
use super::changes::ChangeLog;

/// Members of answers that describe a table.
const DESCRIPTIONS: [&str; 2] = ["Table", "TableDescription"];

/// Puts the view type of the stream into an answer that describes a table.
pub(super) fn show_view_type(answer: &mut Value, changes: &ChangeLog) -> Result<(), Failure> {
    let Some(member) = DESCRIPTIONS.into_iter().find(|member| answer.get(member).is_some()) else { return Ok(()) };
    let table = &mut answer[member];
    let (Some(name), Some(label)) = (table["TableName"].as_str(), table["LatestStreamLabel"].as_str()) else {
        return Ok(());
    };
    let Some(view_type) = changes.view_type(name, label)? else { return Ok(()) };
    if let Some(shown) = table.pointer_mut("/StreamSpecification/StreamViewType") {
        *shown = json!(view_type);
    }
    Ok(())
}

/// dynoxide's, without the key attributes that it adds to what a projection names.
pub(super) fn transact_get_items(
    tables: &Database,
    request: TransactGetItemsRequest,
) -> Result<TransactGetItemsResponse, DynoxideError> {
    let added: Vec<Vec<String>> = request.transact_items.iter().map(|item| unnamed_keys(&item.get)).collect();
    let mut answer = tables.transact_get_items(request)?;
    for (response, added) in answer.responses.iter_mut().zip(added) {
        if let Some(item) = &mut response.item {
            added.iter().for_each(|name| drop(item.remove(name)));
        }
    }
    Ok(answer)
}

/// The attributes of the key that the projection does not name. A key holds no documents, so a path into it names nothing.
fn unnamed_keys(get: &TransactGet) -> Vec<String> {
    let Some(projection) = &get.projection_expression else { return Vec::new() };
    let names = get.expression_attribute_names.as_ref();
    let named = |path: &str| match path.trim() {
        placeholder if placeholder.starts_with('#') => names?.get(placeholder).cloned(),
        path if path.contains(['.', '[']) => None,
        name => Some(name.to_owned()),
    };
    let named: Vec<String> = projection.split(',').filter_map(named).collect();
    get.key.keys().filter(|name| !named.contains(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_names_a_key_by_name_or_placeholder_and_never_by_a_path() {
        for (projection, expected) in [
            (Some("x"), &["p.k", "sk"][..]),
            (Some("x, sk"), &["p.k"]),
            (Some("#p ,x"), &["sk"]),
            (Some("#p,#s"), &[]),
            (Some("p.k, sk[0]"), &["p.k", "sk"]),
            (Some("#s.#p"), &["p.k", "sk"]),
            (None, &[]),
        ] {
            let get = json!({
                "TableName": "t", "Key": { "p.k": { "S": "a" }, "sk": { "N": "1" } },
                "ProjectionExpression": projection, "ExpressionAttributeNames": { "#p": "p.k", "#s": "sk" },
            });
            let mut unnamed = unnamed_keys(&serde_json::from_value(get).expect("a read"));
            unnamed.sort_unstable();
            assert_eq!(unnamed, expected, "{projection:?}");
        }
    }
}
