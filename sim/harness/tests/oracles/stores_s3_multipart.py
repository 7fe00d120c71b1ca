"""Multipart uploads through boto3: managed transfers of 12 MiB, parts by hand, checksums of wholes, refusals.

usage: stores_s3_multipart.py ENDPOINT

Asserts what AWS documents.
"""

import base64
import hashlib
import pathlib
import tempfile
import zlib

from boto3.s3.transfer import TransferConfig
from stores_client import client, refused, run

BUCKET = "stores-parts"
MIB = 1024 * 1024
BODY = b"".join(number.to_bytes(4, "big") for number in range(3 * MIB))
TRANSFER = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
s3 = client("s3")


def etag_of(*parts):
    """What AWS shows of an upload in parts: the MD5 of the parts' MD5s, and how many there are."""
    together = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(together).hexdigest()}-{len(parts)}"'


def whole():
    return BODY[: 5 * MIB], BODY[5 * MIB : 10 * MIB], BODY[10 * MIB :]


def managed():
    s3.create_bucket(Bucket=BUCKET)
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "source"), pathlib.Path(folder, "target")
        source.write_bytes(BODY)
        seen = []
        extra = {"Metadata": {"who": "me"}, "ContentType": "application/x-numbers"}
        s3.upload_file(str(source), BUCKET, "big", ExtraArgs=extra, Config=TRANSFER, Callback=seen.append)
        assert sum(seen) == len(BODY)
        s3.download_file(BUCKET, "big", str(target), Config=TRANSFER)
        assert target.read_bytes() == BODY
    head = s3.head_object(Bucket=BUCKET, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"] == etag_of(*whole()) and head["ContentLength"] == len(BODY), head
    assert head["Metadata"] == {"who": "me"} and head["ContentType"] == "application/x-numbers"
    part = s3.get_object(Bucket=BUCKET, Key="big", PartNumber=3)
    assert part["PartsCount"] == 3 and part["Body"].read() == whole()[2]
    assert part["ContentRange"] == f"bytes {10 * MIB}-{12 * MIB - 1}/{12 * MIB}"
    refused(lambda: s3.head_object(Bucket=BUCKET, Key="big", PartNumber=4), "416", 416)
    attributes = s3.get_object_attributes(Bucket=BUCKET, Key="big", ObjectAttributes=["ObjectParts", "ETag"], MaxParts=2)
    assert attributes["ETag"] == head["ETag"].strip('"') and attributes["ObjectParts"]["TotalPartsCount"] == 3

    s3.copy({"Bucket": BUCKET, "Key": "big"}, BUCKET, "copy", Config=TRANSFER)
    assert s3.head_object(Bucket=BUCKET, Key="copy")["ETag"] == etag_of(*whole())
    assert s3.get_object(Bucket=BUCKET, Key="copy")["Body"].read() == BODY


def begin(key, **options):
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **options)
    return {"Bucket": BUCKET, "Key": key, "UploadId": begun["UploadId"]}


def send(upload, *parts, **options):
    """Sends the parts, numbered from 1; their entries for the end of the upload, with checksums where it has an algorithm."""
    members = ["ETag", *(f"Checksum{algorithm}" for algorithm in options.values())]
    entries = []
    for number, body in enumerate(parts, 1):
        answer = s3.upload_part(**upload, PartNumber=number, Body=body, **options)
        entries.append({"PartNumber": number, **{name: answer[name] for name in members}})
    return entries


def complete(upload, entries, **options):
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": entries}, **options)


