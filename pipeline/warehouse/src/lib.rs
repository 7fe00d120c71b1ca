//! Silver and gold: DuckDB for SQL, Iceberg commits
