"""AWS's throughput limits as boto3 meets them: what is throttled is sent again until all of it is in, once.

usage: stores_limits.py ENDPOINT      (of stores that were started with `--limits aws`)

A shard takes 1 MiB a second, so 2.5 MiB cannot go in at once. How long it takes is not looked at; what is counted is that
something was throttled, and that nothing is lost or doubled.
"""

import time

from botocore.config import Config
from stores_client import client, refused, run

NAME = "stores-limits"
THROTTLED = "ProvisionedThroughputExceededException"
KIB = 1024
kinesis = client("kinesis", Config(retries={"mode": "standard", "total_max_attempts": 12}))
dynamodb = client("dynamodb")
seen = []


def note(parsed_response=None, **_):
    """Sees every answer, also those after which boto3 tries again by itself."""
    seen.append((parsed_response or {}).get("Error", {}).get("Code"))


kinesis.meta.events.register("response-received.kinesis", note)


def table_begins():
    dynamodb.create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    assert dynamodb.describe_table(TableName=NAME)["Table"]["TableStatus"] == "CREATING"
    early = {"TableName": NAME, "Item": {"pk": {"S": "early"}}}
    refused(lambda: dynamodb.put_item(**early), "ResourceNotFoundException", 400)


def records():
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=NAME, WaiterConfig={"Delay": 1})
    # PutRecords answers 200 and says which records were throttled: those are its caller's to send again.
    waiting = [{"Data": b"%02d" % number + b"x" * 100 * KIB, "PartitionKey": "k"} for number in range(20)]
    again = 0
    while waiting:
        answer = kinesis.put_records(StreamName=NAME, Records=waiting)
        failed = [entry.get("ErrorCode") for entry in answer["Records"]]
        assert {code for code in failed if code} <= {THROTTLED}, failed
        assert answer["FailedRecordCount"] == sum(1 for code in failed if code), answer["FailedRecordCount"]
        waiting = [record for record, code in zip(waiting, failed) if code]
        again += len(waiting)
        if waiting:
            time.sleep(0.1)
    assert again > 0, "2 MiB went into a shard at once"
    # PutRecord fails as a whole, and boto3 sends it again.
    seen.clear()
    for number in range(20, 25):
        kinesis.put_record(StreamName=NAME, Data=b"%02d" % number + b"x" * 250 * KIB, PartitionKey="k")
    assert THROTTLED in seen, seen


def reading():
    shard = kinesis.list_shards(StreamName=NAME)["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(StreamName=NAME, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    numbers = []
    while len(numbers) < 25:
        page = kinesis.get_records(ShardIterator=iterator)
        numbers += [int(record["Data"][:2]) for record in page["Records"]]
        iterator = page["NextShardIterator"]
    assert sorted(numbers) == list(range(25)), numbers
    impatient = client("kinesis")
    for _ in range(10):
        try:
            iterator = impatient.get_records(ShardIterator=iterator)["NextShardIterator"]
        except impatient.exceptions.ProvisionedThroughputExceededException:
            return
    raise AssertionError("ten reads of a shard at once, and none was throttled")


def table_is_small():
    dynamodb.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    item = {"pk": {"S": "k"}, "body": {"S": "x" * 100 * KIB}}
    taken = 0
    # One unit a second, three hundred of them saved up: no more than a few writes of a hundred units.
    for _ in range(10):
        try:
            dynamodb.put_item(TableName=NAME, Item=item)
            taken += 1
        except dynamodb.exceptions.ProvisionedThroughputExceededException:
            break
    assert 1 <= taken <= 4, taken
    dynamodb.delete_table(TableName=NAME)
    assert dynamodb.describe_table(TableName=NAME)["Table"]["TableStatus"] == "DELETING"
    kinesis.delete_stream(StreamName=NAME)


run(table_begins, records, reading, table_is_small)
