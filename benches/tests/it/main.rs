//! The benchmarks as tests, at a small size.

mod micro;
