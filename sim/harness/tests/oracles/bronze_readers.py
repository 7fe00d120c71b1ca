"""Parquet files in the eyes of PyArrow, DuckDB and PySpark: values, footers, page indexes, bloom filters, filtered reads.

DuckDB and PySpark write what they read to Parquet files of their own, which PyArrow reads: so their types are compared as well.
Each reader says in `version` what it is, or why it cannot be used.
"""

import ctypes
import decimal
import importlib.util
import math
import os
import pathlib
import shutil
import struct

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

# More digits than any column has; by default there are 28.
WIDE = decimal.Context(prec=80)
PROBES = 40
# Of absent keys a bloom filter may take so many for present; it is made for one in a hundred.
PROBES_WRONG_SHARE = 0.15


class Unusable(Exception):
    """Why a reader is not on this machine."""


class PyArrow:
    name = "pyarrow"

    def __init__(self, _scratch):
        self.version = pa.__version__

    def check(self, expected, differences):
        file = pq.ParquetFile(expected.file)
        self.footer(file.metadata, expected, differences)
        differences.table(file.read())
        data = ds.dataset(expected.file, format="parquet")
        fragment = next(data.get_fragments())
        for column, least, greatest in expected.key_ranges():
            field = ds.field(column.name)
            chosen = (field >= literal(column, least)) & (field <= literal(column, greatest))
            what = f"the rows chosen by `{column.name}`"
            differences.table(data.to_table(filter=chosen), expected.in_range(column, least, greatest), what)
            groups, exact = len(fragment.split_by_row_group(chosen)), expected.groups_in_range(column, least, greatest)
            differences.check(groups == exact, f"{what} are looked for in {groups} row groups, not {exact}")

    def footer(self, footer, expected, differences):
        about = expected.about
        if creator := about.get("created_by"):
            differences.check(footer.created_by == creator, "the footer names another writer")
        sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        exact = [end - begin for begin, end in expected.groups]
        if not differences.check(sizes == exact, f"the row groups have {sizes} rows, not {exact}"):
            return
        for group, rows in enumerate(expected.groups):
            for at, column in enumerate(expected.columns):
                chunk = footer.row_group(group).column(at)
                where = f"row group {group}"
                what = f"{where} of `{column.name}`"
                differences.check(chunk.path_in_schema == column.name, f"{what} is another column")
                differences.check(chunk.compression == about["compression"], f"{what} is compressed otherwise")
                differences.check(chunk.has_offset_index and chunk.has_column_index, f"{what} has no page index")
                is_used = column.encoding is None or column.encoding in chunk.encodings
                differences.check(is_used, f"{what} is not {column.encoding}")
                if column.is_key and about["bloom_filters"]:
                    differences.check(chunk.bloom_filter_offset is not None, f"{what} has no bloom filter")
                statistics = chunk.statistics
                if differences.check(statistics is not None, f"{what} has no statistics"):
                    found = (statistics.min_raw, statistics.max_raw) if statistics.has_min_max else None
                    nulls = statistics.null_count if statistics.has_null_count else None
                    differences.bounds(where, column, rows, found, nulls)


