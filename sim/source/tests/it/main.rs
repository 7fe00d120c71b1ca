//! Everything that needs a real Postgres: the server process, and the data in it.
//!
//! The data tests share one server, each in a database of its own; the server's life is tested on servers of their own.

mod contract_tables;
mod data;
mod export;
mod mutation;
mod server;
mod shared;
