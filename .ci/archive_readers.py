"""Reads an archive with the tools of others, DuckDB, Polars, pyarrow and Spark, and compares what
they say.

    python3 .ci/archive_readers.py ROOT

ROOT is the folder of an archive without orphans. Each tool answers the same questions of the plain
Parquet files: events per day, rows per user, whether offsets strictly increase, rows per bound
range. The answers must agree with each other, rows with the newest full list of files, and each
bound range with the count that its binding records. All four must be installed, Spark with a Java.
Exits with 1 and says what differs.
"""

import collections
import json
import pathlib
import sys

import duckdb
import polars
import pyarrow.dataset
import pyspark.sql
from pyspark.sql import functions, window

INPUTS = ("feedback", "item_events", "user_events")


def live_files(root):
    """Entries of the live files, from the manifests."""
    files = {}
    for path in sorted((root / "_manifest").glob("*.json")):
        manifest = json.loads(path.read_text())["manifest"]
        if manifest["full"]:
            files = {file["name"]: file for file in manifest["files"]}
            continue
        for name in manifest["removed"]:
            files.pop(name, None)
        files.update({file["name"]: file for file in manifest["added"]})
    return list(files.values())


def pattern(root, topic):
    return str(root / topic / "v1" / "**" / "*.parquet")


class DuckDb:
    """SQL over the files; lists and structs too."""

    name = "DuckDB"

    def __init__(self, root):
        self.root = root
        self.database = duckdb.connect()
        self.database.execute("SET TimeZone = 'UTC'")

    def table(self, topic):
        return f"read_parquet('{pattern(self.root, topic)}', hive_partitioning = true)"

    def rows(self, sql):
        return self.database.execute(sql).fetchall()

    def per_day(self, topic):
        return dict(self.rows(
            f"SELECT strftime(append_time, '%Y-%m-%d'), count(*) FROM {self.table(topic)} GROUP BY 1"
        ))

    def per_user(self, topic):
        return dict(self.rows(
            f"SELECT user_id, count(*) FROM {self.table(topic)} "
            "WHERE user_id IS NOT NULL GROUP BY 1"
        ))

    def backward_steps(self, path):
        return self.rows(
            'SELECT count(*) FROM (SELECT "offset" AS o, lag("offset") OVER '
            f"(ORDER BY file_row_number) AS before FROM read_parquet('{path}', "
            "file_row_number = true)) WHERE o <= before"
        )[0][0]

    def ranges(self):
        """(topic, partition, start, end, count, epoch) of every range that was bound: the first
        row of an epoch is the binding that made it."""
        return self.rows(
            "SELECT r.topic, r.partition, r.start, r.\"end\", r.count, epoch FROM (SELECT epoch, "
            "unnest(arg_min(ranges, \"offset\")) AS r, arg_min(bound_epoch, \"offset\") AS bound "
            f"FROM {self.table('bindings')} WHERE epoch > 0 GROUP BY epoch) WHERE bound = epoch"
        )

    def per_range(self, topic):
        return {
            (topic, partition, epoch): (count, first, last)
            for partition, epoch, count, first, last in self.rows(
                "SELECT partition, epoch, count(*), min(\"offset\"), max(\"offset\") "
                f"FROM {self.table(topic)} GROUP BY ALL"
            )
        }


class Polars:
    """Lazy frames over the files."""

    name = "Polars"

    def __init__(self, root):
        self.root = root

    def frame(self, topic):
        return polars.scan_parquet(pattern(self.root, topic), hive_partitioning=True)

    def per_day(self, topic):
        day = polars.col("append_time").dt.strftime("%Y-%m-%d").alias("day")
        return dict(self.frame(topic).group_by(day).len().collect().rows())

    def per_user(self, topic):
        users = self.frame(topic).filter(polars.col("user_id").is_not_null())
        return dict(users.group_by("user_id").len().collect().rows())

    def backward_steps(self, path):
        steps = polars.read_parquet(path, columns=["offset"])["offset"].diff().drop_nulls()
        return int((steps <= 0).sum())

    def ranges(self):
        made = self.frame("bindings").filter(polars.col("epoch") > 0).sort("offset")
        made = made.group_by("epoch", maintain_order=True).first()
        made = made.filter(polars.col("bound_epoch") == polars.col("epoch"))
        made = made.select("epoch", "ranges").explode("ranges").unnest("ranges").collect()
        return made.select("topic", "partition", "start", "end", "count", "epoch").rows()

    def per_range(self, topic):
        offset = polars.col("offset")
        found = self.frame(topic).group_by("partition", "epoch").agg(
            polars.len(), offset.min().alias("first"), offset.max().alias("last")
        )
        return {(topic, p, epoch): tuple(rest) for p, epoch, *rest in found.collect().rows()}


class PyArrow:
    """A dataset, counted by hand."""

    name = "pyarrow"

    def __init__(self, root):
        self.root = root

    def table(self, topic, columns):
        folder = self.root / topic / "v1"
        dataset = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
        return dataset.to_table(columns=columns).to_pylist()

    def per_day(self, topic):
        rows = self.table(topic, ["append_time"])
        return dict(collections.Counter(f"{row['append_time']:%Y-%m-%d}" for row in rows))

    def per_user(self, topic):
        rows = self.table(topic, ["user_id"])
        return dict(collections.Counter(row["user_id"] for row in rows if row["user_id"]))

    def backward_steps(self, path):
        offsets = pyarrow.dataset.dataset(path, format="parquet").to_table(columns=["offset"])
        offsets = offsets["offset"].to_pylist()
        return sum(after <= before for before, after in zip(offsets, offsets[1:]))

    def ranges(self):
        rows = self.table("bindings", ["offset", "epoch", "bound_epoch", "ranges"])
        made = {}
        for row in sorted(rows, key=lambda row: row["offset"]):
            made.setdefault(row["epoch"], row)
        keys = ("topic", "partition", "start", "end", "count")
        return [
            (*(one[key] for key in keys), epoch)
            for epoch, row in made.items() if epoch > 0 and row["bound_epoch"] == epoch
            for one in row["ranges"]
        ]

    def per_range(self, topic):
        found = {}
        for row in self.table(topic, ["partition", "offset", "epoch"]):
            key = (topic, row["partition"], row["epoch"])
            count, first, last = found.get(key, (0, row["offset"], row["offset"]))
            offset = row["offset"]
            found[key] = (count + 1, min(first, offset), max(last, offset))
        return found


