//! Records by kind of change and by settings profile, byte for byte where the shape matters.

use super::super::shape::samples::beer;
use super::*;

const NOW: Timestamp = Timestamp(1_722_214_747_686_557);

fn builder() -> EnvelopeBuilder {
    EnvelopeBuilder::new(DmsSettings::lakebed_recommended(), "task", 2)
}

fn place(ordinal: u64) -> TransactionPlace {
    TransactionPlace { xid: 731, commit_lsn: Lsn(0x2_7C00_73F8), commit_time: NOW, ordinal, row_lsn: Lsn(7) }
}

fn line(envelope: &Envelope) -> String {
    String::from_utf8(envelope.to_json_line()).expect("utf-8")
}

const ROW: [Cell<'static>; 4] =
    [Cell::Text("12345678901234567"), Cell::Text(""), Cell::Text("4.50"), Cell::Text("2026-01-02 03:04:05.6+00")];

#[test]
fn a_load_record_has_no_place_but_a_generation() {
    let record = builder().load(&beer(), &ROW, NOW).expect("load");
    assert_eq!(
        line(&record),
        concat!(
            r#"{"data":{"beer_id":12345678901234567,"beer_name":"","beer_abv":4.50,"tasted":"2026-01-02T03:04:05.600000Z"},"#,
            r#""metadata":{"timestamp":"2024-07-29T00:59:07.686557Z","record-type":"data","operation":"load","#,
            r#""partition-key-type":"schema-table","schema-name":"dm_core","table-name":"beer","load-generation":2}}"#,
            "\n"
        )
    );
}

#[test]
fn a_change_carries_its_place_and_the_one_before() {
    let mut builder = builder();
    builder.insert(&beer(), &ROW, &place(1), NOW).expect("first");
    let second = builder.insert(&beer(), &ROW, &place(2), NOW).expect("second");
    let metadata = &second.metadata;
    assert_eq!(metadata.stream_position.as_deref(), Some("00000002/7C0073F8.2.00000000/00000007"));
    assert_eq!((metadata.transaction_id, metadata.transaction_record_id), (Some(731), Some(2)));
    assert_eq!((metadata.prev_transaction_id, metadata.prev_transaction_record_id), (Some(731), Some(1)));
    assert_eq!(metadata.commit_timestamp.as_deref(), Some("2024-07-29T00:59:07.686557Z"));
    assert_eq!(second.position().expect("placed").ordinal, 2);
    assert!(second.before_image.is_none());
}

#[test]
fn unchanged_toast_is_absent_and_null_is_null() {
    let new = [Cell::Text("1"), Cell::Unchanged, Cell::Null, Cell::Null];
    let update = builder().update(&beer(), None, &new, &place(1), NOW).expect("update");
    let data = update.data.expect("row");
    assert_eq!((data.get("beer_name"), data.get("beer_abv")), (None, Some("null")));
    assert!(update.before_image.expect("enabled").0.is_empty(), "the log has no old key");
}

#[test]
fn a_key_change_shows_the_old_key_only() {
    let old = OldTuple::Key(vec![Cell::Text("1"), Cell::Null, Cell::Null, Cell::Null]);
    let update = builder().update(&beer(), Some(&old), &ROW, &place(1), NOW).expect("update");
    let before = update.before_image.expect("old key");
    assert_eq!((before.0.len(), before.get("beer_id")), (1, Some("1")));
}

#[test]
fn a_full_old_row_fills_unchanged_toast() {
    let old = OldTuple::Full(vec![Cell::Text("1"), Cell::Text("big"), Cell::Null, Cell::Null]);
    let new = [Cell::Text("1"), Cell::Unchanged, Cell::Null, Cell::Null];
    let update = builder().update(&beer(), Some(&old), &new, &place(1), NOW).expect("update");
    assert_eq!(update.data.expect("row").get("beer_name"), Some("\"big\""));

    let mut settings = DmsSettings::lakebed_recommended();
    settings.before_image = Some(BeforeImageFilter::All);
    let mut all = EnvelopeBuilder::new(settings, "task", 1);
    let before = all.update(&beer(), Some(&old), &new, &place(1), NOW).expect("update").before_image.expect("on");
    assert_eq!((before.get("beer_name"), before.get("beer_abv")), (None, Some("null")), "no LOB in a before image");
}

#[test]
fn a_delete_carries_its_key_only() {
    let old = OldTuple::Full(vec![Cell::Text("1"), Cell::Text("x"), Cell::Null, Cell::Null]);
    let delete = builder().delete(&beer(), &old, &place(1), NOW).expect("delete");
    let data = delete.data.expect("key");
    assert_eq!((data.0.len(), data.get("beer_id")), (1, Some("1")));
}

#[test]
fn the_aws_profile_drops_null_and_empty_and_has_no_place() {
    let mut builder = EnvelopeBuilder::new(DmsSettings::aws_default(), "task", 1);
    let new = [Cell::Text("1"), Cell::Text(""), Cell::Null, Cell::Null];
    let update = builder.update(&beer(), None, &new, &place(1), NOW).expect("update");
    assert_eq!(update.data.as_ref().expect("row").0.len(), 1);
    assert!(update.before_image.is_none() && update.metadata.stream_position.is_none());
    assert_eq!(update.metadata.transaction_id, Some(731));
    let text = String::from_utf8(builder.record(&beer(), &update).data.to_vec()).expect("utf-8");
    assert!(text.starts_with("{\n  \"data\": {\n"), "{text}");
}

#[test]
fn control_records_travel_by_task_and_data_by_table() {
    let builder = builder();
    let created = builder.control(&beer(), Operation::CreateTable, NOW);
    assert!(line(&created).starts_with(r#"{"control":{"table-def":{"columns":{"#), "{}", line(&created));
    assert_eq!(created.metadata.partition_key_value.as_deref(), Some("task"));
    let record = builder.record(&beer(), &created);
    assert_eq!((record.partition_key.as_str(), record.row_of), ("task.dm_core.beer", None));
    let dropped = builder.control(&beer(), Operation::DropTable, NOW);
    assert!(line(&dropped).starts_with(r#"{"control":{},"metadata""#));
    let row = builder.record(&beer(), &builder.load(&beer(), &ROW, NOW).expect("load"));
    assert_eq!((row.partition_key.as_str(), row.row_of.as_deref()), ("dm_core.beer", Some("beer")));
}

#[test]
fn a_row_of_another_width_is_refused_without_its_values() {
    let refused = builder().load(&beer(), &ROW[..2], NOW).expect_err("too short").to_string();
    assert!(refused.contains("dm_core.beer") && refused.contains("2 values for 4 columns"), "{refused}");
}
