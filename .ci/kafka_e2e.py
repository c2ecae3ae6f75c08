"""Eddyline on Apache Kafka: a real stream, both killed on the way, the same state folded again.

    python3 .ci/kafka_e2e.py --binary PATH --movietweetings DIR --scratch DIR --cache DIR
        [--results FILE]

The broker is our own, on loopback, in --scratch; see kafka.py.
"""

import argparse
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, sample, wait_until
from kafka import Broker

ROWS = 6_000
KILL_AT = 1_500


class OnKafka:
    def __init__(self, checks, program, broker, inputs, rows):
        self.checks = checks
        self.program = program
        self.broker = broker
        self.files = ("ingest", "--dataset", "movietweetings", "--path", inputs)
        self.rows = rows
        self.options = ("--set", f"log.url=kafka://{broker.address}/e2e?open_timeout_ms=5000")
        self.server = Server(program, "data", options=self.options)

    def stream(self):
        """kill -9 to the server, then to the broker, while a client sends."""
        check, server = self.checks, self.server.start()
        client = self.program.start(*self.files, "--server", server.url, log="client.log")
        self.folded(KILL_AT)
        server.kill()
        server.start(server.port)
        self.folded(2 * KILL_AT)
        self.broker.kill()
        alive = server.get("/v1/popular", window="24h").status
        check.equal("an answer while the broker is dead", alive, 200)
        self.broker.start()
        check.equal("exit code of the client, which waited", client.wait(180), 0)
        sums = server.settled(self.rows)
        check.equal("rows applied", sums["applied"], self.rows)
        check.equal("dead letters", sums["dead_letter"], 0)
        check.that("accepted = applied + duplicate + late + dead letter", conserved(sums), sums)

    def folded(self, least):
        wait_until(f"{least} rows are folded", 120,
                   lambda: self.server.pipeline()["accepted"] >= least)

    def same_state(self):
        check, server = self.checks, self.server
        check.equal("SIGTERM: exit code", server.terminate(), 0)
        closed = self.digest()
        check.equal("where digest has it from", closed["source"], "clean close")
        for workers in (1, 2):
            again = self.digest("--recompute", "--workers", workers)
            for member in ("lineage", "epoch", "state_digest"):
                check.equal(f"{member} folded again by {workers} workers", again[member],
                            closed[member])

    def archived(self):
        """From Kafka to Parquet, and every epoch proven from that alone."""
        check, place = self.checks, ("--data", self.server.data, "--archive", "file:archive")
        code, said, err = self.program.run("archive", "--once", *self.options, *place)
        check.that("it is archived", code == 0 and "archived up to epoch" in said, err[-500:])
        report = self.program.json("archive", "verify", *place, "--output", "json")
        check.equal("what is wrong with the archive", report["findings"], [])
        report = self.program.json("replay", "verify", *place, "--output", "json")
        check.equal("epochs as recorded", report["equal"], report["epoch"])
        check.equal("state folded from the archive", report["state_digest"],
                    self.digest()["state_digest"])

    def digest(self, *more):
        return self.program.json("digest", "--data", self.server.data, *self.options, *more)

    def nobody_there(self):
        self.broker.stop()
        code, _, stderr = self.program.run("digest", "--data", "elsewhere", *self.options,
                                           "--recompute", seconds=60)
        self.checks.equal("exit code without a broker", code, 69)
        for part in (self.broker.address, "start it, or correct log.url"):
            self.checks.that(f"the error says {part}", part in stderr, stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--results")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    inputs = args.scratch.resolve() / "movietweetings"
    rows = len(sample(args.movietweetings, inputs, ROWS))
    checks = Checks()
    broker = Broker(args.scratch / "broker", args.cache).start()
    run = OnKafka(checks, Program(args.binary, args.scratch), broker, inputs, rows)
    stages = [
        ("a stream over Kafka, server and broker killed on the way", run.stream),
        ("a clean end, and the same state folded again from Kafka", run.same_state),
        ("archived, and proven from the archive", run.archived),
        ("no broker there", run.nobody_there),
    ]
    try:
        return run_stages(checks, stages, args.results)
    finally:
        run.server.stop_hard()
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
