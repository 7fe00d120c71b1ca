//! Commits without a network: requirements, first metadata, file names, and the pointer swap.

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, TableMetadata, Type};
use iceberg::{TableRequirement, TableUpdate};
use lakebed_contract::Timestamp;
use uuid::Uuid;

use super::metadata::{Current, NewTable, Stamp, commit, create, next_location};
use super::pointers::{Pointers, Swap};
use super::refusal::Refusal;
use crate::config::Fsync;

const LOCATION: &str = "s3://dm-datalake/silver/review";
const STAMP: Stamp = Stamp { table_uuid: Uuid::from_u128(7), now: Timestamp::from_seconds(1_000) };

fn schema() -> Schema {
    let field = NestedField::required(1, "review_id", Type::Primitive(PrimitiveType::Long));
    Schema::builder().with_fields([field.into()]).build().unwrap()
}

fn new_table(properties: &[(&str, &str)]) -> NewTable {
    NewTable {
        schema: schema(),
        partition_spec: None,
        sort_order: None,
        location: LOCATION.to_owned(),
        properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

fn current() -> Current {
    let location = format!("{LOCATION}/metadata/00009-{}.metadata.json", Uuid::from_u128(1));
    Current { metadata: create(new_table(&[]), STAMP).unwrap(), location }
}

fn set(key: &str, value: &str) -> TableUpdate {
    TableUpdate::SetProperties { updates: HashMap::from([(key.to_owned(), value.to_owned())]) }
}

fn check(requirement: TableRequirement) -> Result<TableMetadata, Refusal> {
    commit(Some(current()), &[requirement], vec![set("a", "b")], LOCATION, STAMP)
}

#[test]
fn first_metadata_follows_our_id_clock_and_format_version() {
    let metadata = create(new_table(&[("format-version", "2"), ("owner", "beer")]), STAMP).unwrap();
    assert_eq!(metadata.uuid(), STAMP.table_uuid);
    assert_eq!(metadata.last_updated_ms(), 1_000_000);
    assert_eq!(metadata.format_version(), FormatVersion::V2);
    assert_eq!(metadata.properties(), &HashMap::from([("owner".to_owned(), "beer".to_owned())]));
    assert_eq!(create(new_table(&[("format-version", "9")]), STAMP).unwrap_err().status, 400);
}

#[test]
fn requirements_that_hold_let_the_commit_through() {
    for requirement in [
        TableRequirement::UuidMatch { uuid: STAMP.table_uuid },
        TableRequirement::RefSnapshotIdMatch { r#ref: "main".to_owned(), snapshot_id: None },
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: 1 },
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: 0 },
        TableRequirement::LastAssignedPartitionIdMatch { last_assigned_partition_id: 999 },
        TableRequirement::DefaultSpecIdMatch { default_spec_id: 0 },
        TableRequirement::DefaultSortOrderIdMatch { default_sort_order_id: 0 },
    ] {
        let metadata = check(requirement.clone()).unwrap_or_else(|refusal| panic!("{requirement:?}: {refusal:?}"));
        assert_eq!(metadata.properties().get("a").map(String::as_str), Some("b"));
    }
}

#[test]
fn requirements_that_fail_are_conflicts() {
    for requirement in [
        TableRequirement::NotExist,
        TableRequirement::UuidMatch { uuid: Uuid::from_u128(8) },
        TableRequirement::RefSnapshotIdMatch { r#ref: "main".to_owned(), snapshot_id: Some(5) },
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: 2 },
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: 1 },
        TableRequirement::LastAssignedPartitionIdMatch { last_assigned_partition_id: 1_000 },
        TableRequirement::DefaultSpecIdMatch { default_spec_id: 1 },
        TableRequirement::DefaultSortOrderIdMatch { default_sort_order_id: 1 },
    ] {
        let refusal = check(requirement.clone()).expect_err("the requirement does not hold");
        assert_eq!((refusal.status.as_u16(), refusal.kind), (409, "CommitFailedException"), "{requirement:?}");
    }
}

