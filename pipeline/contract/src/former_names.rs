//! Names that a column had before, from the `customProperties` of an ODCS property: `{property: formerNames, value: [town]}`.
//!
//! Promises that a name, present or former, belongs to one column only, so that whatever comes under it has one place to go. Other
//! custom properties of a property describe it and are not read; one that only looks like this one is refused. Does not know
//! whether the source ever used a former name.

use serde_norway::Value;

use crate::layout;
use crate::odcs::check_name;
use crate::table::Column;

const PROPERTY: &str = "formerNames";

/// The former names of the property `name`, from its `customProperties`.
pub(crate) fn read(name: &str, custom: Option<&Value>) -> Result<Vec<String>, String> {
    let Some(custom) = custom else { return Ok(Vec::new()) };
    let misshapen = || {
        format!(
            "property `{name}` has customProperties that are no list of `{{property: …, value: …}}`; former names are written \
             `[{{property: {PROPERTY}, value: [old_name]}}]`"
        )
    };
    let mut names = None;
    for entry in custom.as_sequence().ok_or_else(misshapen)? {
        let of = entry.get("property").and_then(Value::as_str).ok_or_else(misshapen)?;
        if of != PROPERTY {
            if looks_alike(of) {
                return Err(format!("property `{name}` has the customProperty `{of}`; did you mean `{PROPERTY}`?"));
            }
            continue;
        }
        let value = entry.get("value").and_then(names_of);
        let value = value.ok_or_else(|| {
            format!("property `{name}`: the value of customProperty `{PROPERTY}` must be a list of names, at least one")
        })?;
        if names.replace(value).is_some() {
            return Err(format!("property `{name}` has the customProperty `{PROPERTY}` twice; list all names in one"));
        }
    }
    let names = names.unwrap_or_default();
    names.iter().try_for_each(|former| check_name("former", former))?;
    Ok(names)
}

/// Refuses former names that are not one column's alone. `derived`: columns that silver adds to this table.
pub(crate) fn check(columns: &[Column], derived: &[&str]) -> Result<(), String> {
    let mut taken: Vec<(&str, &str)> = Vec::new();
    for column in columns {
        for former in &column.former_names {
            let (name, former) = (column.name.as_str(), former.as_str());
            if columns.iter().any(|other| other.name == former) {
                return Err(format!(
                    "property `{name}` has the former name `{former}`, which a property has now; a name belongs to one column"
                ));
            }
            if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == former) {
                return Err(format!("the former name `{former}` is listed twice, by `{other}` and by `{name}`"));
            }
            if layout::SILVER_TIMES.contains(&former) || derived.contains(&former) {
                return Err(format!(
                    "property `{name}` has the former name `{former}`, the name of a column that silver adds"
                ));
            }
            taken.push((name, former));
        }
    }
    Ok(())
}

fn names_of(value: &Value) -> Option<Vec<String>> {
    let names = value.as_sequence().filter(|names| !names.is_empty())?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// `former_name`, `FormerNames`: nobody means something else by it, and unread it would lose the column's old values.
fn looks_alike(property: &str) -> bool {
    let letters: String = property.chars().filter(char::is_ascii_alphabetic).collect();
    letters.to_ascii_lowercase().starts_with("former")
}

#[cfg(test)]
mod tests {
    use crate::table::{ContractError, TableContract};

    /// A table of `id` and of `city` and `state` with these custom properties.
    fn contract(city: &str, state: &str) -> Result<TableContract, ContractError> {
        let text = format!(
            "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    \
             properties:\n      - {{name: id, physicalType: bigint, primaryKey: true}}\n      \
             - {{name: city, physicalType: text, customProperties: {city}}}\n      \
             - {{name: state, physicalType: text, customProperties: {state}}}\n"
        );
        TableContract::from_odcs_yaml("contracts/t.yaml", &text)
    }

    #[test]
    fn former_names_are_read_beside_what_only_describes() {
        let table = contract("[{property: unit, value: none}, {property: formerNames, value: [town, place]}]", "[]");
        let table = table.expect("valid");
        assert_eq!(table.columns[1].former_names, ["town", "place"]);
        assert!(table.columns[0].former_names.is_empty() && table.columns[2].former_names.is_empty());
        assert_eq!(table.column("city"), table.column_called("town"));
        assert_eq!(table.column_called("city"), table.column_called("place"));
        assert_eq!(table.column_called("village"), None);
    }

    #[test]
    fn what_would_leave_a_name_without_one_place_is_refused() {
        let former = |names: &str| format!("[{{property: formerNames, value: {names}}}]");
        let refused = |city: &str, state: &str| contract(city, state).expect_err("must be refused").to_string();
        assert!(refused(&former("[state]"), "[]").contains("`state`, which a property has now"));
        assert!(refused(&former("[city]"), "[]").contains("which a property has now"));
        assert!(refused(&former("[town]"), &former("[town]")).contains("by `city` and by `state`"));
        assert!(refused(&former("[created_at]"), "[]").contains("silver adds"));
        assert!(refused(&former("[Town]"), "[]").contains("snake_case"));
        assert!(refused(&former("[]"), "[]").contains("at least one"));
        assert!(refused(&former("town"), "[]").contains("list of names"));
        assert!(refused(&former("[1]"), "[]").contains("list of names"));
        assert!(refused("{formerNames: [town]}", "[]").contains("customProperties"));
        assert!(refused("[{property: former_names, value: [town]}]", "[]").contains("did you mean"));
    }
}
