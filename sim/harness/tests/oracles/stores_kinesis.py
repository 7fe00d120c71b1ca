"""Kinesis Data Streams through boto3: records, resharding, consumers with their event stream, settings.

usage: stores_kinesis.py ENDPOINT

Asserts what AWS documents. Shards are read as a consumer reads them: parents to their end, then children.
"""

import datetime

from stores_client import client, refused, run

NAME = "stores-test"
LARGEST = 2**128 - 1
kinesis = client("kinesis")


def exists(name=NAME):
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})


def shards(**options):
    return [s for page in kinesis.get_paginator("list_shards").paginate(**options) for s in page["Shards"]]


def is_open(shard):
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def iterator_of(shard, kind="TRIM_HORIZON", name=NAME, **options):
    return kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType=kind, **options)["ShardIterator"]


def read_shard(shard, limit=100):
    """The records of one shard, and the children that its end names; an open shard is left when it is at its tip."""
    records, iterator = [], iterator_of(shard)
    while True:
        page = kinesis.get_records(ShardIterator=iterator, Limit=limit)
        records += page["Records"]
        iterator = page.get("NextShardIterator")
        if not iterator:
            assert page["ChildShards"], page
            return records, [child["ShardId"] for child in page["ChildShards"]]
        if not page["Records"] and page["MillisBehindLatest"] == 0:
            return records, []


def read_all():
    """Every record, a child only after all of its parents."""
    waiting = [shard for shard in shards(StreamName=NAME) if not shard.get("ParentShardId")]
    waiting = [shard["ShardId"] for shard in waiting]
    records, done = [], set()
    while waiting:
        shard = waiting.pop(0)
        if shard in done:
            continue
        found, children = read_shard(shard)
        records += found
        done.add(shard)
        described = {entry["ShardId"]: entry for entry in shards(StreamName=NAME)}
        for child in children:
            parents = {described[child].get("ParentShardId"), described[child].get("AdjacentParentShardId")} - {None}
            if parents <= done:
                waiting.append(child)
    return records, done


def put(*numbers, key="same"):
    records = [{"Data": str(number).encode(), "PartitionKey": key} for number in numbers]
    answer = kinesis.put_records(StreamName=NAME, Records=records)
    assert answer["FailedRecordCount"] == 0 and len(answer["Records"]) == len(numbers), answer
    return answer["Records"]


def records():
    kinesis.create_stream(StreamName=NAME, ShardCount=2, Tags={"team": "lake"})
    exists()
    summary = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    assert (summary["OpenShardCount"], summary["RetentionPeriodHours"]) == (2, 24), summary
    assert summary["StreamModeDetails"] == {"StreamMode": "PROVISIONED"} and summary["EncryptionType"] == "NONE"
    sent = put(*range(10))
    assert len({entry["ShardId"] for entry in sent}) == 1, "one key is one shard"
    numbers = [int(entry["SequenceNumber"]) for entry in sent]
    assert numbers == sorted(numbers)
    read, _ = read_all()
    assert [record["Data"] for record in read] == [str(number).encode() for number in range(10)]
    first, last = shards(StreamName=NAME)
    assert first["HashKeyRange"]["StartingHashKey"] == "0" and last["HashKeyRange"]["EndingHashKey"] == str(LARGEST)
    for shard in (first, last):
        where = shard["HashKeyRange"]["StartingHashKey"]
        single = kinesis.put_record(StreamName=NAME, Data=b"x", PartitionKey="any", ExplicitHashKey=where)
        assert single["ShardId"] == shard["ShardId"]

    home, fifth = sent[5]["ShardId"], sent[5]["SequenceNumber"]
    at = iterator_of(home, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=fifth)
    after = iterator_of(home, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=fifth)
    assert kinesis.get_records(ShardIterator=at, Limit=1)["Records"][0]["Data"] == b"5"
    assert kinesis.get_records(ShardIterator=after, Limit=1)["Records"][0]["Data"] == b"6"
    moment = read[0]["ApproximateArrivalTimestamp"] - datetime.timedelta(seconds=1)
    since = iterator_of(home, "AT_TIMESTAMP", Timestamp=moment)
    assert kinesis.get_records(ShardIterator=since, Limit=1)["Records"][0]["Data"] == b"0"
    latest = iterator_of(home, "LATEST")
    put("new")
    assert [record["Data"] for record in kinesis.get_records(ShardIterator=latest)["Records"]] == [b"new"]


