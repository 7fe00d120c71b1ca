"""Versions of S3 objects through boto3: enabled, suspended, delete markers, listings, removal.

usage: stores_s3_versions.py ENDPOINT

Asserts what AWS documents.
"""

from stores_client import client, refused, resource, run

BUCKET = "stores-versions"
s3 = client("s3")


def put(key, body, **options):
    return s3.put_object(Bucket=BUCKET, Key=key, Body=body, **options)


def text(key, version=None):
    return s3.get_object(Bucket=BUCKET, Key=key, **({"VersionId": version} if version else {}))["Body"].read()


def versioning(status):
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == status


def never_enabled():
    s3.create_bucket(Bucket=BUCKET)
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    assert "VersionId" not in put("old", b"before")
    assert [v["VersionId"] for v in s3.list_object_versions(Bucket=BUCKET)["Versions"]] == ["null"]
    assert text("old", "null") == b"before"


def enabled():
    versioning("Enabled")
    first, second = put("k", b"1")["VersionId"], put("k", b"2")["VersionId"]
    assert first != second and "null" not in (first, second)
    assert (text("k"), text("k", first), text("k", second)) == (b"2", b"1", b"2")
    assert s3.head_object(Bucket=BUCKET, Key="k")["VersionId"] == second
    removed = put("k", b"removed")["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=removed)
    refused(lambda: text("k", removed), "NoSuchVersion", 404)
    refused(lambda: text("k", "no version"), "InvalidArgument", 400)

    marker = s3.delete_object(Bucket=BUCKET, Key="k")
    assert marker["DeleteMarker"] and marker["VersionId"] not in (first, second)
    gone = refused(lambda: text("k"), "NoSuchKey", 404)["ResponseMetadata"]["HTTPHeaders"]
    assert gone["x-amz-delete-marker"] == "true" and gone["x-amz-version-id"] == marker["VersionId"], gone
    refused(lambda: text("k", marker["VersionId"]), "MethodNotAllowed", 405)
    assert text("k", second) == b"2"
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["old"]
    back = s3.delete_object(Bucket=BUCKET, Key="k", VersionId=marker["VersionId"])
    assert back["DeleteMarker"] and back["VersionId"] == marker["VersionId"] and text("k") == b"2"

    copy = s3.copy_object(Bucket=BUCKET, Key="k", CopySource={"Bucket": BUCKET, "Key": "k", "VersionId": first})
    assert copy["CopySourceVersionId"] == first and copy["VersionId"] != first and text("k") == b"1"
    tag = {"TagSet": [{"Key": "a", "Value": "b"}]}
    assert s3.put_object_tagging(Bucket=BUCKET, Key="k", VersionId=second, Tagging=tag)["VersionId"] == second
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == []
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k", VersionId=second)["TagSet"] == tag["TagSet"]

    s3.delete_object(Bucket=BUCKET, Key="once")
    put("once", b"1", IfNoneMatch="*")
    refused(lambda: put("once", b"2", IfNoneMatch="*"), "PreconditionFailed", 412)


def listed():
    for number in range(5):
        put("many", str(number).encode())
    last = s3.delete_object(Bucket=BUCKET, Key="many")["VersionId"]
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=BUCKET, Prefix="many", PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(p.get("Versions", [])) + len(p.get("DeleteMarkers", [])) for p in pages] == [2, 2, 2], pages
    versions = [version for page in pages for version in page.get("Versions", [])]
    assert [text("many", version["VersionId"]) for version in versions] == [b"4", b"3", b"2", b"1", b"0"]
    markers = [marker for page in pages for marker in page.get("DeleteMarkers", [])]
    assert [(marker["VersionId"], marker["IsLatest"]) for marker in markers] == [(last, True)]
    assert not any(version["IsLatest"] for version in versions)
    put("dir/1", b"")
    groups = s3.list_object_versions(Bucket=BUCKET, Delimiter="/")
    assert [prefix["Prefix"] for prefix in groups["CommonPrefixes"]] == ["dir/"]
    assert "dir/1" not in [version["Key"] for version in groups["Versions"]]


def suspended():
    kept = put("s", b"kept")["VersionId"]
    versioning("Suspended")
    assert put("s", b"null 1")["VersionId"] == "null" and put("s", b"null 2")["VersionId"] == "null"
    assert (text("s"), text("s", "null"), text("s", kept)) == (b"null 2", b"null 2", b"kept")
    marker = s3.delete_object(Bucket=BUCKET, Key="s")
    assert marker["DeleteMarker"] and marker["VersionId"] == "null"
    refused(lambda: text("s", "null"), "MethodNotAllowed", 405)
    assert text("s", kept) == b"kept"


def emptied():
    versioning("Enabled")
    refused(lambda: s3.delete_bucket(Bucket=BUCKET), "BucketNotEmpty", 409)
    version = put("batch", b"1")["VersionId"]
    answer = s3.delete_objects(
        Bucket=BUCKET, Delete={"Objects": [{"Key": "batch"}, {"Key": "batch", "VersionId": version}]}
    )["Deleted"]
    assert [entry.get("DeleteMarker", False) for entry in answer] == [True, False], answer
    assert answer[0]["DeleteMarkerVersionId"] and answer[1]["VersionId"] == version
    bucket = resource("s3").Bucket(BUCKET)
    assert bucket.Versioning().status == "Enabled"
    assert bucket.Object("old").Version("null").get()["Body"].read() == b"before"
    bucket.object_versions.delete()
    left = s3.list_object_versions(Bucket=BUCKET)
    assert "Versions" not in left and "DeleteMarkers" not in left, left
    bucket.delete()
    bucket.wait_until_not_exists()


run(never_enabled, enabled, listed, suspended, emptied)
