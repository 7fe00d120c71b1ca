//! What happens to personal data before it leaves `raw/`: keyed tokens, format-preserving encryption, display forms,
//! generalisation, redaction of free text; and the count of what was done.
//!
//! Pure: batches in, batches out; no I/O, no clock, no chance. [`MaskedBatch`] can only be made here, by [`TableMasker::mask`]
//! or [`Retokenizer::crosswalk`], so a writer that takes a `MaskedBatch` cannot be handed raw rows. Deny by default: a class
//! without a transform, a transform that does not fit its column's type, and a column nobody declared are errors, never a
//! passage. Knows nothing of files, formats, tables' meaning, or where the key comes from.

mod key;

mod canonical;
mod digits;
mod ff1;
mod fpe;
mod partial;
mod token;

mod find;
mod redact;

mod classify;

mod distinct;
mod transform;

mod coverage;
mod retoken;
mod table;

mod error;

pub use classify::{Classification, Classifier, ColumnClass, Evidence, Source, Suspicion, ValueSample};
pub use coverage::{ColumnCoverage, ColumnId, Counts, Coverage};
pub use error::MaskError;
pub use find::{Finding, PiiKind, PiiKinds, Scanner, validate};
pub use lakebed_contract::{KeyRing, MaskKey};
pub use redact::{redact, redact_with};
pub use retoken::Retokenizer;
pub use table::{MaskedBatch, Masker, TableMasker};