class DuckDb:
    name = "duckdb"

    def __init__(self, scratch, library=None):
        self.scratch = scratch
        if importlib.util.find_spec("duckdb"):
            import duckdb

            self.version, connection = duckdb.__version__, duckdb.connect()
            self.run = connection.execute
        elif library and pathlib.Path(library).exists():
            self.run = open_library(library)
            self.version = self.read("SELECT version() AS version")["version"][0].as_py()
        else:
            raise Unusable("neither the Python package nor the library is there")

    def read(self, sql):
        """What a query gives, by a Parquet file of DuckDB's own. Its dictionaries would know no negative zero."""
        path = self.scratch / "duckdb.parquet"
        self.run(f"COPY ({sql}) TO {quoted(path)} (FORMAT parquet, DICTIONARY_SIZE_LIMIT 1)")
        return pq.ParquetFile(path).read()

    def check(self, expected, differences):
        file = f"read_parquet({quoted(expected.file)})"
        differences.table(self.read(f"SELECT * FROM {file}"))
        for column in expected.columns:
            self.statistics(column, expected, differences)
        for column, least, greatest in expected.key_ranges():
            between = f"{named(column)} BETWEEN {sql_literal(column, least)} AND {sql_literal(column, greatest)}"
            found = self.read(f"SELECT * FROM {file} WHERE {between}")
            what = f"the rows chosen by `{column.name}`"
            differences.table(found, expected.in_range(column, least, greatest), what)
        if expected.about["bloom_filters"]:
            for column in expected.columns:
                if column.is_key:
                    self.bloom_filters(column, expected, differences)

    def statistics(self, column, expected, differences):
        typed = "double" if column.type == "double precision" else column.type
        bounds = [f"CAST(stats_{name}_value AS {typed}) AS {name}" for name in ("min", "max")]
        found = self.read(
            f"SELECT stats_null_count AS nulls, {', '.join(bounds)} FROM parquet_metadata({quoted(expected.file)}) "
            f"WHERE path_in_schema = {quoted(column.name)} ORDER BY row_group_id"
        )
        if not differences.check(found.num_rows == len(expected.groups), f"`{column.name}` has {found.num_rows} row groups"):
            return
        least, greatest = raw_values(column, found["min"]), raw_values(column, found["max"])
        for group, rows in enumerate(expected.groups):
            pair = [least[group], greatest[group]]
            exact = column.bounds(*rows)[0] or pair
            # It keeps silent about bounds without end.
            pair = [is_value if told is None and is_endless(is_value) else told for told, is_value in zip(pair, exact)]
            pair = None if None in pair else pair
            differences.bounds(f"row group {group}", column, rows, pair, found["nulls"][group].as_py())

    def bloom_filters(self, column, expected, differences):
        def excluding(value):
            probe = f"parquet_bloom_probe({quoted(expected.file)}, {quoted(column.name)}, {sql_literal(column, value)})"
            found = self.read(f"SELECT bloom_filter_excludes AS out FROM {probe} ORDER BY row_group_id")
            return found["out"].to_pylist()

        groups = [set(column.raw[begin:end]) for begin, end in expected.groups]
        values = sorted(set(column.raw))
        for value in values[:: max(1, len(values) // PROBES)]:
            lost = [group for group, out in enumerate(excluding(value)) if out and value in groups[group]]
            differences.check(not lost, f"a bloom filter of `{column.name}` leaves out a value of row groups {lost}")
        absent = [f"nowhere {number}".encode() if column.is_text else values[-1] - 7 * number for number in range(PROBES)]
        taken = [out for value in absent for group, out in enumerate(excluding(value)) if value not in groups[group]]
        wrong = taken.count(False)
        differences.check(
            wrong <= PROBES_WRONG_SHARE * len(taken),
            f"the bloom filters of `{column.name}` take {wrong} of {len(taken)} absent values for present",
        )


class PySpark:
    name = "pyspark"

    def __init__(self, scratch):
        if not importlib.util.find_spec("pyspark"):
            raise Unusable("the Python package is not there")
        if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
            raise Unusable("there is no Java")
        from pyspark.sql import SparkSession

        settings = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.local.dir": str(scratch / "spark"),
            "spark.log.level": "ERROR",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
            "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
            "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        }
        builder = SparkSession.builder.master("local[1]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.spark, self.scratch = builder.getOrCreate(), scratch
        self.version = self.spark.version

    def stop(self):
        self.spark.stop()

    def read(self, frame):
        """The rows of a frame in their order, by Parquet files of Spark's own."""
        path = self.scratch / "spark.parquet"
        frame.coalesce(1).write.mode("overwrite").parquet(str(path))
        return pa.concat_tables(pq.ParquetFile(part).read() for part in sorted(path.glob("part-*.parquet")))

    def check(self, expected, differences):
        frame = self.spark.read.parquet(str(expected.file))
        differences.table(self.read(frame))
        for column, least, greatest in expected.key_ranges():
            between = f"{named(column, '`')} BETWEEN {sql_literal(column, least)} AND {sql_literal(column, greatest)}"
            what = f"the rows chosen by `{column.name}`"
            differences.table(self.read(frame.where(between)), expected.in_range(column, least, greatest), what)
        self.footer(expected, differences)

    def footer(self, expected, differences):
        """Statistics and page index, as the Java library has them that Spark reads with."""
        java = self.spark._jvm
        path = java.org.apache.hadoop.fs.Path(str(expected.file))
        settings = self.spark._jsc.hadoopConfiguration()
        reader = java.org.apache.parquet.hadoop.ParquetFileReader.open(
            java.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(path, settings)
        )
        try:
            for group, (block, rows) in enumerate(zip(reader.getFooter().getBlocks(), expected.groups, strict=True)):
                for chunk, column in zip(block.getColumns(), expected.columns, strict=True):
                    statistics = chunk.getStatistics()
                    has_bounds = statistics.hasNonNullValue()
                    least = java_value(statistics.genericGetMin()) if has_bounds else None
                    greatest = java_value(statistics.genericGetMax()) if has_bounds else None
                    pair = (least, greatest) if has_bounds else None
                    nulls = statistics.getNumNulls() if statistics.isNumNullsSet() else None
                    differences.bounds(f"row group {group}", column, rows, pair, nulls)
                    self.pages(reader, chunk, f"row group {group}", column, rows, differences)
        finally:
            reader.close()

    def pages(self, reader, chunk, where, column, rows, differences):
        pages, places = reader.readColumnIndex(chunk), reader.readOffsetIndex(chunk)
        what = f"{where} of `{column.name}`"
        if not differences.check(pages is not None and places is not None, f"{what} has no page index"):
            return
        begins = [rows[0] + places.getFirstRowIndex(page) for page in range(places.getPageCount())]
        ends = begins[1:] + [rows[1]]
        differences.check(begins[0] == rows[0] and begins == sorted(set(begins)), f"{what} has pages out of order")
        bounds = zip(pages.getMinValues(), pages.getMaxValues(), pages.getNullPages(), pages.getNullCounts(), strict=True)
        kind = chunk.getPrimitiveType().getPrimitiveTypeName().toString()
        for page, ((least, greatest, is_null, nulls), page_rows) in enumerate(zip(bounds, zip(begins, ends), strict=True)):
            binary = self.spark._jvm.org.apache.parquet.io.api.Binary.fromReusedByteBuffer
            values = None if is_null else [java_value(binary(value.duplicate())) for value in (least, greatest)]
            pair = values and [plain_value(kind, value) for value in values]
            differences.bounds(f"page {page} of {where}", column, page_rows, pair, nulls)


def literal(column, raw):
    return pa.scalar(raw.decode() if column.is_text else raw, column.arrow)


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def named(column, quote='"'):
    return f"{quote}{column.name}{quote}"


def sql_literal(column, raw):
    """A key as SQL has it: a whole number or text without quotes and backslashes."""
    if not column.is_text:
        return str(raw)
    text = raw.decode()
    assert "'" not in text and "\\" not in text, "the two kinds of SQL write such a text differently"
    return f"'{text}'"


def is_endless(raw):
    return isinstance(raw, float) and math.isinf(raw)


def raw_values(column, array):
    """Values of a table as `Column.raw` has them."""
    if column.is_text:
        return [None if value is None else value.encode() for value in array.to_pylist()]
    if column.type in ("date", "timestamptz"):
        return array.cast(pa.int32() if column.type == "date" else pa.int64()).to_pylist()
    if column.type.startswith("numeric"):
        return [None if value is None else int(value.scaleb(column.scale, WIDE)) for value in array.to_pylist()]
    return array.to_pylist()


def java_value(value):
    """A number or truth value as it is, the bytes of a Java `Binary`."""
    return bytes(value.getBytes()) if hasattr(value, "getBytes") else value


def plain_value(kind, value):
    """A value as Parquet writes it in an index."""
    formats = {"INT32": "<i", "INT64": "<q", "DOUBLE": "<d", "BOOLEAN": "<?"}
    return struct.unpack(formats[kind], value)[0] if kind in formats else value


def open_library(path):
    """DuckDB by its C interface: a function that runs a statement."""
    library = ctypes.CDLL(str(path))
    library.duckdb_result_error.restype = ctypes.c_char_p
    database, connection = ctypes.c_void_p(), ctypes.c_void_p()
    if library.duckdb_open(None, ctypes.byref(database)) or library.duckdb_connect(database, ctypes.byref(connection)):
        raise Unusable("the library does not open a database")

    def run(sql):
        # Larger than `duckdb_result` is.
        result = ctypes.create_string_buffer(256)
        failed = library.duckdb_query(connection, sql.encode(), result)
        message = (library.duckdb_result_error(result) or b"").decode() if failed else None
        library.duckdb_destroy_result(result)
        if failed:
            raise RuntimeError(f"DuckDB: {message}")

    return run
