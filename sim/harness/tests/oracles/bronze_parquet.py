#!/usr/bin/env python3
"""Reads Parquet files of ours with the readers of others, and compares them with what was written beside them.

    bronze_parquet.py [--duckdb-library libduckdb.so] [--without pyspark] FOLDER

FOLDER holds pairs: `<name>.parquet`, and `<name>.jsonl` with what it should hold (see bronze_expected.py). Every value, row count
and row group; bounds and NULL counts of every column chunk, of every page too with PySpark; page index, compression, encodings,
bloom filters; reads of key ranges, with the row groups that they need. PyArrow must be there; DuckDB (a Python package, or the
library by its C interface) and PySpark (with Java) are used where they are.

Prints one JSON object without row values: `readers` (version of each that was used), `missing` (why the others were not), `files`
(rows and row groups of each), `differences`. Exit codes: 0 equal, 1 different, 2 the comparison could not be made.
"""

import argparse
import json
import pathlib
import sys
import tempfile

from bronze_expected import Differences, Expected
from bronze_readers import DuckDb, PyArrow, PySpark, Unusable

DIFFERENCES_SHOWN = 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duckdb-library", metavar="FILE", help="used where there is no Python package of DuckDB")
    parser.add_argument("--without", action="append", default=[], metavar="READER", help="a reader not to use")
    parser.add_argument("folder", type=pathlib.Path)
    return parser.parse_args()


def readers(args, scratch, missing):
    kinds = {
        PyArrow: lambda: PyArrow(scratch),
        DuckDb: lambda: DuckDb(scratch, args.duckdb_library),
        PySpark: lambda: PySpark(scratch),
    }
    for kind, make in kinds.items():
        try:
            if kind.name in args.without:
                raise Unusable("it was not asked for")
            yield make()
        except Unusable as why:
            missing[kind.name] = str(why)


def main():
    args = arguments()
    expected = [Expected(path) for path in sorted(args.folder.glob("*.jsonl"))]
    if not expected:
        raise FileNotFoundError("no .jsonl in the folder")
    result = {"readers": {}, "missing": {}, "files": {}, "differences": []}
    for file in expected:
        result["files"][file.file.stem] = {"rows": file.rows, "row_groups": len(file.groups)}
    with tempfile.TemporaryDirectory() as scratch:
        for reader in readers(args, pathlib.Path(scratch), result["missing"]):
            result["readers"][reader.name] = reader.version
            for file in expected:
                differences = Differences(file, reader.name)
                reader.check(file, differences)
                result["differences"] += differences.found
            getattr(reader, "stop", lambda: None)()
    count = len(result["differences"])
    result["differences"] = result["differences"][:DIFFERENCES_SHOWN]
    print(json.dumps({**result, "difference_count": count}))
    return 1 if count else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:
        # The kind and place only: the message may quote a value.
        place = error.__traceback__
        while place.tb_next:
            place = place.tb_next
        where = f"{pathlib.Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
        print(f"error: {type(error).__name__} at {where}", file=sys.stderr)
        sys.exit(2)
