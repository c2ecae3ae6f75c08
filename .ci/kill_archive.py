"""kill -9 at every named crash point of an archiver, of a compaction and of a rebuild, part of kill.py.

An archiver is killed beside a live server, which is started again. A compaction and a rebuild are
killed on copies of one archive of many small files. Whatever was killed is run once more and must
come to its end; then the archive is whole, every epoch is as live recorded it, and what is folded
from it has the digest of the live state.
"""

import json
import shutil
import signal

from harness import Server, conserved

# Small files, and often; a snapshot now and then.
OPTIONS = ("--set", "archive.url=file:archive", "--set", "archive.file_events=50",
           "--set", "archive.file_seconds=1", "--set", "snapshots.every_events=200")
# Of a rebuild that writes a snapshot for every 300 events: of its first one, and of a later one.
REBUILD = (("parts-written", (1, 2)), ("manifest-written", (1, 2)))


class KillArchive:
    def __init__(self, kill):
        self.kill = kill
        self.checks = kill.checks
        self.program = kill.program
        self.sound = self.digest = None

    def stages(self, points):
        for point in points:
            work = self.archiver if point.startswith("archive-") else self.compaction
            yield f"kill -9 at {point}", lambda work=work, point=point: work(point)
        for point, counts in REBUILD:
            yield (f"kill -9 of a rebuild at {point}",
                   lambda point=point, counts=counts: self.rebuild(point, counts))

    # -- beside a live server

    def archiver(self, point):
        for count in (1, 2, 9):
            self.archiver_once(point, count)

    def archiver_once(self, point, count):
        check, kill, what = self.checks, self.kill, f"{point}:{count}"
        server = Server(self.program, f"{point}-{count}", options=OPTIONS)
        kill.acknowledged, kill.unanswered = set(), None
        try:
            check.that(f"{what}: the process killed itself", kill.live(server, what), server.log)
            server.start()
            if kill.unanswered is not None:
                kill.post(server, [kill.unanswered])
            kill.post(server, range(100, 110))
            want = len(kill.acknowledged)
            sums = server.settled(want)
            check.that(f"{what}: {want} acknowledged events are folded, each once",
                       sums["applied"] == want and conserved(sums), sums)
            check.equal(f"{what}: exit code of SIGTERM", server.terminate(), 0)
            digest = json.loads((server.data / "digest.json").read_text())
            self.whole(server.data / "archive", digest, what)
        finally:
            server.stop_hard()

    def whole(self, archive, digest, what):
        """The archive is complete, and folds to the live state."""
        check, place = self.checks, ("--archive", f"file:{archive}", "--data", "elsewhere")
        code, stdout, stderr = self.program.run("archive", "verify", *place, "--output", "json")
        check.that(f"{what}: the archive is whole, nothing lies beside it",
                   code == 0 and json.loads(stdout)["findings"] == [], stdout + stderr)
        report = self.program.json("replay", "verify", *place, "--output", "json")
        check.equal(f"{what}: epochs as recorded, epochs without a record, digest",
                    [report["equal"], report["unrecorded"], report["state_digest"]],
                    [digest["epoch"], 0, digest["state_digest"]])

    # -- on copies of one archive

    def prepared(self):
        """Data of a server that was closed: an archive of many files, and a log."""
        if self.sound is None:
            server = Server(self.program, "archived", options=OPTIONS)
            try:
                self.kill.acknowledged = set()
                self.kill.post(server.start(), range(60))
                server.settled(len(self.kill.acknowledged))
                self.checks.equal("exit code of SIGTERM", server.terminate(), 0)
                self.sound = server.data
                self.digest = json.loads((server.data / "digest.json").read_text())
            finally:
                server.stop_hard()
        return self.sound

    def dies(self, what, *arguments):
        code, _, stderr = self.program.run(*arguments, environment={"EDDYLINE_CRASH_AT": what})
        self.checks.that(f"{what}: the process killed itself", code == -signal.SIGKILL,
                         (code, stderr[-500:]))

    def compaction(self, point):
        check, sound = self.checks, self.prepared()
        for count in (1, 2):
            if point in ("compact-commit", "compact-committed") and count > 1:
                continue  # a compaction passes them once
            what, data = f"{point}:{count}", self.program.folder / f"{point}-{count}"
            shutil.copytree(sound, data)
            place = ("--archive", f"file:{data / 'archive'}", "--data", data)
            before = self.program.json("archive", "ls", *place, "--output", "json")
            self.dies(what, "archive", "compact", *place)
            for verb in (("archive", "compact", *place), ("archive", "--once", *place)):
                code, _, stderr = self.program.run(*verb)
                check.that(f"{what}: then {' '.join(verb[:2])} ends well", code == 0, stderr)
            after = self.program.json("archive", "ls", *place, "--output", "json")
            check.that(f"{what}: {len(before['files'])} files became {len(after['files'])}",
                       len(after["files"]) < len(before["files"]) / 2)
            check.equal(f"{what}: rows", *(sum(file["rows"] for file in listed["files"])
                                           for listed in (after, before)))
            self.whole(data / "archive", self.digest, what)

    def rebuild(self, point, counts):
        check, sound = self.checks, self.prepared()
        for count in counts:
            what, data = f"{point}:{count}", self.program.folder / f"rebuild-{point}-{count}"
            place = ("--archive", f"file:{sound / 'archive'}", "--data", data)
            rebuild = ("replay", "rebuild", *place, "--set", "snapshots.every_events=300")
            self.dies(what, *rebuild)
            report = self.program.json(*rebuild, "--output", "json")
            check.equal(f"{what}: epoch and digest of the next rebuild",
                        [report["epoch"], report["state_digest"]],
                        [self.digest["epoch"], self.digest["state_digest"]])
            report = self.program.json("replay", "verify", *place, "--from-snapshot",
                                       "--output", "json")
            check.equal(f"{what}: what it wrote is the state, begins at and has the digest",
                        [report["from_epoch"], report["state_digest"]],
                        [self.digest["epoch"], self.digest["state_digest"]])
            self.live_again(data, what)

    def live_again(self, data, what):
        """A server goes on behind the rebuilt state, on a copy of the log."""
        check = self.checks
        shutil.copytree(self.sound / "log", data / "log")
        server = Server(self.program, data.name)
        try:
            self.kill.acknowledged = set()
            self.kill.post(server.start(), range(200, 203))
            check.equal(f"{what}: it goes on from the epoch", server.pipeline()["snapshot_epoch"],
                        self.digest["epoch"])
            server.settled(60 * 20 + 3 * 20)
            check.equal(f"{what}: exit code of SIGTERM", server.terminate(), 0)
            self.kill.same_digest(server, what)
        finally:
            server.stop_hard()
