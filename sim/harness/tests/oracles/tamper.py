"""Damages a lake on purpose, through PyIceberg: the judge must notice.

usage: tamper.py CATALOG_URI S3_ENDPOINT TABLE KEY_COLUMN change COLUMN VALUE | drop

`change` sets COLUMN of the live row with the smallest key to VALUE; `drop` removes that row. Prints the key.
Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import os
import sys

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import EqualTo, IsNull


def main() -> None:
    uri, s3, name, key_column, action, *rest = sys.argv[1:]
    catalog = load_catalog(
        "lakebed",
        **{
            "type": "rest",
            "uri": uri,
            "s3.endpoint": s3,
            "s3.region": "us-east-1",
            "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
            "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
        },
    )
    table = catalog.load_table(name)
    live = table.scan(row_filter=IsNull("deleted_at")).to_arrow()
    key = pc.min(live[key_column]).as_py()
    row = live.filter(pc.equal(live[key_column], key))
    if action == "drop":
        table.delete(delete_filter=EqualTo(key_column, key))
    elif action == "change":
        column, value = rest
        at = row.schema.get_field_index(column)
        field = row.schema.field(at)
        row = row.set_column(at, field, pa.array([value] * row.num_rows).cast(field.type))
        table.overwrite(row, overwrite_filter=EqualTo(key_column, key))
    else:
        raise SystemExit(f"unknown action {action}")
    print(key)


main()
