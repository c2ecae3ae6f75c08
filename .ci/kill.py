"""kill -9 at every named crash point of the driver, several times each, on the embedded log; then
an event that crashes the dataflow whenever it is folded; then kill -9 of whoever writes an archive
or reads one, in kill_archive.py.

    python3 .ci/kill.py --binary PATH --scratch DIR [--results FILE] [--times N]

For each point the server is started with EDDYLINE_CRASH_AT=point:n, events are posted until it has
killed itself, and it is started again. Then every acknowledged event must have been folded, each
once, and the digest of a clean close must be that of a fold of the log from its start.

EDDYLINE_PANIC_ON makes an operator panic on one record: the fourth start must pass over it.
"""

import argparse
import http.client
import json
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages
from kill_archive import KillArchive

# How often a point is passed before the process dies: at once, a little later, later.
COUNTS = (1, 2, 7, 12, 20)
# Points that a process passes once: there is no second time.
ONCE = {"start", "caught-up", "fence", "fenced", "in-force", "live"}
# Snapshots so often that all their points are passed, and that most lives start from one.
OPTIONS = ("--set", "snapshots.every_events=40")
BATCHES = 60


class Kill:
    def __init__(self, checks, program, times):
        self.checks = checks
        self.program = program
        self.times = times

    def at(self, point):
        for turn in range(self.times):
            count = 1 if point in ONCE else COUNTS[turn % len(COUNTS)]
            self.once(point, count, f"{point}-{turn}")

    def once(self, point, count, data):
        check, server = self.checks, Server(self.program, data, options=OPTIONS)
        what = f"{point}:{count}"
        self.acknowledged, self.unanswered = set(), None
        try:
            if point in ONCE:
                # A first life gives the second one something to recover.
                self.post(server.start(), range(5))
                server.kill()
            check.that(f"{what}: the process killed itself", self.live(server, what), server.log)
            server.start()
            if self.unanswered is not None:
                # It may have been taken: sent again it must not count twice.
                self.post(server, [self.unanswered])
            want = len(self.acknowledged)
            sums = server.settled(want)
            check.that(f"{what}: {want} acknowledged events are folded, each once",
                       sums["applied"] == want and conserved(sums), sums)
            check.equal(f"{what}: exit code of SIGTERM", server.terminate(), 0)
            self.same_digest(server, what)
        finally:
            server.stop_hard()

    def poison(self, operator):
        """Three starts end with a panic on the same record, the fourth goes on without it."""
        check, data = self.checks, f"poison-{operator}"
        server = Server(self.program, data)
        told = {"EDDYLINE_PANIC_ON": f"user_events/0/3@{operator}"}
        note = server.data / "crashes.json"
        self.acknowledged = set()
        try:
            # It is bound and folded by a life that does not panic, and that leaves no snapshot.
            self.post(server.start(), range(5))
            want = len(self.acknowledged)
            server.settled(want)
            server.kill()
            for time_ in (1, 2, 3):
                check.that(f"{operator}: start {time_} ends with exit code 70",
                           self.dies(server, told), server.tail())
                noted = json.loads(note.read_text())["crashes"]
                check.equal(f"{operator}: crashes noted", [
                    (one["record"]["topic"], one["record"]["partition"], one["record"]["offset"],
                     one["times"]) for one in noted], [("user_events", 0, 3, time_)])
            for part in ("error: thread ", f"{operator} folded offset 3 of user_events/0 in epoch",
                         "eddyline dlq skip user_events 0 3"):
                check.that(f"{operator}: it says {part!r}", part in server.tail(), server.tail())
            server.start(environment=told)
            sums = server.settled(want)
            check.equal(f"{operator}: applied of {want}, dead letters",
                        [sums["applied"], sums["dead_letter"]], [want - 1, 1])
            check.that(f"{operator}: the fourth start says what it passes over",
                       "is passed over from now on" in server.said(), server.tail())
            check.that(f"{operator}: nothing is noted any more", not note.exists())
            code, _, stderr = self.skip(server, "user_events", 0, 3)
            check.that(f"{operator}: dlq skip on a log in use: exit code 74", code == 74, stderr)
            check.equal(f"{operator}: exit code of SIGTERM", server.terminate(), 0)
            self.same_digest(server, operator)
        finally:
            server.stop_hard()

    def dies(self, server, environment):
        try:
            server.start(environment=environment)
        except RuntimeError:
            pass
        try:
            return server.process.wait(20) == 70
        except subprocess.TimeoutExpired:
            return False

    def same_digest(self, server, what):
        noted = json.loads((server.data / "digest.json").read_text())
        again = self.program.json("digest", "--data", server.data, "--recompute",
                                  "--workers", 2, "--output", "json")
        self.checks.equal(f"{what}: digest folded again", again["state_digest"],
                          noted["state_digest"])

    def skip(self, server, *record):
        return self.program.run("dlq", "skip", *record, "--data", server.data)

    def verb(self):
        """The same, said by the user."""
        check, server = self.checks, Server(self.program, "skipped")
        self.acknowledged = set()
        try:
            self.post(server.start(), range(5))
            want = len(self.acknowledged)
            server.settled(want)
            check.equal("exit code of SIGTERM", server.terminate(), 0)
            for record, code, part in ((("bindings", 0, 3), 2, "events lie in"),
                                       (("user_events", 9, 3), 2, "there is no partition 9"),
                                       (("user_events", 0, 10**9), 2, "there is no offset"),
                                       (("item_events", 0, 0), 2, "it is empty"),
                                       (("user_events", 0, 3), 0, "is passed over from now on"),
                                       (("user_events", 0, 3), 0, "to be passed over already")):
                got, stdout, stderr = self.skip(server, *record)
                check.that(f"dlq skip {record}: exit code {code}, {part!r}",
                           got == code and part in stdout + stderr, (got, stdout, stderr))
            got, _, stderr = self.program.run("dlq", "skip", "user_events", 0, 3,
                                              "--data", "nowhere")
            check.that("dlq skip without a log: exit code 74, no folder is made",
                       got == 74 and not (self.program.folder / "nowhere").exists(), stderr)
            listed = self.program.json("dlq", "ls", "--data", server.data, "--output", "json")
            listed = [(one["topic"], one["offset"], one["stage"]) for one in listed["dead_letters"]]
            check.equal("dlq ls", listed, [("user_events", 3, "skip")])
            server.start()
            sums = server.settled(want)
            check.equal(f"applied of {want}, dead letters",
                        [sums["applied"], sums["dead_letter"]], [want - 1, 1])
            check.equal("exit code of SIGTERM", server.terminate(), 0)
            self.same_digest(server, "after dlq skip")
        finally:
            server.stop_hard()

    def live(self, server, what):
        """Whether the server killed itself while events were posted."""
        try:
            server.start(environment={"EDDYLINE_CRASH_AT": what})
            self.post(server, range(5, 5 + BATCHES))
        except (RuntimeError, OSError, http.client.HTTPException):
            pass  # it died before it listened, or with a request in its hands
        try:
            return server.process.wait(20) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def post(self, server, batches):
        """Posts batches of new events; one that is not answered is remembered."""
        for batch in batches:
            self.unanswered = batch
            events = [
                {"event_id": f"{batch}-{n}", "event_type": "view", "user_id": f"u{n % 7}",
                 "item_id": f"i{(batch + n) % 11}"}
                for n in range(20)
            ]
            answer = server.send("POST", "/v1/events", {"events": events})
            if answer.status != 202:
                raise RuntimeError(str(answer))
            self.acknowledged.update(event["event_id"] for event in events)
            self.unanswered = None
            time.sleep(0.015)  # so that a batch is an epoch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--results")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", default="", help="stages with this in their title")
    args = parser.parse_args()
    checks = Checks()
    program = Program(args.binary, args.scratch)
    _, named, _ = program.run("bench", "crashes", "--points")
    named = named.split()
    of_archive = [point for point in named if point.startswith(("archive-", "compact-"))]
    points = [point for point in named if point not in of_archive]
    checks.equal("crash points of an archiver and of a compaction", len(of_archive), 9)
    checks.that(f"{len(points)} crash points are named", len(points) >= 19, points)
    run = Kill(checks, program, args.times)
    stages = [(f"kill -9 at {point}", lambda point=point: run.at(point)) for point in points]
    stages += [(f"an event that crashes {operator}", lambda operator=operator: run.poison(operator))
               for operator in ("learn", "apply")]
    stages.append(("an event that the user says to pass over", run.verb))
    stages += KillArchive(run).stages(of_archive)
    stages = [stage for stage in stages if args.only in stage[0]]
    return run_stages(checks, stages, args.results)


if __name__ == "__main__":
    sys.exit(main())
