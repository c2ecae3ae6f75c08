"""A fleet on Apache Kafka: one dataflow, two replicas, killed at random while a client sends.

    python3 .ci/fleet_e2e.py --binary PATH --movietweetings DIR --scratch DIR --cache DIR
        [--results FILE] [--kills N] [--rows N] [--seed S]

What must hold afterwards: every acknowledged row is folded, each once; both replicas are at the
same epoch and give the same answers; a dataflow that was stopped, replaced and woken up again
leaves without changing anything; the state that was closed is the one folded again from the log.
The broker is our own, on loopback, in --scratch; see kafka.py.
"""

import argparse
import random
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
from harness import SHUTDOWN_SECONDS, Checks, Program, Server, conserved, run_stages, wait_until
from kafka import Broker

USERS = 30


class Dataflow(Server):
    """The role `dataflow`: it has probes only, on a port that is chosen for it."""

    def __init__(self, program, data, options):
        super().__init__(program, data, verb="dataflow", options=options)

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
    def __init__(self, checks, program, broker, args):
        self.checks = checks
        self.program = program
        self.random = random.Random(args.seed)
        self.kills = args.kills
        inputs = args.scratch.resolve() / "movietweetings"
        self.rows = sample(args.movietweetings, inputs, args.rows)
        self.files = ("ingest", "--dataset", "movietweetings", "--path", inputs)
        self.options = ("--set", f"log.url=kafka://{broker.address}/fleet?open_timeout_ms=45000")
        self.dataflow = Dataflow(program, "dataflow", self.options)
        self.replicas = [Server(program, name, "serve", self.options) for name in ("one", "two")]

    def processes(self):
        return [self.dataflow, *self.replicas]

    def killed(self):
        """SIGKILL to one process after another, each started again, while a client sends."""
        self.dataflow.start()
        wait_until("the dataflow lives", 60, self.dataflow.is_ready)
        for replica in self.replicas:
            replica.start()
        # The door that the client uses may be killed too: it comes back on the same port.
        client = self.program.start(*self.files, "--server", self.replicas[0].url,
                                    log="client.log")
        done = 0
        while done < self.kills:
            time.sleep(0.2 + 1.3 * self.random.random())
            victim = self.random.choice(self.processes())
            port = victim.port
            victim.kill()
            victim.start(port)
            done += 1
        self.checks.that(f"{done} processes were killed while the client sent", done > 0)
        self.checks.equal("exit code of the client, which waited", client.wait(300), 0)
        self.settled("after the kills")

    def zombie(self):
        """SIGSTOP, a successor takes over, SIGCONT."""
        stopped = self.dataflow
        stopped.process.send_signal(signal.SIGSTOP)
        self.dataflow = Dataflow(self.program, "successor", self.options).start()
        token = self.replicas[1].post_event(
            {"event_type": "view", "user_id": "zombie", "item_id": "0111161"})
        self.rows += 1
        answer = self.replicas[1].get_json("/recommendations", user_id="zombie", after=token,
                                           max_wait_ms=2000)
        self.checks.that("the successor folds what comes", answer["model"]["user_epoch"] > 0,
                         answer["model"])
        stopped.process.send_signal(signal.SIGCONT)
        # It learns that it is deposed when it next binds, so there must be something to bind.
        self.replicas[1].post_event({"event_type": "view", "user_id": "zombie",
                                     "item_id": "0068646"})
        self.rows += 1
        code = stopped.process.wait(SHUTDOWN_SECONDS)
        self.checks.that("the woken one leaves with an error", code not in (0, None), code)
        self.checks.that("and says that another one binds", "another process writes bindings" in
                         stopped.tail(), stopped.tail())
        self.settled("after the zombie")

    def settled(self, when):
        for replica in self.replicas:
            sums = replica.settled(self.rows)
            self.checks.that(f"{when}, {replica.data.name}: {self.rows} rows are folded, each once",
                             sums["applied"] == self.rows and conserved(sums), sums)

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
        answer = replica.get_json("/recommendations", user_id=str(user), num_results=10)
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


def sample(folder, into, rows):
    """The first rows of the stream and the whole catalogue; how many different rows that is."""
    into.mkdir(parents=True)
    shutil.copyfile(folder / "movies.dat", into / "movies.dat")
    with open(folder / "ratings.dat", encoding="utf-8") as ratings:
        lines = [next(ratings) for _ in range(rows)]
    (into / "ratings.dat").write_text("".join(lines), encoding="utf-8")
    movies = (into / "movies.dat").read_text(encoding="utf-8").splitlines()
    return len(set(movies)) + len({line.rstrip("\n") for line in lines})


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
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    broker = Broker(args.scratch / "broker", args.cache).start()
    fleet = Fleet(checks, Program(args.binary, args.scratch), broker, args)
    stages = [
        (f"a stream while {args.kills} processes are killed, seed {args.seed}", fleet.killed),
        ("a zombie", fleet.zombie),
        ("two replicas, one answer", fleet.answers),
        ("a clean end, and the same state folded again", fleet.same_state),
    ]
    try:
        return run_stages(checks, stages, args.results)
    finally:
        for server in fleet.processes():
            server.stop_hard()
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
