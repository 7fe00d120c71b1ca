//! The words both halves of lakebed share: what a table is, what a change record looks like, where an object lies,
//! what the control table says, what a run tells the world, and where time and chance come from.
//!
//! Promises: no I/O, no network, no environment, no wall clock outside [`clock`]. Every other crate of the workspace may
//! import this one; this one imports none of them.

pub mod clock;
pub mod seed;

pub mod endpoints;
pub mod secret;

mod former_names;
pub mod generalise;
pub mod lake;
pub mod mask_key;
mod odcs;
mod odcs_quality;
pub mod pii;
pub mod policy;
pub mod quality;
pub mod schema_change;
pub mod sla;
pub mod table;
mod transform;
mod written_ring;

pub mod control;
pub mod envelope;
pub mod layout;
pub mod position;

pub mod event;
pub mod fault;
pub mod handler;
pub mod latency;
pub mod masking;

pub use clock::{Clock, Timestamp};
pub use endpoints::Endpoints;
pub use envelope::Envelope;
pub use event::{EventSink, RecordedEvent, RunEvent, Stage};
pub use fault::{FaultKind, FaultPlan};
pub use handler::{Handler, HandlerError, HandlerRegistry, Invocation};
pub use lake::Lake;
pub use latency::LatencyHistogram;
pub use mask_key::{EncryptedKey, KeyProvider, KeyProviderError, KeyRing, MaskKey, WrittenRing};
pub use masking::{MaskedColumn, Masking};
pub use pii::{PiiDetector, PiiEntity};
pub use policy::{Layer, Policy, Transform};
pub use position::{Lsn, Position};
pub use schema_change::{SchemaChange, schema_changes};
pub use secret::Secret;
pub use seed::Seed;
pub use table::{Column, ColumnType, TableContract};
