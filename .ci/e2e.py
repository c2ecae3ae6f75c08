"""End to end on MovieTweetings: a real stream through the real binary, with two kills in it.

    python3 .ci/e2e.py --binary PATH --movietweetings DIR --scratch DIR [--results FILE]

Everything runs on loopback in the folder given as --scratch. Each claim is printed as it is
checked. What is asserted of the stream follows from its files alone: how many rows they have.
"""

import argparse
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
from harness import Checks, Program, Server, conserved, run_stages, wait_until

# The client is killed once this many rows are acknowledged, the server once this many are.
KILL_CLIENT_AT = 20_000
KILL_SERVER_AT = 50_000
# A resumed client may send again what came after its last note, and a batch whose answer it lost.
MOST_SENT_AGAIN = 12_000

ANSWER = {
    "recommendation_id", "items", "experiment", "model", "fallback", "next_page_token",
    "request_id",
}
ITEM = {"item_id", "rank", "score", "sources", "propensity", "explanations", "attributes"}
MODEL = {"lineage", "epoch", "user_epoch", "staleness_ms"}
EXPLANATION = {"kind", "text", "weight"}


class EndToEnd:
    def __init__(self, checks, program, inputs):
        self.checks = checks
        self.program = program
        self.ingest = ("ingest", "--dataset", "movietweetings", "--path", inputs)
        ratings = (inputs / "ratings.dat").read_text(encoding="utf-8").splitlines()
        movies = (inputs / "movies.dat").read_text(encoding="utf-8").splitlines()
        self.rows = len(set(ratings)) + len(set(movies))
        self.rated = {}
        takers = Counter()
        # Live events go on where the history ends: event time is the only time there is.
        self.now_ms = 0
        for row in ratings:
            user, item, _, seconds = row.split("::")
            self.rated.setdefault(user, set()).add(item)
            takers[item] += 1
            self.now_ms = max(self.now_ms, int(seconds) * 1000)
        self.busiest = max(self.rated, key=lambda user: (len(self.rated[user]), user))
        self.hit = max(takers, key=lambda item: (takers[item], item))
        self.note = inputs / "ratings.dat.progress.json"
        self.server = Server(program, "data")

    def view(self, user, item, **more):
        self.now_ms += 1000
        return view(user, item, self.now_ms, **more)

    # -- the whole set, undisturbed

    def undisturbed(self):
        check = self.checks
        server = Server(self.program, "undisturbed").start()
        try:
            report = self.program.json(*self.ingest, "--server", server.url, "--output", "json")
            check.equal("rows read", report["rows"], self.rows)
            check.equal("rows rejected", report["rejected_rows"], 0)
            sums = server.settled(self.rows)
            want = {"accepted": self.rows, "applied": self.rows, "duplicate": 0, "late": 0,
                    "dead_letter": 0}
            got = {name: sums[name] for name in want}
            check.equal("a history imported whole", got, want)
            check.equal("SIGTERM: exit code", server.terminate(), 0)
            self.same_digest(server, workers=(2,))
        finally:
            server.stop_hard()

    # -- the same again, server and client killed on the way

    def disturbed(self):
        check, server = self.checks, self.server.start()
        client = self.program.start(*self.ingest, "--server", server.url, log="first.log")
        self.followed(client, KILL_CLIENT_AT, "first.log")
        client.kill()
        client.wait()
        before = server.settled(KILL_CLIENT_AT)
        check.that(f"the client was killed in the middle, after {before['accepted']} rows",
                   before["accepted"] < self.rows, before)
        client = self.program.start(*self.ingest, "--server", server.url, "--output", "json",
                                    log="second.log")
        sent = self.followed(client, KILL_SERVER_AT, "second.log")
        seen = server.pipeline()["accepted"]
        server.kill()
        check.that(f"the server was killed in the middle, {seen} rows folded and {sent} sent",
                   KILL_CLIENT_AT <= seen < self.rows and sent < self.rows, (seen, sent))
        server.start(server.port)
        found = server.pipeline()["accepted"]
        check.that("after the restart nothing that was folded is missing", found >= seen, found)
        check.equal("exit code of the client, which waited", client.wait(120), 0)
        text = (self.program.folder / "second.log").read_text()
        report = json.loads(text[text.index("{"):])
        check.that(f"it had gone on after {report['skipped']} rows of the first client",
                   KILL_CLIENT_AT <= report["skipped"] <= before["accepted"], report)
        check.equal("rows sent by both", report["skipped"] + report["accepted"], self.rows)
        self.every_row_once(server.settled(self.rows))

    def acknowledged_rows(self):
        return json.loads(self.note.read_text())["sent"] if self.note.exists() else 0

    def followed(self, client, least, log):
        """How many rows are acknowledged, once they are `least` and while the client runs."""
        def look():
            if client.poll() is not None:
                said = (self.program.folder / log).read_text(errors="replace")
                raise RuntimeError(f"ingest ended before row {least} was noted: {said[-2000:]}")
            rows = self.acknowledged_rows()
            return rows if rows >= least else None

        return wait_until(f"{least} rows are acknowledged", 120, look)

    def every_row_once(self, sums):
        check = self.checks
        check.equal("rows applied", sums["applied"], self.rows)
        check.equal("dead letters", sums["dead_letter"], 0)
        check.that("accepted = applied + duplicate + late + dead letter", conserved(sums), sums)
        again = sums["duplicate"] + sums["late"]
        check.that(f"only rows that were sent twice are duplicate or late: {again}",
                   again <= MOST_SENT_AGAIN, sums)

    def run_twice(self):
        check, server = self.checks, self.server
        before, known = server.settled(), self.what_is_known()
        self.program.json(*self.ingest, "--server", server.url, "--restart", "--output", "json")
        sums = server.settled(before["accepted"] + self.rows)
        check.equal("accepted by a second import of the same files",
                    sums["accepted"] - before["accepted"], self.rows)
        check.equal("rows applied after it", sums["applied"], before["applied"])
        check.that("its rows are all duplicate or late", conserved(sums), sums)
        check.equal("its effect on what is known and popular", self.what_is_known(), known)

    def what_is_known(self):
        """All that serving tells, but not when."""
        features = self.server.get_json(f"/v1/users/{self.busiest}/features")
        item = self.server.get_json(f"/v1/items/{self.hit}")
        popular = self.server.get_json("/v1/popular", window="30d", num_results=100)["items"]
        for document in (features, item):
            del document["model"], document["request_id"]
        return [features, item, popular]

    # -- answers

    def recommend(self, user, **query):
        return self.server.get_json("/recommendations", user_id=user, **query)

    def known_user(self):
        check, user = self.checks, self.busiest
        answer = self.recommend(user, context="homepage", num_results=50)
        items = [one["item_id"] for one in answer["items"]]
        check.equal(f"recommendations for {user}, who rated {len(self.rated[user])}",
                    len(items), 50)
        check.equal("ranks", [one["rank"] for one in answer["items"]], list(range(1, 51)))
        check.equal("items twice", len(items) - len(set(items)), 0)
        check.equal("items seen before", sorted(self.rated[user] & set(items)), [])
        check.equal("fallback", answer["fallback"], None)
        check.equal("the user's first 50 without a reason",
                    sum(not one["explanations"] for one in answer["items"]), 0)
        body = {"user_id": user, "context": "homepage", "num_results": 3,
                "return": {"attributes": ["title"], "explanations": True}}
        posted = self.server.send("POST", "/v1/recommendations", body)
        check.equal("POST /v1/recommendations", posted.status, 200)
        self.all_members(posted.json())
        check.that("the answer names its stages in server-timing",
                   "dur=" in posted.headers.get("server-timing", ""), posted.headers)

    def all_members(self, answer):
        check, first = self.checks, answer["items"][0]
        model, reason = answer["model"], first["explanations"][0]
        check.that("members of the answer", set(answer) >= ANSWER, sorted(answer))
        check.that("members of an item", set(first) >= ITEM, sorted(first))
        check.that("the title that was asked for", first["attributes"].get("title"), first)
        check.that("members of a reason", set(reason) >= EXPLANATION, sorted(reason))
        check.that("members of the model", set(model) >= MODEL, sorted(model))
        check.that("the answer names lineage, epoch and the user's epoch",
                   model["lineage"] and 0 < model["user_epoch"] <= model["epoch"], model)
        check.that("propensities are probabilities",
                   all(0 < one["propensity"] <= 1 for one in answer["items"]), answer["items"])

    def new_user(self):
        check, server = self.checks, self.server
        stranger = self.recommend("ci-newcomer", num_results=20)
        popular = server.get_json("/v1/popular", num_results=100)["items"]
        check.equal("fallback for a user never seen",
                    stranger["fallback"], {"tier": "popular", "reason": "unknown_user"})
        outside = {one["item_id"] for one in stranger["items"]} - {
            one["item_id"] for one in popular}
        check.that("nearly all of the 20 items are popular ones",
                   len(stranger["items"]) == 20 and len(outside) <= 4, sorted(outside))
        token = server.post_event(self.view("ci-newcomer", self.hit))
        answer = self.recommend("ci-newcomer", num_results=20, after=token, max_wait_ms=2000)
        check.that("one event later the answer covers it",
                   answer["consistency"]["stale"] is False, answer["consistency"])
        check.equal("fallback after one event", answer["fallback"], None)
        check.that("the item just seen is left out",
                   all(one["item_id"] != self.hit for one in answer["items"]), self.hit)
        because = [one["item_id"] for one in answer["items"]
                   if any(reason.get("item_id") == self.hit for reason in one["explanations"])]
        check.that(f"{len(because)} of 20 items name it as their reason", len(because) >= 5,
                   answer["items"])
        changed = [one["item_id"] for one in answer["items"]] != [
            one["item_id"] for one in stranger["items"]]
        check.that("the list is another one than before", changed)
        features = server.get_json("/v1/users/ci-newcomer/features")
        check.equal("the features' last views", features["recent_views"], [self.hit])

    def new_item(self):
        check, server = self.checks, self.server
        category, token = "Kayaking & Canoeing", None
        items = [f"ci/new item {number}" for number in range(3)]
        for item in items:
            path = "/v1/items/" + item.replace("/", "%2F").replace(" ", "%20")
            put = server.send("PUT", path, {"title": f"{item}!", "category": [category]})
            check.equal(f"PUT {path}", put.status, 202)
            token = put.json()["consistency_token"]
        only = {"user_id": "ci-nobody", "num_results": 10, "filter": f"category IN ('{category}')",
                "consistency": {"after": token, "max_wait_ms": 2000}}
        found = server.send("POST", "/v1/recommendations", only).json()["items"]
        check.equal("items of a new category that nobody touched, by filter",
                    sorted(one["item_id"] for one in found), items)
        newest = [one["item_id"] for one in server.get_json("/v1/new", num_results=20)["items"]]
        check.that("they are among the new arrivals", set(items) <= set(newest), newest)
        token = server.post_event(self.view("ci-paddler", items[0]))
        answer = self.recommend("ci-paddler", num_results=20, after=token, max_wait_ms=2000)
        because = {one["item_id"] for one in answer["items"]
                   if any(reason.get("category") == category for reason in one["explanations"])}
        check.that("who looks at one of them is recommended the others, for their category",
                   because == set(items[1:]), sorted(because))

    def other_routes(self):
        check, server = self.checks, self.server
        similar = server.get_json(f"/v1/items/{self.hit}/similar", num_results=10)["items"]
        check.that("ten items are similar to the most rated one, not itself among them",
                   len(similar) == 10 and all(one["item_id"] != self.hit for one in similar),
                   similar)
        for path, part in (("/livez", "alive"), ("/readyz", "ready"), ("/version", "eddyline"),
                           ("/openapi.json", "/v1/recommendations"), ("/docs", "<html"),
                           ("/metrics", "eddyline_committed_epoch"), ("/", "Eddyline")):
            answer = server.get(path)
            check.that(f"GET {path} answers 200 and says {part}",
                       answer.status == 200 and part in answer.body.decode(), answer)
        missing = server.get("/v1/nonsense")
        check.that("an unknown route is a problem", is_problem(missing, 404, "no-such-route"),
                   missing)

    # -- bad input

    def bad_input(self):
        check, server = self.checks, self.server
        before = server.settled()
        for what, body, status, slug, pointer in bad_bodies():
            answer = server.request("POST", "/v1/events", body)
            check.that(f"{what}: {status} {slug}", is_problem(answer, status, slug), answer)
            if pointer:
                errors = answer.json().get("errors", [])
                check.that(f"{what}: the error points at {pointer}",
                           [one["pointer"] for one in errors] == [pointer], errors)
        sums = server.settled()
        check.equal("events accepted of all that", sums["accepted"] - before["accepted"], 0)
        good, bad = self.view("ci-half", self.hit), {"event_type": "nonsense", "user_id": "u"}
        partly = server.send("POST", "/v1/events", {"events": [good, bad]})
        said = partly.json()
        check.equal("one good and one bad event: status, accepted, rejected",
                    [partly.status, said["accepted"], said["rejected"]], [200, 1, 1])
        check.equal("the bad one's place", said["errors"][0]["pointer"], "/events/1/event_type")
        sums = server.settled(before["accepted"] + 1)
        check.equal("applied after it", sums["applied"], before["applied"] + 1)
        check.that("the sums are conserved", conserved(sums), sums)

    # -- acknowledged is durable

    def acknowledged(self):
        check, server = self.checks, self.server
        before = server.settled()
        events = [self.view(f"ci-durable-{number % 6}", item, event_id=f"ci-ack-{number}")
                  for number, item in enumerate(sorted(self.rated[self.busiest])[:60])]
        for event in events:
            server.post_event(event)
        server.kill()
        server.start()
        sums = server.settled(before["accepted"] + len(events))
        check.equal("events applied of 60 that were acknowledged before kill -9",
                    sums["applied"] - before["applied"], len(events))
        self.views_in_order(events)
        for event in events:
            server.post_event(event)
        sums = server.settled(before["accepted"] + 2 * len(events))
        check.equal("duplicates after sending them again",
                    sums["duplicate"] - before["duplicate"], len(events))
        check.equal("applied after sending them again",
                    sums["applied"] - before["applied"], len(events))
        check.that("the sums are conserved", conserved(sums), sums)
        self.views_in_order(events)

    def views_in_order(self, events):
        want = {}
        for event in events:
            want.setdefault(event["user_id"], []).insert(0, event["item_id"])
        got = {user: self.server.get_json(f"/v1/users/{user}/features")["recent_views"]
               for user in want}
        self.checks.equal("the last views of six users, each view once, newest first", got, want)

    # -- the same state from the log

    def closed(self):
        check = self.checks
        check.equal("SIGTERM: exit code", self.server.terminate(), 0)
        check.that("server.json is gone", not (self.server.data / "server.json").exists())
        self.same_digest(self.server, workers=(1, 2, 4))
        note = self.server.data / "digest.json"
        kept = note.read_text()
        forged = json.loads(kept)
        forged["state_digest"] = "0" * 64
        note.write_text(json.dumps(forged))
        code, _, _ = self.program.run("digest", "--data", self.server.data, "--recompute")
        check.equal("exit code of digest --recompute against a forged note", code, 3)
        note.write_text(kept)

    def same_digest(self, server, workers):
        check = self.checks
        closed = self.program.json("digest", "--data", server.data)
        check.equal("where digest has it from", closed["source"], "clean close")
        for count in workers:
            again = self.program.json(
                "digest", "--data", server.data, "--recompute", "--workers", count)
            check.equal("where digest --recompute has it from", again["source"], "recomputed")
            for member in ("lineage", "epoch", "state_digest"):
                check.equal(f"{member} folded again by {count} workers", again[member],
                            closed[member])

    def wrong_configuration(self):
        check = self.checks
        wrong = self.program.folder / "wrong.toml"
        wrong.write_text("[core.factors]\ndimm = 64\n")
        for verb in (("up", "--config", wrong), ("config", "check", wrong)):
            code, stdout, stderr = self.program.run(*verb, seconds=30)
            check.equal(f"exit code of {verb[0]} with a wrong key", code, 78)
            check.equal("what it prints on stdout", stdout, "")
            for part in (f"{wrong}:2:1", "core.factors.dimm", "did you mean core.factors.dim",
                         "try: "):
                check.that(f"the error says {part}", part in stderr, stderr)


