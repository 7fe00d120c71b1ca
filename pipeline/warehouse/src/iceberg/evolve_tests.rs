//! What a changed contract or model makes of a table's columns, and what is refused.

use iceberg::spec::TableMetadataBuilder;
use lakebed_contract::TableContract;

use super::*;

const KEY: &str = "{name: id, physicalType: integer, primaryKey: true}";
const CITY: &str = "{name: city, physicalType: text}";
const TOWN: &str = "{name: town, physicalType: text, customProperties: [{property: formerNames, value: [city]}]}";
const VISITS: &str = "{name: visits, physicalType: integer}";
const SCORE: &str = "{name: score, physicalType: 'numeric(4,1)'}";
const AT: &str = "{name: seen_at, physicalType: timestamptz, required: true}";
const BY_MONTH: &str = "    customProperties: [{property: silverPartition, value: seen_at}]\n";

fn shape(columns: &[&str], custom: &str) -> TableShape {
    let columns: String = columns.iter().map(|column| format!("      - {column}\n")).collect();
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    properties:\n\
         {columns}{custom}"
    );
    TableShape::silver(&TableContract::from_odcs_yaml("contracts/t.yaml", &text).expect("a contract"))
}

fn ident() -> TableIdent {
    TableIdent::from_strs(["silver", "t"]).expect("an ident")
}

fn table(shape: &TableShape) -> TableMetadata {
    let creation = shape.creation(&ident(), "s3://b/silver/t".to_owned()).expect("a table");
    let builder = TableMetadataBuilder::from_table_creation(creation).expect("a table");
    builder.build().expect("a table").metadata
}

fn before() -> TableMetadata {
    table(&shape(&[KEY, CITY, VISITS, SCORE, AT], BY_MONTH))
}

fn after(metadata: TableMetadata, shape: &TableShape) -> TableMetadata {
    let change = shape.evolution(&ident(), &metadata).expect("may change").expect("does change");
    let builder = metadata.into_builder(None).add_current_schema(change.schema).expect("a schema");
    builder.build().expect("a table").metadata
}

#[test]
fn added_widened_and_renamed_columns_keep_every_field_id() {
    let key = KEY.replace("integer", "bigint");
    let wide = [VISITS.replace("integer", "bigint"), SCORE.replace("(4,1)", "(10,1)")];
    let wanted = shape(&[AT, "{name: note, physicalType: text}", TOWN, &wide[1], &wide[0], &key], BY_MONTH);
    let (old, new) = (before(), after(before(), &wanted));
    let id = |metadata: &TableMetadata, name: &str| metadata.current_schema().field_id_by_name(name);
    for name in ["id", "visits", "score", "seen_at", "seen_year", "_ordinal"] {
        assert_eq!(id(&new, name), id(&old, name), "{name}");
    }
    assert_eq!((id(&new, "town"), id(&new, "city")), (id(&old, "city"), None));
    assert_eq!(id(&new, "note"), Some(old.last_column_id() + 1));
    let types = ["id", "visits", "score"]
        .map(|name| new.current_schema().field_by_name(name).expect(name).field_type.to_string());
    assert_eq!(types, ["long", "long", "decimal(10, 1)"]);
    assert_eq!(new.current_schema().identifier_field_ids().collect::<Vec<_>>(), [1]);
    assert_eq!(new.default_partition_spec(), old.default_partition_spec());
    assert!(wanted.evolution(&ident(), &new).expect("the same").is_none(), "a second time changes nothing");
}

#[test]
fn a_column_that_the_contract_dropped_or_moved_changes_nothing() {
    for columns in [&[KEY, VISITS, SCORE, AT][..], &[AT, CITY, SCORE, VISITS, KEY]] {
        assert!(shape(columns, BY_MONTH).evolution(&ident(), &before()).expect("allowed").is_none());
    }
}

#[test]
fn what_would_lose_or_confuse_values_is_refused() {
    let replaced = |from: &str, to: &str| {
        [KEY, CITY, VISITS, SCORE, AT].map(|column| if column == from { to.to_owned() } else { column.to_owned() })
    };
    let more = "{name: more, physicalType: integer, primaryKey: true}";
    for (columns, custom, words) in [
        (replaced(VISITS, "{name: visits, physicalType: text}"), BY_MONTH, ["`visits`", "int", "string"]),
        (
            replaced(VISITS, "{name: visits, physicalType: 'numeric(10,0)'}"),
            BY_MONTH,
            ["`visits`", "int", "decimal(10, 0)"],
        ),
        (
            replaced(SCORE, "{name: score, physicalType: 'numeric(3,1)'}"),
            BY_MONTH,
            ["`score`", "decimal(4, 1)", "decimal(3, 1)"],
        ),
        (
            replaced(SCORE, "{name: score, physicalType: 'numeric(9,2)'}"),
            BY_MONTH,
            ["`score`", "decimal(4, 1)", "decimal(9, 2)"],
        ),
        (replaced(CITY, more), BY_MONTH, ["`more`", "key", "another name"]),
        (replaced(KEY, more), BY_MONTH, ["`id`", "key", "former names"]),
        (
            replaced(CITY, "{name: city, physicalType: text, primaryKey: true}"),
            BY_MONTH,
            ["`city`", "not part of", "key"],
        ),
        (replaced(CITY, CITY), "", ["partitioned by", "seen_year, seen_month", "nothing"]),
    ] {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let error = shape(&columns, custom).evolution(&ident(), &before()).err().expect("refused").to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("silver.t"), "{words:?}: {error}");
    }
}