class Spark:
    """Data frames of a local session."""

    name = "Spark"

    def __init__(self, root):
        self.root = root
        session = pyspark.sql.SparkSession.builder.master("local[2]").appName("archive")
        for key, value in (("sql.session.timeZone", "UTC"), ("ui.enabled", "false"),
                           ("ui.showConsoleProgress", "false"),
                           ("driver.host", "127.0.0.1"), ("driver.bindAddress", "127.0.0.1"),
                           ("sql.shuffle.partitions", "2")):
            session = session.config(f"spark.{key}", value)
        self.session = session.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")
        self.steps = {}

    def frame(self, topic):
        return self.session.read.parquet(str(self.root / topic / "v1"))

    def per_day(self, topic):
        day = functions.date_format("append_time", "yyyy-MM-dd")
        return dict(map(tuple, self.frame(topic).groupBy(day).count().collect()))

    def per_user(self, topic):
        users = self.frame(topic).where("user_id IS NOT NULL")
        return dict(map(tuple, users.groupBy("user_id").count().collect()))

    def backward_steps(self, path):
        """Of all files of the topic at once: a job for each file would take a minute."""
        topic = pathlib.Path(path).relative_to(self.root).parts[0]
        if topic not in self.steps:
            in_file = window.Window.partitionBy("file").orderBy("row_index")
            before = functions.lag("offset").over(in_file)
            rows = self.frame(topic).select("offset", functions.col("_metadata.file_name").alias(
                "file"), "_metadata.row_index")
            steps = rows.withColumn("before", before).where("offset <= before")
            self.steps[topic] = dict(map(tuple, steps.groupBy("file").count().collect()))
        return self.steps[topic].get(pathlib.Path(path).name, 0)

    def ranges(self):
        made = self.frame("bindings").where("epoch > 0").groupBy("epoch").agg(
            functions.min_by("ranges", "offset").alias("ranges"),
            functions.min_by("bound_epoch", "offset").alias("bound"),
        ).where("bound = epoch").select("epoch", functions.explode("ranges").alias("range"))
        made = made.select("range.topic", "range.partition", "range.start", "range.end",
                           "range.count", "epoch")
        return list(map(tuple, made.collect()))

    def per_range(self, topic):
        found = self.frame(topic).groupBy("partition", "epoch").agg(
            functions.count("offset"), functions.min("offset"), functions.max("offset"))
        return {(topic, p, epoch): tuple(rest) for p, epoch, *rest in map(tuple, found.collect())}


def range_faults(reader, topics):
    """Bound ranges whose rows are not as many as recorded, or lie elsewhere."""
    found = {}
    for topic in topics:
        found.update(reader.per_range(topic))
    for topic, partition, start, end, count, epoch in reader.ranges():
        rows, first, last = found.pop((topic, partition, epoch), (0, start, start))
        if rows != count or (rows and not start <= first <= last < end):
            yield (f"epoch {epoch} bound {count} records of {topic}/{partition} in {start}..{end}; "
                   f"there are {rows} in {first}..{last + 1}")
    for key in found:
        yield f"rows of {key} that no binding bound"


def faults(root):
    files = live_files(root)
    if not files:
        yield f"{root} has no archive"
        return
    missing = [file["name"] for file in files if not (root / file["name"]).is_file()]
    if missing:
        yield from (f"{name} is missing" for name in missing)
        return
    topics = sorted({file["topic"] for file in files} & set(INPUTS))
    rows = collections.Counter()
    for file in files:
        rows[file["topic"]] += file["rows"]
    readers = [kind(root) for kind in (DuckDb, Polars, PyArrow, Spark)]
    for reader in readers:
        for topic in topics:
            for question in ("per_day", "per_user"):
                answer = getattr(reader, question)(topic)
                if answer != getattr(readers[0], question)(topic):
                    yield f"{reader.name} and {readers[0].name} differ in {question} of {topic}"
            if sum(reader.per_day(topic).values()) != rows[topic]:
                yield f"{reader.name} finds other than {rows[topic]} rows of {topic}"
        for file in files:
            steps = reader.backward_steps(str(root / file["name"]))
            if steps:
                yield f"{reader.name}: {file['name']} has {steps} offsets that do not increase"
        for fault in range_faults(reader, topics):
            yield f"{reader.name}: {fault}"
        ranges = len(reader.ranges())
        print(f"{reader.name}: {sum(rows[topic] for topic in topics)} rows, {ranges} bound ranges, "
              f"{sum(len(reader.per_day(topic)) for topic in topics)} days, "
              f"{sum(len(reader.per_user(topic)) for topic in topics)} users")
    ends = {}
    for file in sorted(files, key=lambda file: (file["topic"], file["partition"], file["first"])):
        key = (file["topic"], file["partition"])
        if file["first"] <= ends.get(key, -1):
            yield f"{file['name']} overlaps the file before it"
        ends[key] = file["last"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = list(faults(pathlib.Path(sys.argv[1])))
    for fault in found:
        print(fault, file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