#[test]
fn a_commit_to_no_table_is_not_found_unless_it_creates_it() {
    let refusal = commit(None, &[], vec![set("a", "b")], LOCATION, STAMP).unwrap_err();
    assert_eq!((refusal.status.as_u16(), refusal.kind), (404, "NoSuchTableException"));
    let uuid = TableRequirement::UuidMatch { uuid: STAMP.table_uuid };
    assert_eq!(commit(None, &[uuid], vec![], LOCATION, STAMP).unwrap_err().status, 404);

    let staged = vec![
        TableUpdate::AssignUuid { uuid: Uuid::from_u128(42) },
        TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V2 },
        TableUpdate::AddSchema { schema: schema() },
        TableUpdate::SetCurrentSchema { schema_id: -1 },
        TableUpdate::AddSpec { spec: iceberg::spec::UnboundPartitionSpec::builder().build() },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
        TableUpdate::AddSortOrder { sort_order: iceberg::spec::SortOrder::unsorted_order() },
        TableUpdate::SetDefaultSortOrder { sort_order_id: -1 },
        TableUpdate::SetLocation { location: "s3://elsewhere/t".to_owned() },
        set("a", "b"),
    ];
    let metadata = commit(None, &[TableRequirement::NotExist], staged, LOCATION, STAMP).unwrap();
    assert_eq!(metadata.uuid(), Uuid::from_u128(42));
    assert_eq!(metadata.location(), "s3://elsewhere/t");
    assert_eq!(metadata.current_schema().highest_field_id(), 1);
    assert_eq!(metadata.last_updated_ms(), 1_000_000);
}

#[test]
fn metadata_files_are_numbered_one_after_the_other() {
    let Current { metadata, location } = current();
    let first = next_location(&metadata, None, Uuid::from_u128(2)).unwrap().to_string();
    assert_eq!(first, format!("{LOCATION}/metadata/00000-{}.metadata.json", Uuid::from_u128(2)));
    let next = next_location(&metadata, Some(&location), Uuid::from_u128(2)).unwrap().to_string();
    assert!(next.contains("/00010-"), "{next}");
}

#[test]
fn an_update_that_makes_no_sense_is_a_bad_request() {
    let update = TableUpdate::SetCurrentSchema { schema_id: 77 };
    let refusal = commit(Some(current()), &[], vec![update], LOCATION, STAMP).unwrap_err();
    assert_eq!(refusal.status, 400);
}

fn swap(table: &str, from: Option<&str>, to: &str) -> Swap {
    let (namespace, table) = ("silver".to_owned(), table.to_owned());
    Swap { namespace, table, from: from.map(str::to_owned), to: to.to_owned() }
}

#[tokio::test]
async fn pointers_move_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let pointers = Pointers::open(&path, Fsync::Never).unwrap();
    let orphan = pointers.swap(vec![swap("a", None, "a0")]).await.unwrap_err();
    assert_eq!(orphan.kind, "NoSuchNamespaceException");
    pointers.create_namespace("silver".to_owned(), BTreeMap::new()).await.unwrap();
    pointers.swap(vec![swap("a", None, "a0"), swap("b", None, "b0")]).await.unwrap();

    let lost = pointers.swap(vec![swap("a", Some("a0"), "a1"), swap("b", Some("stale"), "b1")]).await.unwrap_err();
    assert_eq!((lost.status.as_u16(), lost.kind), (409, "CommitFailedException"));
    let at = |table: &str| pointers.current("silver".to_owned(), table.to_owned());
    assert_eq!(at("a").await.unwrap().as_deref(), Some("a0"), "the first pointer must not have moved");
    assert_eq!(pointers.swap(vec![swap("a", None, "x")]).await.unwrap_err().kind, "AlreadyExistsException");

    pointers.swap(vec![swap("a", Some("a0"), "a1")]).await.unwrap();
    drop(pointers);
    let reopened = Pointers::open(&path, Fsync::Never).unwrap();
    assert_eq!(reopened.current("silver".to_owned(), "a".to_owned()).await.unwrap().as_deref(), Some("a1"));
    assert_eq!(reopened.drop_namespace("silver".to_owned()).await.unwrap_err().kind, "NamespaceNotEmptyException");
}
