"""Eddyline's dataflow as several processes on Apache Kafka, killed on the way, each once and all
folded: two processes with one worker each, then with two on the same log.

    python3 .ci/cluster_e2e.py --binary PATH --movietweetings DIR --scratch DIR --cache DIR
        [--results FILE] [--rows N]

What must hold: every acknowledged row is folded, once; a process that is lost takes the others with
it, and their supervisors bring all of them back; partitions that a topic gets meanwhile are read;
Kafka's own tools see how far we are; the state that was closed is the one that a single process
folds again. The broker is our own, on loopback, in --scratch; see kafka.py.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
from harness import SHUTDOWN_SECONDS, Checks, Program, Server, conserved, run_stages, wait_until
from kafka import Broker, free_ports
from kafka_wire import add_partitions, committed

NAMESPACE = "cluster"
TOPIC = f"{NAMESPACE}.user_events"
VIEWS = ("--delimiter", "::", "--map", "user_id=1,item_id=2,timestamp=4,event_type=:view")
GROWN, NEWCOMERS = 6, 200
BACK_SECONDS = 90


class Process:
    """One process of the dataflow, under its supervisor or alone."""

    def __init__(self, program, name, arguments, supervised=True, environment=()):
        self.program = program
        self.log = f"{name}.log"
        more = ("--supervise",) if supervised else ()
        self.popen = program.start("dataflow", "--data", name, *arguments, *more, log=self.log,
                                   environment=environment)

    def child(self):
        """The process under the supervisor, if it lives."""
        pid = self.popen.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None

    def kill_child(self):
        child = wait_until("the supervisor has a child", BACK_SECONDS, self.child)
        signal_process(child, signal.SIGKILL)
        return child

    def said(self):
        return (self.program.folder / self.log).read_text(errors="replace")

    def terminate(self):
        self.popen.send_signal(signal.SIGTERM)

    def ended(self, seconds=SHUTDOWN_SECONDS):
        return self.popen.wait(seconds)

    def stop_hard(self):
        """The child first, whose supervisor would bring it back."""
        if self.popen.poll() is None:
            child = self.child()
            self.popen.kill()
            self.popen.wait()
            if child:
                signal_process(child, signal.SIGKILL)


def signal_process(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Leader(Server):
    """The probes of process 0."""

    def __init__(self, program, port):
        super().__init__(program, "probes")
        self.address = f"127.0.0.1:{port}"


class Cluster:
    def __init__(self, checks, program, broker, args):
        self.checks = checks
        self.program = program
        self.broker = broker
        self.inputs = args.scratch.resolve() / "movietweetings"
        self.rows = sample(args.movietweetings, self.inputs, args.rows)
        url = f"log.url=kafka://{broker.address}/{NAMESPACE}?open_timeout_ms=45000"
        self.options = ("--set", url)
        self.replica = Server(program, "replica", "serve", self.options)
        self.processes = []
        self.sent = 0

    def arguments(self, index, workers, hosts, listen):
        return (*self.options, "--listen", f"127.0.0.1:{listen}", "--workers", workers,
                "--processes", 2, "--process", index, "--hosts", ",".join(hosts))

    def start(self, workers, supervised=True, differing=(), environment=()):
        """Two processes; the probes of the one that leads."""
        first, second, listen = free_ports(3)
        hosts = (f"127.0.0.1:{first}", f"127.0.0.1:{second}")
        for index in (0, 1):
            arguments = self.arguments(index, workers, hosts, listen)
            more = differing if index == 1 else ()
            name = f"{workers}-{index}-{len(self.processes)}"
            self.processes.append(
                Process(self.program, name, (*arguments, *more), supervised, environment))
        return Leader(self.program, listen), *self.processes[-2:]

    def killed(self, workers, file, rows, grow=False):
        """Both processes are killed, one after the other, while a client sends."""
        check = self.checks
        probes, leader, follower = self.start(workers)
        wait_until("the dataflow folds", BACK_SECONDS, probes.is_ready)
        if self.replica.process is None:
            self.replica.start()
        client = self.program.start(*file, "--server", self.replica.url, log="client.log")
        before, self.sent = self.sent, self.sent + rows
        self.folded(before + rows // 4)
        self.kill(follower, leader, "lost process 1")
        # A process that has met nobody yet is missed by nobody.
        wait_until("the dataflow is back", BACK_SECONDS, probes.is_ready)
        self.folded(before + rows // 2)
        self.kill(leader, follower, "process 0")
        check.equal("exit code of the client, which waited", client.wait(300), 0)
        wait_until("the dataflow is back", BACK_SECONDS, probes.is_ready)
        if grow:
            self.grow(leader)
        sums = self.replica.settled(self.sent)
        check.that(f"{self.sent} rows are folded, each once",
                   sums["applied"] == self.sent and conserved(sums), sums)
        if grow:
            self.group()
        self.closed(leader, follower)

    def grow(self, leader):
        """A topic gets partitions, which are used at once and read without a restart."""
        before = leader.child()
        add_partitions(self.broker.address, TOPIC, GROWN)
        time.sleep(3)  # until the door knows of them
        for user in range(NEWCOMERS):
            self.replica.post_event(
                {"event_type": "view", "user_id": f"newcomer-{user}", "item_id": "0111161"})
        self.sent += NEWCOMERS
        self.replica.settled(self.sent)
        self.checks.equal("process 0 after its topic grew", leader.child(), before)

    def group(self):
        """Kafka's own tools show the lag, which is none."""
        address, group = self.broker.address, f"{NAMESPACE}.eddyline"
        topics = ((TOPIC, GROWN), (f"{NAMESPACE}.feedback", 2), (f"{NAMESPACE}.item_events", 1))

        def offsets():
            return {topic: committed(address, group, topic, count) for topic, count in topics}

        def together():
            return sum(sum(partitions.values()) for partitions in offsets().values())

        wait_until("the consumer group is at the end of the log", 20,
                   lambda: together() == self.sent)
        new = [offsets()[TOPIC][partition] for partition in (4, 5)]
        self.checks.that("the consumer group is at the end, that of new partitions too",
                         all(offset > 0 for offset in new), new)

    def kill(self, victim, other, says):
        """kill -9 to a process: the other stops at once and says why, and both come back."""
        terms = other.said().count(says)
        died, before = time.monotonic(), other.child()
        killed = victim.kill_child()
        wait_until("the other one stops", 30, lambda: other.said().count(says) > terms)
        took = time.monotonic() - died
        self.checks.that(f"the other one says {says!r} within 5 s", took < 5, f"{took:.1f} s")
        for process, old in ((victim, killed), (other, before)):
            wait_until("both are started again", BACK_SECONDS,
                       lambda: process.child() not in (None, old))

    def folded(self, least):
        wait_until(f"{least} rows are folded", 120,
                   lambda: self.replica.pipeline()["accepted"] >= least)

    def closed(self, leader, follower):
        """SIGTERM to process 0 ends all of them, and its state is that of the log."""
        check = self.checks
        leader.terminate()
        check.equal("SIGTERM to process 0: its exit code", leader.ended(60), 0)
        check.equal("and that of the other one", follower.ended(60), 0)
        told = re.findall(r"closed.*state_digest=\W*([0-9a-f]{64})", leader.said())
        again = self.program.json("digest", "--data", "again", *self.options, "--recompute",
                                  "--workers", 1)
        check.equal("state folded again by one process", again["state_digest"], told[-1:][0])

    def poisoned(self, operator):
        """An event crashes `operator` of either process, or of both, until it is passed over."""
        check = self.checks
        address, group = self.broker.address, f"{NAMESPACE}.eddyline"
        # The last life has committed the end of each partition.
        offset = committed(address, group, TOPIC, GROWN)[0]
        told = {"EDDYLINE_PANIC_ON": f"user_events/0/{offset}@{operator}"}
        before = self.replica.pipeline()
        _, leader, follower = self.start(1, environment=told)
        # Enough users for every partition.
        for user in range(NEWCOMERS):
            self.replica.post_event(
                {"event_type": "view", "user_id": f"{operator}-{user}", "item_id": "0111161"})
        self.sent += NEWCOMERS
        sums = self.replica.settled(self.sent)
        check.equal(f"{operator}: dead letters", sums["dead_letter"] - before["dead_letter"], 1)
        check.equal(f"{operator}: applied", sums["applied"] - before["applied"], NEWCOMERS - 1)
        said = leader.said() + follower.said()
        record = f"{operator} folded offset {offset} of user_events/0"
        check.that(f"{operator}: it crashed three times at least, and said on what",
                   3 <= said.count(record) <= 6, said.count(record))
        check.that(f"{operator}: a process says that it is passed over",
                   "is passed over from now on" in said, said[-2000:])
        self.closed(leader, follower)
        notes = sorted(map(str, self.program.folder.glob("*/crashes*.json")))
        check.equal(f"{operator}: crashes that are still noted", notes, [])

    def one_worker(self):
        file = ("ingest", "--dataset", "movietweetings", "--path", self.inputs)
        self.killed(1, file, self.rows[0])

    def two_workers(self):
        file = ("ingest", self.inputs / "later.dat", *VIEWS)
        self.killed(2, file, self.rows[1], grow=True)

    def alone(self):
        """Without supervisors: who is told to go, who does not belong, who has no address."""
        check = self.checks
        probes, leader, follower = self.start(1, supervised=False)
        wait_until("the dataflow folds", BACK_SECONDS, probes.is_ready)
        follower.terminate()
        check.equal("SIGTERM to process 1: its exit code", follower.ended(), 0)
        check.that("it says that it cannot leave alone", "cannot leave alone" in follower.said())
        check.equal("exit code of process 0, which lost it", leader.ended(), 69)
        check.that("which says so", "lost process 1" in leader.said(), leader.said())
        for key, differing in (("[core]", ("--set", "core.seed=7")), ("--workers", ("--set", "dataflow.workers=2"))):
            _, leader, follower = self.start(1, supervised=False, differing=differing)
            for process in (leader, follower):
                check.equal(f"another {key}: exit code", process.ended(60), 78)
                check.that(f"the error names {key}", key in process.said(), process.said())
        hosts = (self.replica.address, "127.0.0.1:9")
        arguments = self.arguments(0, 1, hosts, 0)
        code, _, stderr = self.program.run("dataflow", "--data", "taken", *arguments, seconds=90)
        check.equal("the own address is taken: exit code", code, 69)
        check.that("the error names it", f"cannot listen on {self.replica.address}" in stderr, stderr)
        check.equal("SIGTERM to the replica: exit code", self.replica.terminate(), 0)


