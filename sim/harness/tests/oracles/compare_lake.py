#!/usr/bin/env python3
"""Compares a lake, as PyIceberg reads it, with what Postgres says it should be. A second opinion beside the judge.

    compare_lake.py --catalog http://127.0.0.1:4566/iceberg --s3 http://127.0.0.1:4566 \
        --masked profile.email --masked review.comment DUMP

DUMP holds one file per table, written by `COPY (SELECT ..) TO STDOUT (FORMAT csv, HEADER)`:

    DUMP/silver/<table>.csv   the source table; its columns are compared with silver's columns of the same names, over the live
                              rows (of a model such as review_flat, which has no deleted rows, over all). Add derived columns
                              (review_year, review_month) to the SELECT to have them compared too.
    DUMP/gold/<table>.csv     the aggregate recomputed by Postgres; the columns must be exactly those of the gold table.

A column named by `--masked TABLE.COLUMN` is compared by NULL or not NULL only. Credentials: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION. Prints one JSON object without row values (an integer first column is shown as the key).
Exit codes: 0 equal, 1 different, 2 the comparison could not be made. Needs `pip install "pyiceberg[pyarrow]"` (0.12).
"""

import argparse
import collections
import json
import os
import pathlib
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError

SAMPLES = 5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", required=True, metavar="URI", help="Iceberg REST catalog, without /v1")
    parser.add_argument("--s3", required=True, metavar="URL", help="S3 endpoint, path style")
    parser.add_argument("--masked", action="append", default=[], metavar="TABLE.COLUMN", help="compare NULLs only")
    parser.add_argument("dump", type=pathlib.Path)
    return parser.parse_args()


def open_catalog(args):
    return load_catalog(
        "lake",
        **{
            "type": "rest",
            "uri": args.catalog,
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            "s3.endpoint": args.s3,
            "s3.region": os.environ.get("AWS_REGION", "us-east-1"),
            "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "s3.force-virtual-addressing": "false",
        },
    )


def plain(column_type):
    """One Arrow type per Iceberg type, so that both sides compare."""
    if pa.types.is_large_string(column_type):
        return pa.string()
    if pa.types.is_timestamp(column_type):
        return pa.timestamp("us", tz="UTC")
    return column_type


def read_dump(path, schema, masked):
    """Reads Postgres CSV: an unquoted empty field is NULL, a quoted one is the empty string."""
    with path.open("rb") as file:
        names = [name.decode() for name in file.readline().strip().split(b",")]
    known = {field.name: plain(field.type) for field in schema}
    missing = [name for name in names if name not in known]
    if missing:
        return names, missing, None
    types = {name: pa.string() if name in masked else known[name] for name in names}
    table = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, double_quote=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return names, [], table


def comparable(table, names, masked):
    """The columns in one order and one type each; masked ones reduced to whether they are NULL; rows in one order."""
    columns = []
    for name in names:
        column = table.column(name)
        columns.append(pc.is_null(column) if name in masked else column.cast(plain(column.type)))
    table = pa.table(columns, names=names).combine_chunks()
    return table.sort_by([(name, "ascending") for name in names])


def key_of(row):
    return row[0] if isinstance(row[0], int) else "(not an integer)"


def difference(expected, found):
    """How many rows one side has more of than the other, and a few keys; slow, so only when the tables differ."""
    rows = [collections.Counter(zip(*(column.to_pylist() for column in t.columns))) for t in (expected, found)]
    missing, extra = rows[0] - rows[1], rows[1] - rows[0]
    return {
        "missing": sum(missing.values()),
        "extra": sum(extra.values()),
        "missing_keys": sorted({key_of(row) for row in missing}, key=str)[:SAMPLES],
        "extra_keys": sorted({key_of(row) for row in extra}, key=str)[:SAMPLES],
    }


def compare(catalog, namespace, path, masked):
    name = path.stem
    try:
        table = catalog.load_table((namespace, name))
    except NoSuchTableError:
        return {"equal": False, "reason": "no such table"}
    schema = table.schema().as_arrow()
    names, unknown, expected = read_dump(path, schema, masked)
    surplus = [field.name for field in schema if field.name not in names] if namespace == "gold" else []
    if unknown or surplus:
        return {"equal": False, "reason": f"missing columns {unknown}, surplus columns {surplus}"}
    scan = table.scan(row_filter="deleted_at IS NULL") if "deleted_at" in schema.names else table.scan()
    found = comparable(scan.to_arrow(), names, masked)
    expected = comparable(expected, names, masked)
    result = {"rows": expected.num_rows, "columns": len(names), "equal": found.equals(expected)}
    if not result["equal"]:
        result["rows_found"] = found.num_rows
        result.update(difference(expected, found))
    return result


def main():
    args = arguments()
    masked = collections.defaultdict(set)
    for name in args.masked:
        table, _, column = name.partition(".")
        masked[table].add(column)
    dumps = [(space, path) for space in ("silver", "gold") for path in sorted((args.dump / space).glob("*.csv"))]
    if not dumps:
        print(f"nothing to compare: {args.dump} holds no silver/*.csv and no gold/*.csv", file=sys.stderr)
        return 2
    catalog = open_catalog(args)
    results = {
        f"{space}.{path.stem}": compare(catalog, space, path, masked[path.stem] if space == "silver" else set())
        for space, path in dumps
    }
    equal = all(result["equal"] for result in results.values())
    print(json.dumps({"equal": equal, "tables": results}, indent=2))
    return 0 if equal else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # a broken comparison must not look like a difference
        # Arrow quotes the value it could not read; such a message stays untold.
        told = "" if isinstance(error, pa.ArrowException) else f": {error}"
        print(f"failed to compare: {type(error).__name__}{told}", file=sys.stderr)
        sys.exit(2)
