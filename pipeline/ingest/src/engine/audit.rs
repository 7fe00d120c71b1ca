//! The last look before rows are published: text columns that the contract does not class, whose values say they are personal
//! data, make the object unreadable; columns that only seem to be personal data are told of.
//!
//! Looks at the good rows in input order, [`AUDITED_ROWS`] of every [`AUDIT_EVERY_ROWS`], so neither blocks nor threads change the
//! answer, and a value that begins late in an object is found as well if it stays. Columns without a class pass masking as they
//! are, so it looks behind the mask. Suspicions are asked for once, of the first [`SUSPECTED_ROWS`].
//!
//! Does not know: values between those rows, and columns with fewer than [`ValueSample::DISTINCT_MIN`] different values among them,
//! which pass; of columns of other types it suspects only. A reason and a suspicion hold names and counts, never a value.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use lakebed_contract::generalise::prefix;
use lakebed_contract::{ColumnType, TableContract};
use lakebed_mask::{Classification, Classifier, ColumnClass, MaskedBatch, PiiKind, Source, ValueSample};

use super::{EngineError, ROW_GROUP_ROWS_MAX};

/// Good rows in a row that are looked at.
const AUDITED_ROWS: usize = 2_048;
/// A look begins every so many good rows.
const AUDIT_EVERY_ROWS: usize = ROW_GROUP_ROWS_MAX;
/// Good rows at the beginning that suspicions follow from.
const SUSPECTED_ROWS: usize = 256;
/// Characters of a value that suspicions follow from.
const SUSPECTED_CHARS: usize = 256;
/// Below it a name's claim is contradicted by the values: not worth a line.
const CONFIDENCE_MIN: f32 = 0.5;

/// What was seen so far in the columns without a class.
pub(super) struct Audit<'j> {
    table: &'j TableContract,
    classifier: Classifier,
    columns: Vec<Unclassed>,
    /// Good rows so far.
    rows: usize,
    /// The columns without a class of the first rows.
    first: Vec<RecordBatch>,
    suspicions: BTreeMap<String, String>,
}

struct Unclassed {
    /// Its place in the contract, which is its place in a batch.
    at: usize,
    name: String,
    is_key: bool,
    sample: ValueSample,
}

impl<'j> Audit<'j> {
    pub(super) fn new(table: &'j TableContract) -> Self {
        let is_unclassed =
            |column: &lakebed_contract::Column| column.class.is_none() && column.column_type == ColumnType::Text;
        let columns = table.columns.iter().enumerate().filter(|(_, column)| is_unclassed(column));
        let columns = columns.map(|(at, column)| Unclassed {
            at,
            name: column.name.clone(),
            is_key: column.is_key,
            sample: ValueSample::default(),
        });
        Self {
            table,
            classifier: Classifier::new(),
            columns: columns.collect(),
            rows: 0,
            first: Vec::new(),
            suspicions: BTreeMap::new(),
        }
    }

    /// Takes the next rows, and looks at those whose turn it is.
    pub(super) fn look(&mut self, rows: &MaskedBatch) -> Result<(), EngineError> {
        let batch = rows.batch();
        let (mut at, end) = (self.rows, self.rows + batch.num_rows());
        while at < end {
            let begin = at - at % AUDIT_EVERY_ROWS;
            let stop = end.min(begin + AUDITED_ROWS);
            for column in &mut self.columns {
                let texts = batch.column(column.at).as_string::<i32>();
                let looked_at = texts.iter().skip(at - self.rows).take(stop.saturating_sub(at));
                looked_at.flatten().for_each(|text| column.sample.add(text));
            }
            if at < stop && stop == begin + AUDITED_ROWS {
                self.decide(begin, AUDITED_ROWS)?;
            }
            at = begin + AUDIT_EVERY_ROWS;
        }
        if self.rows < SUSPECTED_ROWS {
            self.first.push(self.beginning(batch)?);
        }
        self.rows = end;
        if self.rows >= SUSPECTED_ROWS { self.suspect() } else { Ok(()) }
    }

