"""Eddyline on Apache Kafka: a real stream, both killed on the way, the same state folded again.

    python3 .ci/kafka_e2e.py --binary PATH --movietweetings DIR --scratch DIR --cache DIR
        [--results FILE]

The broker is our own, on loopback, in --scratch; see kafka.py.
"""

import argparse
import base64
import json
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, sample, wait_until
from kafka import Broker
from kafka_wire import produce

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

    def letters(self):
        """What another producer writes is no event: it is listed, and one is sent again."""
        check, server = self.checks, self.server.start()
        # A client that was interrupted has sent some twice.
        before = server.settled(self.rows)["accepted"]
        bad = [(b"u", b'{"event_type":"view","user_id":"u"}'), (b"u", b"\xff\x00"),
               (b"u", b'{"event_type":"looks","user_id":"u","item_id":"i"}')]
        first = produce(self.broker.address, "e2e.user_events", 0, bad)
        sums = server.settled(before + 3)
        check.equal("dead letters", sums["dead_letter"], 3)
        ls = ("dlq", "ls", "--log-url", self.options[1].removeprefix("log.url="))
        listed = self.program.json(*ls, "--output", "json")["dead_letters"]
        check.equal("where they are listed",
                    [(one["topic"], one["partition"], one["offset"]) for one in listed],
                    [("user_events", 0, first + at) for at in range(3)])
        check.equal("why", [(one["kind"], one["pointer"]) for one in listed],
                    [("missing-field", "/item_id"), ("malformed-json", ""),
                     ("unknown-event-type", "/event_type")])
        check.equal("their bytes", [one["value_base64"] for one in listed],
                    [base64.b64encode(value).decode() for _, value in bad])
        retry = ("dlq", "retry", "user_events", 0, first, *ls[2:], "--server", server.url)
        code, _, err = self.program.run(*retry)
        check.that("as it is, it is refused again", code == 65 and "item_id" in err, (code, err))
        corrected = self.program.folder / "corrected.json"
        corrected.write_text(json.dumps({"event_type": "view", "user_id": "u", "item_id": "i"}))
        code, _, err = self.program.run(*retry, "--with", corrected)
        check.equal("corrected, it is taken", code, 0)
        sums = server.settled(before + 4)
        check.equal("applied and dead letters", [sums["applied"], sums["dead_letter"]],
                    [self.rows + 1, 3])
        code, _, err = self.program.run("dlq", "retry", "user_events", 0, first + 3, *ls[2:],
                                        "--server", server.url)
        check.that("an event is no dead letter", code == 2 and "no dead letter" in err, (code, err))
        check.equal("SIGTERM: exit code", server.terminate(), 0)

    def archived(self):
        """From Kafka to Parquet, and every epoch proven from that alone."""
        check, place = self.checks, ("--data", self.server.data, "--archive", "file:archive")
        code, said, err = self.program.run("archive", "--once", *self.options, *place)
        check.that("it is archived", code == 0 and "archived up to epoch" in said, err[-500:])
        report = self.program.json("archive", "verify", *place, "--output", "json")
        check.equal("what is wrong with the archive", report["findings"], [])
        listed = self.program.json("dlq", "ls", *place, "--output", "json")["dead_letters"]
        check.equal("dead letters in the archive", len(listed), 3)
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
        ("records of others that are no events", run.letters),
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
