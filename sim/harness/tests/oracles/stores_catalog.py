"""The Iceberg REST catalog and the files behind it through PyIceberg.

usage: stores_catalog.py ENDPOINT [accepted|token|credential|sigv4]

The second argument says how the catalog is convinced of the caller: not at all (default), by a bearer token, by the key
as client credentials, or by signed requests. Asserts what the Iceberg REST specification and PyIceberg promise.
"""

import hashlib
import sys

import boto3
import pyarrow as pa
import stores_client
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import EqualTo, GreaterThan
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType
from stores_client import ENDPOINT, run

KEY = boto3.Session().get_credentials()
PAIR = f"{KEY.access_key}:{KEY.secret_key}"
# How lakebed derives the token that stands for a key where a client cannot sign.
TOKEN = hashlib.sha256(f"lakebed bearer token 1\n{KEY.access_key}\n{KEY.secret_key}".encode()).hexdigest()
CONVINCING = {
    "accepted": {},
    "token": {"token": TOKEN},
    "credential": {"credential": PAIR},
    "sigv4": {"rest.sigv4-enabled": "true", "rest.signing-region": "us-east-1", "rest.signing-name": "s3tables"},
}
NAMESPACE = "stores_test"
ROWS = pa.table({"id": [1, 2, 3], "name": ["a", "b", None], "day": ["mon", "mon", "tue"]})


def open_catalog():
    return load_catalog(
        "lakebed",
        **{
            "type": "rest",
            "uri": f"{ENDPOINT}/iceberg",
            "s3.endpoint": ENDPOINT,
            "s3.region": "us-east-1",
            "s3.access-key-id": KEY.access_key,
            "s3.secret-access-key": KEY.secret_key,
            **CONVINCING[sys.argv[2] if len(sys.argv) > 2 else "accepted"],
        },
    )


def raises(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


stores_client.client("s3").create_bucket(Bucket="dm-datalake")
catalog = open_catalog()


def ids(name, **options):
    return sorted(catalog.load_table(name).scan(**options).to_arrow()["id"].to_pylist())


def namespaces():
    raises(NoSuchNamespaceError, lambda: catalog.create_table(f"{NAMESPACE}.t", schema=ROWS.schema))
    catalog.create_namespace(NAMESPACE, {"owner": "lake"})
    raises(NamespaceAlreadyExistsError, lambda: catalog.create_namespace(NAMESPACE))
    assert (NAMESPACE,) in catalog.list_namespaces()
    assert catalog.load_namespace_properties(NAMESPACE)["owner"] == "lake"
    catalog.update_namespace_properties(NAMESPACE, removals={"owner"}, updates={"team": "silver"})
    properties = catalog.load_namespace_properties(NAMESPACE)
    assert properties["team"] == "silver" and "owner" not in properties


def tables():
    table = catalog.create_table(f"{NAMESPACE}.t", schema=ROWS.schema)
    raises(TableAlreadyExistsError, lambda: catalog.create_table(f"{NAMESPACE}.t", schema=ROWS.schema))
    table.append(ROWS)
    first = table.current_snapshot().snapshot_id
    table.delete("id = 2")
    assert ids(f"{NAMESPACE}.t") == [1, 3]
    assert ids(f"{NAMESPACE}.t", snapshot_id=first) == [1, 2, 3]
    table.overwrite(ROWS.slice(1, 1), overwrite_filter=EqualTo("id", 3))
    assert ids(f"{NAMESPACE}.t") == [1, 2]
    assert ids(f"{NAMESPACE}.t", row_filter=GreaterThan("id", 1)) == [2]
    with table.update_schema() as update:
        update.add_column("score", LongType())
        update.rename_column("name", "title")
    assert catalog.load_table(f"{NAMESPACE}.t").schema().column_names == ["id", "title", "day", "score"]
    with table.transaction() as change:
        change.set_properties({"note": "kept"})
        change.append(pa.table({"id": [9], "title": ["z"], "day": ["wed"], "score": [1]}))
    assert ids(f"{NAMESPACE}.t") == [1, 2, 9] and catalog.load_table(f"{NAMESPACE}.t").properties["note"] == "kept"


def partitions():
    table = catalog.create_table(f"{NAMESPACE}.days", schema=ROWS.schema)
    with table.update_spec() as spec:
        spec.add_field("day", IdentityTransform(), "day")
    table.append(ROWS)
    assert table.inspect.partitions().num_rows == 2
    files = table.scan(row_filter=EqualTo("day", "tue")).plan_files()
    assert [task.file.record_count for task in files] == [1]


def commits():
    """Of two that change what they both have read, the second one learns it."""
    mine, theirs = (catalog.load_table(f"{NAMESPACE}.t") for _ in range(2))
    mine.append(pa.table({"id": [10], "title": ["x"], "day": ["thu"], "score": [None]}, schema=mine.schema().as_arrow()))

    def stale():
        with theirs.update_schema() as update:
            update.add_column("other", LongType())

    with mine.update_schema() as update:
        update.add_column("more", LongType())
    raises(CommitFailedException, stale)
    assert ids(f"{NAMESPACE}.t") == [1, 2, 9, 10]


def ends():
    raises(NoSuchTableError, lambda: catalog.load_table(f"{NAMESPACE}.nothing"))
    # The catalog says which endpoints it has; PyIceberg asks no other.
    raises(NotImplementedError, lambda: catalog.rename_table(f"{NAMESPACE}.days", f"{NAMESPACE}.renamed"))
    assert sorted(catalog.list_tables(NAMESPACE)) == [(NAMESPACE, "days"), (NAMESPACE, "t")]
    raises(NamespaceNotEmptyError, lambda: catalog.drop_namespace(NAMESPACE))
    for name in ("days", "t"):
        assert catalog.table_exists(f"{NAMESPACE}.{name}")
        catalog.drop_table(f"{NAMESPACE}.{name}")
        assert not catalog.table_exists(f"{NAMESPACE}.{name}")
    catalog.drop_namespace(NAMESPACE)
    assert (NAMESPACE,) not in catalog.list_namespaces()


run(namespaces, tables, partitions, commits, ends)
