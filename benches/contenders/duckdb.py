"""DuckDB: reviews as .csv.gz to one Parquet file, zstd, with the contract's types. Masks nothing."""
import json
import sys
import time

import duckdb

TYPES = {
    "review_id": "BIGINT", "brewery_id": "BIGINT", "beer_id": "BIGINT", "profile_id": "BIGINT",
    "review_overall": "DECIMAL(2,1)", "review_aroma": "DECIMAL(2,1)", "review_appearance": "DECIMAL(2,1)",
    "review_palate": "DECIMAL(2,1)", "review_taste": "DECIMAL(2,1)",
    "review_time": "TIMESTAMP WITH TIME ZONE", "comment": "VARCHAR", "email": "VARCHAR",
}

source, target = sys.argv[1:3]
started = time.perf_counter()
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items()) + "}"
connection.execute(
    f"COPY (SELECT * FROM read_csv('{source}', header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"',"
    f" new_line = '\\n', columns = {columns}, compression = 'gzip'))"
    f" TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
)
print(json.dumps({"figures": {"inside_ms": (time.perf_counter() - started) * 1e3}}))
