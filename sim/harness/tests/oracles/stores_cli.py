"""The AWS CLI against the stores: files up and down, tables, streams, waiters, keys.

usage: stores_cli.py ENDPOINT FOLDER      FOLDER is where pip has put the package awscli

The CLI runs in an environment of its own: the usual AWS_* variables, no pager, an empty home. Its starts cost most of
the time, so the services take turns on all cores.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor

ENDPOINT, PACKAGES = sys.argv[1:3]
HOME = tempfile.TemporaryDirectory()
WORK = pathlib.Path(HOME.name)
ENVIRONMENT = {
    **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
    **{name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")},
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_PAGER": "",
    "HOME": HOME.name,
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": PACKAGES,
}


def aws(*arguments, fails=None):
    """Standard output of a CLI call, as JSON where it is. With `fails`, it must fail and say that."""
    words = [json.dumps(word) if isinstance(word, (dict, list)) else str(word) for word in arguments]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "awscli", "--output", "json", *words], env=ENVIRONMENT, cwd=HOME.name,
        capture_output=True, text=True, timeout=120,
    )
    if fails:
        assert done.returncode != 0 and fails in done.stderr, (words, done.returncode, done.stdout, done.stderr)
        return None
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


def s3():
    source, target = WORK / "source", WORK / "target"
    (source / "deep").mkdir(parents=True)
    small, big = {"a b.txt": b"small", "deep/c.json": b"{}"}, os.urandom(9 * 1024 * 1024)
    for name, body in small.items():
        (source / name).write_bytes(body)
    (WORK / "big").write_bytes(big)
    aws("s3", "mb", "s3://cli-test")
    aws("s3api", "wait", "bucket-exists", "--bucket", "cli-test")
    assert aws("s3api", "get-bucket-location", "--bucket", "cli-test")["LocationConstraint"] is None
    # Beyond 8 MiB the CLI uploads in parts, and reads in ranges.
    aws("s3", "cp", "big", "s3://cli-test/big")
    aws("s3", "cp", "s3://cli-test/big", "back")
    assert (WORK / "back").read_bytes() == big
    head = aws("s3api", "head-object", "--bucket", "cli-test", "--key", "big")
    assert head["ContentLength"] == len(big) and head["ETag"].endswith('-2"'), head
    aws("s3", "sync", "source", "s3://cli-test/tree")
    listed = aws("s3", "ls", "--recursive", "s3://cli-test/tree/")
    assert [line.split(None, 3)[3] for line in listed.splitlines()] == ["tree/a b.txt", "tree/deep/c.json"], listed
    aws("s3", "sync", "s3://cli-test/tree", "target")
    assert {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()} == small
    url = aws("s3", "presign", "s3://cli-test/tree/a b.txt").strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"small"
    aws("s3", "mv", "s3://cli-test/tree/deep/c.json", "s3://cli-test/moved")
    aws("s3api", "put-object-tagging", "--bucket", "cli-test", "--key", "moved", "--tagging", "TagSet=[{Key=a,Value=b}]")
    aws("s3api", "put-bucket-versioning", "--bucket", "cli-test", "--versioning-configuration", "Status=Enabled")
    aws("s3", "rm", "--recursive", "s3://cli-test")
    versions = aws("s3api", "list-object-versions", "--bucket", "cli-test")
    assert [entry["Key"] for entry in versions["Versions"]] == ["big", "moved", "tree/a b.txt"], versions
    assert len(versions["DeleteMarkers"]) == 3 and not any(entry["IsLatest"] for entry in versions["Versions"])
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}}
    rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": 1}
    aws(
        "s3api", "put-bucket-lifecycle-configuration", "--bucket", "cli-test",
        "--lifecycle-configuration", {"Rules": [rule]},
    )
    aws("s3", "rb", "s3://cli-test", fails="BucketNotEmpty")


def dynamodb():
    name = ("--table-name", "cli-test")
    created = aws(
        "dynamodb", "create-table", *name, "--billing-mode", "PAY_PER_REQUEST",
        "--attribute-definitions", "AttributeName=pk,AttributeType=S", "AttributeName=sk,AttributeType=N",
        "--key-schema", "AttributeName=pk,KeyType=HASH", "AttributeName=sk,KeyType=RANGE",
        "--stream-specification", "StreamEnabled=true,StreamViewType=NEW_IMAGE",
    )["TableDescription"]
    aws("dynamodb", "wait", "table-exists", *name)
    item = lambda number: {"pk": {"S": "a"}, "sk": {"N": str(number)}, "n": {"N": "1"}}
    aws("dynamodb", "put-item", *name, "--item", item(1))
    key = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    updated = aws(
        "dynamodb", "update-item", *name, "--key", key, "--update-expression", "ADD n :one",
        "--expression-attribute-values", {":one": {"N": "1"}}, "--return-values", "ALL_NEW",
    )
    assert updated["Attributes"]["n"] == {"N": "2"}
    assert aws("dynamodb", "get-item", *name, "--key", key)["Item"] == {**item(1), "n": {"N": "2"}}
    puts = [{"PutRequest": {"Item": item(number)}} for number in range(2, 12)]
    written = aws("dynamodb", "batch-write-item", "--request-items", {"cli-test": puts})
    assert written["UnprocessedItems"] == {}, written
    put = {"Put": {"TableName": "cli-test", "Item": item(12)}}
    check = {"ConditionCheck": {"TableName": "cli-test", "Key": key, "ConditionExpression": "attribute_exists(pk)"}}
    aws("dynamodb", "transact-write-items", "--transact-items", [put, check], "--client-request-token", "once")
    found = aws(
        "dynamodb", "query", *name, "--page-size", "5", "--key-condition-expression", "pk = :a AND sk > :two",
        "--expression-attribute-values", {":a": {"S": "a"}, ":two": {"N": "2"}},
    )
    assert found["Count"] == 10 and [entry["sk"]["N"] for entry in found["Items"]] == [str(n) for n in range(3, 13)]
    some = aws("dynamodb", "scan", *name, "--max-items", "7")
    assert len(some["Items"]) == 7 and some["NextToken"], some

    arn = ("--stream-arn", created["LatestStreamArn"])
    described = aws("dynamodbstreams", "describe-stream", *arn)["StreamDescription"]
    records = []
    for shard in described["Shards"]:
        iterator = aws(
            "dynamodbstreams", "get-shard-iterator", *arn, "--shard-id", shard["ShardId"],
            "--shard-iterator-type", "TRIM_HORIZON",
        )["ShardIterator"]
        records += aws("dynamodbstreams", "get-records", "--shard-iterator", iterator)["Records"]
    names = [record["eventName"] for record in records]
    assert names == ["INSERT", "MODIFY", *["INSERT"] * 11], names
    aws("dynamodb", "delete-table", *name)


def kinesis():
    name = ("--stream-name", "cli-test")
    aws("kinesis", "create-stream", *name, "--shard-count", "1")
    aws("kinesis", "wait", "stream-exists", *name)
    first = aws("kinesis", "put-record", *name, "--partition-key", "k", "--data", "zero")
    assert first["ShardId"] == "shardId-000000000000"
    records = [{"Data": str(number), "PartitionKey": "k"} for number in range(1, 4)]
    assert aws("kinesis", "put-records", *name, "--records", records)["FailedRecordCount"] == 0
    aws(
        "kinesis", "split-shard", *name, "--shard-to-split", "shardId-000000000000",
        "--new-starting-hash-key", str(2**127),
    )
    summary = aws("kinesis", "describe-stream-summary", *name)["StreamDescriptionSummary"]
    assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", 2), summary
    iterator = aws(
        "kinesis", "get-shard-iterator", *name, "--shard-id", "shardId-000000000000",
        "--shard-iterator-type", "TRIM_HORIZON",
    )["ShardIterator"]
    page = aws("kinesis", "get-records", "--shard-iterator", iterator)
    assert [base64.b64decode(record["Data"]) for record in page["Records"]] == [b"zero", b"1", b"2", b"3"], page
    # The end of a closed shard names the children.
    assert not page.get("NextShardIterator") and len(page["ChildShards"]) == 2, page


def kms():
    # As README.md shows it, "Secrets and personal data".
    key = aws("kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text").strip()
    aws("kms", "create-alias", "--alias-name", "alias/mask", "--target-key-id", key)
    context = ("--encryption-context", "lakebed=mask-key,version=2")
    ciphertext = aws(
        "kms", "generate-data-key-without-plaintext", "--key-id", "alias/mask", "--key-spec", "AES_256", *context,
        "--query", "CiphertextBlob", "--output", "text",
    ).strip()
    (WORK / "ciphertext").write_bytes(base64.b64decode(ciphertext))
    plain = aws("kms", "decrypt", "--ciphertext-blob", "fileb://ciphertext", *context)["Plaintext"]
    assert len(base64.b64decode(plain)) == 32
    aws("kms", "decrypt", "--ciphertext-blob", "fileb://ciphertext", fails="InvalidCiphertextException")


with HOME, ThreadPoolExecutor(max_workers=3) as pool:
    for group in [pool.submit(check) for check in (s3, dynamodb, kinesis, kms)]:
        group.result()
print(json.dumps({"ok": True, "checks": ["s3", "dynamodb", "kinesis", "kms"]}))
