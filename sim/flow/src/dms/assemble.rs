//! The stream's messages → records, transaction by transaction.
//!
//! Knows which transaction is open, which shape each relation has, and how many rows the transaction had so far. Pure but
//! for log events. Refuses a stream that breaks its own frame (a row outside a transaction, an unknown relation).
//! TRUNCATE gives no record, as with DMS, but a line in the log.

use std::collections::{BTreeMap, HashMap};

use lakebed_contract::envelope::Operation;
use lakebed_contract::{EventSink, Lsn, Timestamp};

use super::envelope::{EnvelopeBuilder, TransactionPlace};
use super::error::DmsError;
use super::pgoutput::{Message, RelationColumn};
use super::shape::{ColumnShape, TableShape};
use super::sink::SinkRecord;

/// `pg_class.relreplident` of a table whose identity is its primary key.
const IDENTITY_IS_KEY: u8 = b'd';

/// Assembles records; one per task.
pub(super) struct Assembler {
    builder: EnvelopeBuilder,
    events: EventSink,
    /// Last known shape by (schema, table): the catalog's, then the stream's.
    tables: BTreeMap<(String, String), TableShape>,
    /// By relation OID; `None` is a published table that is not in the lake.
    relations: HashMap<u32, Option<TableShape>>,
    transaction: Option<TransactionPlace>,
}

impl Assembler {
    pub(super) fn new(builder: EnvelopeBuilder, tables: &[TableShape], events: EventSink) -> Self {
        let tables = tables.iter().map(|table| ((table.schema.clone(), table.name.clone()), table.clone())).collect();
        Self { builder, events, tables, relations: HashMap::new(), transaction: None }
    }

    /// Whether a transaction has begun and not ended.
    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Takes a message that stands at `lsn`; appends its records to `out`. Returns the end LSN of a finished transaction.
    pub(super) fn accept(
        &mut self,
        message: Message<'_>,
        lsn: Lsn,
        now: Timestamp,
        out: &mut Vec<SinkRecord>,
    ) -> Result<Option<Lsn>, DmsError> {
        match message {
            Message::Begin { final_lsn, commit_time, xid } => {
                let begun = TransactionPlace { xid, commit_lsn: final_lsn, commit_time, ordinal: 0, row_lsn: lsn };
                if self.transaction.replace(begun).is_some() {
                    return Err(DmsError::stream("a transaction began inside another"));
                }
            }
            Message::Commit { commit_lsn, end_lsn, .. } => {
                let ended = self.transaction.take().ok_or_else(|| DmsError::stream("a commit without its begin"))?;
                if ended.commit_lsn != commit_lsn {
                    return Err(DmsError::stream("a commit with another LSN than its begin"));
                }
                return Ok(Some(end_lsn));
            }
            Message::Relation { id, schema, name, replica_identity, columns } => {
                self.learn(id, (schema, name), replica_identity, &columns, now, out);
            }
            Message::Insert { relation, new } => {
                self.change(relation, lsn, out, |builder, table, place| builder.insert(table, &new, place, now))?
            }
            Message::Update { relation, old, new } => self.change(relation, lsn, out, |builder, table, place| {
                builder.update(table, old.as_ref(), &new, place, now)
            })?,
            Message::Delete { relation, old } => {
                self.change(relation, lsn, out, |builder, table, place| builder.delete(table, &old, place, now))?
            }
            Message::Truncate { relations, .. } => self.note_truncate(&relations),
            Message::Origin { .. } | Message::Type { .. } | Message::Logical { .. } => (),
        }
        Ok(None)
    }

    fn change(
        &mut self,
        relation: u32,
        lsn: Lsn,
        out: &mut Vec<SinkRecord>,
        build: impl FnOnce(
            &mut EnvelopeBuilder,
            &TableShape,
            &TransactionPlace,
        ) -> Result<lakebed_contract::Envelope, DmsError>,
    ) -> Result<(), DmsError> {
        let place = self.transaction.as_mut().ok_or_else(|| DmsError::stream("a row outside a transaction"))?;
        place.ordinal += 1;
        place.row_lsn = lsn;
        let table = self
            .relations
            .get(&relation)
            .ok_or_else(|| DmsError::stream(format!("a row of relation {relation}, which was never described")))?;
        if let Some(table) = table {
            let envelope = build(&mut self.builder, table, place)?;
            out.push(self.builder.record(table, &envelope));
        }
        Ok(())
    }

