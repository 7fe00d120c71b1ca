//! Beer data, mutations, and the Postgres server process
