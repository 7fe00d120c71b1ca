//! What happens to personal data before it leaves `raw/`: keyed tokens, generalisation, redaction of free text.
//!
//! Pure: batches in, batches out; no I/O, no clock, no chance. [`MaskedBatch`] can only be made by [`TableMasker::mask`], so
//! a writer that takes a `MaskedBatch` cannot be handed raw rows. Deny by default: a class without a transform, a
//! transform that does not fit its column's type, and a column nobody declared are errors, never a passage.
//! Knows nothing of files, formats, tables' meaning, or where the key comes from.

mod key;

mod canonical;
mod token;

mod find;
mod redact;

mod table;
mod transform;

mod error;

pub use error::MaskError;
pub use key::MaskKey;
pub use redact::redact;
pub use table::{MaskedBatch, Masker, TableMasker};
