//! Rows and table events → DMS envelopes, by the settings of the task.
//!
//! NULL, absent and text stay apart: an unchanged TOAST column is left out (unless a full old row supplies its value), NULL
//! is `null` or left out by `IncludeNullAndEmpty`. A delete carries its key columns only: the other values are not in the
//! log, and a `null` would claim something about them. An update shows its old key when the log has it, `{}` otherwise.
//! Orders nothing itself: the place of a change is handed in.

use bytes::Bytes;
use lakebed_contract::envelope::{ColumnValues, Envelope, Metadata, Operation, RecordType};
use lakebed_contract::position::format_stream_position;
use lakebed_contract::{Lsn, Timestamp};

use super::error::DmsError;
use super::pgoutput::{Cell, OldTuple};
use super::settings::{BeforeImageFilter, DmsSettings, MessageFormat};
use super::shape::{ColumnShape, TableShape};
use super::sink::SinkRecord;
use super::value;

/// Where a change stands: its transaction, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionPlace {
    /// 32-bit transaction id.
    pub xid: u32,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// Commit time.
    pub commit_time: Timestamp,
    /// Counts the rows of the transaction from 1, over all tables.
    pub ordinal: u64,
    /// LSN of the row's own record.
    pub row_lsn: Lsn,
}

/// Builds the records of one task.
#[derive(Debug)]
pub struct EnvelopeBuilder {
    settings: DmsSettings,
    task_id: String,
    generation: u32,
    /// Transaction and record id of the change before.
    previous: Option<(u32, u64)>,
}

impl EnvelopeBuilder {
    /// For the task `task_id` in load generation `generation`.
    pub fn new(settings: DmsSettings, task_id: &str, generation: u32) -> Self {
        Self { settings, task_id: task_id.to_owned(), generation, previous: None }
    }

    /// The settings in force.
    pub fn settings(&self) -> &DmsSettings {
        &self.settings
    }

