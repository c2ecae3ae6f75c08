"""Two lineages side by side, through the real binary.

    python3 .ci/lineage_e2e.py --binary PATH --movietweetings DIR --scratch DIR [--results FILE]
        [--rows N]

A server takes half of a stream. The same history is rebuilt under another configuration beside it;
the server follows it from there, live. While the rest comes in and users ask, it is activated, rolled
back and activated again: every answer names one of the two. After kill -9 the activated one answers,
at the head of the log. Both are proven against what was recorded of them, and the answers of the
second are those of a fold of the whole history under its configuration, score for score.
"""

import argparse
import json
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, sample, wait_until

USERS = 200
# Whatever blend the gate of a short stream trusts, its scores differ.
OTHER = ("--set", "core.factors.item_rate=0.02",
         "--set", "core.popularity.short_half_life_ms=43200000",
         "--set", "core.popularity.long_half_life_ms=864000000")
KEYS = ["factors.item_rate", "popularity.long_half_life_ms", "popularity.short_half_life_ms"]
OPTIONS = ("--set", "archive.url=file:archive", "--set", "archive.file_seconds=1",
           "--set", "snapshots.every_events=3000")
FAILURE, USAGE, BAD_DATA, UNAVAILABLE = 1, 2, 65, 69


class Asking:
    """Threads that ask without a pause, and keep what every answer said of its lineage."""

    def __init__(self, server, users, threads=2):
        self.server, self.users = server, users
        self.over = threading.Event()
        self.answers, self.wrong = [], []
        self.threads = [threading.Thread(target=self.run, args=(at,)) for at in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def run(self, at):
        while not self.over.is_set():
            user = self.users[at % len(self.users)]
            at += 1
            try:
                answer = self.server.get("/v1/recommendations", user_id=user, num_results=5)
                if answer.status == 200:
                    self.answers.append(answer.json()["model"]["lineage"])
                else:
                    self.wrong.append(str(answer))
            except OSError as error:
                self.wrong.append(str(error))

    def mark(self):
        return len(self.answers)

    def since(self, mark):
        """The lineages of what was answered since, but for what was on its way at the time."""
        want = mark + 2 * len(self.threads)
        wait_until("some answers", 60, lambda: len(self.answers) > want + 20)
        return set(self.answers[want:])


def halves(inputs, folder):
    """Two folders with half of a sample each, the older ratings in the first: a file is sent in the
    order of its times. The catalogue is in both, which is once."""
    ratings = (inputs / "ratings.dat").read_text(encoding="utf-8").splitlines(keepends=True)
    ratings.sort(key=lambda row: int(row.split("::")[3]))
    half, folders = len(ratings) // 2, []
    for name, part in (("first", ratings[:half]), ("rest", ratings[half:])):
        folders.append(folder / name)
        folders[-1].mkdir()
        (folders[-1] / "ratings.dat").write_text("".join(part), encoding="utf-8")
        (folders[-1] / "movies.dat").write_bytes((inputs / "movies.dat").read_bytes())
    return folders, sorted({row.split("::")[0] for row in ratings})


class Lineages:
    def __init__(self, checks, program, args):
        self.checks = checks
        self.program = program
        inputs = program.folder / "inputs"
        self.rows = len(sample(args.movietweetings, inputs, args.rows))
        (self.first, self.rest), users = halves(inputs, program.folder)
        self.users = users[:USERS]
        self.server = Server(program, "data", options=OPTIONS)
        self.place = ("--archive", "file:archive", "--data", self.server.data)
        self.own = self.other = None
        self.rebuilt = 0

    # -- helpers

    def ingest(self, folder, log):
        return self.program.start("ingest", "--dataset", "movietweetings", "--path", folder,
                                  "--server", self.server.url, log=log)

    def lineages(self):
        return self.server.get_json("/v1/lineages")

    def row(self, lineage):
        return next(one for one in self.lineages()["lineages"] if one["lineage"] == lineage)

    def at_head(self, lineage):
        def look():
            row, now = self.row(lineage), self.server.pipeline()
            is_near = row["state"] in ("active", "beside") and row["lag_epochs"] == 0
            return is_near and row["epoch"] == now["bound_epoch"] and row

        return wait_until(f"lineage {lineage[:8]} is at the head", 120, look)

    def verb(self, *arguments):
        return self.program.run("lineage", *arguments, "--data", self.server.data)

    def done(self, *arguments):
        code, out, err = self.verb(*arguments)
        self.checks.equal(f"exit code of lineage {arguments[0]}", code, 0)
        return out + err

    def refused(self, want, said, *arguments):
        code, _, err = self.verb(*arguments)
        shown = " ".join(word[:12] for word in arguments)
        self.checks.that(f"lineage {shown} is refused: {said}",
                         code == want and said in err, (code, err[-400:]))

    def answer(self, server, user, **query):
        answer = server.get_json("/v1/recommendations", user_id=user, num_results=10,
                                 retrieval="exact", exploration=0, **query)
        return [(item["item_id"], item["score"]) for item in answer["items"]]

    # -- one lineage, then two

    def streamed(self):
        check, server = self.checks, self.server.start()
        check.equal("exit code of the client", self.ingest(self.first, "first.log").wait(300), 0)
        now = server.settled()
        report = self.lineages()
        self.own = report["active"]
        check.that("there is one lineage, which answers", report["previous"] is None and [
            (one["lineage"], one["state"], one["own"]) for one in report["lineages"]
        ] == [(self.own, "active", True)], report)
        check.equal("the lineage of the pipeline", (now["lineage"], now["serving_lineage"]),
                    (self.own, self.own))
        self.refused(FAILURE, "no other lineage was active before", "rollback")
        self.refused(FAILURE, "there is no lineage", "activate", "0123456789abcdef")

    def registered(self):
        check = self.checks
        bound = self.server.pipeline()["bound_epoch"]
        wait_until("it is archived", 60,
                   lambda: self.server.pipeline()["archived_epoch"] >= bound)
        rebuilt = self.program.json("replay", "rebuild", *self.place, *OTHER, "--output", "json")
        self.other, self.rebuilt = rebuilt["lineage"], rebuilt["epoch"]
        check.that("another configuration is another lineage", self.other != self.own, rebuilt)
        row = wait_until("the server follows it", 30, lambda: next(
            (one for one in self.lineages()["lineages"] if one["lineage"] == self.other), None))
        check.equal("what differs", sorted(row["core_differs"]), KEYS)
        check.that("it begins where the rebuild ended", row["epoch"] >= 0, row)
        self.at_head(self.other)
        check.equal("how it is", self.row(self.other)["state"], "beside")
        listed = self.done("ls")
        check.that("the shell lists both", self.own[:16] in listed and self.other[:16] in listed,
                   listed)
        code, out, err = self.verb("diff", self.own[:8], self.other, "--output", "json")
        differs = json.loads(out)["core"] if code == 0 else err
        check.equal("the shell's diff", sorted(one["key"] for one in differs), KEYS)
        values = {one["key"]: (one["a"], one["b"]) for one in differs}.get(KEYS[0], ())
        check.that("with both values", values[1:] == (0.02,) and values[0] != 0.02, differs)

    def followed(self):
        """The rest of the stream, while both are asked."""
        check, server = self.checks, self.server
        client, asked = self.ingest(self.rest, "rest.log"), set()
        while client.poll() is None:
            for query, want in (({}, self.own), ({"lineage": self.other[:10]}, self.other)):
                model = server.get_json("/v1/recommendations", user_id=self.users[0],
                                        **query)["model"]
                asked.add(model["lineage"] == want)
        check.equal("exit code of the client", client.wait(), 0)
        check.equal("answers were of the lineage that was asked", asked, {True})
        sums = server.settled(self.rows)
        check.that("every row is folded once", conserved(sums)
                   and sums["applied"] == self.rows, sums)
        self.at_head(self.other)
        same = [user for user in self.users
                if self.answer(server, user) == self.answer(server, user, lineage=self.other)]
        check.that("the two answer differently", len(same) < len(self.users) // 2, len(same))

    # -- which of them answers

    def switched(self):
        check, server = self.checks, self.server
        with Asking(server, self.users) as asking:
            asking.since(asking.mark())
            for verb, want in ((("activate", self.other[:12]), self.other),
                               (("rollback",), self.own), (("activate", self.other), self.other)):
                self.done(*verb)
                mark = asking.mark()
                check.equal(f"lineages that answer after {verb[0]}", asking.since(mark), {want})
                check.equal("the one that is active", self.lineages()["active"], want)
            for turn in range(100):
                name = (self.own, self.other)[turn % 2]
                answer = server.request("POST", f"/v1/lineages/{name}:activate")
                if answer.status != 200:
                    check.that("it is activated", False, answer)
        check.equal("requests that failed meanwhile", asking.wrong[:3], [])
        check.that("every answer named one of the two",
                   set(asking.answers) == {self.own, self.other}, set(asking.answers))
        print(f"   {len(asking.answers)} answers", flush=True)
        now = server.pipeline()
        check.equal("the pipeline's lineages", (now["lineage"], now["serving_lineage"]),
                    (self.own, self.other))
        metrics = server.get("/metrics").body.decode()
        line = f'eddyline_lineage_active{{lineage="{self.other}",state="active"}} 1'
        check.that("the metrics name the active one", line in metrics, metrics[-800:])
        self.refused(FAILURE, "is active; activate another one first", "retire", self.other)
        self.refused(FAILURE, "lineage of the configuration", "retire", self.own)

    def killed(self):
        check, server = self.checks, self.server
        server.post_event({"event_type": "view", "user_id": self.users[0], "item_id": "new"})
        server.kill()
        self.refused(UNAVAILABLE, "no server runs", "activate", self.own)
        server.start(server.port)
        now = server.pipeline()
        check.equal("the lineage that answers after kill -9", now["serving_lineage"], self.other)
        check.equal("the one that is folded", now["lineage"], self.own)
        check.equal("how it is", self.row(self.other)["state"], "active")
        ready = server.get_json("/readyz")
        check.that("readiness names it", any(self.other in one["detail"]
                                             for one in ready["dependencies"]), ready)
        self.at_head(self.other)
        token = server.post_event({"event_type": "view", "user_id": "fresh", "item_id": "new"})
        answer = server.get_json("/v1/recommendations", user_id="fresh", after=token,
                                 max_wait_ms=2000)
        check.that("one reads one's own writes in it", answer["consistency"]["stale"] is False
                   and answer["model"]["lineage"] == self.other, answer)

    # -- both are what they say

    def proven(self):
        check, server = self.checks, self.server
        bound = server.settled()["bound_epoch"]
        self.at_head(self.other)
        live = {user: self.answer(server, user) for user in self.users}
        wait_until("it is archived", 60, lambda: server.pipeline()["archived_epoch"] >= bound)
        check.equal("exit code of SIGTERM", server.terminate(), 0)
        noted = json.loads((server.data / "digest.json").read_text())
        for name, more, unrecorded in (("the configured", (), 0), ("the other", OTHER, None)):
            report = self.program.json("replay", "verify", *self.place, *more, "--output", "json")
            check.that(f"{name} lineage: every epoch as recorded", report["mismatch"] is None
                       and report["equal"] + report["unrecorded"] == bound, report)
            if unrecorded is None:
                check.that("  what was rebuilt was not recorded, all that was followed is",
                           report["unrecorded"] <= self.rebuilt < bound, report)
            else:
                check.equal("  not recorded", report["unrecorded"], 0)
        check.equal("the noted digest is that of the configured lineage", noted["lineage"],
                    self.own)
        report = self.program.json("replay", "evaluate", "--against", self.other[:12],
                                   *self.place, "--output", "json")
        sides = [report[side]["lineage"] for side in ("configured", "against")]
        check.equal("both were evaluated over one history", sides, [self.own, self.other])
        check.that("with a paired difference",
                   report["difference"]["hr_at_10"]["standard_error"] >= 0, report["difference"])
        self.compare(bound, live)

    def compare(self, bound, live):
        """The same history under the other configuration, folded from its start."""
        process = self.program.start("replay", "as-of", bound, *self.place, *OTHER, "--set",
                                     "snapshots.url=", "--listen", "127.0.0.1:0", log="as-of.log")
        past = Server(self.program, "as-of")
        past.process = process
        try:
            said = "answers as of the past on http://"
            line = wait_until("it listens", 120, lambda: said in past.tail() and past.tail())
            past.address = line.split(said)[1].split()[0]
            wait_until("it is ready", 60, past.is_ready)
            differ = [user for user in self.users if self.answer(past, user) != live[user]]
            self.checks.equal(f"users of {len(self.users)} with other answers or scores than "
                              "alone", differ, [])
        finally:
            past.stop_hard()

    # -- the end of one

    def retired(self):
        check, server = self.checks, self.server
        listed = json.loads(self.done("ls", "--output", "json"))
        check.equal("the one that is recorded", listed["active"], self.other)
        self.refused(FAILURE, "is active; activate another one first", "retire", self.other)
        server.start()
        check.equal("it answers again", server.pipeline()["serving_lineage"], self.other)
        self.at_head(self.other)
        self.done("rollback")
        check.equal("the one that answers", self.lineages()["active"], self.own)
        self.done("retire", self.other)
        check.equal("how it is", self.row(self.other)["state"], "retired")
        check.equal("asking it", server.get("/v1/popular", lineage=self.other).status, 400)
        check.equal("letting it answer",
                    server.request("POST", f"/v1/lineages/{self.other}:activate").status, 409)
        self.refused(FAILURE, "no other lineage was active before", "rollback")
        check.equal("exit code of SIGTERM", server.terminate(), 0)
        server.start()
        check.equal("after a restart too", self.row(self.other)["state"], "retired")
        check.equal("exit code of SIGTERM", server.terminate(), 0)

    def damaged(self):
        folder = self.server.data / "snapshots" / "lineages"
        victim = sorted(folder.glob("*.json"))[2]
        whole = victim.read_bytes()
        middle = bytearray(whole)
        middle[len(whole) // 2] ^= 1
        for what, bytes_ in (("a flipped bit", bytes(middle)), ("a cut", whole[:-9]),
                             ("a record that is gone", None)):
            victim.unlink()
            if bytes_ is not None:
                victim.write_bytes(bytes_)
            self.refused(BAD_DATA, victim.name, "ls")
            code, _, err = self.program.run("up", "--data", self.server.data, "--listen",
                                            "127.0.0.1:0", *OPTIONS, seconds=60)
            self.checks.that(f"{what}: a start refuses and names it",
                             code != 0 and victim.name in err and "panicked" not in err,
                             (code, err[-400:]))
        victim.unlink(missing_ok=True)
        victim.write_bytes(whole)
        self.done("ls")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", type=Path, required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--results")
    parser.add_argument("--rows", type=int, default=20_000)
    args = parser.parse_args()
    checks = Checks()
    run = Lineages(checks, Program(args.binary, args.scratch), args)
    stages = [
        ("a server with one lineage", run.streamed),
        ("the same history under another configuration is followed", run.registered),
        ("both learn from the rest of the stream", run.followed),
        ("activated, rolled back, activated under load", run.switched),
        ("kill -9: the activated one answers at the head", run.killed),
        ("both are what was recorded, and what a fold alone makes", run.proven),
        ("one is retired", run.retired),
        ("what is damaged is named", run.damaged),
    ]
    code = run_stages(checks, stages, args.results)
    run.server.stop_hard()
    return code


if __name__ == "__main__":
    sys.exit(main())
