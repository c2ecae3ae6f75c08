"""A fleet on Apache Kafka: one dataflow and two replicas, killed at random while clients send, and
cut off from Kafka and Redis.

    python3 .ci/fleet_e2e.py --binary PATH --movietweetings DIR --scratch DIR --cache DIR
        [--results FILE] [--kills N] [--rows N] [--seed S] [--features] [--s3 WEED]
        [--outage SECONDS]

What must hold afterwards: every acknowledged event is folded, each once; both replicas are at the
same epoch and give the same answers; a dataflow that was stopped, replaced and woken up again
leaves without changing anything; the state that was closed is the one folded again from the log.
With --features a Redis is beside the fleet, and holds what memory holds. An outage stops nobody who
asks. With --s3 snapshots lie on SeaweedFS, written often: every process that starts goes on from one.
`--kills 200 --features --s3 WEED` is the long campaign.
The servers are our own, on loopback, in --scratch; see kafka.py, redis.py, s3.py and proxy.py.
"""

import argparse
import os
import random
import re
import signal
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
from fleet_load import Asking, Flood, Load
from harness import SHUTDOWN_SECONDS, Checks, Program, Server, conserved, run_stages, sample
from harness import wait_until
from kafka import Broker
from proxy import Proxy
from redis import Redis
import s3

USERS = 30
# A machine that others use too may start a process slowly.
START_SECONDS = 180
SETTLE_SECONDS = 300
# Events between two snapshots, where they lie on S3.
EVERY = 2_000
GOES_ON = "from a snapshot"
# Of the moment, not of the document.
PASSING = ("epoch", "staleness_ms")


class Dataflow(Server):
    """The role `dataflow`: it has probes only, on a port that is chosen for it."""

    def start(self, port=0, environment=()):
        with socket.create_server(("127.0.0.1", port)) as free:
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        self.process = self.program.start(
            self.verb, "--data", self.data, "--listen", self.address, *self.options, log=self.log,
            environment=environment)
        return self

    def digest(self):
        """What it said at its last clean end."""
        told = re.findall(r"closed.*state_digest=\W*([0-9a-f]{64})", self.tail())
        return told[-1] if told else None