def by_hand():
    upload = begin("hand")
    entries = send(upload, *whole())
    pages = list(s3.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2}))
    assert [[part["PartNumber"] for part in page["Parts"]] for page in pages] == [[1, 2], [3]]
    assert [part["Size"] for page in pages for part in page["Parts"]] == [5 * MIB, 5 * MIB, 2 * MIB]
    others = [begin("hand"), begin("other")]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 1})
    listed = [(entry["Key"], entry["UploadId"]) for page in pages for entry in page.get("Uploads", [])]
    assert sorted(listed) == sorted((entry["Key"], entry["UploadId"]) for entry in (upload, *others))
    assert "hand" not in [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    for other in others:
        s3.abort_multipart_upload(**other)

    short = send(begin("short"), b"too", b"small")
    upload_of_short = s3.list_multipart_uploads(Bucket=BUCKET, Prefix="short")["Uploads"][0]
    small = {"Bucket": BUCKET, "Key": "short", "UploadId": upload_of_short["UploadId"]}
    refused(lambda: complete(small, short), "EntityTooSmall", 400)
    s3.abort_multipart_upload(**small)
    refused(lambda: s3.list_parts(**small), "NoSuchUpload", 404)
    refused(lambda: complete(upload, list(reversed(entries))), "InvalidPartOrder", 400)
    wrong = [{**entries[0], "ETag": '"00000000000000000000000000000000"'}]
    refused(lambda: complete(upload, wrong), "InvalidPart", 400)
    refused(lambda: complete(upload, []), "MalformedXML", 400)
    refused(lambda: s3.upload_part(**upload, PartNumber=10_001, Body=b""), "InvalidArgument", 400)
    # The second and the third part alone are an object, too.
    done = complete(upload, entries[1:])
    assert done["ETag"] == etag_of(*whole()[1:]) and done["Key"] == "hand"
    assert s3.get_object(Bucket=BUCKET, Key="hand")["Body"].read() == BODY[5 * MIB :]
    again = begin("hand")
    ready = send(again, b"x")
    refused(lambda: complete(again, ready, IfNoneMatch="*"), "PreconditionFailed", 412)
    s3.abort_multipart_upload(**again)


def copied_parts():
    upload = begin("pieces")
    source = {"CopySource": {"Bucket": BUCKET, "Key": "big"}, "CopySourceRange": f"bytes=4-{5 * MIB + 3}"}
    first = s3.upload_part_copy(**upload, PartNumber=1, **source)["CopyPartResult"]["ETag"]
    last = s3.upload_part(**upload, PartNumber=2, Body=b"end")["ETag"]
    complete(upload, [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last}])
    assert s3.get_object(Bucket=BUCKET, Key="pieces")["Body"].read() == BODY[4 : 5 * MIB + 4] + b"end"


def checksums():
    parts = whole()[0], whole()[2]
    encoded = lambda digest: base64.b64encode(digest).decode()
    upload = begin("sha", ChecksumAlgorithm="SHA256")
    done = complete(upload, send(upload, *parts, ChecksumAlgorithm="SHA256"))
    together = b"".join(hashlib.sha256(part).digest() for part in parts)
    assert done["ChecksumSHA256"] == encoded(hashlib.sha256(together).digest()) + "-2", done
    assert done["ChecksumType"] == "COMPOSITE"
    head = s3.head_object(Bucket=BUCKET, Key="sha", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == done["ChecksumSHA256"] and head["ChecksumType"] == "COMPOSITE", head

    value = encoded(zlib.crc32(b"".join(parts)).to_bytes(4, "big"))
    upload = begin("crc", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    entries = send(upload, *parts, ChecksumAlgorithm="CRC32")
    other = {"ChecksumCRC32": "AAAAAA==", "ChecksumType": "FULL_OBJECT"}
    refused(lambda: complete(upload, entries, **other), "BadDigest", 400)
    done = complete(upload, entries, ChecksumCRC32=value, ChecksumType="FULL_OBJECT")
    assert done["ChecksumCRC32"] == value and done["ChecksumType"] == "FULL_OBJECT", done

    upload = begin("size")
    entries = send(upload, b"four")
    refused(lambda: complete(upload, entries, MpuObjectSize=5), "InvalidRequest", 400)
    complete(upload, entries, MpuObjectSize=4)
    mixed = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}
    refused(lambda: begin("mixed", **mixed), "InvalidRequest", 400)


def last():
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    doomed = [{"Key": entry["Key"], "ETag": entry["ETag"]} for entry in listed]
    assert "Errors" not in s3.delete_objects(Bucket=BUCKET, Delete={"Objects": doomed, "Quiet": True})
    s3.delete_bucket(Bucket=BUCKET)


run(managed, by_hand, copied_parts, checksums, last)