    /// A row of the full load.
    ///
    /// # Errors
    /// When the row has another number of cells than the table has columns; so for the three changes below.
    pub fn load(&self, table: &TableShape, row: &[Cell<'_>], now: Timestamp) -> Result<Envelope, DmsError> {
        let metadata = self.metadata(table, RecordType::Data, Operation::Load, now);
        Ok(data_record(self.columns(table, row, |_| true)?, None, metadata))
    }

    /// An inserted row.
    pub fn insert(
        &mut self,
        table: &TableShape,
        new: &[Cell<'_>],
        place: &TransactionPlace,
        now: Timestamp,
    ) -> Result<Envelope, DmsError> {
        let data = self.columns(table, new, |_| true)?;
        Ok(data_record(data, None, self.change(table, Operation::Insert, place, now)))
    }

    /// An updated row.
    pub fn update(
        &mut self,
        table: &TableShape,
        old: Option<&OldTuple<'_>>,
        new: &[Cell<'_>],
        place: &TransactionPlace,
        now: Timestamp,
    ) -> Result<Envelope, DmsError> {
        let data = match old {
            // A full old row knows the values that the new one left in TOAST.
            Some(OldTuple::Full(old)) if old.len() == new.len() => {
                let filled: Vec<Cell<'_>> =
                    new.iter().zip(old).map(|(new, old)| if *new == Cell::Unchanged { *old } else { *new }).collect();
                self.columns(table, &filled, |_| true)?
            }
            _ => self.columns(table, new, |_| true)?,
        };
        let before = self.before_image(table, old)?;
        Ok(data_record(data, before, self.change(table, Operation::Update, place, now)))
    }

    /// A deleted row: its key.
    pub fn delete(
        &mut self,
        table: &TableShape,
        old: &OldTuple<'_>,
        place: &TransactionPlace,
        now: Timestamp,
    ) -> Result<Envelope, DmsError> {
        let data = self.columns(table, old.cells(), |column| column.is_key)?;
        Ok(data_record(data, None, self.change(table, Operation::Delete, place, now)))
    }

    /// A table event. `drop-table` has no definition to show.
    pub fn control(&self, table: &TableShape, operation: Operation, now: Timestamp) -> Envelope {
        let mut metadata = self.metadata(table, RecordType::Control, operation, now);
        metadata.partition_key_type = "task-id".to_owned();
        metadata.partition_key_value = self.settings.include_partition_value.then(|| self.task_id.clone());
        let control = self.settings.include_control_details.then(|| match operation {
            Operation::DropTable => serde_json::json!({}),
            _ => table.definition(),
        });
        Envelope { data: None, before_image: None, control, metadata }
    }

    /// The record for the stream: data by `schema.table`, control by `task.schema.table` (so on any shard, as with DMS).
    pub fn record(&self, table: &TableShape, envelope: &Envelope) -> SinkRecord {
        let data = match self.settings.message_format {
            MessageFormat::JsonUnformatted => envelope.to_json_line(),
            MessageFormat::Json => {
                let mut text = serde_json::to_vec_pretty(envelope).expect("strings and raw JSON always serialise");
                text.push(b'\n');
                text
            }
        };
        let key = table.partition_key();
        let is_data = envelope.metadata.record_type == RecordType::Data;
        SinkRecord {
            partition_key: if is_data { key } else { format!("{}.{key}", self.task_id) },
            data: Bytes::from(data),
            row_of: is_data.then(|| table.name.as_str().into()),
        }
    }

    fn columns(
        &self,
        table: &TableShape,
        cells: &[Cell<'_>],
        wanted: impl Fn(&ColumnShape) -> bool,
    ) -> Result<ColumnValues, DmsError> {
        if cells.len() != table.columns.len() {
            return Err(DmsError::Protocol {
                what: format!("a row of `{}`", table.partition_key()),
                reason: format!("{} values for {} columns", cells.len(), table.columns.len()),
            });
        }
        let keep_empty = self.settings.include_null_and_empty;
        let mut values = ColumnValues(Vec::with_capacity(cells.len()));
        for (column, cell) in table.columns.iter().zip(cells).filter(|(column, _)| wanted(column)) {
            match cell {
                Cell::Unchanged => (),
                Cell::Null if keep_empty => values.push_null(&column.name),
                Cell::Null => (),
                Cell::Text("") if !keep_empty => (),
                Cell::Text(text) => values.push_json(&column.name, value::to_json(column, text, &self.settings)),
            }
        }
        Ok(values)
    }

    fn before_image(&self, table: &TableShape, old: Option<&OldTuple<'_>>) -> Result<Option<ColumnValues>, DmsError> {
        let Some(filter) = self.settings.before_image else { return Ok(None) };
        let image = match (old, filter) {
            (None, _) => ColumnValues::default(),
            // In a `K` tuple only the key has values; LOBs are never part of a before image.
            (Some(OldTuple::Full(cells)), BeforeImageFilter::NonLob | BeforeImageFilter::All) => {
                self.columns(table, cells, |column| column.is_key || !column.is_lob())?
            }
            (Some(old), _) => self.columns(table, old.cells(), |column| column.is_key)?,
        };
        Ok(Some(image))
    }

    fn metadata(&self, table: &TableShape, record_type: RecordType, operation: Operation, now: Timestamp) -> Metadata {
        Metadata {
            timestamp: now.to_rfc3339_micros(),
            record_type,
            operation,
            partition_key_type: "schema-table".to_owned(),
            partition_key_value: None,
            schema_name: table.schema.clone(),
            table_name: table.name.clone(),
            transaction_id: None,
            transaction_record_id: None,
            prev_transaction_id: None,
            prev_transaction_record_id: None,
            commit_timestamp: None,
            stream_position: None,
            load_generation: self.settings.load_generation.then_some(self.generation),
        }
    }

    fn change(
        &mut self,
        table: &TableShape,
        operation: Operation,
        place: &TransactionPlace,
        now: Timestamp,
    ) -> Metadata {
        let mut metadata = self.metadata(table, RecordType::Data, operation, now);
        metadata.transaction_id = Some(place.xid);
        let previous = self.previous.replace((place.xid, place.ordinal));
        if self.settings.include_transaction_details {
            metadata.transaction_record_id = Some(place.ordinal);
            metadata.prev_transaction_id = previous.map(|(xid, _)| xid);
            metadata.prev_transaction_record_id = previous.map(|(_, ordinal)| ordinal);
            metadata.commit_timestamp = Some(place.commit_time.to_rfc3339_micros());
            metadata.stream_position = Some(format_stream_position(place.commit_lsn, place.ordinal, place.row_lsn));
        }
        metadata
    }
}

fn data_record(data: ColumnValues, before_image: Option<ColumnValues>, metadata: Metadata) -> Envelope {
    Envelope { data: Some(data), before_image, control: None, metadata }
}

#[cfg(test)]
mod tests;
