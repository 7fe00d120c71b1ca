"""DynamoDB through boto3: tables, items, batches, transactions, queries, scans, PartiQL, tags, time to live.

usage: stores_dynamodb.py ENDPOINT

Asserts what AWS documents.
"""

from decimal import Decimal

from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary
from stores_client import client, refused, resource, run

NAME = "stores-test"
dynamodb = client("dynamodb")
table = resource("dynamodb").Table(NAME)
FAILED = "ConditionalCheckFailedException"


def key(name, kind):
    return {"AttributeName": name, "KeyType": kind}


def tables():
    created = dynamodb.create_table(
        TableName=NAME,
        KeySchema=[key("pk", "HASH"), key("sk", "RANGE")],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in (("pk", "S"), ("sk", "N"), ("kind", "S"))
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "of-kind",
                "KeySchema": [key("pk", "HASH"), key("kind", "RANGE")],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-kind",
                "KeySchema": [key("kind", "HASH"), key("sk", "RANGE")],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "team", "Value": "lake"}],
    )["TableDescription"]
    assert created["TableArn"].startswith("arn:aws:dynamodb:us-east-1:"), created
    dynamodb.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    described = dynamodb.describe_table(TableName=NAME)["Table"]
    assert described["TableStatus"] == "ACTIVE" and described["TableArn"] == created["TableArn"]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [index["IndexStatus"] for index in described["GlobalSecondaryIndexes"]] == ["ACTIVE"]
    assert NAME in [name for page in dynamodb.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    again = {"KeySchema": [key("pk", "HASH")], "BillingMode": "PAY_PER_REQUEST"}
    again["AttributeDefinitions"] = [{"AttributeName": "pk", "AttributeType": "S"}]
    refused(lambda: dynamodb.create_table(TableName=NAME, **again), "ResourceInUseException", 400)
    refused(lambda: dynamodb.describe_table(TableName="nothing"), "ResourceNotFoundException", 400)


def items():
    item = {
        "pk": "all",
        "sk": 1,
        "text": "ü",
        "number": Decimal("12345678901234567890.123456789"),
        "bytes": Binary(b"\0\xff"),
        "no": None,
        "yes": True,
        "list": [1, "two", {"three": Decimal("3.5")}],
        "texts": {"a", "b"},
        "numbers": {Decimal(1), Decimal("2.5")},
    }
    table.put_item(Item=item)
    assert table.get_item(Key={"pk": "all", "sk": 1}, ConsistentRead=True)["Item"] == item
    some = table.get_item(
        Key={"pk": "all", "sk": 1}, ProjectionExpression="#l[2].three, sk", ExpressionAttributeNames={"#l": "list"}
    )
    assert some["Item"] == {"list": [{"three": Decimal("3.5")}], "sk": 1}, some
    assert "Item" not in table.get_item(Key={"pk": "all", "sk": 2})
    fresh = Attr("pk").not_exists()
    failed = refused(
        lambda: table.put_item(
            Item={"pk": "all", "sk": 1}, ConditionExpression=fresh, ReturnValuesOnConditionCheckFailure="ALL_OLD"
        ),
        FAILED,
        400,
    )
    # The resource leaves what an error carries as it came.
    assert failed["Item"]["text"] == {"S": "ü"}, failed
    new = table.update_item(
        Key={"pk": "all", "sk": 1},
        UpdateExpression="SET #l = list_append(#l, :more), n = if_not_exists(n, :zero) + :one "
        "REMOVE #no ADD texts :c DELETE #s :n",
        ExpressionAttributeNames={"#l": "list", "#no": "no", "#s": "numbers"},
        ExpressionAttributeValues={":more": ["end"], ":zero": 0, ":one": 1, ":c": {"c"}, ":n": {1}},
        ConditionExpression=Attr("sk").eq(1) & Attr("list").size().gte(3) & Attr("text").begins_with("ü"),
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert new["list"][-1] == "end" and new["n"] == 1 and "no" not in new
    assert new["texts"] == {"a", "b", "c"} and new["numbers"] == {Decimal("2.5")}
    old = table.delete_item(Key={"pk": "all", "sk": 1}, ConditionExpression=Attr("n").between(0, 2), ReturnValues="ALL_OLD")
    assert old["Attributes"]["n"] == 1
    refused(lambda: table.delete_item(Key={"pk": "all", "sk": 1}, ConditionExpression=Attr("n").exists()), FAILED)
    refused(lambda: table.put_item(Item={"pk": "no sort key"}), "ValidationException", 400)
    refused(lambda: table.put_item(Item={"pk": "", "sk": 1}), "ValidationException", 400)


def batches():
    with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for number in range(60):
            batch.put_item(Item={"pk": f"p{number % 3}", "sk": number, "kind": "even" if number % 2 == 0 else "odd"})
        batch.put_item(Item={"pk": "p0", "sk": 0, "kind": "even", "last": True})
        batch.delete_item(Key={"pk": "p2", "sk": 59})
    keys = [{"pk": f"p{number % 3}", "sk": number} for number in (0, 1, 59)]
    answer = resource("dynamodb").batch_get_item(RequestItems={NAME: {"Keys": keys, "ConsistentRead": True}})
    found = sorted(answer["Responses"][NAME], key=lambda item: item["sk"])
    assert [item["sk"] for item in found] == [0, 1] and found[0]["last"] is True and answer["UnprocessedKeys"] == {}
    many = [{"PutRequest": {"Item": {"pk": {"S": "x"}, "sk": {"N": str(number)}}}} for number in range(26)]
    refused(lambda: dynamodb.batch_write_item(RequestItems={NAME: many}), "ValidationException", 400)


def queries():
    newest = table.query(KeyConditionExpression=Key("pk").eq("p1") & Key("sk").lt(20), ScanIndexForward=False, Limit=3)
    assert [item["sk"] for item in newest["Items"]] == [19, 16, 13]
    assert newest["LastEvaluatedKey"] == {"pk": "p1", "sk": 13} and newest["Count"] == 3
    rest = table.query(
        KeyConditionExpression=Key("pk").eq("p1") & Key("sk").lt(20),
        ScanIndexForward=False,
        ExclusiveStartKey=newest["LastEvaluatedKey"],
    )
    assert [item["sk"] for item in rest["Items"]] == [10, 7, 4, 1] and "LastEvaluatedKey" not in rest
    odd = table.query(IndexName="by-kind", KeyConditionExpression=Key("kind").eq("odd") & Key("sk").between(10, 20))
    assert [item["sk"] for item in odd["Items"]] == [11, 13, 15, 17, 19]
    local = table.query(
        IndexName="of-kind", KeyConditionExpression=Key("pk").eq("p0") & Key("kind").begins_with("ev"), Select="COUNT"
    )
    assert local["Count"] == 10 and "Items" not in local
    filtered = table.query(KeyConditionExpression=Key("pk").eq("p0"), FilterExpression=Attr("last").eq(True))
    assert (filtered["Count"], filtered["ScannedCount"]) == (1, 20), filtered
    local_read = {"IndexName": "by-kind", "ConsistentRead": True, "KeyConditionExpression": Key("kind").eq("odd")}
    refused(lambda: table.query(**local_read), "ValidationException", 400)
    refused(lambda: table.query(KeyConditionExpression=Key("sk").eq(1)), "ValidationException", 400)

    pages = list(dynamodb.get_paginator("scan").paginate(TableName=NAME, PaginationConfig={"PageSize": 25}))
    assert len(pages) == 3 and sum(page["Count"] for page in pages) == 59, [page["Count"] for page in pages]
    parts = [table.scan(Segment=segment, TotalSegments=4)["Items"] for segment in range(4)]
    assert sorted(item["sk"] for part in parts for item in part) == list(range(59))
    usage = table.scan(ReturnConsumedCapacity="TOTAL", FilterExpression=Attr("kind").is_in(["odd"]))
    assert usage["Count"] == 29 and usage["ConsumedCapacity"]["TableName"] == NAME


def transactions():
    place = lambda pk, n, **more: {
        "Put": {"TableName": NAME, "Item": {"pk": {"S": pk}, "sk": {"N": "0"}, "n": {"N": str(n)}}, **more}
    }
    add = {
        "Update": {
            "TableName": NAME,
            "Key": {"pk": {"S": "t1"}, "sk": {"N": "0"}},
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    dynamodb.transact_write_items(TransactItems=[place("t1", 1), place("t2", 1)])
    # The token makes a repeated request one request.
    for _ in range(2):
        dynamodb.transact_write_items(TransactItems=[add], ClientRequestToken="only once")
    assert table.get_item(Key={"pk": "t1", "sk": 0})["Item"]["n"] == 2
    other = {"TransactItems": [place("t3", 1)], "ClientRequestToken": "only once"}
    refused(lambda: dynamodb.transact_write_items(**other), "IdempotentParameterMismatchException", 400)
    fresh = place("t2", 5, ConditionExpression="attribute_not_exists(pk)", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    cancelled = refused(
        lambda: dynamodb.transact_write_items(TransactItems=[add, fresh]), "TransactionCanceledException", 400
    )
    reasons = cancelled["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"], reasons
    assert reasons[1]["Item"]["n"] == {"N": "1"}, reasons
    get = lambda pk: {"Get": {"TableName": NAME, "Key": {"pk": {"S": pk}, "sk": {"N": "0"}}}}
    answers = dynamodb.transact_get_items(TransactItems=[get("t1"), get("t2"), get("t3")])["Responses"]
    assert [answer.get("Item", {}).get("n") for answer in answers] == [{"N": "2"}, {"N": "1"}, None], answers
    twice = [place("t4", 1), place("t4", 2)]
    refused(lambda: dynamodb.transact_write_items(TransactItems=twice), "ValidationException", 400)


def partiql():
    def execute(statement, *parameters, **options):
        given = {"Parameters": list(parameters)} if parameters else {}
        return dynamodb.execute_statement(Statement=statement, **given, **options)

    row = {"pk": {"S": "sql"}, "sk": {"N": "1"}, "kind": {"S": "it's"}}
    insert = f"INSERT INTO \"{NAME}\" VALUE {{'pk': ?, 'sk': 1, 'kind': 'it''s'}}"
    execute(insert, {"S": "sql"})
    refused(lambda: execute(insert, {"S": "sql"}), "DuplicateItemException", 400)
    select = f'SELECT * FROM "{NAME}" WHERE pk = ?'
    assert execute(select, {"S": "sql"})["Items"] == [row]
    assert len(execute(f'SELECT sk FROM "{NAME}"."by-kind" WHERE kind = \'odd\'', Limit=4)["Items"]) == 4
    changed = execute(
        f"UPDATE \"{NAME}\" SET kind = 'new' WHERE pk = ? AND sk = 1 RETURNING ALL NEW *", {"S": "sql"}
    )
    assert changed["Items"][0]["kind"] == {"S": "new"}, changed
    both = dynamodb.batch_execute_statement(
        Statements=[{"Statement": f"{select} AND sk = {n}", "Parameters": [{"S": "sql"}]} for n in (1, 2)]
    )["Responses"]
    assert both[0]["Item"]["kind"] == {"S": "new"} and "Item" not in both[1], both
    execute(f'DELETE FROM "{NAME}" WHERE pk = ? AND sk = 1', {"S": "sql"})
    assert execute(select, {"S": "sql"})["Items"] == []
    refused(lambda: execute("SELECT nonsense"), "ValidationException", 400)


def settings():
    arn = dynamodb.describe_table(TableName=NAME)["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "day", "Value": "1"}])
    dynamodb.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "day", "Value": "1"}]
    state = lambda: dynamodb.describe_time_to_live(TableName=NAME)["TimeToLiveDescription"]
    enable = {"TableName": NAME, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "expires"}}
    assert state() == {"TimeToLiveStatus": "DISABLED"}
    dynamodb.update_time_to_live(**enable)
    assert state() == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    refused(lambda: dynamodb.update_time_to_live(**enable), "ValidationException", 400)

    index = {
        "IndexName": "later",
        "KeySchema": [key("day", "HASH")],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    dynamodb.update_table(
        TableName=NAME,
        AttributeDefinitions=[{"AttributeName": "day", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": index}],
    )
    dynamodb.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    table.put_item(Item={"pk": "d", "sk": 1, "day": "monday"})
    found = table.query(IndexName="later", KeyConditionExpression=Key("day").eq("monday"))["Items"]
    assert found == [{"pk": "d", "sk": 1, "day": "monday"}], found

    protect = {"TableName": NAME, "DeletionProtectionEnabled": True}
    dynamodb.update_table(**protect)
    refused(lambda: dynamodb.delete_table(TableName=NAME), "ValidationException", 400)
    dynamodb.update_table(**{**protect, "DeletionProtectionEnabled": False})
    dynamodb.delete_table(TableName=NAME)
    dynamodb.get_waiter("table_not_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    refused(lambda: table.get_item(Key={"pk": "d", "sk": 1}), "ResourceNotFoundException", 400)


def other_services():
    refused(lambda: client("firehose").list_delivery_streams(), "UnknownOperationException")


run(tables, items, batches, queries, transactions, partiql, settings, other_services)