    /// Takes a relation's shape; says in control records what changed, when the settings ask for it.
    fn learn(
        &mut self,
        id: u32,
        (schema, name): (&str, &str),
        replica_identity: u8,
        columns: &[RelationColumn<'_>],
        now: Timestamp,
        out: &mut Vec<SinkRecord>,
    ) {
        let Some(known) = self.tables.get_mut(&(schema.to_owned(), name.to_owned())) else {
            self.events.log(format!("dms: `{schema}.{name}` is published but not in the lake; its rows are left out"));
            self.relations.insert(id, None);
            return;
        };
        let shape = reshape(known, replica_identity, columns);
        if self.builder.settings().include_table_alter_operations {
            for operation in alterations(known, &shape) {
                out.push(self.builder.record(&shape, &self.builder.control(&shape, operation, now)));
            }
        }
        *known = shape.clone();
        self.relations.insert(id, Some(shape));
    }

    fn note_truncate(&self, relations: &[u32]) {
        for table in relations.iter().filter_map(|id| self.relations.get(id)?.as_ref()) {
            let key = table.partition_key();
            self.events.log(format!("dms: TRUNCATE of `{key}` is not captured, as with DMS: the lake keeps its rows"));
        }
    }
}

/// The stream's columns; what the stream does not tell (nullability, and the primary key unless it is the replica identity) comes
/// from the shape before.
fn reshape(known: &TableShape, replica_identity: u8, columns: &[RelationColumn<'_>]) -> TableShape {
    let columns = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let before = column_before(known, columns, at);
            let is_key = match replica_identity {
                IDENTITY_IS_KEY => column.is_identity,
                _ => before.is_some_and(|before| before.is_key),
            };
            ColumnShape {
                name: column.name.to_owned(),
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                nullable: before.map_or(!is_key, |before| before.nullable),
                is_key,
            }
        })
        .collect();
    TableShape { schema: known.schema.clone(), name: known.name.clone(), columns }
}