    /// Decides about the rows that are left; gives the suspected columns and what they seem to be.
    pub(super) fn finish(&mut self) -> Result<BTreeMap<String, String>, EngineError> {
        let rows = self.rows % AUDIT_EVERY_ROWS;
        if (1..AUDITED_ROWS).contains(&rows) {
            self.decide(self.rows - rows, rows)?;
        }
        self.suspect()?;
        Ok(mem::take(&mut self.suspicions))
    }

    /// Decides about `rows` rows behind the first `before`, and forgets them.
    fn decide(&mut self, before: usize, rows: usize) -> Result<(), EngineError> {
        let mut complaints = Vec::new();
        for column in &mut self.columns {
            let sample = mem::take(&mut column.sample);
            complaints.extend(column.complaint(&self.classifier, &sample, before + 1, rows));
        }
        if complaints.is_empty() { Ok(()) } else { Err(EngineError::unreadable(complaints.join("; "))) }
    }

    /// Of the columns without a class: the rows that are still among the first, their texts cut short.
    fn beginning(&self, batch: &RecordBatch) -> Result<RecordBatch, EngineError> {
        let unclassed = self.table.columns.iter().enumerate().filter(|(_, column)| column.class.is_none());
        let places: Vec<usize> = unclassed.map(|(at, _)| at).collect();
        let rows = batch.num_rows().min(SUSPECTED_ROWS - self.rows);
        let beginning = batch.project(&places)?.slice(0, rows);
        let columns = beginning.columns().iter().map(shortened).collect();
        Ok(RecordBatch::try_new(beginning.schema(), columns)?)
    }

    /// Asks about the first rows, once.
    fn suspect(&mut self) -> Result<(), EngineError> {
        let first = mem::take(&mut self.first);
        let Some(schema) = first.first().map(RecordBatch::schema) else { return Ok(()) };
        let rows = concat_batches(&schema, &first)?;
        for suspicion in self.classifier.audit(self.table, &rows) {
            if let Some(class) = told_class(&suspicion.classification, rows.num_rows()) {
                self.suspicions.insert(suspicion.column, class.name().to_owned());
            }
        }
        Ok(())
    }
}

/// The class, if it is worth a line. Names, addresses and free text are not, unless the column's name says so as well: brewers call
/// beers after people, and places sound like both. A few numbers are valid by chance.
fn told_class(classification: &Classification, rows: usize) -> Option<&ColumnClass> {
    let is_sure = match (classification.class.as_ref()?, classification.source) {
        (ColumnClass::Pii(PiiKind::Name | PiiKind::Address) | ColumnClass::FreeText, Source::Values) => false,
        (_, Source::Values) => rows >= ValueSample::DISTINCT_MIN,
        _ => classification.confidence >= CONFIDENCE_MIN,
    };
    classification.class.as_ref().filter(|_| is_sure)
}

fn shortened(column: &ArrayRef) -> ArrayRef {
    match column.as_string_opt::<i32>() {
        Some(texts) => {
            let short = texts.iter().map(|text| text.map(|text| prefix(text, SUSPECTED_CHARS)));
            Arc::new(short.collect::<StringArray>())
        }
        None => Arc::clone(column),
    }
}

impl Unclassed {
    /// What is wrong with the values of `rows` good rows from number `first` on.
    fn complaint(&self, classifier: &Classifier, sample: &ValueSample, first: usize, rows: usize) -> Option<String> {
        let evidence = classifier.evidence(sample)?;
        let advice = if self.is_key {
            "a key column cannot have a class: mask it at the source"
        } else {
            "class it in the contract; a class whose transform in the policy is `keep` lets it pass"
        };
        Some(format!(
            "column `{}` holds values of class {} ({} % of {} different values in {rows} rows from row {first}), which the \
             contract does not class: {advice}",
            self.name,
            evidence.class,
            100 * evidence.hits / evidence.of,
            evidence.of,
        ))
    }
}
