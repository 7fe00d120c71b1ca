"""DynamoDB Streams through boto3: every shard of a stream is followed from parents to children, as a consumer does.

usage: stores_dynamodb_streams.py ENDPOINT

Asserts what AWS documents; does not assume how many shards there are.
"""

import time

from stores_client import client, refused, resource, run

NAME = "stores-streams"
streams = client("dynamodbstreams")
dynamodb = client("dynamodb")
table = resource("dynamodb").Table(NAME)


def shards_of(arn):
    """All shards, parents before children, page by page."""
    shards, start = {}, None
    while True:
        page = streams.describe_stream(
            StreamArn=arn, Limit=1, **({"ExclusiveStartShardId": start} if start else {})
        )["StreamDescription"]
        shards.update({shard["ShardId"]: shard for shard in page["Shards"]})
        start = page.get("LastEvaluatedShardId")
        if not start:
            break
    depth = lambda shard: 1 + depth(shards[shard["ParentShardId"]]) if shard.get("ParentShardId") in shards else 0
    return sorted(shards.values(), key=depth)


def read(arn, wanted):
    """Every record of the stream; a shard is left at its end, or when nothing comes and all that is wanted is there."""
    records = []
    for shard in shards_of(arn):
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        patience = time.monotonic() + 10
        while iterator:
            page = streams.get_records(ShardIterator=iterator, Limit=3)
            records += page["Records"]
            assert len(page["Records"]) <= 3
            iterator = page.get("NextShardIterator")
            if not page["Records"] and (len(records) >= wanted or time.monotonic() > patience):
                break
    return records


def stream_of(view):
    table_of = dynamodb.describe_table(TableName=NAME)["Table"]
    assert table_of["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": view}, table_of
    listed = streams.list_streams(TableName=NAME)["Streams"]
    assert table_of["LatestStreamArn"] in [stream["StreamArn"] for stream in listed]
    return table_of["LatestStreamArn"]


def changes():
    dynamodb.create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    arn = stream_of("NEW_AND_OLD_IMAGES")
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert (described["StreamStatus"], described["TableName"]) == ("ENABLED", NAME), described
    assert described["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    table.put_item(Item={"pk": "a", "n": 1})
    table.update_item(Key={"pk": "a"}, UpdateExpression="SET n = n + :one", ExpressionAttributeValues={":one": 1})
    table.delete_item(Key={"pk": "a"})
    table.delete_item(Key={"pk": "never there"})
    with table.batch_writer() as batch:
        for number in range(20):
            batch.put_item(Item={"pk": f"k{number}"})
    records = read(arn, 23)
    assert len(records) == 23, len(records)
    of_a = [record for record in records if record["dynamodb"]["Keys"] == {"pk": {"S": "a"}}]
    assert [record["eventName"] for record in of_a] == ["INSERT", "MODIFY", "REMOVE"]
    images = [(r["dynamodb"].get("OldImage", {}).get("n"), r["dynamodb"].get("NewImage", {}).get("n")) for r in of_a]
    assert images == [(None, {"N": "1"}), ({"N": "1"}, {"N": "2"}), ({"N": "2"}, None)], images
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in of_a]
    assert numbers == sorted(set(numbers))
    assert {record["eventSource"] for record in records} == {"aws:dynamodb"}
    assert {record["dynamodb"]["StreamViewType"] for record in records} == {"NEW_AND_OLD_IMAGES"}
    assert len({record["eventID"] for record in records}) == 23


def positions():
    arn = stream_of("NEW_AND_OLD_IMAGES")
    opened = [shard for shard in shards_of(arn) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    iterators = [
        streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="LATEST")["ShardIterator"]
        for shard in opened
    ]
    table.put_item(Item={"pk": "late"})
    seen = [(shard, r) for shard, i in zip(opened, iterators) for r in streams.get_records(ShardIterator=i)["Records"]]
    assert [record["dynamodb"]["Keys"]["pk"]["S"] for _, record in seen] == ["late"], seen
    shard, record = seen[0]
    at = {"StreamArn": arn, "ShardId": shard["ShardId"], "SequenceNumber": record["dynamodb"]["SequenceNumber"]}
    counts = []
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        iterator = streams.get_shard_iterator(ShardIteratorType=kind, **at)["ShardIterator"]
        counts.append(len(streams.get_records(ShardIterator=iterator)["Records"]))
    assert counts == [1, 0], counts
    none = {"StreamArn": arn, "ShardId": "shardId-00000000000000000000-00000000", "ShardIteratorType": "LATEST"}
    refused(lambda: streams.get_shard_iterator(**none), "ResourceNotFoundException", 400)
    refused(lambda: streams.describe_stream(StreamArn=arn[:-5] + "00.00"), "ResourceNotFoundException", 400)


def closed():
    """A disabled stream can be read to its end; a new one of the same table begins with nothing."""
    arn = stream_of("NEW_AND_OLD_IMAGES")
    dynamodb.update_table(TableName=NAME, StreamSpecification={"StreamEnabled": False})
    dynamodb.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    table.put_item(Item={"pk": "untold"})
    assert streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED"
    for shard in shards_of(arn):
        assert "EndingSequenceNumber" in shard["SequenceNumberRange"], shard
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        pages = 0
        while iterator:
            iterator = streams.get_records(ShardIterator=iterator).get("NextShardIterator")
            pages += 1
            assert pages < 100, "a closed shard ends"
    dynamodb.update_table(TableName=NAME, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    dynamodb.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    newer = stream_of("KEYS_ONLY")
    assert newer != arn
    table.put_item(Item={"pk": "b", "n": 1})
    records = read(newer, 1)
    assert [record["dynamodb"]["Keys"]["pk"]["S"] for record in records] == ["b"]
    assert "NewImage" not in records[0]["dynamodb"]
    dynamodb.delete_table(TableName=NAME)
    dynamodb.get_waiter("table_not_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})


run(changes, positions, closed)