class Fleet:
    def __init__(self, checks, program, args):
        self.checks, self.program, self.args = checks, program, args
        self.random = random.Random(args.seed)
        self.kafka = Proxy(("127.0.0.1", 0))
        self.broker = Broker(args.scratch / "broker", args.cache, advertised=self.kafka.port)
        options = [f"log.url=kafka://127.0.0.1:{self.kafka.port}/fleet?open_timeout_ms=90000"]
        self.redis = self.features = None
        if args.features:
            self.redis = Redis(args.scratch.resolve() / "redis")
            self.features = Proxy(("127.0.0.1", self.redis.port))
            options.append(f"features.url=redis://127.0.0.1:{self.features.port}")
        self.weed = self.objects = None
        if args.s3:
            self.weed = s3.Weed(args.s3, args.scratch / "weed")
            self.objects = Proxy((s3.HOST, self.weed.ports["s3"]))
            options += [f"snapshots.url={self.objects_url('fleet')}",
                        f"snapshots.every_events={EVERY}"]
            os.environ.update(AWS_ACCESS_KEY_ID=s3.KEY, AWS_SECRET_ACCESS_KEY=s3.SECRET)
        self.options = tuple(word for option in options for word in ("--set", option))
        self.dataflow = Dataflow(program, "dataflow", "dataflow", self.options)
        self.replicas = [Server(program, name, "serve", self.options) for name in ("one", "two")]
        self.deposed = []
        for server in self.processes():
            server.patience = START_SECONDS
        self.load = Load(self.replicas, args.seed)
        # Rows of files that were sent, and events that were posted one by one.
        self.rows, self.posted = set(), 0

    def open(self):
        self.broker.start()
        self.kafka.target = ("127.0.0.1", self.broker.known()["plain"])
        if self.redis:
            self.redis.start()
        if self.weed:
            self.weed.start()
        return self

    def close(self):
        for server in (*self.processes(), *self.deposed):
            server.stop_hard()
        self.broker.stop()
        if self.redis:
            self.redis.kill()
        if self.weed:
            self.weed.end()

    def processes(self):
        return [self.dataflow, *self.replicas]

    # -- what is sent

    def send_file(self):
        """A client that sends rows of the stream to the first replica, whatever happens to it. It
        must come first: these events are old, and late behind those of today."""
        folder = self.args.scratch.resolve() / "movietweetings"
        self.rows = sample(self.args.movietweetings, folder, self.args.rows)
        return self.program.start("ingest", "--dataset", "movietweetings", "--path", folder,
                                  "--server", self.replicas[0].url, log="client.log")

    def post(self, event):
        self.posted += 1
        return self.replicas[1].post_event({"event_type": "view", **event})

    def sent(self):
        return len(self.rows) + self.posted + self.load.taken

    # -- what must hold

    def settled(self, when):
        """Every event is folded once, as both replicas say."""
        want = self.sent()
        for replica in self.replicas:
            def look():
                now = replica.pipeline()
                followed = now["serving_epoch"] == now["committed_epoch"] == now["bound_epoch"]
                return now if now["lag"] == 0 and followed and now["applied"] >= want else None

            try:
                sums = wait_until(f"{want} events are folded", SETTLE_SECONDS, look)
            except TimeoutError:
                sums = replica.pipeline()
            is_right = sums["applied"] == want and conserved(sums)
            self.checks.that(f"{when}, {replica.data.name}: {want} events are folded, each once",
                             is_right, f"{sums} {self.explain()}" if not is_right else "")
        self.same_documents(when)

    def explain(self):
        """What everybody says of itself."""
        told = []
        for server in self.processes():
            try:
                told.append(f"{server.data.name}: {server.get('/readyz')}")
            except OSError as error:
                told.append(f"{server.data.name}: {error}")
        return "; ".join(told)

    def same_documents(self, when):
        if not self.redis:
            return
        users = [str(user) for user in range(1, USERS + 1)] + self.load.some_users(USERS)
        for replica in self.replicas:
            different = [user for user in users if not self.is_same(replica, user)]
            self.checks.equal(f"{when}, {replica.data.name}: documents in Redis that differ from "
                              "memory", different, [])

    def is_same(self, replica, user):
        """A read that took too long says so, and one may come before the write: asked again."""
        for _ in range(100):
            stored, held = (document(replica, user, **query) for query in ({"source": "store"}, {}))
            if stored == held and "fallback" not in stored:
                return True
            time.sleep(0.1)
        return False

    # -- stages

    def killed(self):
        """SIGKILL to one process after another, each started again, while clients send."""
        self.dataflow.start()
        for replica in self.replicas:
            replica.start()
        wait_until("the dataflow lives", START_SECONDS, self.dataflow.is_ready)
        # The door that the client uses may be killed too: it comes back on the same port.
        client = self.send_file()
        done, slowest, loading = 0, 0, False
        try:
            while done < self.args.kills:
                if not loading and client.poll() is not None:
                    self.load.start()
                    loading = True
                time.sleep(0.2 + 1.3 * self.random.random())
                slowest = max(slowest, self.kill_one())
                done += 1
        except (TimeoutError, RuntimeError) as error:
            print(f"   {error}; {self.explain()}", flush=True)
        self.checks.equal("kills after which the process was ready again", done, self.args.kills)
        self.checks.equal("exit code of the client, which waited", client.wait(600), 0)
        self.load.end()
        self.checks.equal("answers to events that were neither 202 nor 503", self.load.refused, [])
        print(f"   slowest restart of a replica: {slowest:.1f} s", flush=True)
        self.settled("after the kills")

    def kill_one(self):
        """Seconds until it was ready again; a dataflow is not waited for."""
        victim = self.random.choice(self.processes())
        port = victim.port
        victim.kill()
        began = time.monotonic()
        victim.start(port)
        return time.monotonic() - began

    def zombie(self):
        """SIGSTOP, a successor takes over, SIGCONT."""
        stopped = self.dataflow
        self.deposed.append(stopped)
        stopped.process.send_signal(signal.SIGSTOP)
        self.dataflow = Dataflow(self.program, "successor", "dataflow", self.options).start()
        wait_until("the successor lives", START_SECONDS, self.dataflow.is_ready)
        token = self.post({"user_id": "zombie", "item_id": "0111161"})
        self.seen("the successor folds what comes", token)
        stopped.process.send_signal(signal.SIGCONT)
        # It learns that it is deposed when it next binds, so there must be something to bind.
        token = self.post({"user_id": "zombie", "item_id": "0068646"})
        code = stopped.process.wait(SHUTDOWN_SECONDS)
        self.checks.that("the woken one leaves with an error", code not in (0, None), code)
        self.checks.that("and says that another one binds", "another process writes bindings" in
                         stopped.tail(), stopped.tail())
        self.seen("the successor goes on", token)
        self.settled("after the zombie")

    def seen(self, what, token):
        answer = {}

        def look():
            nonlocal answer
            answer = self.replicas[1].get_json("/recommendations", user_id="zombie", after=token,
                                               max_wait_ms=2000)["model"]
            return answer["user_epoch"]

        try:
            wait_until(what, START_SECONDS, look)
            self.checks.that(what, True)
        except TimeoutError:
            self.checks.that(what, False, f"{answer} {self.explain()}")

    def kafka_is_gone(self):
        """Nobody reaches the broker. Asking goes on, taking in says when to come again."""
        self.outage("Kafka", self.kafka, Flood(self.replicas[1]))
        self.settled("after Kafka was gone")

    def redis_is_gone(self):
        before = self.replicas[0].pipeline()["applied"]
        self.outage("Redis", self.features, None)
        self.checks.that("events went on meanwhile",
                         self.replicas[0].pipeline()["applied"] > before + 100)
        self.settled("after Redis was gone")

    def objects_are_slow(self):
        """S3 answers late, then not at all: nobody waits for it, and snapshots go on afterwards."""
        before = self.dataflow.pipeline()
        self.outage("S3", self.objects, None, latency=1.0)
        self.checks.that("events went on meanwhile",
                         self.dataflow.pipeline()["applied"] > before["applied"] + 100)
        self.outage("S3", self.objects, None)
        self.load.start()

        def written():
            return self.dataflow.pipeline()["snapshot_epoch"] > before["snapshot_epoch"] or None

        try:
            wait_until("a snapshot is written again", START_SECONDS, written)
            self.checks.that("a snapshot is written again", True)
        except TimeoutError:
            self.checks.that("a snapshot is written again", False, self.dataflow.tail())
        self.load.end()
        self.settled("after S3 was gone")

    def snapshots_were_used(self):
        """Each of the processes told at a start what it went on from."""
        for server in (self.dataflow, *self.replicas):
            server.kill()
            server.start(server.port)
        wait_until("the dataflow lives", START_SECONDS, self.dataflow.is_ready)
        for server in (self.dataflow, *self.replicas):
            said = (self.program.folder / server.log).read_text(errors="replace")
            self.checks.that(f"{server.data.name} went on from a snapshot", GOES_ON in said,
                             said[-2000:])
        self.settled("after a start from snapshots")

    def outage(self, what, proxy, flood, **slowness):
        check, seconds = self.checks, self.args.outage
        users = [str(user) for user in range(1, USERS + 1)]
        with Asking(self.replicas, users, from_store=proxy is self.features) as asking:
            self.load.start()
            time.sleep(2)
            proxy.set(**(slowness or {"down": True}))
            ends = time.monotonic() + seconds
            if flood:
                flood.send()
                time.sleep(1)
                refused = flood.refused()
            time.sleep(max(0, ends - time.monotonic()))
            asking.end()
            proxy.set()
            self.load.end()
        gone = "slow" if slowness else "gone"
        check.that(f"{what} {gone} for {seconds} s: {asking.answers} answers, none an error",
                   asking.answers > seconds and not asking.errors, asking.errors[:3])
        check.that(f"{what} {gone}: 99 of 100 answers within a second", asking.slow() < 1.0,
                   asking.slow())
        if proxy is self.features:
            check.that("reads of the store say what they are instead", asking.labels >= 1
                       and not asking.unlabelled, (asking.labels, asking.unlabelled[:2]))
        check.equal("answers to events that were neither 202 nor 503", self.load.refused, [])
        if flood:
            check.that(f"{len(refused)} of {flood.size} events at once are refused at once, with "
                       "503 and Retry-After", set(refused) == {True}, refused[:3])
            self.posted += flood.finish()
        print(f"   slowest of 100 answers: {asking.slow() * 1000:.0f} ms", flush=True)

    def answers(self):
        one, two = self.replicas
        check = self.checks
        check.equal("epoch of the second replica", two.pipeline()["serving_epoch"],
                    one.pipeline()["serving_epoch"])
        different = []
        for user in range(1, USERS + 1):
            got = [self.answer(replica, user) for replica in self.replicas]
            if got[0] != got[1] or not got[0][1]:
                different.append(got)
        check.equal(f"users of {USERS} whose answers differ", different, [])

    def answer(self, replica, user):
        answer = replica.get_json("/recommendations", user_id=str(user), num_results=10,
                                  retrieval="exact")
        return (answer["model"]["epoch"],
                [(item["item_id"], item["score"]) for item in answer["items"]])

    def same_state(self):
        check = self.checks
        for server in (*self.replicas, self.dataflow):
            check.equal(f"{server.data.name}: exit code of SIGTERM", server.terminate(), 0)
        closed = self.dataflow.digest()
        for workers in (1, 2):
            again = self.program.json("digest", "--data", "again", *self.options, "--recompute",
                                      "--workers", workers)
            check.equal(f"state folded again by {workers} workers", again["state_digest"], closed)


    def archived(self):
        """The archiver is killed in the middle of its work on S3; the next one completes it, and
        the archive alone proves the whole history."""
        check, closed = self.checks, self.dataflow.digest()
        url = self.objects_url("archive")
        place = ("--archive", url, "--data", "archiver")
        often = ("--set", "archive.file_events=300", "--set", "archive.file_seconds=1")
        for turn in range(3):
            archiver = self.program.start("archive", *self.options, *often, *place,
                                          log=f"archiver-{turn}.log")
            time.sleep(1 + self.random.random())
            archiver.kill()
            archiver.wait()
        code, _, said = self.program.run("archive", "--once", *self.options, *place)
        check.that("the next archiver completes it", code == 0, said[-500:])
        report = self.program.json("archive", "verify", *place, "--output", "json")
        check.equal("what is wrong with the archive", report["findings"], [])
        report = self.program.json("replay", "verify", *place, "--output", "json")
        check.equal("state folded from the archive", report["state_digest"], closed)
        check.equal("epochs of which nothing was recorded", report["unrecorded"], 0)
        check.equal("epochs as recorded", report["equal"], report["epoch"])

    def objects_url(self, folder):
        return (f"s3://{s3.BUCKET}/{folder}?endpoint=http://127.0.0.1:{self.objects.port}"
                "&region=us-east-1")