def view(user, item, at_ms, **more):
    return {"event_type": "view", "user_id": user, "item_id": item, "timestamp": at_ms, **more}


def is_problem(answer, status, slug):
    if answer.status != status or answer.kind != "application/problem+json":
        return False
    said = answer.json()
    return (said["type"] == f"/problems/{slug}" and said["status"] == status
            and bool(said["title"] and said["detail"] and said["request_id"]))


def bad_bodies():
    """What, body, status, problem, and the place that the per-event error names."""
    def with_member(name, value):
        return json.dumps({**view("u", "i", 1), name: value}).encode()

    many = json.dumps({"events": [view("u", "i", 1)] * 1001}).encode()
    deep = b'{"event_type":"view","user_id":"u","item_id":"i","context":' + b'{"a":' * 64
    none, refused = "malformed-json", "no-event-accepted"
    return [
        ("malformed JSON", b'{"events":[', 400, none, None),
        ("NaN as a rating", with_member("rating", float("nan")), 400, none, None),
        ("an infinite rating", with_member("rating", float("inf")), 400, none, None),
        ("no UTF-8", b'{"event_type":"\xff"}', 400, none, None),
        ("JSON that never closes, 64 deep", deep, 400, none, None),
        ("a text as a rating", with_member("rating", "five"), 422, refused, "/rating"),
        ("a list as a user", with_member("user_id", ["u"]), 422, refused, "/user_id"),
        ("an id of 129 bytes", with_member("user_id", "u" * 129), 422, refused, "/user_id"),
        ("an id with a line feed", with_member("item_id", "a\nb"), 422, refused, "/item_id"),
        ("an unknown type", with_member("event_type", "vjew"), 422, refused, "/event_type"),
        ("a timestamp of 10^17", with_member("timestamp", 10**17), 422, refused, "/timestamp"),
        ("a timestamp of 2099", with_member("timestamp", "2099-01-01T00:00:00Z"), 422, refused,
         "/timestamp"),
        ("an empty list", b'{"events":[]}', 400, "no-events", None),
        ("1,001 events", many, 413, "too-many-events", None),
        ("a body of 2 MiB", b" " * (2 << 20), 413, "too-large", None),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--movietweetings", required=True, type=Path)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--results")
    args = parser.parse_args()
    # A copy, since notes and rejected rows are written beside the inputs.
    inputs = args.scratch.resolve() / "movietweetings"
    inputs.mkdir(parents=True)
    for name in ("ratings.dat", "movies.dat"):
        shutil.copyfile(args.movietweetings / name, inputs / name)
    checks = Checks()
    run = EndToEnd(checks, Program(args.binary, args.scratch), inputs)
    stages = [
        ("the whole set over HTTP, undisturbed", run.undisturbed),
        ("the same with the server and the client killed on the way", run.disturbed),
        ("importing the same files again has no second effect", run.run_twice),
        ("recommendations for a known user", run.known_user),
        ("a user never seen before, and one event later", run.new_user),
        ("a new item, before anyone touched it", run.new_item),
        ("other routes", run.other_routes),
        ("bad input", run.bad_input),
        ("kill -9 right after acknowledged events", run.acknowledged),
        ("a clean end, and the same state folded again", run.closed),
        ("wrong configuration", run.wrong_configuration),
    ]
    try:
        return run_stages(checks, stages, args.results)
    finally:
        run.server.stop_hard()


if __name__ == "__main__":
    sys.exit(main())
