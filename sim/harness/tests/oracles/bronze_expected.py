"""What a Parquet file should hold: read from the JSON lines that its input was made of, and held against what a reader found.

The first line describes the file: its columns (name, type, whether a key, an encoding that must be used), rows per row group,
compression. Every further line is a row, an array with null for NULL: numbers of type numeric and double precision as text,
dates as days and instants as microseconds since 1970, everything else as JSON has it. No value gets into a difference.
"""

import decimal
import json
import re

import pyarrow as pa
import pyarrow.compute as pc

# Bytes at which a bound of text may be cut short, and how much of a cut bound must still be the value's.
BOUND_BYTES = 64
BOUND_BYTES_KEPT = 48


class Column:
    """A column: its type, and its values as Arrow has them and as bounds in a footer are compared (`raw`)."""

    def __init__(self, description, values):
        self.name, self.type = description["name"], description["type"]
        self.is_key, self.encoding = description["key"], description.get("encoding")
        self.is_text, self.scale = self.type == "text", 0
        read = {"double precision": float, "text": str.encode}.get(self.type)
        if numeric := re.fullmatch(r"numeric\((\d+),(\d+)\)", self.type):
            precision, self.scale = map(int, numeric.groups())
            self.arrow = pa.decimal128(precision, self.scale)
            exact = decimal.Context(prec=80, traps=[decimal.Inexact])
            read = lambda text: int(exact.scaleb(decimal.Decimal(text), self.scale).to_integral_exact(context=exact))
            array = pa.array([None if text is None else decimal.Decimal(text) for text in values], self.arrow)
        else:
            self.arrow, stored = {
                "bigint": (pa.int64(), pa.int64()),
                "integer": (pa.int32(), pa.int32()),
                "boolean": (pa.bool_(), pa.bool_()),
                "double precision": (pa.float64(), pa.float64()),
                "text": (pa.string(), pa.string()),
                "date": (pa.date32(), pa.int32()),
                "timestamptz": (pa.timestamp("us", "UTC"), pa.int64()),
            }[self.type]
            typed = [float(text) if text is not None else None for text in values] if read is float else values
            array = pa.array(typed, stored).cast(self.arrow)
        self.array = array
        self.raw = [value if value is None or read is None else read(value) for value in values]

    def bounds(self, begin, end):
        """Smallest and largest value of some rows, None without any; and how many of them are NULL. NaN is no bound."""
        rows = self.raw[begin:end]
        ordered = [value for value in rows if value is not None and value == value]
        return (min(ordered), max(ordered)) if ordered else None, rows.count(None)

    def from_footer(self, found):
        """A bound as `raw` has it, from what a reader gives: fixed bytes of a decimal are a number, high byte first."""
        if isinstance(found, (bytes, bytearray)) and not self.is_text:
            return int.from_bytes(found, "big", signed=True)
        return bytes(found) if self.is_text else found

    def is_bound(self, found, exact, is_max):
        """Whether a bound is the value, or a long text's beginning on the right side of it."""
        if found == exact or not self.is_text or len(exact) <= BOUND_BYTES:
            return found == exact
        is_beside = found > exact if is_max else found < exact
        return is_beside and len(found) <= BOUND_BYTES and found[:BOUND_BYTES_KEPT] == exact[:BOUND_BYTES_KEPT]


class Expected:
    """A whole file."""

    def __init__(self, path):
        self.file = path.with_suffix(".parquet")
        with path.open(encoding="utf-8") as lines:
            self.about = json.loads(next(lines))
            rows = [json.loads(line) for line in lines]
        self.rows = len(rows)
        described = enumerate(self.about["columns"])
        self.columns = [Column(description, [row[at] for row in rows]) for at, description in described]
        self.table = pa.table({column.name: column.array for column in self.columns})
        size = self.about["row_group_rows"]
        self.groups = [(begin, min(begin + size, self.rows)) for begin in range(0, self.rows, size)]
        self.by_name = {column.name: column for column in self.columns}

    def key_ranges(self):
        """Ranges of each key column, by whose bounds row groups can be left out: (column, least, greatest), as raw values."""
        for column in self.columns:
            if not column.is_key:
                continue
            values = sorted(set(column.raw))
            middle, border = len(values) // 2, min(self.about["row_group_rows"], len(values) - 1)
            for begin, end in [(0, 0), (middle, middle + 20), (border - 10, border + 10), (len(values) - 1, len(values))]:
                begin, end = max(begin, 0), min(end, len(values) - 1)
                yield column, values[begin], values[end]
            if not column.is_text:
                yield column, values[-1] + 1, values[-1] + 9

    def in_range(self, column, least, greatest):
        """The rows whose `column` is in a range."""
        is_in = pa.array([value is not None and least <= value <= greatest for value in column.raw])
        return self.table.filter(is_in)

    def groups_in_range(self, column, least, greatest):
        """How many row groups have bounds that a range touches."""
        bounds = [column.bounds(*group)[0] for group in self.groups]
        return sum(bound is not None and bound[0] <= greatest and least <= bound[1] for bound in bounds)


class Differences:
    """What is wrong with one file in the eyes of one reader."""

    def __init__(self, expected, reader):
        self.expected, self.where, self.found = expected, f"{expected.file.name}, {reader}", []

    def add(self, what):
        self.found.append(f"{self.where}: {what}")

    def check(self, is_so, what):
        if not is_so:
            self.add(what)
        return is_so

    def table(self, found, expected=None, what="the file"):
        """Every value of a table, with names and types."""
        expected = self.expected.table if expected is None else expected
        if not self.check(found.column_names == expected.column_names, f"{what} has other columns"):
            return
        if not self.check(found.num_rows == expected.num_rows, f"{what} has {found.num_rows} rows, not {expected.num_rows}"):
            return
        for name in expected.column_names:
            ours, theirs = expected[name].combine_chunks(), found[name].combine_chunks()
            if not self.check(ours.type == theirs.type, f"{what}: `{name}` is {theirs.type}, not {ours.type}"):
                continue
            if ours.type == pa.float64():
                # By their bits: NaN equals itself, and zero has a sign.
                ours, theirs = ours.view(pa.int64()), theirs.view(pa.int64())
            differs = pc.or_(pc.xor(ours.is_null(), theirs.is_null()), pc.fill_null(pc.not_equal(ours, theirs), False))
            if count := pc.sum(differs).as_py():
                row = pc.index(differs, True).as_py() + 1
                self.add(f"{what}: {count} values of `{name}` are others, the first in row {row}")

    def bounds(self, where, column, rows, found, nulls):
        """The bounds of some rows, `found` as raw values or None, and how many are NULL."""
        exact, exact_nulls = column.bounds(*rows)
        self.check(nulls == exact_nulls, f"{where} of `{column.name}` tells of {nulls} NULLs, not {exact_nulls}")
        if exact is None:
            self.check(found is None, f"{where} of `{column.name}` has bounds without values")
        elif self.check(found is not None, f"{where} of `{column.name}` has no bounds"):
            for name, is_max in [("least", False), ("greatest", True)]:
                is_bound = column.is_bound(column.from_footer(found[is_max]), exact[is_max], is_max)
                self.check(is_bound, f"{where} of `{column.name}` has a wrong {name} value")
