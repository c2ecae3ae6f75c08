"""Eddyline on Redis: every user's document in the store equals the one in memory, also after Redis
stood still, was killed and came back empty, and after eddyline itself was killed.

    python3 .ci/redis_e2e.py --binary PATH --scratch DIR [--results FILE]

The servers are our own, on loopback, in --scratch.
"""

import argparse
import json
import random
import re
import signal
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, wait_until
from redis import HOST, Redis, ask

USERS, ITEMS, SEED = 1_500, 600, 7
FIRST_EVENTS = 6_000
BATCH = 100
# Users that are compared after each fault; the first time it is all of them.
SAMPLE = 300
OUTAGE_SECONDS = 4
PATIENCE_SECONDS = 120
# Of the moment, not of the document.
PASSING = ("epoch", "staleness_ms")


class Load:
    """Events of many users, over HTTP, a pure function of their number."""

    def __init__(self, server):
        self.server = server
        self.random = random.Random(SEED)
        self.sent = 0
        self.users = set()
        self.now_ms = int(time.time() * 1000) - 3_600_000
        self.refused = []
        self.stop = threading.Event()

    def event(self):
        # Few users and items are many of the events.
        user = f"u{int(USERS * self.random.random() ** 3)}"
        item = f"i{int(ITEMS * self.random.random() ** 3)}"
        kind = self.random.choice(("view", "view", "click", "like", "add_to_cart"))
        self.sent += 1
        self.now_ms += 20
        event = {"event_id": f"e{self.sent}", "event_type": kind, "user_id": user, "item_id": item,
                 "timestamp": self.now_ms}
        return user, event

    def post(self, events):
        for first in range(0, events, BATCH):
            drawn = [self.event() for _ in range(min(BATCH, events - first))]
            self.users.update(user for user, _ in drawn)
            body = {"events": [event for _, event in drawn]}
            answer = self.server.send("POST", "/v1/events", body)
            if answer.status != 202:
                self.refused.append(str(answer))

    def __enter__(self):
        """Load in the background."""
        self.stop.clear()

        def run():
            while not self.stop.is_set():
                self.post(BATCH)
                self.stop.wait(0.05)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class OnRedis:
    def __init__(self, checks, program, redis):
        self.checks, self.program, self.redis = checks, program, redis
        self.options = ("--set", f"features.url={redis.url}", "--set", "features.namespace=shop:")
        self.server = Server(program, "data", options=self.options)
        self.load = Load(self.server)

    # -- what is compared

    def metric(self, name):
        text = self.server.get("/metrics").body.decode()
        found = re.search(rf"^eddyline_feature_store_{name} ([0-9.]+)$", text, re.MULTILINE)
        return float(found.group(1))

    def is_whole(self):
        return self.metric("whole") == 1 and self.metric("lag_epochs") == 0

    def document(self, user, **query):
        document = self.server.get_json(f"/v1/users/{user}/features", **query)
        del document["request_id"]
        for member in PASSING:
            del document["model"][member]
        return document

    def stored(self, user):
        """A read that took too long says so, and is made again."""

        def look():
            document = self.document(user, source="store")
            return None if "fallback" in document else document

        return wait_until(f"{user} is read from the store", PATIENCE_SECONDS, look)

    def equal(self, when, sample=SAMPLE):
        self.server.settled(self.load.sent)
        wait_until("the store is whole", PATIENCE_SECONDS, self.is_whole)
        users = sorted(self.load.users)
        users = random.Random(len(users)).sample(users, min(sample, len(users)))
        different = [user for user in users if self.stored(user) != self.document(user)]
        self.checks.that(f"{when}: {len(users)} documents in Redis equal those in memory",
                         not different, f"{len(different)} differ, such as {different[:3]}")
        keys = len(ask(self.redis.port, "--scan", "--pattern", "shop:user:*:features").split())
        self.checks.equal(f"{when}: users in Redis", keys, len(self.load.users))

    def visible(self, user):
        """Seconds from a view until answers reflect it."""
        view = {"event_type": "view", "user_id": user, "item_id": "i1",
                "timestamp": self.load.now_ms}
        began = time.monotonic()
        token = self.server.post_event(view)
        answer = self.server.get_json("/v1/recommendations", user_id=user, after=token,
                                      max_wait_ms=2000)
        self.load.sent += 1
        self.load.users.add(user)
        is_known = answer["model"]["user_epoch"] is not None and not answer["fallback"]
        return time.monotonic() - began if is_known else None

    # -- stages

    def refusals(self):
        locked = Redis(self.redis.folder / "locked", "--requirepass", "right").start()
        cases = [
            ("an unknown scheme", "valkey://h:1", 78, "unknown scheme"),
            ("nobody there", f"redis://{HOST}:1", 69, "start it, or correct features.url"),
            ("a wrong password", f"redis://:wr0ng@{HOST}:{locked.port}", 78,
             "correct user and password in features.url"),
            ("no cluster", f"redis+cluster://{HOST}:{self.redis.port}", 78, "write redis://"),
        ]
        try:
            for what, url, code, part in cases:
                got, _, stderr = self.program.run("up", "--data", "refused", "--listen",
                                                  f"{HOST}:0", "--set", f"features.url={url}")
                self.checks.equal(f"{what}: exit code", got, code)
                self.checks.that(f"{what}: the error says {part!r}", part in stderr, stderr)
                self.checks.that(f"{what}: no password in it", "wr0ng" not in stderr, stderr)
        finally:
            locked.kill()
        _, shown, _ = self.program.run("config", "show", "--set", "features.url=redis://:wr0ng@h")
        self.checks.that("config show masks the password", "wr0ng" not in shown, shown)

    def undisturbed(self):
        self.server.start()
        self.load.post(FIRST_EVENTS)
        self.equal("undisturbed", sample=USERS)
        self.checks.equal("every event was taken", self.load.refused, [])
        length = int(ask(self.redis.port, "strlen", "shop:user:{u0}:features"))
        self.checks.that("a document is short", 0 < length < 400, length)
        self.checks.equal("failures of the store", self.metric("failures_total"), 0)
        print(f"   commit → visible in Redis: {self.visible_times()}", flush=True)

    def visible_times(self):
        text = self.server.get("/metrics").body.decode()
        name = r"eddyline_feature_store_visible_seconds_bucket\{le=\"([^\"]+)\"\} (\d+)"
        buckets = [(bound, int(count)) for bound, count in re.findall(name, text)]
        total = buckets[-1][1]
        at = {share: next(bound for bound, count in buckets if count >= share * total)
              for share in (0.5, 0.99)}
        return f"p50 ≤ {at[0.5]} s, p99 ≤ {at[0.99]} s of {total} epochs"

    def outage(self, what, begin, end):
        """`begin` and `end` an outage under load: everything else goes on."""
        check = self.checks
        with self.load:
            before = self.server.pipeline()["accepted"]
            begin()
            began, slowest, degraded = time.monotonic(), 0, None
            for number in range(10_000):
                if time.monotonic() - began >= OUTAGE_SECONDS:
                    break
                took = self.visible(f"{what.split()[0]}{number}")
                slowest = max(slowest, took if took is not None else 99)
                read = self.document("u0", source="store")
                degraded = read.get("fallback") or degraded
                time.sleep(0.1)
            check.that(f"{what}: a view shows in answers all the time", slowest < 9, slowest)
            check.that(f"{what}: a read of the store is labelled",
                       degraded and degraded["tier"] == "in_process"
                       and degraded["reason"].startswith("feature_store_"), degraded)
            after = self.server.pipeline()["accepted"]
            check.that(f"{what}: events go on", after > before + 2 * BATCH, (before, after))
            end()
        check.equal(f"{what}: every event was taken", self.load.refused, [])
        self.equal(f"after {what}")

    def stands_still(self):
        self.outage("standstill of Redis", lambda: self.redis.signal(signal.SIGSTOP),
                    lambda: self.redis.signal(signal.SIGCONT))

    def dies(self):
        refills = self.metric("refills_total")
        self.outage("death of Redis, back empty", self.redis.kill, self.redis.start)
        self.checks.that("it was refilled", self.metric("refills_total") > refills)

    def flushed(self):
        ask(self.redis.port, "flushall")
        # No event brings it up: the users that nobody touches have to come back too.
        wait_until("all is there again", PATIENCE_SECONDS, lambda: len(
            ask(self.redis.port, "--scan", "--pattern", "shop:user:*:features").split())
            == len(self.load.users))
        self.equal("after FLUSHALL")

    def forgotten(self):
        """A start from a snapshot folds nothing again: all documents have to come out of it."""
        self.server.settled(self.load.sent)
        self.checks.equal("SIGTERM: exit code", self.server.terminate(), 0)
        ask(self.redis.port, "flushall")
        self.server.start()
        self.checks.that("it goes on from a snapshot",
                         self.server.pipeline()["snapshot_epoch"] > 0, self.server.pipeline())
        wait_until("all is there again", PATIENCE_SECONDS, lambda: len(
            ask(self.redis.port, "--scan", "--pattern", "shop:user:*:features").split())
            == len(self.load.users))
        self.equal("after a start on an empty Redis")

    def killed(self):
        with self.load:
            time.sleep(1)
            self.load.stop.set()
            self.load.thread.join()
        # In the middle: what is on its way to Redis is lost with the process.
        self.load.post(10 * BATCH)
        self.server.kill()
        self.server.start()
        self.equal("after kill -9 of eddyline")
        self.load.post(10 * BATCH)
        self.equal("and going on")

    def closed(self):
        sums = self.server.settled(self.load.sent)
        self.checks.that("accepted = applied + duplicate + late + dead letter", conserved(sums),
                         sums)
        self.checks.equal("SIGTERM: exit code", self.server.terminate(), 0)
        self.server.start()
        self.equal("started again")
        rows = self.metric("refilled_rows_total")
        self.checks.equal("rows to refill after a clean close", rows, 0)
        self.checks.equal("SIGTERM: exit code", self.server.terminate(), 0)

    def other_histories(self):
        cases = [
            ("a wiped log", (), "set another features.namespace"),
            ("another configuration", ("--set", "core.seed=2"), "set another features.namespace"),
        ]
        for what, more, part in cases:
            code, _, stderr = self.program.run("up", "--data", "wiped", "--listen", f"{HOST}:0",
                                               *self.options, *more)
            self.checks.equal(f"{what}: exit code", code, 78)
            self.checks.that(f"{what}: the error says {part!r}", part in stderr, stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--results")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    redis = Redis(args.scratch.resolve() / "redis").start()
    run = OnRedis(checks, Program(args.binary, args.scratch), redis)
    stages = [
        ("Redis servers that cannot be used", run.refusals),
        ("undisturbed", run.undisturbed),
        ("Redis stands still under load", run.stands_still),
        ("Redis is killed under load and comes back empty", run.dies),
        ("Redis forgets everything while nothing happens", run.flushed),
        ("Redis forgets everything while eddyline is down", run.forgotten),
        ("eddyline is killed", run.killed),
        ("a clean end and a new start", run.closed),
        ("a store of another history", run.other_histories),
    ]
    try:
        return run_stages(checks, stages, args.results)
    finally:
        run.server.stop_hard()
        redis.kill()


if __name__ == "__main__":
    sys.exit(main())
