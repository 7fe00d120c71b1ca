"""S3 through boto3: buckets, objects, conditions, listings, tags, checksums, encryption, lifecycle, presigned requests.

usage: stores_s3.py ENDPOINT [enforced]      (`enforced`: signatures are checked)

Asserts what AWS documents. Versions and multipart uploads have scripts of their own.
"""

import base64
import hashlib
import sys
import urllib.error
import urllib.request
import zlib

from botocore.config import Config
from stores_client import client, refused, resource, run

BUCKET = "stores-test"
s3 = client("s3")


def encoded(digest):
    return base64.b64encode(digest).decode()


def buckets():
    s3.create_bucket(Bucket=BUCKET)
    s3.get_waiter("bucket_exists").wait(Bucket=BUCKET)
    s3.create_bucket(Bucket="stores-west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    assert s3.get_bucket_location(Bucket=BUCKET).get("LocationConstraint") is None
    assert s3.get_bucket_location(Bucket="stores-west")["LocationConstraint"] == "us-west-2"
    pages = s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1})
    assert [bucket["Name"] for page in pages for bucket in page["Buckets"]] == [BUCKET, "stores-west"]
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "team", "Value": "lake"}]})
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == [{"Key": "team", "Value": "lake"}]
    s3.delete_bucket_tagging(Bucket=BUCKET)
    refused(lambda: s3.get_bucket_tagging(Bucket=BUCKET), "NoSuchTagSet", 404)
    refused(lambda: s3.create_bucket(Bucket="Not_A_Name"), "InvalidBucketName", 400)
    s3.put_object(Bucket="stores-west", Key="last", Body=b"")
    refused(lambda: s3.delete_bucket(Bucket="stores-west"), "BucketNotEmpty", 409)
    s3.delete_object(Bucket="stores-west", Key="last")
    s3.delete_bucket(Bucket="stores-west")
    s3.get_waiter("bucket_not_exists").wait(Bucket="stores-west")
    refused(lambda: s3.list_objects_v2(Bucket="stores-west"), "NoSuchBucket", 404)


def objects():
    key, body = "a b/c+d%.txt", bytes(range(256)) * 300
    put = s3.put_object(
        Bucket=BUCKET, Key=key, Body=body, Metadata={"who": "me"}, ContentType="text/plain", CacheControl="max-age=60"
    )
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    s3.get_waiter("object_exists").wait(Bucket=BUCKET, Key=key)
    got = s3.get_object(Bucket=BUCKET, Key=key)
    assert got["Body"].read() == body and got["ETag"] == put["ETag"] and got["Metadata"] == {"who": "me"}
    assert (got["ContentType"], got["CacheControl"]) == ("text/plain", "max-age=60")
    part = s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=10-19")
    assert part["Body"].read() == body[10:20] and part["ContentRange"] == "bytes 10-19/76800"
    assert s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=-5")["Body"].read() == body[-5:]
    refused(lambda: s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=76800-"), "InvalidRange", 416)
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="nothing"), "NoSuchKey", 404)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key="nothing"), "404", 404)
    shown = s3.get_object(Bucket=BUCKET, Key=key, ResponseContentType="text/csv", ResponseCacheControl="no-store")
    assert (shown["ContentType"], shown["CacheControl"]) == ("text/csv", "no-store")

    copied = s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": key})
    assert copied["CopyObjectResult"]["ETag"] == put["ETag"]
    assert s3.head_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"who": "me"}
    source = {"Bucket": BUCKET, "Key": key}
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=source, MetadataDirective="REPLACE", Metadata={"new": "1"})
    assert s3.head_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"new": "1"}
    refused(lambda: s3.copy_object(Bucket=BUCKET, Key=key, CopySource=source), "InvalidRequest", 400)
    wrong = {"CopySource": source, "CopySourceIfMatch": '"other"'}
    refused(lambda: s3.copy_object(Bucket=BUCKET, Key="copy", **wrong), "PreconditionFailed", 412)

    doomed = {"Objects": [{"Key": "copy"}, {"Key": key}, {"Key": "never there"}]}
    deleted = s3.delete_objects(Bucket=BUCKET, Delete=doomed)
    assert sorted(entry["Key"] for entry in deleted["Deleted"]) == sorted(o["Key"] for o in doomed["Objects"])
    assert "Errors" not in deleted
    s3.get_waiter("object_not_exists").wait(Bucket=BUCKET, Key=key)
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def conditions():
    first = s3.put_object(Bucket=BUCKET, Key="once", Body=b"1", IfNoneMatch="*")["ETag"]
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="once", Body=b"2", IfNoneMatch="*"), "PreconditionFailed", 412)
    second = s3.put_object(Bucket=BUCKET, Key="once", Body=b"2", IfMatch=first)["ETag"]
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="once", Body=b"3", IfMatch=first), "PreconditionFailed", 412)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="absent", Body=b"3", IfMatch=first), "NoSuchKey", 404)
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="once", IfMatch=first), "PreconditionFailed", 412)
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="once", IfNoneMatch=second), "304", 304)
    later = s3.head_object(Bucket=BUCKET, Key="once")["LastModified"]
    refused(lambda: s3.head_object(Bucket=BUCKET, Key="once", IfModifiedSince=later), "304", 304)
    refused(lambda: s3.delete_object(Bucket=BUCKET, Key="once", IfMatch=first), "PreconditionFailed", 412)
    s3.delete_object(Bucket=BUCKET, Key="once", IfMatch=second)