def document(replica, user, **query):
    """The features of a user, without what is of the moment."""
    read = replica.get_json(f"/v1/users/{user}/features", **query)
    del read["request_id"]
    for member in PASSING:
        del read["model"][member]
    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--results")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--features", action="store_true", help="with a Redis beside the fleet")
    parser.add_argument("--s3", metavar="WEED", help="with SeaweedFS, this binary, for snapshots")
    parser.add_argument("--outage", type=int, default=0, help="seconds without Kafka, then Redis")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    fleet = Fleet(checks, Program(args.binary, args.scratch), args)
    stages = [
        (f"a stream while {args.kills} processes are killed, seed {args.seed}", fleet.killed),
        ("a zombie", fleet.zombie),
    ]
    if args.outage:
        stages.append((f"Kafka is out of reach for {args.outage} s", fleet.kafka_is_gone))
    if args.outage and args.features:
        stages.append((f"Redis is out of reach for {args.outage} s", fleet.redis_is_gone))
    if args.s3:
        stages.append(("every process starts from a snapshot on S3", fleet.snapshots_were_used))
    if args.outage and args.s3:
        stages.append((f"S3 is slow, then out of reach, for {args.outage} s each",
                       fleet.objects_are_slow))
    stages += [
        ("two replicas, one answer", fleet.answers),
        ("a clean end, and the same state folded again", fleet.same_state),
    ]
    if args.s3:
        stages.append(("archived on S3 by archivers that are killed", fleet.archived))
    try:
        fleet.open()
        return run_stages(checks, stages, args.results)
    finally:
        fleet.close()


if __name__ == "__main__":
    sys.exit(main())