#[test]
fn nobody_renames_a_column_back_by_an_old_contract_or_joins_two() {
    let renamed = after(before(), &shape(&[KEY, TOWN, VISITS, SCORE, AT], BY_MONTH));
    let old = shape(&[KEY, CITY, VISITS, SCORE, AT], BY_MONTH);
    let error = old.evolution(&ident(), &renamed).err().expect("refused").to_string();
    assert!(error.contains("`town`") && error.contains("`city`"), "{error}");
    let plain = "{name: town, physicalType: text}";
    let both = after(before(), &shape(&[KEY, CITY, plain, VISITS, SCORE, AT], BY_MONTH));
    let error =
        shape(&[KEY, TOWN, VISITS, SCORE, AT], BY_MONTH).evolution(&ident(), &both).err().expect("refused").to_string();
    assert!(error.contains("`town` and `city`"), "{error}");
}

#[test]
fn a_former_name_stays_for_good() {
    let renamed = after(before(), &shape(&[KEY, TOWN, VISITS, SCORE, AT], BY_MONTH));
    let plain = "{name: town, physicalType: text}";
    let again = TOWN.replace("town", "place").replace("[city]", "[town, city]");
    for columns in [
        vec![KEY, plain, VISITS, SCORE, AT],
        vec![KEY, plain, CITY, VISITS, SCORE, AT],
        vec![KEY, &again.replace("[town, city]", "[town]"), VISITS, SCORE, AT],
    ] {
        let error = shape(&columns, BY_MONTH).evolution(&ident(), &renamed).err().expect("refused").to_string();
        assert!(error.contains("`town` was called `city`") && error.contains("stay for good"), "{error}");
    }
    let thrice = after(renamed, &shape(&[KEY, &again, VISITS, SCORE, AT], BY_MONTH));
    let back = CITY.replace("text}", "text, customProperties: [{property: formerNames, value: [town, place]}]}");
    let back = after(thrice, &shape(&[KEY, &back, VISITS, SCORE, AT], BY_MONTH));
    assert_eq!(back.current_schema().field_id_by_name("city"), before().current_schema().field_id_by_name("city"));
}

#[test]
fn the_column_of_the_months_may_be_renamed_and_not_exchanged() {
    let time = AT.replace("seen_at", "seen_time");
    let by_time = BY_MONTH.replace("seen_at", "seen_time");
    let error = shape(&[KEY, CITY, VISITS, SCORE, AT, &time], &by_time).evolution(&ident(), &before());
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("months of `seen_at`") && error.contains("`seen_time`"), "{error}");
    let renamed = time.replace("required", "customProperties: [{property: formerNames, value: [seen_at]}], required");
    let new = after(before(), &shape(&[KEY, CITY, VISITS, SCORE, &renamed], &by_time));
    assert_eq!(new.default_partition_spec(), before().default_partition_spec());
}

#[test]
fn a_model_may_gain_and_widen_columns_but_not_lose_them() {
    let model = |columns: &[(&str, &str)]| {
        let columns: Vec<_> = columns.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect();
        TableShape::model("m", &columns, &[], &[]).expect("a model")
    };
    let old = table(&model(&[("state", "VARCHAR"), ("beers", "INTEGER")]));
    let new = after(old.clone(), &model(&[("beers", "BIGINT"), ("best", "DOUBLE"), ("state", "VARCHAR")]));
    let names: Vec<_> = new.current_schema().as_struct().fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["state", "beers", "best"]);
    let error = model(&[("beers", "INTEGER")]).evolution(&ident(), &old).err().expect("refused").to_string();
    assert!(error.contains("`state`") && error.contains("drop the table"), "{error}");
    let columns = [("state", "VARCHAR"), ("beers", "INTEGER")].map(|(name, sql)| (name.to_owned(), sql.to_owned()));
    let by_state = TableShape::model("m", &columns, &["state".to_owned()], &[]).expect("a model");
    let error = by_state.evolution(&ident(), &old).err().expect("refused").to_string();
    assert!(error.contains("the model says by state") && error.contains("drop the table"), "{error}");
}
