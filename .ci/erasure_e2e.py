"""Erasing users, through the real binary.

    python3 .ci/erasure_e2e.py --binary PATH --movietweetings DIR --scratch DIR [--results FILE]
        [--rows N] [--python PYTHON]

A server that archives takes a stream of real ratings and, at the same time, three users whom no
search could miss. They ask to be forgotten while the stream goes on: answers do not know them any
more, and once the job has its receipt, no byte of the archive says their ids and no snapshot is
older. Then, from the archive alone: it is whole and says what was erased, history is as live
recorded it up to there and a child lineage after it, the state rebuilt does not know them, and
everybody else still gets recommendations. A kill -9 in the middle of a job costs nothing.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, sample, wait_until

OPTIONS = ("--set", "archive.url=file:archive", "--set", "archive.file_events=700",
           "--set", "archive.file_seconds=1", "--set", "snapshots.every_events=2000")
# The stream is of 2013, and the requests are of now: neither makes the other late.
CORE = ("--set", "core.late_allowance_hours=876000")
GONE = ["Zoë \"of the/lake\" 51f0c6", "erase-me:erase 8b1d22", "%41 +&? 77aa90é"]
KILLED = "killed in the middle 3c9d17"
ELSEWHERE = "in other lineages too 77ab20"
USAGE, BAD_DATA, CONFIG = 2, 65, 78


def quoted(text):
    return urllib.parse.quote(text, safe="")


class Erasure:
    def __init__(self, checks, program, args):
        self.checks = checks
        self.program = program
        self.python = args.python
        self.inputs = program.folder / "inputs"
        self.rows = len(sample(args.movietweetings, self.inputs, args.rows))
        ratings = (self.inputs / "ratings.dat").read_text(encoding="utf-8").splitlines()
        self.users = sorted({row.split("::")[0] for row in ratings})[:200]
        self.items = sorted({row.split("::")[1] for row in ratings})[:40]
        self.server = Server(program, "data", options=(*OPTIONS, *CORE))
        self.archive = self.server.data / "archive"
        self.place = ("--archive", f"file:{self.archive}", "--data", "elsewhere", *CORE)
        self.sent = 0
        self.jobs = []
        self.digest = None

    def visit(self, user, item):
        self.server.post_event({"event_type": "view", "user_id": user, "item_id": item})
        self.sent += 1

    def job(self, name):
        return self.server.get_json(f"/v1/jobs/{name}")

    def knows(self, user):
        return self.server.get(f"/v1/users/{quoted(user)}/features").status == 200

    def answers(self, server, user):
        answer = server.get_json("/v1/recommendations", user_id=user, num_results=10)
        return [item["item_id"] for item in answer["items"]]

    def mentions(self, word):
        """Files of the archive whose bytes say it."""
        return [str(path.relative_to(self.archive)) for path in self.archive.rglob("*")
                if path.is_file() and word.encode() in path.read_bytes()]

    # -- live

    def in_other_lineages(self):
        """A lineage that is followed makes newer snapshots; what nobody follows loses them."""
        check, server = self.checks, self.server.start()
        self.visit("the first one", self.items[0])
        server.settled(1)
        for item in self.items[:5]:
            self.visit(ELSEWHERE, item)
        wait_until("the archive has it", 60, lambda: self.mentions(ELSEWHERE)
                   and server.pipeline()["archived_epoch"] > 0)
        place = (*self.place[:2], "--data", server.data, *CORE)
        followed, retired = (self.program.json(
            "replay", "rebuild", *place, "--set", f"core.factors.item_rate={rate}",
            "--output", "json")["lineage"] for rate in (0.02, 0.03))

        def manifests(lineage):
            return sorted((server.data / "snapshots").rglob(f"{lineage}/manifests/*"))

        def epochs():
            rows = server.get_json("/v1/lineages")["lineages"]
            return {row["lineage"]: row["epoch"] for row in rows}

        wait_until("both are followed", 60, lambda: all(map(epochs().get, (followed, retired))))
        code, _, err = self.program.run("lineage", "retire", retired, "--data", server.data)
        check.equal("exit code of retire", (code, err[-300:] if code else ""), (0, ""))
        check.that("both have snapshots", manifests(followed) and manifests(retired))
        job = server.request("POST", f"/v1/users/{quoted(ELSEWHERE)}:erase").json()["job"]
        self.sent += 1
        done = wait_until("the job is done", 120, lambda: (
            found := self.job(job))["state"] == "done" and found)
        epoch = done["receipt"]["request"]["epoch"]
        check.equal("snapshots of the one that nobody follows", manifests(retired), [])
        check.that("snapshots of the one that is followed are newer", manifests(followed)
                   and all(int(path.name[:20]) >= epoch for path in manifests(followed)),
                   [path.name for path in manifests(followed)])
        check.equal("files of the archive that say the id", self.mentions(ELSEWHERE), [])

    def asked_under_load(self):
        check, server = self.checks, self.server
        client = self.program.start("ingest", "--dataset", "movietweetings", "--path", self.inputs,
                                    "--server", server.url, log="ingest.log")
        wait_until("history before them", 60, lambda: server.pipeline()["accepted"] > self.rows / 8)
        for user in GONE:
            for item in self.items[:20]:
                self.visit(user, item)
        wait_until("they are known", 60, lambda: all(self.knows(user) for user in GONE))
        for user in GONE:
            began = time.monotonic()
            begun = server.request("POST", f"/v1/users/{quoted(user)}:erase")
            check.equal("status of the request", begun.status, 202)
            self.sent += 1
            job = begun.json()["job"]
            self.jobs.append(job)
            wait_until("answers know them no more", 60, lambda job=job: self.job(job)["forgotten"])
            took = (time.monotonic() - began) * 1000
            check.that(f"forgotten in answers after {took:.0f} ms", not self.knows(user))
        check.equal("exit code of the client", client.wait(300), 0)
        for job in self.jobs:
            done = wait_until("the job is done", 120, lambda job=job: (
                found := self.job(job))["state"] == "done" and found)
            receipt = done["receipt"]
            check.that("the receipt counts the rows",
                       receipt["archive"]["rows_erased"] == 20
                       and receipt["archive"]["requests_erased"] == 1, receipt)
            check.that("it says what remains", len(receipt["remains"]) == 4 and receipt["log"],
                       receipt)
            check.that("snapshots are newer than the request", receipt["snapshots"]
                       ["before_epoch"] >= receipt["request"]["epoch"], receipt["snapshots"])
        for user in GONE:
            said = [word for word in (user, json.dumps(user)[1:-1]) if self.mentions(word)]
            check.equal("files that say the id", said, [])
            check.that("the id's distinctive part is nowhere",
                       not self.mentions(user.split()[-1][:6]), self.mentions(user.split()[-1][:6]))
        sums = server.settled(self.rows + self.sent)
        check.that("every event is somewhere", conserved(sums), sums)
        snapshots = sorted((server.data / "snapshots").rglob("manifests/*"))
        last = max(self.job(job)["epoch"] for job in self.jobs)
        check.that("every snapshot is newer than the last request",
                   snapshots and all(int(path.name[:20]) >= last for path in snapshots),
                   [path.name for path in snapshots])

    def killed(self):
        """kill -9 right after the request; the next start completes the job."""
        check, server = self.checks, self.server
        for item in self.items[:5]:
            self.visit(KILLED, item)
        wait_until("they are known", 60, lambda: self.knows(KILLED))
        said = wait_until("the archive says the id", 60, lambda: self.mentions(KILLED))
        check.that("what is searched for is found while it is there", said)
        job = server.request("POST", f"/v1/users/{quoted(KILLED)}:erase").json()["job"]
        self.sent += 1
        server.kill()
        server.start(server.port)
        done = wait_until("the job is done", 120, lambda: (
            found := self.job(job))["state"] == "done" and found)
        check.equal("rows that it took", done["receipt"]["archive"]["rows_erased"], 5)
        check.equal("files that say the id", self.mentions(KILLED), [])
        check.that("answers do not know them", not self.knows(KILLED))

    def from_the_shell(self):
        check, server = self.checks, self.server
        done = self.program.json("user", "erase", "nobody at all", "--server", server.url,
                                 "--output", "json")
        self.sent += 1
        check.equal("the job of an unknown user", done["state"], "done")
        check.equal("rows of theirs", done["receipt"]["archive"]["rows_erased"], 0)
        self.visit(GONE[0], self.items[0])
        wait_until("who comes back is somebody new", 60, lambda: self.knows(GONE[0]))
        features = server.get_json(f"/v1/users/{quoted(GONE[0])}/features")
        check.that("with one view", json.dumps(features).count(self.items[1]) == 0, features)
        self.program.json("user", "erase", GONE[0], "--server", server.url, "--output", "json")
        self.sent += 1
        check.equal("status of another verb", server.request("POST", "/v1/users/u:forget").status, 404)
        check.equal("status of an unknown job", server.get("/v1/jobs/nonsense").status, 404)
        server.settled(self.rows + self.sent)
        others = [user for user in self.users if not self.answers(server, user)]
        check.equal("others who get no recommendations", others, [])
        check.equal("exit code of SIGTERM", server.terminate(), 0)
        self.digest = json.loads((server.data / "digest.json").read_text())
        listed = self.program.json("user", "erasures", *self.place, "--output", "json")
        check.equal("receipts", [one["number"] for one in listed["erasures"]], list(range(1, 8)))
        check.that("none says an id", not any(user in json.dumps(listed, ensure_ascii=False)
                                              for user in (*GONE, KILLED, ELSEWHERE)))

    # -- the archive alone

    def whole(self):
        check = self.checks
        report = self.program.json("archive", "verify", *self.place, "--output", "json")
        check.equal("what is wrong with it", report["findings"], [])
        check.equal("rows that were erased", report["erased"], 3 * 21 + 6 + 6 + 1 + 2)
        listed = self.program.json("archive", "ls", *self.place, "--output", "json")
        check.equal("as the list says", sum(file["erased"] for file in listed["files"]),
                    report["erased"])
        self.first = listed["erased_from"]

    def proven(self):
        check = self.checks
        for workers in (1, 2):
            report = self.program.json("replay", "verify", *self.place, "--workers", workers,
                                       "--output", "json")
            check.equal(f"epochs as live recorded them, on {workers} workers", report["equal"],
                        self.first - 1)
            erased = report["erased"]
            check.that("what comes after is a child lineage", erased["from_epoch"] == self.first
                       and erased["lineage"] != report["lineage"], report)
            check.equal("epochs folded", report["epoch"], self.digest["epoch"])
            self.child = getattr(self, "child", report["state_digest"])
            check.equal("its state on any number of workers", report["state_digest"], self.child)
        code, out, _ = self.program.run("replay", "verify", *self.place)
        check.that("and it says so", code == 0 and f"erased from epoch {self.first} on" in out, out)

    def rebuilt(self):
        check = self.checks
        place = (*self.place[:2], "--data", "rebuilt", *CORE)
        code, out, err = self.program.run("replay", "rebuild", *place, "--output", "json")
        check.equal("exit code of the rebuild", code, 0)
        check.equal("its state is that of verify", json.loads(out)["state_digest"], self.child)
        check.that("it says whose lineage that is", "child lineage" in err, err[-800:])
        past = Server(self.program, "as-of")
        past.process = self.program.start("replay", "as-of", self.digest["epoch"], *place,
                                          "--listen", "127.0.0.1:0", log="as-of.log")
        try:
            said = "answers as of the past on http://"
            line = wait_until("it listens", 120, lambda: said in past.tail() and past.tail())
            past.address = line.split(said)[1].split()[0]
            wait_until("it is ready", 60, past.is_ready)
            for user in (*GONE, KILLED, ELSEWHERE):
                status = past.get(f"/v1/users/{quoted(user)}/features").status
                check.equal("status of the features of who was erased", status, 404)
            others = [user for user in self.users if not self.answers(past, user)]
            check.equal("others who get no recommendations", others, [])
            check.equal("exit code of SIGTERM", past.terminate(), 0)
        finally:
            past.stop_hard()
        early = self.program.json("replay", "as-of", self.first - 1, *place, "--output", "json")
        check.equal("before the first erased epoch it is the lineage that it was",
                    early["lineage"], self.digest["lineage"])

    def merged(self):
        check = self.checks
        code, _, err = self.program.run("archive", "compact", *self.place)
        check.equal("exit code of compact", code, 0)
        self.whole()
        report = self.program.json("replay", "verify", *self.place, "--output", "json")
        check.equal("state digest", report["state_digest"], self.child)
        if self.python is None:
            print("   no Python with duckdb, polars, pyarrow and pyspark was named: left out", flush=True)
            return
        script = Path(__file__).with_name("archive_readers.py")
        ran = subprocess.run([self.python, script, self.archive], text=True, capture_output=True,
                             check=False)
        check.that("DuckDB, Polars, pyarrow and Spark read it, offsets strictly increase",
                   ran.returncode == 0, ran.stdout[-500:] + ran.stderr[-2000:])

    def directly(self):
        """Without a server: one who never asked."""
        check, user = self.checks, self.users[0]
        place = ("--archive", f"file:{self.archive}", "--data", "elsewhere")
        done = self.program.json("user", "erase", user, *place, "--output", "json")
        receipt = done["erasures"][0]
        check.that("rows of theirs are gone", receipt["archive"]["rows_erased"] > 0, receipt)
        check.that("it says that no event asked", receipt["request"] is None
                   and "only the archive" in receipt["log"], receipt)
        again = self.program.json("user", "erase", user, *place, "--output", "json")
        check.equal("rows that a repeat finds", again["erasures"][0]["archive"]["rows_erased"], 0)
        report = self.program.json("replay", "verify", *self.place, "--output", "json")
        check.that("that is another child", report["state_digest"] != self.child, report)
        cases = [
            (("user", "erase", "x", "--archive", "file:nothing"), BAD_DATA, "there is no archive"),
            (("user", "erase", "{x}", *place), USAGE, "is no user id"),
            (("user", "erasures", "--data", "elsewhere"), CONFIG, "archive.url is empty"),
        ]
        for verb, want, said in cases:
            code, _, err = self.program.run(*verb)
            check.that(f"{' '.join(verb[:3])}: {said}", code == want and said in err,
                       (code, err[-500:]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", type=Path, required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--results")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--python", help="with duckdb, polars, pyarrow and pyspark")
    args = parser.parse_args()
    checks = Checks()
    run = Erasure(checks, Program(args.binary, args.scratch), args)
    stages = [
        ("snapshots of other lineages forget a user too", run.in_other_lineages),
        ("three users ask while the stream goes on", run.asked_under_load),
        ("killed right after a request", run.killed),
        ("asked from the shell; who comes back is new", run.from_the_shell),
        ("the archive is whole and says what was erased", run.whole),
        ("history is as live recorded it, then a child lineage", run.proven),
        ("the state rebuilt does not know them", run.rebuilt),
        ("merging files keeps it so, and other programs read it", run.merged),
        ("in the archive alone", run.directly),
    ]
    code = run_stages(checks, stages, args.results)
    run.server.stop_hard()
    return code


if __name__ == "__main__":
    sys.exit(main())
