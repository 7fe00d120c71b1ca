"""Polars: reviews as .csv.gz to one Parquet file, zstd, with the contract's types. Masks nothing."""
import json
import sys
import time

import polars as pl

source, target = sys.argv[1:3]
started = time.perf_counter()
score = pl.Decimal(2, 1)
schema = {
    "review_id": pl.Int64, "brewery_id": pl.Int64, "beer_id": pl.Int64, "profile_id": pl.Int64,
    "review_overall": score, "review_aroma": score, "review_appearance": score,
    "review_palate": score, "review_taste": score,
    "review_time": pl.String, "comment": pl.String, "email": pl.String,
}
# The lazy form streams; the moment is parsed behind the reader, which knows no offsets.
(
    pl.scan_csv(source, schema=schema)
    .with_columns(pl.col("review_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"))
    .sink_parquet(target, compression="zstd", compression_level=1)
)
print(json.dumps({"figures": {"inside_ms": (time.perf_counter() - started) * 1e3}}))
