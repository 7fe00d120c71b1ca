"""What the store scripts share: clients of the endpoint that is their first argument, and refusals.

Credentials and region come from the usual AWS_* variables, as for any boto3 user.
"""

import json
import sys

import boto3
import botocore
from botocore.config import Config

ENDPOINT = sys.argv[1]
# One attempt: what a retry would hide is what a test wants to see.
ONCE = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})


def client(service, config=None, **session):
    return boto3.client(service, endpoint_url=ENDPOINT, config=ONCE.merge(config) if config else ONCE, **session)


def resource(service):
    return boto3.resource(service, endpoint_url=ENDPOINT, config=ONCE)


def refused(call, code, status=None):
    """Calls, expects the error `code` (and HTTP `status`), and returns its answer."""
    try:
        answer = call()
    except botocore.exceptions.ClientError as error:
        response = error.response
        assert response["Error"]["Code"] == code, response
        assert status in (None, response["ResponseMetadata"]["HTTPStatusCode"]), response
        return response
    raise AssertionError(f"expected {code}, was answered {answer}")


def run(*checks):
    """Runs the checks in their order; says in one line of JSON that all of them hold."""
    for check in checks:
        check()
    print(json.dumps({"ok": True, "checks": [check.__name__ for check in checks]}))