def listings():
    keys = ["a/1", "a/2", "b c/1", "ü+&", "z<>"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    ordered = sorted(keys, key=str.encode)
    for name in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(name).paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2})
        sizes, found = [], []
        for page in pages:
            sizes.append(len(page["Contents"]))
            found += [entry["Key"] for entry in page["Contents"]]
        assert (found, sizes) == (ordered, [2, 2, 1]), (name, found, sizes)
        grouped = list(s3.get_paginator(name).paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 1}))
        prefixes = [prefix["Prefix"] for page in grouped for prefix in page.get("CommonPrefixes", [])]
        rest = [entry["Key"] for page in grouped for entry in page.get("Contents", [])]
        assert (prefixes, rest) == (["a/", "b c/"], ["z<>", "ü+&"]), (name, prefixes, rest)
    plain = s3.list_objects_v2(Bucket=BUCKET, EncodingType="url", StartAfter="a/2", FetchOwner=True)
    assert plain["EncodingType"] == "url" and all("Owner" in entry for entry in plain["Contents"])
    # A space may be `+` or `%20`: SDKs read both.
    encoded_keys = [entry["Key"].replace("%20", "+") for entry in plain["Contents"]]
    assert encoded_keys == ["b+c/1", "z%3C%3E", "%C3%BC%2B%26"], encoded_keys
    assert [o.key for o in resource("s3").Bucket(BUCKET).objects.filter(Prefix="a/")] == ["a/1", "a/2"]
    refused(lambda: s3.list_objects_v2(Bucket=BUCKET, ContinuationToken="made up"), "InvalidArgument", 400)
    resource("s3").Bucket(BUCKET).objects.delete()


def tags():
    s3.put_object(Bucket=BUCKET, Key="tagged", Body=b"x", Tagging="kind=raw&day=1")
    assert s3.get_object(Bucket=BUCKET, Key="tagged")["TagCount"] == 2
    set_of = lambda key: {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]}
    assert set_of("tagged") == {"kind": "raw", "day": "1"}
    source = {"Bucket": BUCKET, "Key": "tagged"}
    s3.copy_object(Bucket=BUCKET, Key="kept", CopySource=source)
    s3.copy_object(Bucket=BUCKET, Key="new", CopySource=source, TaggingDirective="REPLACE", Tagging="kind=copy")
    assert set_of("kept") == {"kind": "raw", "day": "1"} and set_of("new") == {"kind": "copy"}
    s3.put_object_tagging(Bucket=BUCKET, Key="tagged", Tagging={"TagSet": [{"Key": "a b", "Value": ""}]})
    assert set_of("tagged") == {"a b": ""}
    twice = {"TagSet": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}
    refused(lambda: s3.put_object_tagging(Bucket=BUCKET, Key="tagged", Tagging=twice), "InvalidTag", 400)
    s3.delete_object_tagging(Bucket=BUCKET, Key="tagged")
    assert set_of("tagged") == {} and "TagCount" not in s3.get_object(Bucket=BUCKET, Key="tagged")
    resource("s3").Bucket(BUCKET).objects.delete()


