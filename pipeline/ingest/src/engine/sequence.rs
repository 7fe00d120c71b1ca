//! Blocks in input order again: rows get their numbers, violations go to quarantine, good rows are looked at once more and become
//! row groups; what the quality rules counted is added up, and the newest of the newest values kept.
//!
//! One thread at a time works here. Knows nothing of threads, and nothing of how a block was read.

use std::io::Write;

use lakebed_contract::TableContract;
use lakebed_mask::MaskedBatch;

use super::audit::Audit;
use super::control_records::SchemaNews;
use super::freshness::{Freshness, Newest};
use super::parquet::{BronzeFile, RowGroupEncoder, RowGroupTasks};
use super::quality::{Counts, Quality};
use super::quarantine::QuarantineFile;
use super::record::Tally;
use super::row_groups::{RowGroup, RowGroups};
use super::{EngineError, Job, Outcome, Sizes};

/// What became of one block.
pub(super) struct Parsed {
    /// The good rows, masked.
    pub(super) rows: Vec<MaskedBatch>,
    /// Everything else.
    pub(super) tally: Tally,
    /// What the quality rules count in the good rows.
    pub(super) counts: Counts,
    /// The newest values in the good rows.
    pub(super) newest: Newest,
    /// Memory of all of it.
    pub(super) memory_bytes: usize,
}

impl Parsed {
    pub(super) fn new(rows: Vec<MaskedBatch>, tally: Tally, counts: Counts) -> Self {
        let row_bytes: usize = rows.iter().map(|rows| rows.batch().get_array_memory_size()).sum();
        let memory_bytes = row_bytes + tally.memory_bytes() + counts.memory_bytes();
        Self { rows, tally, counts, newest: Newest::default(), memory_bytes }
    }
}

/// The two files of one object.
pub(super) struct Outputs<'j, B: Write + Send, Q: Write + Send> {
    pub(super) bronze: BronzeFile<'j, B>,
    pub(super) sequencer: Box<Sequencer<'j, Q>>,
}

impl<'j, B: Write + Send, Q: Write + Send> Outputs<'j, B, Q> {
    pub(super) fn new(bronze: B, quarantine: Q, job: &Job<'j>, sizes: &Sizes) -> Self {
        Self {
            bronze: BronzeFile::new(bronze, job.table),
            sequencer: Box::new(Sequencer {
                table: job.table,
                audit: Audit::new(job.table),
                quality: Quality::new(job.table),
                newest: Newest::default(),
                quarantine: QuarantineFile::new(quarantine, job.source_object),
                row_groups: RowGroups::new(sizes.row_group_rows, sizes.row_group_text_bytes),
                encoder: None,
                groups: 0,
                schema_news: SchemaNews::default(),
                outcome: Outcome::default(),
            }),
        }
    }
}

/// Takes what became of the blocks, in input order.
pub(super) struct Sequencer<'j, Q: Write + Send> {
    table: &'j TableContract,
    audit: Audit<'j>,
    quality: Quality<'j>,
    newest: Newest,
    quarantine: QuarantineFile<'j, Q>,
    row_groups: RowGroups,
    /// Made with the first row group.
    encoder: Option<RowGroupEncoder>,
    groups: u64,
    schema_news: SchemaNews,
    outcome: Outcome,
}

impl<Q: Write + Send> Sequencer<'_, Q> {
    /// Takes the next block; returns the row groups that it completed, as the tasks that encode them.
    pub(super) fn take(&mut self, parsed: Parsed) -> Result<Vec<RowGroupTasks>, EngineError> {
        let Parsed { rows, tally, counts, newest, .. } = parsed;
        self.quality.add(counts);
        self.newest.merge(newest);
        self.schema_news.merge(tally.schema_news);
        for misfit in &tally.violations {
            self.quarantine.append(self.outcome.rows_in + misfit.number, misfit.offset, &misfit.violation)?;
        }
        let outcome = &mut self.outcome;
        outcome.rows_in += tally.rows_in;
        outcome.rows_bad += tally.violations.len() as u64;
        outcome.extra_values += tally.extra_values;
        for (rule, count) in tally.dropped {
            *outcome.dropped.entry(rule).or_default() += count;
        }
        let mut complete = Vec::new();
        for rows in &rows {
            self.audit.look(rows)?;
            outcome.rows_good += rows.batch().num_rows() as u64;
            outcome.coverage.merge(rows.coverage());
            complete.extend(self.row_groups.add(rows));
        }
        complete.into_iter().map(|group| self.tasks(group)).collect()
    }

    fn tasks(&mut self, group: RowGroup) -> Result<RowGroupTasks, EngineError> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(RowGroupEncoder::new(&group.schema(), self.table)?),
        };
        self.groups += 1;
        Ok(encoder.tasks(self.groups - 1, group)?)
    }

    /// Ends the input: returns the last row group, if rows are left, and what became of the records.
    pub(super) fn finish(mut self) -> Result<(Option<RowGroupTasks>, Outcome), EngineError> {
        self.outcome.suspicions = self.audit.finish()?;
        self.outcome.broken_rules = self.quality.finish()?;
        self.outcome.newest = Freshness::new(self.table).by_name(std::mem::take(&mut self.newest));
        self.outcome.schema_changes = std::mem::take(&mut self.schema_news).into_texts();
        let last = self.row_groups.finish().map(|group| self.tasks(group)).transpose()?;
        let written = self.quarantine.close()?;
        let outcome = self.outcome;
        assert_eq!(written, outcome.rows_bad, "every violation that was counted is in the quarantine file");
        assert_eq!(
            outcome.rows_in,
            outcome.rows_good + outcome.rows_bad + outcome.rows_dropped(),
            "rows in are good, bad or dropped"
        );
        Ok((last, outcome))
    }
}
