"""Talks to `lakebed up --stores-only` as any boto3 user would, and to the catalog as any PyIceberg user would.

usage: stores.py ENDPOINT      (credentials and region come from the usual AWS_* variables)

Asserts what AWS documents; prints one line of JSON when everything holds.
"""

import json
import sys

import boto3
import botocore
import pyarrow as pa
from boto3.dynamodb.conditions import Attr
from botocore.config import Config
from pyiceberg.catalog import load_catalog

ENDPOINT = sys.argv[1]
CONFIG = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, config=CONFIG)


def refused(call, code):
    try:
        call()
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response["Error"]
    else:
        raise AssertionError(f"expected {code}")


def s3():
    s3 = client("s3")
    s3.create_bucket(Bucket="stores-test")
    body = b"x" * 70_000
    put = s3.put_object(Bucket="stores-test", Key="a b/c+d%.txt", Body=body, Metadata={"who": "me"})
    got = s3.get_object(Bucket="stores-test", Key="a b/c+d%.txt")
    assert got["Body"].read() == body and got["ETag"] == put["ETag"] and got["Metadata"] == {"who": "me"}
    part = s3.get_object(Bucket="stores-test", Key="a b/c+d%.txt", Range="bytes=10-19")
    assert part["Body"].read() == b"x" * 10 and part["ContentRange"] == "bytes 10-19/70000"
    listed = s3.list_objects_v2(Bucket="stores-test", Delimiter="/")
    assert [p["Prefix"] for p in listed["CommonPrefixes"]] == ["a b/"]
    refused(lambda: s3.get_object(Bucket="stores-test", Key="nothing"), "NoSuchKey")
    refused(
        lambda: s3.put_object(Bucket="stores-test", Key="a b/c+d%.txt", Body=b"", IfNoneMatch="*"),
        "PreconditionFailed",
    )
    upload = s3.create_multipart_upload(Bucket="stores-test", Key="big")["UploadId"]
    parts = []
    for number, data in ((1, b"1" * 5 * 1024 * 1024), (2, b"2")):
        tag = s3.upload_part(Bucket="stores-test", Key="big", UploadId=upload, PartNumber=number, Body=data)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
    done = s3.complete_multipart_upload(
        Bucket="stores-test", Key="big", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert done["ETag"].strip('"').endswith("-2")
    s3.delete_objects(Bucket="stores-test", Delete={"Objects": [{"Key": "big"}, {"Key": "a b/c+d%.txt"}]})
    assert "Contents" not in s3.list_objects_v2(Bucket="stores-test")


def dynamodb():
    resource = boto3.resource("dynamodb", endpoint_url=ENDPOINT, config=CONFIG)
    table = resource.create_table(
        TableName="stores-test",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    table.wait_until_exists()
    table.put_item(Item={"pk": "a", "n": 1}, ConditionExpression=Attr("pk").not_exists())
    refused(
        lambda: table.put_item(Item={"pk": "a"}, ConditionExpression=Attr("pk").not_exists()),
        "ConditionalCheckFailedException",
    )
    new = table.update_item(
        Key={"pk": "a"},
        UpdateExpression="SET n = n + :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="ALL_NEW",
    )
    assert new["Attributes"]["n"] == 2
    streams = client("dynamodbstreams")
    arn = streams.list_streams(TableName="stores-test")["Streams"][0]["StreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    assert [r["eventName"] for r in records] == ["INSERT", "MODIFY"]
    assert records[1]["dynamodb"]["NewImage"]["n"] == {"N": "2"}
    table.delete()


def kinesis():
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="stores-test", ShardCount=2)
    records = [{"Data": str(n).encode(), "PartitionKey": "same"} for n in range(10)]
    assert kinesis.put_records(StreamName="stores-test", Records=records)["FailedRecordCount"] == 0
    read = []
    for shard in kinesis.list_shards(StreamName="stores-test")["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName="stores-test", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        read += [r["Data"] for r in kinesis.get_records(ShardIterator=iterator)["Records"]]
    assert read == [str(n).encode() for n in range(10)], read
    refused(lambda: kinesis.create_stream(StreamName="stores-test", ShardCount=1), "ResourceInUseException")
    refused(lambda: kinesis.describe_stream(StreamName="nothing"), "ResourceNotFoundException")
    kinesis.delete_stream(StreamName="stores-test")


def unknown():
    refused(lambda: client("firehose").list_delivery_streams(), "UnknownOperationException")


def iceberg():
    client("s3").create_bucket(Bucket="dm-datalake")
    credentials = boto3.Session().get_credentials()
    catalog = load_catalog(
        "lakebed",
        **{
            "type": "rest",
            "uri": f"{ENDPOINT}/iceberg",
            "s3.endpoint": ENDPOINT,
            "s3.access-key-id": credentials.access_key,
            "s3.secret-access-key": credentials.secret_key,
        },
    )
    catalog.create_namespace("stores_test")
    rows = pa.table({"id": [1, 2, 3], "name": ["a", "b", None]})
    table = catalog.create_table("stores_test.t", schema=rows.schema)
    table.append(rows)
    table.delete("id = 2")
    assert sorted(catalog.load_table("stores_test.t").scan().to_arrow()["id"].to_pylist()) == [1, 3]
    catalog.drop_table("stores_test.t")


for check in (s3, dynamodb, kinesis, unknown, iceberg):
    check()
print(json.dumps({"ok": True}))
