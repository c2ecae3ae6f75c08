"""Two lineages side by side in a fleet on Apache Kafka.

    python3 .ci/lineage_fleet_e2e.py --binary PATH --movietweetings DIR --scratch DIR --cache DIR
        [--results FILE] [--rows N]

One dataflow and two replicas. The same history is rebuilt under another configuration; the dataflow
folds it beside its own, killed on the way, and publishes both. It is activated through one replica and
the other follows; both are killed and answer from it again. Each lineage is proven against what was
recorded of it, and answers are those of a fold of the whole log, score for score. At last `up` takes
over, on the same log, and answers from it too.
The broker is our own, on loopback, in --scratch; see kafka.py.
"""

import argparse
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from fleet_e2e import Dataflow
from harness import Checks, Program, Server, conserved, run_stages, sample, wait_until
from kafka import Broker
from lineage_e2e import OTHER, Asking, halves

USERS = 50


class Fleet:
    def __init__(self, checks, program, broker, args):
        self.checks, self.program = checks, program
        inputs = program.folder / "inputs"
        self.rows = len(sample(args.movietweetings, inputs, args.rows))
        self.parts, users = halves(inputs, program.folder)
        self.users = users[:USERS]
        options = (f"log.url=kafka://{broker.address}/sides?open_timeout_ms=30000",
                   f"snapshots.url=file:{program.folder / 'snapshots'}",
                   "snapshots.every_events=2000")
        self.options = tuple(word for option in options for word in ("--set", option))
        self.dataflow = Dataflow(program, "dataflow", "dataflow", self.options)
        self.replicas = [Server(program, name, "serve", self.options) for name in ("one", "two")]
        self.up = Server(program, "up", options=self.options)
        self.own = self.other = None

    def ingest(self, part):
        return self.program.start("ingest", "--dataset", "movietweetings", "--path",
                                  self.parts[part], "--server", self.replicas[0].url,
                                  log="client.log")

    @staticmethod
    def row(server, lineage):
        listed = server.get_json("/v1/lineages")["lineages"]
        return next((one for one in listed if one["lineage"] == lineage), None)

    def at_head(self, server, lineage):
        """The last epoch, once a server has all of it of a lineage."""
        def look():
            now, row = server.pipeline(), self.row(server, lineage)
            is_there = row and row["state"] in ("active", "beside") and row["lag_epochs"] == 0
            return is_there and now["lag"] == 0 and row["epoch"] == now["bound_epoch"] and now

        return wait_until(f"{server.data.name} has lineage {lineage[:8]}", 180, look)

    def answers(self, server, **query):
        def one(user):
            answer = server.get_json("/v1/recommendations", user_id=user, num_results=10,
                                     retrieval="exact", exploration=0, **query)
            return answer["model"]["lineage"], [(item["item_id"], item["score"])
                                                for item in answer["items"]]

        return {user: one(user) for user in self.users}

    def verb(self, server, *arguments):
        code, _, err = self.program.run("lineage", *arguments, "--server", server.url)
        self.checks.equal(f"exit code of lineage {arguments[0]}", code, 0)
        return err

    # -- stages

    def streamed(self):
        self.dataflow.start()
        for replica in self.replicas:
            replica.start()
        self.checks.equal("exit code of the client", self.ingest(0).wait(300), 0)
        one = self.replicas[0]
        wait_until("it is folded", 180, lambda: one.pipeline()["accepted"] > self.rows // 4)
        self.own = one.get_json("/v1/lineages")["active"]
        self.at_head(one, self.own)

    def followed(self):
        check = self.checks
        rebuilt = self.program.json("replay", "rebuild", "--log", "--data", "elsewhere",
                                    *self.options, *OTHER, "--output", "json")
        self.other = rebuilt["lineage"]
        client = self.ingest(1)
        for _ in range(2):
            before = self.replicas[0].pipeline()["accepted"]
            wait_until("some more are folded", 120, lambda before=before: client.poll() is not None
                       or self.replicas[0].pipeline()["accepted"] > before + 500)
            self.dataflow.kill()
            self.dataflow.start(self.dataflow.port)
        check.equal("exit code of the client, which waited", client.wait(300), 0)
        one = self.replicas[0]
        wait_until("all is folded", 300, lambda: one.pipeline()["applied"] >= self.rows)
        for replica in self.replicas:
            for lineage in (self.own, self.other):
                sums = self.at_head(replica, lineage)
            check.that(f"{replica.data.name}: every row is folded once", conserved(sums)
                       and sums["applied"] == self.rows, sums)
        sides = [self.answers(replica, lineage=self.other) for replica in self.replicas]
        check.that("both replicas answer alike of the other lineage", sides[0] == sides[1])
        check.that("otherwise than of their own", sides[0] != self.answers(one))

    def switched(self):
        check, (one, two) = self.checks, self.replicas
        with Asking(two, self.users) as asking:
            asking.since(asking.mark())
            self.verb(one, "activate", self.other[:10])
            check.equal("the replica that was asked", one.pipeline()["serving_lineage"],
                        self.other)
            wait_until("the other follows", 30,
                       lambda: two.pipeline()["serving_lineage"] == self.other)
            check.equal("its answers then", asking.since(asking.mark()), {self.other})
        check.equal("requests that failed meanwhile", asking.wrong[:3], [])
        check.equal("every answer named one of the two", set(asking.answers),
                    {self.own, self.other})
        two.kill()
        two.start()
        check.equal("after kill -9 it answers from it again", two.pipeline()["serving_lineage"],
                    self.other)

    def proven(self):
        check, two = self.checks, self.replicas[1]
        bound = self.at_head(two, self.other)["bound_epoch"]
        live = self.answers(two)
        place = ("--log", "--data", "elsewhere", *self.options)
        for name, more in (("the configured", ()), ("the other", OTHER)):
            report = self.program.json("replay", "verify", *place, *more, "--output", "json")
            check.that(f"{name} lineage: every epoch as recorded", report["mismatch"] is None
                       and report["equal"] > 0
                       and report["equal"] + report["unrecorded"] >= bound, report)
        process = self.program.start("replay", "as-of", bound, *place, *OTHER, "--set",
                                     "snapshots.url=", "--listen", "127.0.0.1:0", log="as-of.log")
        past = Server(self.program, "as-of")
        past.process = process
        try:
            said = "answers as of the past on http://"
            line = wait_until("it listens", 180, lambda: said in past.tail() and past.tail())
            past.address = line.split(said)[1].split()[0]
            wait_until("it is ready", 60, past.is_ready)
            alone = self.answers(past)
            differ = [user for user in self.users if alone[user] != live[user]]
            check.equal(f"users of {len(self.users)} with other answers or scores than alone",
                        differ, [])
        finally:
            past.stop_hard()

    def taken_over(self):
        """One process on the same log and snapshots."""
        check = self.checks
        for server in (*self.replicas, self.dataflow):
            check.equal(f"exit code of SIGTERM, {server.data.name}", server.terminate(), 0)
        up = self.up.start()
        check.equal("up answers from the recorded lineage", up.pipeline()["serving_lineage"],
                    self.other)
        up.post_event({"event_type": "view", "user_id": "fresh", "item_id": "new"})
        wait_until("the event is folded", 60, lambda: up.pipeline()["applied"] == self.rows + 1)
        self.at_head(up, self.other)
        self.verb(up, "rollback")
        check.equal("after a rollback", up.pipeline()["serving_lineage"], self.own)
        check.equal("exit code of SIGTERM", up.terminate(), 0)

    def close(self):
        for server in (*self.replicas, self.dataflow, self.up):
            server.stop_hard()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--results")
    parser.add_argument("--rows", type=int, default=6_000)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    broker = Broker(args.scratch / "broker", args.cache).start()
    fleet = Fleet(checks, Program(args.binary, args.scratch), broker, args)
    stages = [
        ("a fleet with one lineage", fleet.streamed),
        ("a second one is folded and published beside it, over two kill -9", fleet.followed),
        ("activated through one replica", fleet.switched),
        ("both are what was recorded, and what a fold alone makes", fleet.proven),
        ("one process takes over", fleet.taken_over),
    ]
    try:
        return run_stages(checks, stages, args.results)
    finally:
        fleet.close()
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
