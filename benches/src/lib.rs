//! Micro-benchmarks of the functions that touch every row or byte.
//!
//! A [`Micro`] names its question, prepares its input once, and knows its right answer, counted while the input was made: a
//! wrong answer is a failure, not a number. `cargo bench -p lakebed-bench` measures them with criterion at [`Size::measured`];
//! `cargo test -p lakebed-bench` runs the very same functions at [`Size::small`], so that they cannot rot.
//! Knows nothing of whole runs and other tools: those are the macro benchmarks, `definitions/` and `lakebed bench`.

pub mod data;

mod micro;

pub use micro::{Micro, Size, Work, all};
