"""The archive and the replay of it, through the real binary.

    python3 .ci/archive_e2e.py --binary PATH --movietweetings DIR --scratch DIR [--results FILE]
        [--rows N] [--kills N] [--python PYTHON] [--only STAGE…]

A server that archives takes a stream and is killed on the way. Then, from the archive alone: it is
whole, every epoch is as live recorded it, the state rebuilt from it is that of the live server, and
answers as of its last epoch are the live ones, score for score. PYTHON has duckdb, polars, pyarrow
and pyspark, which must read the archive as it is; without it they are left out, and that is said.
--only runs the first stage and those named, such as `whole rebuilt`: with the ten million rows that
simulate.py makes, all of them would take hours.
"""

import argparse
import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, sample, wait_until

USERS = 1_000
# Small files, and often: kills fall between files and manifests too. Of a long stream fewer.
OPTIONS = ("--set", "archive.url=file:archive", "--set", "archive.file_seconds=1")
SUMS = ("accepted", "applied", "duplicate", "late", "dead_letter")
MISMATCH, USAGE, BAD_DATA, CONFIG = 3, 2, 65, 78

# Of an archive and an export of its last epoch.
EXPORT_READER = """
import json, sys
import duckdb
archive, export = sys.argv[1:]
def one(query):
    return duckdb.sql(query).fetchall()[0][0]
def table(name):
    return f"read_parquet('{export}/{name}/*.parquet')"
def topic(name):
    return f"read_parquet('{archive}/{name}/v1/**/*.parquet')"
items = f"select item_id from {topic('feedback')} union select item_id from {topic('item_events')}"
print(json.dumps({
    "users": [one(f"select count(*) from {table('users')}"),
              one(f"select count(distinct user_id) from {topic('feedback')}")],
    "items": [one(f"select count(*) from {table('items')}"),
              one(f"select count(*) from ({items}) where item_id is not null")],
    "dim": [row[0] for row in duckdb.sql(
        f"select distinct len(vector) from {table('items')}").fetchall()],
    "popularity": one(f"select count(*) from {table('popularity')}"),
    "covisitation": one(f"select count(*) from {table('covisitation')}"),
}))
"""


