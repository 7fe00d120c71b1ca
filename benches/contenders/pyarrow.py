"""PyArrow: reviews as .csv.gz to one Parquet file, zstd, with the contract's types. Masks nothing."""
import json
import sys
import time

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

source, target = sys.argv[1:3]
started = time.perf_counter()
score = pa.decimal128(2, 1)
types = {
    "review_id": pa.int64(), "brewery_id": pa.int64(), "beer_id": pa.int64(), "profile_id": pa.int64(),
    "review_overall": score, "review_aroma": score, "review_appearance": score,
    "review_palate": score, "review_taste": score,
    "review_time": pa.timestamp("us", tz="UTC"), "comment": pa.string(), "email": pa.string(),
}
convert = csv.ConvertOptions(column_types=types, strings_can_be_null=True)
parse = csv.ParseOptions(newlines_in_values=True)
with csv.open_csv(source, parse_options=parse, convert_options=convert) as reader:
    with parquet.ParquetWriter(target, reader.schema, compression="zstd", compression_level=1) as writer:
        for batch in reader:
            writer.write_batch(batch)
print(json.dumps({"figures": {"inside_ms": (time.perf_counter() - started) * 1e3}}))