def sample(folder, into, rows):
    """The whole catalogue and ratings in the order of time, in two files; how many rows are sent
    with each."""
    into.mkdir(parents=True)
    shutil.copyfile(folder / "movies.dat", into / "movies.dat")
    with open(folder / "ratings.dat", encoding="utf-8") as ratings:
        lines = {next(ratings) for _ in range(2 * rows)}
    lines = sorted(lines, key=lambda line: (int(line.split("::")[3]), line))
    (into / "ratings.dat").write_text("".join(lines[:rows]), encoding="utf-8")
    (into / "later.dat").write_text("".join(lines[rows:]), encoding="utf-8")
    movies = (into / "movies.dat").read_text(encoding="utf-8").splitlines()
    return len(set(movies)) + rows, len(lines) - rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--results")
    parser.add_argument("--rows", type=int, default=10_000)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    broker = Broker(args.scratch / "broker", args.cache).start()
    cluster = Cluster(checks, Program(args.binary, args.scratch), broker, args)
    stages = [
        ("two processes with one worker each, killed on the way", cluster.one_worker),
        ("two with two workers each, on the same log, which grows", cluster.two_workers),
        ("an event that crashes the read phase", lambda: cluster.poisoned("learn")),
        ("an event that crashes the apply phase of both", lambda: cluster.poisoned("apply")),
        ("two processes without supervisors, and what is refused", cluster.alone),
    ]
    try:
        return run_stages(checks, stages, args.results)
    finally:
        for process in cluster.processes:
            process.stop_hard()
        cluster.replica.stop_hard()
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
