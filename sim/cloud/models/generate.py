#!/usr/bin/env python3
"""Prints src/validation/tables.rs: the constraints of requests, out of the service models that botocore ships.

usage: generate.py BOTOCORE_DATA_DIRECTORY > sim/cloud/src/validation/tables.rs

Only shapes that a request of the operations below can reach are kept. A pattern that Rust's `regex` cannot express is left
out, and said so in the output. The output is the same for the same botocore.
"""

import gzip
import json
import pathlib
import re
import sys

# Service, model, operations. Of Kinesis: all but channels, queues, policies and account settings. Of DynamoDB: what dynoxide
# does not answer; the rest of its texts are dynoxide's.
SERVICES = [
    (
        "KINESIS",
        "kinesis/2013-12-02",
        """AddTagsToStream CreateStream DecreaseStreamRetentionPeriod DeleteStream DeregisterStreamConsumer DescribeLimits
        DescribeStream DescribeStreamConsumer DescribeStreamSummary DisableEnhancedMonitoring EnableEnhancedMonitoring
        GetRecords GetShardIterator IncreaseStreamRetentionPeriod ListShards ListStreamConsumers ListStreams
        ListTagsForResource ListTagsForStream MergeShards PutRecord PutRecords RegisterStreamConsumer RemoveTagsFromStream
        SplitShard StartStreamEncryption StopStreamEncryption SubscribeToShard TagResource UntagResource
        UpdateMaxRecordSize UpdateShardCount UpdateStreamMode UpdateStreamWarmThroughput""",
    ),
    ("DYNAMODB_STREAMS", "dynamodbstreams/2012-08-10", "DescribeStream GetRecords GetShardIterator ListStreams"),
    ("DYNAMODB", "dynamodb/2012-08-10", "DescribeContinuousBackups"),
    ("COMPREHEND", "comprehend/2017-11-27", "ContainsPiiEntities DetectPiiEntities"),
    (
        "KMS",
        "kms/2014-11-01",
        """CreateAlias CreateKey Decrypt DeleteAlias DescribeKey DisableKey EnableKey Encrypt GenerateDataKey
        GenerateDataKeyWithoutPlaintext GenerateRandom ListAliases ListKeys""",
    ),
]

COLUMNS_MAX = 114

# Look-around, back references, surrogates and Java's own classes.
INEXPRESSIBLE = re.compile(r"\(\?[=!<]|\\[1-9]|\\u[dD][89a-fA-F]|\\p\{(Print|Graph|Alpha|Alnum|Punct|ASCII)\}")

SCALARS = {"integer": "Integer", "long": "Long", "float": "Float", "double": "Double"}


class Patterns:
    """The patterns of all services, each once."""

    def __init__(self):
        self.kept, self.left_out = [], []

    def index(self, pattern):
        if INEXPRESSIBLE.search(pattern):
            if pattern not in self.left_out:
                self.left_out.append(pattern)
            return None
        if pattern not in self.kept:
            self.kept.append(pattern)
        return self.kept.index(pattern)


def text(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def raw(value):
    return f'r#"{value}"#' if '"' in value else f'r"{value}"'


def option(value):
    return "None" if value is None else f"Some({value})"


def bounds(shape):
    return f"({option(shape.get('min'))}, {option(shape.get('max'))})"


def wrapped(items, indent):
    """Comma-separated items on lines of at most COLUMNS_MAX characters."""
    lines, line = [], ""
    for item in items:
        if line and len(indent) + len(line) + len(item) + 2 > COLUMNS_MAX:
            lines.append(indent + line)
            line = ""
        line += (" " if line else "") + item + ","
    return lines + [indent + line] if line else lines


def listed(head, items, tail, indent="    "):
    """`head[items]tail`, on one line if it fits."""
    line = f"{indent}{head}[{', '.join(items)}]{tail}"
    if len(line) <= COLUMNS_MAX:
        return [line]
    return [f"{indent}{head}["] + wrapped(items, indent + "    ") + [f"{indent}]{tail}"]


def reached(model, operations):
    """Names of the shapes that the inputs reach, each after the ones before it in the models."""
    found, waiting = [], [model["operations"][name]["input"]["shape"] for name in operations]
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        found.append(name)
        shape = model["shapes"][name]
        waiting += [member["shape"] for member in shape.get("members", {}).values()]
        waiting += [shape[part]["shape"] for part in ("key", "value", "member") if part in shape]
    return found


def shape_lines(name, shape, at, patterns):
    kind = shape["type"]
    if kind == "structure":
        required = shape.get("required", [])
        members = [
            f"{'required' if member in required else 'optional'}({text(member)}, {at[of['shape']]})"
            for member, of in shape["members"].items()
        ]
        return listed(f"Shape::Structure({text(name)}, &", members, "),")
    if kind == "list":
        return [f"    Shape::List({at[shape['member']['shape']]}, {bounds(shape)}),"]
    if kind == "map":
        return [f"    Shape::Map({at[shape['key']['shape']]}, {at[shape['value']['shape']]}, {bounds(shape)}),"]
    if kind == "string":
        pattern = patterns.index(shape["pattern"]) if "pattern" in shape else None
        head = f"Shape::Text({bounds(shape)}, {option(pattern)}, &"
        return listed(head, [text(value) for value in shape.get("enum", [])], "),")
    if kind == "blob":
        return [f"    Shape::Blob({bounds(shape)}),"]
    if kind in SCALARS:
        return [f"    Shape::Number({text(SCALARS[kind])}, {bounds(shape)}),"]
    if kind in ("boolean", "timestamp"):
        return [f"    Shape::{kind.capitalize()},"]
    sys.exit(f"generate.py does not know shapes of type {kind} ({name})")


def service_lines(constant, model, operations, patterns):
    names = reached(model, operations)
    at = {name: index for index, name in enumerate(names)}
    inputs = [f"({text(name)}, {at[model['operations'][name]['input']['shape']]})" for name in operations]
    lines = ["", "#[rustfmt::skip]", f"pub(super) const {constant}: Model = Model {{", "    operations: &["]
    lines += wrapped(inputs, "        ") + ["    ],", "    shapes: &["]
    for name in names:
        lines.append(f"        // {at[name]} {name}")
        lines += ["    " + line for line in shape_lines(name, model["shapes"][name], at, patterns)]
    return lines + ["    ],", "};"]


def version(data):
    source = (data.parent / "__init__.py").read_text()
    return re.search(r"__version__ = '([^']+)'", source).group(1)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    data, patterns, body = pathlib.Path(sys.argv[1]), Patterns(), []
    for constant, folder, operations in SERVICES:
        with gzip.open(data / folder / "service-2.json.gz") as file:
            model = json.load(file)
        body += service_lines(constant, model, sorted(operations.split()), patterns)
    print("//! What the service models of AWS demand of the requests that are answered here.")
    print("//!")
    print(f"//! Generated by `sim/cloud/models/generate.py` from botocore {version(data)}; do not edit. Knows no wording.")
    print()
    print("// Over 500 lines because it is data, one line a member: the generator writes it whole, and nobody reads or edits it by responsibility.")
    print()
    print("use super::model::{Model, Shape, optional, required};")
    print()
    for pattern in patterns.left_out:
        print(f"// Left out, because Rust's `regex` cannot express it: {pattern}")
    print("/// Regular expressions of the models, in the dialect of Java.")
    print("#[rustfmt::skip]")
    print("pub(super) const PATTERNS: &[&str] = &[")
    for pattern in patterns.kept:
        print(f"    {raw(pattern)},")
    print("];")
    print("\n".join(body))


main()