def checksums():
    body = b"123456789"
    known = {
        "CRC32": encoded(zlib.crc32(body).to_bytes(4, "big")),
        "SHA1": encoded(hashlib.sha1(body).digest()),
        "SHA256": encoded(hashlib.sha256(body).digest()),
        # The check value of CRC-64/NVME: boto3 takes it from whoever computed it.
        "CRC64NVME": encoded(bytes.fromhex("ae8b14860a799888")),
    }
    for algorithm, value in known.items():
        member = f"Checksum{algorithm}"
        given = {member: value} if algorithm == "CRC64NVME" else {"ChecksumAlgorithm": algorithm}
        put = s3.put_object(Bucket=BUCKET, Key=algorithm, Body=body, **given)
        assert put[member] == value and put["ChecksumType"] == "FULL_OBJECT", put
        head = s3.head_object(Bucket=BUCKET, Key=algorithm, ChecksumMode="ENABLED")
        assert head[member] == value and member not in s3.head_object(Bucket=BUCKET, Key=algorithm), head
        assert s3.get_object(Bucket=BUCKET, Key=algorithm, ChecksumMode="ENABLED")["Body"].read() == body
        attributes = s3.get_object_attributes(Bucket=BUCKET, Key=algorithm, ObjectAttributes=["Checksum", "ObjectSize"])
        assert attributes["Checksum"][member] == value and attributes["ObjectSize"] == 9, attributes
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=algorithm)["Contents"][0]
        assert listed["ChecksumAlgorithm"] == [algorithm] and listed["ChecksumType"] == "FULL_OBJECT", listed
        other = {member: encoded(b"\0" * len(base64.b64decode(value)))}
        refused(lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=body, **other), "BadDigest", 400)
    wrong = encoded(hashlib.md5(b"else").digest())
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=body, ContentMD5=wrong), "BadDigest", 400)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="bad", Body=body, ContentMD5="no"), "InvalidDigest", 400)
    quiet = client("s3", Config(request_checksum_calculation="when_required"))
    quiet.put_object(Bucket=BUCKET, Key="default", Body=body)
    assert s3.head_object(Bucket=BUCKET, Key="default", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == known["CRC64NVME"]
    copy = {"CopySource": {"Bucket": BUCKET, "Key": "default"}, "ChecksumAlgorithm": "SHA256"}
    assert s3.copy_object(Bucket=BUCKET, Key="copy", **copy)["CopyObjectResult"]["ChecksumSHA256"] == known["SHA256"]
    resource("s3").Bucket(BUCKET).objects.delete()


def encryption():
    assert s3.put_object(Bucket=BUCKET, Key="plain", Body=b"x")["ServerSideEncryption"] == "AES256"
    key = "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012"
    managed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True}
    put = s3.put_object(Bucket=BUCKET, Key="kms", Body=b"x", **managed)
    head = s3.head_object(Bucket=BUCKET, Key="kms")
    for answer in (put, head):
        assert {name: answer.get(name) for name in managed} == managed, answer
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    shown = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert shown["ApplyServerSideEncryptionByDefault"] == rule["ApplyServerSideEncryptionByDefault"], shown
    assert s3.put_object(Bucket=BUCKET, Key="default", Body=b"x")["SSEKMSKeyId"] == key
    s3.delete_bucket_encryption(Bucket=BUCKET)
    shown = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert shown["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256", shown
    resource("s3").Bucket(BUCKET).objects.delete()


def lifecycle():
    get = lambda: s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
    put = lambda *rules: s3.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": list(rules)}
    )
    refused(get, "NoSuchLifecycleConfiguration", 404)
    rules = [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}},
        {
            "ID": "rest",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "raw/", "Tags": [{"Key": "kind", "Value": "raw"}]}},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 1},
        },
        {
            "ID": "uploads",
            "Status": "Disabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    ]
    put(*rules)
    assert sorted(get()["Rules"], key=lambda rule: rule["ID"]) == rules, get()["Rules"]
    expiring = s3.put_object(Bucket=BUCKET, Key="tmp/1", Body=b"x")
    assert 'rule-id="old"' in expiring["Expiration"], expiring
    assert "Expiration" not in s3.put_object(Bucket=BUCKET, Key="kept", Body=b"x")
    refused(lambda: put(rules[0], rules[0]), "InvalidArgument", 400)
    s3.delete_bucket_lifecycle(Bucket=BUCKET)
    refused(get, "NoSuchLifecycleConfiguration", 404)
    resource("s3").Bucket(BUCKET).objects.delete()


def send(method, url, body=None, headers=()):
    """Status and body of a request that no SDK has touched."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def presigned():
    target = {"Bucket": BUCKET, "Key": "by hand/ü"}
    signer = client("s3", Config(signature_version="s3v4"))
    put = signer.generate_presigned_url("put_object", Params={**target, "ContentType": "text/plain"}, ExpiresIn=60)
    assert send("PUT", put, b"hello", {"Content-Type": "text/plain"})[0] == 200
    get = signer.generate_presigned_url("get_object", Params=target, ExpiresIn=60)
    assert send("GET", get) == (200, b"hello")
    assert send("GET", get, headers={"Range": "bytes=1-2"}) == (206, b"el")
    assert s3.head_object(**target)["ContentType"] == "text/plain"
    # What boto3 and the AWS CLI presign if nothing is said has the old signature, which AWS takes for old buckets only.
    status, text = send("GET", s3.generate_presigned_url("get_object", Params=target, ExpiresIn=60))
    if "enforced" in sys.argv:
        assert status == 400 and b"<Code>InvalidRequest</Code>" in text, (status, text)
    else:
        assert (status, text) == (200, b"hello"), (status, text)
    assert send("DELETE", signer.generate_presigned_url("delete_object", Params=target))[0] == 204
    assert send("GET", get)[0] == 404


def browser_forms():
    """They are not done, and say so."""
    form = client("s3", Config(signature_version="s3v4")).generate_presigned_post(BUCKET, "form")
    fields = {**form["fields"], "file": "content"}
    parts = [f'--edge\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    body = ("".join(parts) + "--edge--\r\n").encode()
    status, text = send("POST", form["url"], body, {"Content-Type": "multipart/form-data; boundary=edge"})
    if "enforced" in sys.argv:
        # The signature is in the form, which nobody reads: to the rest of the request it has none.
        assert status == 403 and b"<Code>AccessDenied</Code>" in text, (status, text)
    else:
        assert status == 501 and b"<Code>NotImplemented</Code>" in text, (status, text)


def last():
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    s3.delete_bucket(Bucket=BUCKET)


run(buckets, objects, conditions, listings, tags, checksums, encryption, lifecycle, presigned, browser_forms, last)