/// What column `at` of the stream was before: the one of its name, or the one that was renamed to it. The stream tells names only,
/// so a rename is what leaves a column of the same type in its place, with as many beside it.
fn column_before<'k>(known: &'k TableShape, columns: &[RelationColumn<'_>], at: usize) -> Option<&'k ColumnShape> {
    let column = &columns[at];
    let by_name = known.columns.iter().find(|before| before.name == column.name);
    let by_place = || {
        let before = known.columns.get(at).filter(|_| known.columns.len() == columns.len())?;
        let is_gone = columns.iter().all(|column| column.name != before.name);
        let same_type = (before.type_oid, before.type_modifier) == (column.type_oid, column.type_modifier);
        (is_gone && same_type).then_some(before)
    };
    by_name.or_else(by_place)
}

/// What changed between two shapes, one operation a column. A rename looks like a drop and an add.
fn alterations(before: &TableShape, after: &TableShape) -> Vec<Operation> {
    let find = |table: &TableShape, name: &str| table.columns.iter().position(|column| column.name == name);
    let dropped = before.columns.iter().filter(|column| find(after, &column.name).is_none());
    let mut operations: Vec<Operation> = dropped.map(|_| Operation::DropColumn).collect();
    for column in &after.columns {
        match find(before, &column.name).map(|at| &before.columns[at]) {
            None => operations.push(Operation::AddColumn),
            Some(old) if (old.type_oid, old.type_modifier) != (column.type_oid, column.type_modifier) => {
                operations.push(Operation::ColumnTypeChange);
            }
            Some(_) => (),
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use lakebed_contract::{Envelope, RunEvent};

    use super::super::pgoutput::{Cell, OldTuple};
    use super::super::settings::DmsSettings;
    use super::super::shape::samples::beer;
    use super::*;

    const NOW: Timestamp = Timestamp(0);

    fn assembler() -> (Assembler, Arc<Mutex<Vec<String>>>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let events = EventSink::new(move |event| {
            if let RunEvent::Log { message } = event {
                lines.lock().expect("log").push(message);
            }
        });
        let builder = EnvelopeBuilder::new(DmsSettings::lakebed_recommended(), "task", 1);
        (Assembler::new(builder, &[beer()], events), log)
    }

    fn begin(commit: u64) -> Message<'static> {
        Message::Begin { final_lsn: Lsn(commit), commit_time: NOW, xid: commit as u32 }
    }

    fn commit(commit: u64) -> Message<'static> {
        Message::Commit { commit_lsn: Lsn(commit), end_lsn: Lsn(commit + 8), commit_time: NOW }
    }

    fn columns(table: &TableShape) -> Vec<RelationColumn<'_>> {
        let column = |column: &ColumnShape| (column.is_key, column.type_oid, column.type_modifier);
        table
            .columns
            .iter()
            .map(|shape| {
                let (is_identity, type_oid, type_modifier) = column(shape);
                RelationColumn { is_identity, name: &shape.name, type_oid, type_modifier }
            })
            .collect()
    }

    fn relation<'a>(id: u32, name: &'a str, columns: Vec<RelationColumn<'a>>) -> Message<'a> {
        Message::Relation { id, schema: "dm_core", name, replica_identity: b'd', columns }
    }

    fn insert(id: u32, key: &str) -> Message<'_> {
        Message::Insert { relation: id, new: vec![Cell::Text(key), Cell::Null, Cell::Null, Cell::Null] }
    }

    fn feed(assembler: &mut Assembler, messages: Vec<Message<'_>>) -> Result<(Vec<Envelope>, Vec<Lsn>), DmsError> {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        for (at, message) in messages.into_iter().enumerate() {
            ends.extend(assembler.accept(message, Lsn(at as u64), NOW, &mut out)?);
        }
        let envelopes = out.iter().map(|record| serde_json::from_slice(&record.data).expect("an envelope")).collect();
        Ok((envelopes, ends))
    }

    #[test]
    fn ordinals_count_over_all_tables_and_restart_with_the_transaction() {
        let (mut assembler, log) = assembler();
        let shape = beer();
        let old = OldTuple::Key(vec![Cell::Text("1"), Cell::Null, Cell::Null, Cell::Null]);
        let messages = vec![
            begin(100),
            relation(1, "beer", columns(&shape)),
            relation(2, "stranger", vec![]),
            insert(1, "1"),
            insert(2, "9"),
            Message::Delete { relation: 1, old },
            commit(100),
            begin(50),
            insert(1, "2"),
            commit(50),
        ];
        let (envelopes, ends) = feed(&mut assembler, messages).expect("a sound stream");
        let places: Vec<_> = envelopes.iter().map(|e| e.position().expect("placed")).collect();
        let seen: Vec<_> = places.iter().map(|place| (place.commit_lsn.0, place.ordinal)).collect();
        assert_eq!(seen, [(100, 1), (100, 3), (50, 1)], "the stranger's row has ordinal 2 and no record");
        assert_eq!(ends, [Lsn(108), Lsn(58)]);
        assert!(!assembler.in_transaction());
        assert!(log.lock().expect("log")[0].contains("`dm_core.stranger`"));
    }

    #[test]
    fn a_changed_shape_gives_control_records_and_reads_the_rows_after_it() {
        let (mut assembler, _) = assembler();
        let mut shape = beer();
        shape.columns.remove(3);
        shape.columns.push(ColumnShape {
            name: "ibu".into(),
            type_oid: 23,
            type_modifier: -1,
            nullable: true,
            is_key: false,
        });
        shape.columns[2].type_oid = 701;
        let row = Message::Insert { relation: 1, new: vec![Cell::Text("7"), Cell::Null, Cell::Null, Cell::Text("40")] };
        let messages = vec![begin(1), relation(1, "beer", columns(&shape)), row, commit(1)];
        let (envelopes, _) = feed(&mut assembler, messages).expect("a sound stream");
        let operations: Vec<_> = envelopes.iter().map(|envelope| envelope.metadata.operation).collect();
        use Operation::{AddColumn, ColumnTypeChange, DropColumn, Insert};
        assert_eq!(operations, [DropColumn, ColumnTypeChange, AddColumn, Insert]);
        assert_eq!(envelopes[3].data.as_ref().expect("row").get("ibu"), Some("40"));
    }

    #[test]
    fn a_key_column_that_is_renamed_stays_the_key() {
        let (mut assembler, _) = assembler();
        let mut shape = beer();
        shape.columns[0].name = "beer_key".to_owned();
        let old = OldTuple::Key(vec![Cell::Text("7"), Cell::Null, Cell::Null, Cell::Null]);
        let messages =
            vec![begin(1), relation(1, "beer", columns(&shape)), Message::Delete { relation: 1, old }, commit(1)];
        let (envelopes, _) = feed(&mut assembler, messages).expect("a sound stream");
        for control in &envelopes[..2] {
            let control = control.control.as_ref().expect("details");
            assert_eq!(control["table-def"]["primary-key"], serde_json::json!(["beer_key"]));
        }
        assert_eq!(envelopes[2].data.as_ref().expect("a row").get("beer_key"), Some("7"));
    }

    #[test]
    fn truncate_is_silent_but_logged() {
        let (mut assembler, log) = assembler();
        let shape = beer();
        let truncate = Message::Truncate { relations: vec![1], options: 0 };
        let messages = vec![begin(1), relation(1, "beer", columns(&shape)), truncate, commit(1)];
        let (envelopes, ends) = feed(&mut assembler, messages).expect("a sound stream");
        assert!(envelopes.is_empty());
        assert_eq!(ends, [Lsn(9)]);
        assert!(log.lock().expect("log")[0].contains("TRUNCATE of `dm_core.beer`"));
    }

    #[test]
    fn a_broken_frame_is_refused() {
        for messages in [
            vec![insert(1, "1")],
            vec![commit(1)],
            vec![begin(1), begin(2)],
            vec![begin(1), commit(2)],
            vec![begin(1), insert(1, "1")],
        ] {
            assert!(matches!(feed(&mut assembler().0, messages), Err(DmsError::Protocol { .. })));
        }
    }

    /// Then the stream says of every column that it identifies the row.
    #[test]
    fn with_a_full_replica_identity_the_key_is_known_by_its_place() {
        let primary_key = |change: &dyn Fn(&mut TableShape)| {
            let (mut assembler, _) = assembler();
            let mut shape = beer();
            change(&mut shape);
            let mut columns = columns(&shape);
            columns.iter_mut().for_each(|column| column.is_identity = true);
            let relation =
                Message::Relation { id: 1, schema: "dm_core", name: "beer", replica_identity: b'f', columns };
            let (envelopes, _) = feed(&mut assembler, vec![begin(1), relation, commit(1)]).expect("a sound stream");
            envelopes[0].control.as_ref().expect("details")["table-def"]["primary-key"].clone()
        };
        let renamed = |shape: &mut TableShape| shape.columns[0].name = "beer_key".to_owned();
        assert_eq!(primary_key(&renamed), serde_json::json!(["beer_key"]));
        let replaced = |shape: &mut TableShape| {
            shape.columns[0].name = "beer_key".to_owned();
            shape.columns[0].type_oid = 701;
        };
        assert_eq!(primary_key(&replaced), serde_json::json!([]));
        let moved = |shape: &mut TableShape| {
            let mut key = shape.columns.remove(0);
            key.name = "beer_key".to_owned();
            shape.columns.push(key);
        };
        assert_eq!(primary_key(&moved), serde_json::json!([]));
        let others = |shape: &mut TableShape| shape.columns[1].name = "called".to_owned();
        assert_eq!(primary_key(&others), serde_json::json!(["beer_id"]));
    }
}