def refusals():
    refused(lambda: kinesis.create_stream(StreamName=NAME, ShardCount=1), "ResourceInUseException", 400)
    refused(lambda: kinesis.describe_stream(StreamName="nothing"), "ResourceNotFoundException", 400)
    none = {"StreamName": NAME, "ShardId": "shardId-000000000099", "ShardIteratorType": "LATEST"}
    refused(lambda: kinesis.get_shard_iterator(**none), "ResourceNotFoundException", 400)
    refused(lambda: kinesis.get_records(ShardIterator="made up"), "InvalidArgumentException", 400)
    big = {"StreamName": NAME, "Data": b"x" * (1024 * 1024 + 1), "PartitionKey": "k"}
    refused(lambda: kinesis.put_record(**big), "ValidationException", 400)
    outside = {"StreamName": NAME, "Data": b"x", "PartitionKey": "k", "ExplicitHashKey": str(LARGEST + 1)}
    refused(lambda: kinesis.put_record(**outside), "InvalidArgumentException", 400)
    many = [{"Data": b"x", "PartitionKey": "k"}] * 501
    refused(lambda: kinesis.put_records(StreamName=NAME, Records=many), "ValidationException", 400)


def resharding():
    before, _ = read_all()
    home = put("before")[0]["ShardId"]
    shard = next(entry for entry in shards(StreamName=NAME) if entry["ShardId"] == home)
    start, end = (int(shard["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
    middle = str((start + end + 1) // 2)
    kinesis.split_shard(StreamName=NAME, ShardToSplit=home, NewStartingHashKey=middle)
    exists()
    put("between")
    children = [entry for entry in shards(StreamName=NAME) if entry.get("ParentShardId") == home]
    assert sorted(child["HashKeyRange"]["EndingHashKey"] for child in children) == sorted([str(int(middle) - 1), str(end)])
    assert sum(map(is_open, shards(StreamName=NAME))) == 3
    again = {"StreamName": NAME, "ShardToSplit": home, "NewStartingHashKey": middle}
    refused(lambda: kinesis.split_shard(**again), "InvalidArgumentException", 400)
    low, high = sorted(children, key=lambda child: int(child["HashKeyRange"]["StartingHashKey"]))
    kinesis.merge_shards(StreamName=NAME, ShardToMerge=low["ShardId"], AdjacentShardToMerge=high["ShardId"])
    exists()
    put("after")
    merged = next(entry for entry in shards(StreamName=NAME) if entry.get("AdjacentParentShardId"))
    assert {merged["ParentShardId"], merged["AdjacentParentShardId"]} == {low["ShardId"], high["ShardId"]}
    assert merged["HashKeyRange"] == shard["HashKeyRange"]
    everything, done = read_all()
    assert done == {entry["ShardId"] for entry in shards(StreamName=NAME)} and len(everything) == len(before) + 3
    # One key goes through five shards, and stays in order.
    of_key = [record["Data"].decode() for record in everything if record["PartitionKey"] == "same"]
    assert of_key == [*map(str, range(10)), "new", "before", "between", "after"], of_key

    answer = kinesis.update_shard_count(StreamName=NAME, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (2, 4), answer
    exists()
    opened = [entry for entry in shards(StreamName=NAME) if is_open(entry)]
    edges = sorted(int(entry["HashKeyRange"]["StartingHashKey"]) for entry in opened)
    assert edges == [number * 2**126 for number in range(4)], edges
    filtered = shards(StreamName=NAME, ShardFilter={"Type": "AT_LATEST"})
    assert sorted(s["ShardId"] for s in filtered) == sorted(s["ShardId"] for s in opened)
    assert len(read_all()[0]) == len(everything)
    far = {"StreamName": NAME, "TargetShardCount": 9, "ScalingType": "UNIFORM_SCALING"}
    refused(lambda: kinesis.update_shard_count(**far), "LimitExceededException", 400)


def consumers():
    arn = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="reader")["Consumer"]
    assert consumer["ConsumerARN"].startswith(f"{arn}/consumer/reader:"), consumer
    twice = {"StreamARN": arn, "ConsumerName": "reader"}
    refused(lambda: kinesis.register_stream_consumer(**twice), "ResourceInUseException", 400)
    described = kinesis.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])["ConsumerDescription"]
    assert (described["ConsumerStatus"], described["StreamARN"]) == ("ACTIVE", arn), described
    pages = kinesis.get_paginator("list_stream_consumers").paginate(StreamARN=arn)
    assert [entry["ConsumerName"] for page in pages for entry in page["Consumers"]] == ["reader"]

    home, sequence = (put("pushed 1")[0][name] for name in ("ShardId", "SequenceNumber"))
    position = {"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": sequence}
    stream = kinesis.subscribe_to_shard(
        ConsumerARN=consumer["ConsumerARN"], ShardId=home, StartingPosition=position
    )["EventStream"]
    pushed = []
    for event in stream:
        answer = event["SubscribeToShardEvent"]
        assert answer["ContinuationSequenceNumber"] and answer["MillisBehindLatest"] >= 0
        pushed += [record["Data"] for record in answer["Records"]]
        if pushed == [b"pushed 1"]:
            put("pushed 2")
        if len(pushed) >= 2:
            break
    stream.close()
    assert pushed == [b"pushed 1", b"pushed 2"], pushed
    kinesis.deregister_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
    gone = {"ConsumerARN": consumer["ConsumerARN"], "ShardId": home, "StartingPosition": {"Type": "LATEST"}}
    refused(lambda: kinesis.subscribe_to_shard(**gone), "ResourceNotFoundException", 400)


def settings():
    kinesis.add_tags_to_stream(StreamName=NAME, Tags={"day": "1"})
    kinesis.remove_tags_from_stream(StreamName=NAME, TagKeys=["team"])
    assert kinesis.list_tags_for_stream(StreamName=NAME)["Tags"] == [{"Key": "day", "Value": "1"}]
    arn = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]["StreamARN"]
    assert kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "day", "Value": "1"}]
    retention = lambda: kinesis.describe_stream(StreamName=NAME)["StreamDescription"]["RetentionPeriodHours"]
    kinesis.increase_stream_retention_period(StreamName=NAME, RetentionPeriodHours=48)
    exists()
    assert retention() == 48
    short = {"StreamName": NAME, "RetentionPeriodHours": 23}
    refused(lambda: kinesis.decrease_stream_retention_period(**short), "InvalidArgumentException", 400)
    kinesis.decrease_stream_retention_period(StreamName=NAME, RetentionPeriodHours=24)
    exists()
    assert retention() == 24
    kinesis.start_stream_encryption(StreamName=NAME, EncryptionType="KMS", KeyId="alias/aws/kinesis")
    exists()
    assert kinesis.describe_stream(StreamName=NAME)["StreamDescription"]["EncryptionType"] == "KMS"
    kinesis.stop_stream_encryption(StreamName=NAME, EncryptionType="KMS", KeyId="alias/aws/kinesis")
    exists()
    on_demand = {"StreamMode": "ON_DEMAND"}
    kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails=on_demand)
    exists()
    summary = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    assert summary["StreamModeDetails"] == on_demand, summary
    fixed = {"StreamName": NAME, "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}
    refused(lambda: kinesis.update_shard_count(**fixed), "ValidationException", 400)


def last():
    kinesis.create_stream(StreamName="on-demand", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    exists("on-demand")
    assert len(shards(StreamName="on-demand")) == 4
    pages = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 1})
    assert [name for page in pages for name in page["StreamNames"]] == ["on-demand", NAME]
    for name in (NAME, "on-demand"):
        kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
        kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})


run(records, refusals, resharding, consumers, settings, last)
