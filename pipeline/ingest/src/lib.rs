//! Raw object to masked bronze Parquet, and the Lambda handlers
