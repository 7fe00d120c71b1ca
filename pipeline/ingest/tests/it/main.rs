//! The engine over bytes in memory, one `check(input, expected)` per format; the shipped sample, and the real one where present.

mod bench;

mod cases;
mod check;
mod corruption;
mod csv;
mod evolution;
mod freshness;
mod fuzz;
mod json;
mod object;
mod offsets;
mod pii;
mod quality;
mod samples;
