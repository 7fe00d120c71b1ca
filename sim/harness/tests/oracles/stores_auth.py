"""What boto3 is told by stores that enforce keys: wrong secrets, unknown keys, old and altered signatures.

usage: stores_auth.py ENDPOINT      (the AWS_* variables hold the right key)

Asserts what AWS documents, and that no answer repeats the secret.
"""

import datetime
import json
import os
import urllib.error
import urllib.request
from unittest import mock

import boto3
import botocore.auth
from botocore import UNSIGNED
from botocore.config import Config
from stores_client import ENDPOINT, client, refused, run

BUCKET = "stores-auth"
WRONG = {"aws_secret_access_key": "not the secret"}
STRANGER = {"aws_access_key_id": "AKIANOBODYKNOWSTHIS0", "aws_secret_access_key": "any"}
ANONYMOUS = Config(signature_version=UNSIGNED)
SECRET = boto3.Session().get_credentials().secret_key


def denied(call, code, status):
    answer = refused(call, code, status)
    assert SECRET not in json.dumps(answer, default=str), code
    return answer


def long_ago():
    """The signer's clock an hour late."""
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    return mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: now.replace(tzinfo=None))


def fetch(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def right():
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="a b/ü+&", Body=b"mine" * 10_000)
    assert s3.get_object(Bucket=BUCKET, Key="a b/ü+&")["Body"].read() == b"mine" * 10_000
    assert "TableNames" in client("dynamodb").list_tables()
    assert "Streams" in client("dynamodbstreams").list_streams()
    assert "StreamNames" in client("kinesis").list_streams()


def wrong_secret():
    s3 = client("s3", **WRONG, aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"])
    denied(lambda: s3.get_object(Bucket=BUCKET, Key="a b/ü+&"), "SignatureDoesNotMatch", 403)
    denied(lambda: s3.put_object(Bucket=BUCKET, Key="theirs", Body=b"x" * 100_000), "SignatureDoesNotMatch", 403)
    denied(lambda: s3.head_object(Bucket=BUCKET, Key="a b/ü+&"), "403", 403)
    denied(lambda: s3.list_buckets(), "SignatureDoesNotMatch", 403)
    for service, call in (("dynamodb", "list_tables"), ("dynamodbstreams", "list_streams"), ("kinesis", "list_streams")):
        other = client(service, **WRONG, aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"])
        denied(getattr(other, call), "InvalidSignatureException", 400)
    denied(lambda: client("s3").head_object(Bucket=BUCKET, Key="theirs"), "404", 404)


def unknown_key():
    denied(lambda: client("s3", **STRANGER).list_buckets(), "InvalidAccessKeyId", 403)
    for service, call in (("dynamodb", "list_tables"), ("kinesis", "list_streams")):
        denied(getattr(client(service, **STRANGER), call), "UnrecognizedClientException", 400)


def unsigned():
    denied(lambda: client("s3", ANONYMOUS).list_buckets(), "AccessDenied", 403)
    for service, call in (("dynamodb", "list_tables"), ("kinesis", "list_streams")):
        denied(getattr(client(service, ANONYMOUS), call), "MissingAuthenticationTokenException", 400)


def late():
    s3 = client("s3", Config(signature_version="s3v4"))
    target = {"Bucket": BUCKET, "Key": "a b/ü+&"}
    with long_ago():
        expired = s3.generate_presigned_url("get_object", Params=target, ExpiresIn=60)
        lasting = s3.generate_presigned_url("get_object", Params=target, ExpiresIn=7200)
        denied(lambda: s3.get_object(**target), "RequestTimeTooSkewed", 403)
        for service, call in (("dynamodb", "list_tables"), ("kinesis", "list_streams")):
            denied(getattr(client(service), call), "InvalidSignatureException", 400)
    status, text = fetch(expired)
    assert status == 403 and b"<Code>AccessDenied</Code>" in text and b"Request has expired" in text, (status, text)
    assert fetch(lasting) == (200, b"mine" * 10_000)


def presigned():
    s3 = client("s3", Config(signature_version="s3v4"))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "a b/ü+&"}, ExpiresIn=60)
    assert fetch(url) == (200, b"mine" * 10_000)
    for altered in (url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"), url.replace("a%20b/", "other/")):
        assert altered != url
        status, text = fetch(altered)
        assert status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in text, (status, text)
        assert SECRET.encode() not in text


def catalog():
    url = f"{ENDPOINT}/iceberg/v1/namespaces"
    for headers in ({}, {"Authorization": "Bearer made-up"}, {"Authorization": f"Bearer {SECRET}"}):
        status, text = fetch(url, **headers)
        assert status == 401 and json.loads(text)["error"]["code"] == 401, (status, text)
        assert SECRET.encode() not in text


run(right, wrong_secret, unknown_key, unsigned, late, presigned, catalog)