class Archive:
    def __init__(self, checks, program, args):
        self.checks = checks
        self.program = program
        self.python = args.python
        self.kills = args.kills
        self.inputs = program.folder / "inputs"
        self.rows = len(sample(args.movietweetings, self.inputs, args.rows))
        ratings = (self.inputs / "ratings.dat").read_text(encoding="utf-8").splitlines()
        self.users = sorted({row.split("::")[0] for row in ratings})[:USERS]
        every = ("--set", f"archive.file_events={max(700, self.rows // 100)}",
                 "--set", f"snapshots.every_events={max(3_000, self.rows // 20)}")
        self.server = Server(program, "data", options=OPTIONS + every)
        self.patience = 120 + self.rows / 2_000
        program.patience = 600 + self.rows / 2_000
        self.server.patience = max(Server.patience, self.rows / 20_000)
        self.place = ("--archive", f"file:{self.server.data / 'archive'}", "--data", "elsewhere")
        self.live = self.digest = None

    # -- a live server that archives, killed on the way

    def streamed(self):
        check, server = self.checks, self.server.start()
        client = self.program.start("ingest", "--dataset", "movietweetings", "--path", self.inputs,
                                    "--server", server.url, log="ingest.log")
        chance = random.Random(7)
        for kill in range(self.kills):
            least = self.rows * (kill + 1) // (self.kills + 2)
            wait_until(f"{least} rows", self.patience, lambda least=least: self.accepted() >= least)
            time.sleep(chance.random() / 2)
            server.kill()
            server.start(server.port)
        check.equal("exit code of the client, which waited", client.wait(self.patience), 0)
        sums = server.settled(self.rows, self.patience)
        check.that(f"{self.rows} rows are folded after {self.kills} kills", conserved(sums), sums)
        check.equal("rows applied", sums["applied"], self.rows)
        self.live = {user: self.answer(server, user) for user in self.users}
        check.equal("exit code of SIGTERM", server.terminate(), 0)
        self.digest = json.loads((server.data / "digest.json").read_text())

    def accepted(self):
        try:
            return self.server.pipeline()["accepted"]
        except OSError:
            return 0

    @staticmethod
    def answer(server, user):
        answer = server.get_json("/v1/recommendations", user_id=user, num_results=10,
                                 retrieval="exact")
        return [(item["item_id"], item["score"]) for item in answer["items"]]

    # -- the archive alone

    def whole(self):
        check = self.checks
        listed = self.program.json("archive", "ls", *self.place, "--output", "json")
        check.equal("the last archived epoch", listed["epoch"], self.digest["epoch"])
        rows = sum(file["rows"] for file in listed["files"]
                   if file["topic"] in ("user_events", "item_events", "feedback"))
        check.that(f"{rows} records are archived, each once", rows >= self.rows, rows)
        report = self.program.json("archive", "verify", *self.place, "--output", "json")
        check.equal("what is wrong with it", report["findings"], [])
        check.equal("rows checked", report["rows"], sum(file["rows"] for file in listed["files"]))

    def proven(self):
        for workers in (1, 2):
            report = self.program.json("replay", "verify", *self.place, "--workers", workers,
                                       "--output", "json")
            what = f"on {workers} workers"
            self.checks.equal(f"epochs as recorded, {what}", report["equal"], self.digest["epoch"])
            self.checks.equal(f"epochs of which nothing was recorded, {what}",
                              report["unrecorded"], 0)
            self.checks.equal(f"state digest, {what}", report["state_digest"],
                              self.digest["state_digest"])

        place = (*self.place[:2], "--data", self.server.data, "--from-snapshot")
        report = self.program.json("replay", "verify", *place, "--output", "json")
        self.checks.that("it begins with a snapshot", report["from_epoch"] > 0, report)
        self.checks.equal("state digest from there", report["state_digest"],
                          self.digest["state_digest"])

    def together(self):
        """On several processes, from the start and from every snapshot that is kept: one digest."""
        data = self.server.data
        kept = sorted({int(file.name.split("-")[0])
                       for file in data.glob("snapshots/**/manifests/*-*")})
        self.checks.that(f"snapshots are kept: {kept}", len(kept) > 0)
        for epoch in (None, *kept):
            begin = () if epoch is None else ("--from-snapshot", epoch)
            for workers, processes in ((1, 1), (2, 1), (1, 2)):
                report = self.on_processes("verify", (workers, processes), data, *begin)
                what = f"{workers} workers in {processes} processes from {epoch or 'the start'}"
                self.checks.equal(f"began at, digest, recorded, {what}",
                                  [report["from_epoch"], report["state_digest"],
                                   report["equal"] + report["from_epoch"]],
                                  [epoch or 0, self.digest["state_digest"], self.digest["epoch"]])
        data = self.program.folder / "together"
        report = self.on_processes("rebuild", (1, 2), data)
        self.checks.equal("digest of a rebuild on two processes", report["state_digest"],
                          self.digest["state_digest"])
        report = self.on_processes("verify", (1, 1), data, "--from-snapshot")
        self.checks.equal("what it wrote is the whole state",
                          [report["from_epoch"], report["state_digest"]],
                          [self.digest["epoch"], self.digest["state_digest"]])
        code, _, err = self.program.run("replay", "verify", *self.place[:2], "--data", data,
                                        "--from-snapshot", 1)
        self.checks.that("a snapshot that is not kept is a wrong use", code == USAGE
                         and "no snapshot of epoch 1 is kept" in err, (code, err))

    def on_processes(self, verb, shape, data, *more):
        """What process 0 prints; the others must end well with it."""
        workers, processes = shape
        together = ("--workers", workers)
        if processes > 1:
            with contextlib.ExitStack() as stack:
                sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                           for _ in range(processes)]
                hosts = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
            together += ("--processes", processes, "--hosts", hosts)
        followers = [self.program.start("replay", verb, *together, "--process", index,
                                        log="followers.log")
                     for index in range(1, processes)]
        try:
            report = self.program.json("replay", verb, *self.place[:2], "--data", data, *together,
                                       *more, "--output", "json")
            codes = [follower.wait(30) for follower in followers]
            self.checks.equal(f"exit codes of {len(codes)} others", codes, [0] * len(codes))
            return report
        finally:
            for follower in followers:
                follower.kill()

    def rebuilt(self):
        """From nothing, in two steps, then live again on a copy of the log."""
        check, data = self.checks, self.program.folder / "rebuilt"
        place = (*self.place[:2], "--data", data)
        half = self.digest["epoch"] // 2
        first = self.program.json("replay", "rebuild", *place, "--until", half, "--output", "json")
        check.equal("rebuilt up to", first["epoch"], half)
        second = self.program.json("replay", "rebuild", *place, "--output", "json")
        check.equal("state digest of the rebuilt state", second["state_digest"],
                    self.digest["state_digest"])
        check.that("the second run went on behind the first",
                   0 < second["events"] < self.rows, second)
        shutil.copytree(self.server.data / "log", data / "log")
        server = Server(self.program, "rebuilt").start()
        try:
            now = server.pipeline()
            check.equal("it goes on as live from the epoch", now["snapshot_epoch"],
                        self.digest["epoch"])
            server.post_event({"event_type": "view", "user_id": "new", "item_id": "i"})
            server.settled(self.rows + 1)
            check.equal("exit code of SIGTERM", server.terminate(), 0)
        finally:
            server.stop_hard()
        again = self.program.json("digest", "--data", data, "--recompute", "--output", "json")
        noted = json.loads((data / "digest.json").read_text())
        check.equal("digest, folded from the log's start", again["state_digest"],
                    noted["state_digest"])

    def asked(self):
        """The past answers as live did."""
        check = self.checks
        process = self.program.start("replay", "as-of", self.digest["epoch"], *self.place,
                                     "--listen", "127.0.0.1:0", log="as-of.log")
        past = Server(self.program, "as-of")
        past.process = process
        try:
            said = "answers as of the past on http://"
            line = wait_until("it listens", self.patience, lambda: said in past.tail() and past.tail())
            past.address = line.split(said)[1].split()[0]
            wait_until("it is ready", 60, past.is_ready)
            differ = [user for user in self.users if self.answer(past, user) != self.live[user]]
            check.equal(f"users of {len(self.users)} with other answers or scores", differ, [])
            check.equal("an event sent to the past", past.send(
                "POST", "/v1/events",
                {"event_type": "view", "user_id": "u", "item_id": "i"}).status, 503)
            check.equal("exit code of SIGTERM", past.terminate(), 0)
        finally:
            past.stop_hard()
        code, out, err = self.program.run("replay", "as-of", self.digest["epoch"] // 2,
                                          *self.place, "--recommend", self.users[0])
        check.that("the shell asks an earlier epoch", code == 0 and "rank" in out, (code, err))

    def other_histories(self):
        """Another configuration over the same history; nothing of the original changes."""
        check = self.checks
        ranked = ("--test-one-in", 16, "--output", "json")
        report = self.program.json("replay", "what-if", "--set", "core.factors.item_rate=0.02",
                                   *self.place, *ranked)
        original, other = report["original"], report["what_if"]
        check.that("another configuration is another lineage with another state",
                   original["lineage"] != other["lineage"]
                   and original["state_digest"] != other["state_digest"], report)
        check.that("both ranked the same events", original["ranked"] == other["ranked"] > 500,
                   (original["ranked"], other["ranked"]))
        hits = [side["models"]["whole"]["hr_at_10"] for side in (original, other)]
        difference = report["difference"]["hr_at_10"]
        check.that("the difference is that of the columns, with a standard error",
                   abs(hits[1] - hits[0] - difference["mean"]) < 1e-9
                   and difference["standard_error"] > 0, report["difference"])
        alone = self.program.json("replay", "evaluate", *self.place, *ranked)
        check.equal("evaluate finds what the original's column says", alone, original)
        other_file = self.program.folder / "other.toml"
        other_file.write_text("[core.factors]\nitem_rate = 0.02\n", encoding="utf-8")
        against = self.program.json("replay", "evaluate", "--against", other_file, *self.place,
                                    *ranked)
        check.equal("against a file with that configuration, evaluate finds the same",
                    [against["configured"], against["against"], against["difference"]],
                    [original, other, report["difference"]])

    def compacted(self):
        """Fewer files, and nothing else differs."""
        check = self.checks
        before = self.program.json("archive", "ls", *self.place, "--output", "json")
        code, _, err = self.program.run("archive", "compact", *self.place)
        check.equal("exit code of compact", code, 0)
        after = self.program.json("archive", "ls", *self.place, "--output", "json")
        check.that(f"{len(before['files'])} files became {len(after['files'])}",
                   len(after["files"]) < len(before["files"]), err)
        self.whole()
        report = self.program.json("replay", "verify", *self.place, "--output", "json")
        check.equal("state digest", report["state_digest"], self.digest["state_digest"])

    def read_by_others(self):
        if self.python is None:
            print("   no Python with duckdb, polars, pyarrow and pyspark was named: left out", flush=True)
            return
        script = Path(__file__).with_name("archive_readers.py")
        ran = subprocess.run([self.python, script, self.server.data / "archive"], text=True,
                             capture_output=True, check=False)
        print(ran.stdout, flush=True)
        self.checks.that("DuckDB, Polars, pyarrow and Spark read the archive as it is",
                         ran.returncode == 0, ran.stdout[-500:] + ran.stderr[-2000:])

    # -- events for others

    def sent_again(self):
        """What is exported is taken by another server, which exports the same."""
        check, folder = self.checks, self.program.folder
        first, second = folder / "events.ndjson", folder / "again.ndjson"
        code, _, err = self.program.run("archive", "export", *self.place, "--out", first)
        check.that("the archive is exported", code == 0 and "left out: 0 dead letters" in err, err)
        lines = first.read_text(encoding="utf-8").splitlines()
        check.equal("events", len(lines), self.rows)
        server = Server(self.program, "again", options=OPTIONS).start()
        try:
            code, _, err = self.program.run("ingest", first, "--server", server.url)
            check.equal("exit code of ingest", (code, err[-500:] if code else ""), (0, ""))
            sums = server.settled(self.rows, self.patience)
            check.equal("applied and refused", [sums["applied"], sums["dead_letter"]],
                        [self.rows, 0])
            check.equal("exit code of SIGTERM", server.terminate(), 0)
        finally:
            server.stop_hard()
        place = ("--archive", f"file:{server.data / 'archive'}", "--data", "elsewhere")
        code, _, err = self.program.run("archive", "export", *place, "--out", second)
        check.equal("exit code of the second export", code, 0)
        again = second.read_text(encoding="utf-8").splitlines()
        check.that("the same events", sorted(again) == sorted(lines), (len(again), len(lines)))
        half = self.digest["epoch"] // 2
        parts = [self.program.run("archive", "export", *self.place, *part)[1].splitlines()
                 for part in (("--until", half), ("--after", half))]
        check.that("two parts of it are all of it", parts[0] + parts[1] == lines and all(parts))
        code, _, err = self.program.run("archive", "export", *self.place, "--out", first)
        check.that("a file that is there stays", code == USAGE and "exists" in err, (code, err))
        code, _, err = self.program.run("archive", "export", *self.place, "--after", 10**9)
        check.that("a span outside the archive", code == USAGE and "is not bound" in err,
                   (code, err))

    # -- a state for others

    def exported(self):
        """Users and items of the export are those that the archived events name."""
        check, to = self.checks, self.program.folder / "export"
        export = ("snapshot", "export", "--parquet", f"file:{to}", "--output", "json")
        kept = self.program.json("snapshot", "ls", "--data", self.server.data, "--output", "json")
        check.equal("the newest snapshot", kept["snapshots"][0]["epoch"], self.digest["epoch"])
        newest = self.program.json(*export, "--data", self.server.data)
        check.equal("state that was exported", newest["state_digest"], self.digest["state_digest"])
        half = self.digest["epoch"] // 2
        early = self.program.json(*export, *self.place, "--epoch", half)
        check.that("an epoch without snapshot is folded", early["epoch"] == half
                   and 0 < early["rows"]["items"] <= newest["rows"]["items"]
                   and early["rows"]["users"] <= newest["rows"]["users"], early)
        again = self.program.json(*export, *self.place, "--epoch", self.digest["epoch"])
        check.equal("the same from the archive alone, over what is there", again, newest)
        if self.python is None:
            return
        ran = subprocess.run([self.python, "-c", EXPORT_READER, self.server.data / "archive",
                              newest["folder"].removeprefix("file:")],
                             text=True, capture_output=True, check=False)
        found = json.loads(ran.stdout) if ran.returncode == 0 else ran.stderr[-2000:]
        rows = newest["rows"]
        check.equal("what DuckDB counts in export and archive", found,
                    {"users": [rows["users"]] * 2, "items": [rows["items"]] * 2, "dim": [128],
                     "popularity": rows["popularity"], "covisitation": rows["covisitation"]})

    # -- the log forgets what is archived

    def trimmed(self):
        """Behind two snapshots and the archive; without any snapshot, all is folded from both."""
        check, data = self.checks, self.server.data
        def log_bytes():
            return sum(file.stat().st_size for file in (data / "log").rglob("*"))
        before, sums = log_bytes(), None
        server = self.server
        server.options += ("--set", "archive.trim_log=true", "--log-filter", "info")
        server.start()
        for at in range(3):
            server.post_event({"event_type": "view", "user_id": f"later-{at}", "item_id": "i"})
            sums = server.settled(self.rows + at + 1)
            epoch = server.pipeline()["committed_epoch"]
            wait_until("it is archived", 60,
                       lambda epoch=epoch: server.pipeline()["archived_epoch"] >= epoch)
        said = "the log was trimmed behind the archive"
        check.that("the log was trimmed", said in server.said(), server.tail())
        check.equal("exit code of SIGTERM", server.terminate(), 0)
        noted = json.loads((data / "digest.json").read_text())
        print(f"   {before} bytes of log before, {log_bytes()} after", flush=True)
        code, _, err = self.program.run("digest", "--data", data, "--recompute",
                                        "--set", "archive.url=")
        check.that("what is gone from the log is named", code != 0 and "offsets" in err, err[-500:])
        again = self.program.json("digest", "--data", data, "--recompute",
                                  "--set", "archive.url=file:archive", "--output", "json")
        check.equal("digest, folded from archive and log", again["state_digest"],
                    noted["state_digest"])
        shutil.rmtree(data / "snapshots")
        server.start()
        again = server.settled(self.rows + 3, self.patience)
        check.equal("all is there after a start without snapshots",
                    [again[sum_] for sum_ in SUMS], [sums[sum_] for sum_ in SUMS])
        check.equal("exit code of SIGTERM", server.terminate(), 0)
        self.digest = json.loads((data / "digest.json").read_text())
        check.equal("state digest", self.digest["state_digest"], noted["state_digest"])
        self.rows += 3
        self.proven_once()

    def proven_once(self):
        report = self.program.json("replay", "verify", *self.place, "--output", "json")
        self.checks.equal("epochs as recorded", report["equal"], self.digest["epoch"])
        self.checks.equal("state digest, from the archive", report["state_digest"],
                          self.digest["state_digest"])

    # -- what is wrong is named

    def damaged(self):
        files = sorted((self.server.data / "archive" / "feedback").rglob("*.parquet"))
        victim = max(files, key=lambda file: file.stat().st_size)
        whole = victim.read_bytes()
        middle = bytearray(whole)
        middle[len(whole) // 2] ^= 1
        for what, bytes_ in (("a flipped bit", bytes(middle)), ("a cut", whole[:-9]),
                             ("a file that is gone", None)):
            victim.unlink()
            if bytes_ is not None:
                victim.write_bytes(bytes_)
            self.refused(what, victim.name)
        victim.write_bytes(whole)
        copy = victim.with_name(victim.name.replace(".parquet", "x.parquet"))
        copy.write_bytes(whole)
        code, _, err = self.program.run("archive", "verify", *self.place)
        self.checks.that("a duplicated file is named", code == MISMATCH and copy.name in err,
                         (code, err[-500:]))
        copy.unlink()
        code, _, err = self.program.run("archive", "verify", *self.place)
        self.checks.equal("exit code once all is as it was", code, 0)

    def refused(self, what, name):
        for verb in (("archive", "verify"), ("replay", "verify")):
            code, _, err = self.program.run(*verb, *self.place)
            is_named = name in err and "panicked" not in err
            self.checks.that(f"{what}: {' '.join(verb)} refuses and names it",
                             code != 0 and is_named, (code, err[-500:]))

    def bad_input(self):
        empty = ("--archive", "file:nothing", "--data", "elsewhere")
        cases = [
            (("archive", "ls", *empty), BAD_DATA, "there is no archive in"),
            (("archive", "verify", *empty), BAD_DATA, "there is no archive in"),
            (("replay", "verify", *empty), BAD_DATA, "there is no archive in"),
            (("archive", "ls", "--data", "elsewhere"), CONFIG, "archive.url is empty"),
            (("archive", "ls", "--archive", "ftp://x"), CONFIG, "archive.url"),
            (("replay", "rebuild", *self.place, "--until", 10**9), USAGE, "is not bound"),
            (("replay", "as-of", "yesterday", *self.place), USAGE, "is no epoch and no time"),
            (("replay", "verify", *self.place, "--set", "core.seed=99"), CONFIG,
             "no digest of lineage"),
            (("replay", "what-if", *self.place), USAGE, "changes nothing"),
            (("replay", "what-if", *self.place, "--set", "core.sed=1"), CONFIG, "unknown key"),
        ]
        for verb, want, said in cases:
            code, _, err = self.program.run(*verb)
            self.checks.that(f"{' '.join(map(str, verb[:2]))}: {said}",
                             code == want and said in err, (code, err[-500:]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", type=Path, required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--results")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--python", help="with duckdb, polars, pyarrow and pyspark")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="such as whole or rebuilt")
    args = parser.parse_args()
    checks = Checks()
    run = Archive(checks, Program(args.binary, args.scratch), args)
    stages = [
        ("a server that archives, killed on the way", run.streamed),
        ("the archive is whole", run.whole),
        ("every epoch is as live recorded it", run.proven),
        ("several processes fold it, from every snapshot", run.together),
        ("the state is rebuilt from the archive, and goes on as live", run.rebuilt),
        ("the past answers as live did", run.asked),
        ("the same history under another configuration", run.other_histories),
        ("other programs read it", run.read_by_others),
        ("small files are merged", run.compacted),
        ("events leave the archive and come back", run.sent_again),
        ("a state is exported", run.exported),
        ("the log forgets what is archived", run.trimmed),
        ("what is wrong is named", run.damaged),
        ("bad input", run.bad_input),
    ]
    if args.only:
        unknown = set(args.only) - {stage.__name__ for _, stage in stages}
        if unknown:
            parser.error(f"there is no stage {', '.join(sorted(unknown))}")
        named = {"streamed", *args.only}
        stages = [(title, stage) for title, stage in stages if stage.__name__ in named]
    code = run_stages(checks, stages, args.results)
    run.server.stop_hard()
    return code


if __name__ == "__main__":
    sys.exit(main())
