"""What the end-to-end checks share: counted checks, a server that can be killed, plain HTTP.

Standard library only. A check prints what it checked; a failed one is printed, counted and does
not hide those after it; one that raises is a failure of its stage, and the next stage still runs.
"""

import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path

STARTUP_SECONDS = 60
SHUTDOWN_SECONDS = 30
SETTLE_SECONDS = 120


class Checks:
    """Counts checks and remembers those that failed."""

    def __init__(self):
        self.passed = 0
        self.failed = []

    def stage(self, title):
        print(f"\n-- {title}", flush=True)

    def that(self, what, holds, got=""):
        """`what` is a claim; `got` is shown when it does not hold."""
        if holds:
            self.passed += 1
            print(f"   ok      {what}", flush=True)
        else:
            self.failed.append(what)
            print(f"   FAILED  {what}: {got}", flush=True)
        return bool(holds)

    def equal(self, what, got, want):
        return self.that(f"{what} is {shown(want)}", got == want, f"got {shown(got)}")

    def finish(self, results):
        """Prints the sums, adds them to the file `results`, and is the exit code."""
        print(f"\n{self.passed} checks hold, {len(self.failed)} failed", flush=True)
        for what in self.failed:
            print(f"   FAILED  {what}", flush=True)
        if results:
            with open(results, "a", encoding="utf-8") as file:
                file.write(f"{self.passed} {len(self.failed)}\n")
        return 1 if self.failed else 0


def run_stages(checks, stages, results):
    """Runs each stage; what one raises is a failed check, and the next still runs."""
    for title, stage in stages:
        checks.stage(title)
        try:
            stage()
        except Exception as error:  # whatever it is, it must not hide the other stages
            checks.that(f"{title}: runs to its end", False, f"{type(error).__name__}: {error}")
    return checks.finish(results)


def shown(value):
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 300 else text[:300] + " …"


def wait_until(what, seconds, look):
    """The first answer of `look` that is true; one that never comes fails the stage."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = look()
        if answer:
            return answer
        time.sleep(0.005)
    raise TimeoutError(f"not within {seconds} s: {what}")


def clean_environment():
    """The environment without anything that would change the program's configuration."""
    return {key: value for key, value in os.environ.items() if not key.startswith("EDDYLINE")}


class Program:
    """The binary. A verb that takes longer than `patience` seconds hangs."""

    patience = 600

    def __init__(self, binary, folder):
        self.binary = str(Path(binary).resolve())
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments, seconds=None, environment=()):
        """Exit code, stdout and stderr of a verb that ends by itself."""
        ran = subprocess.run(
            [self.binary, *map(str, arguments)],
            cwd=self.folder, env={**clean_environment(), **dict(environment)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds or self.patience, check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    def json(self, *arguments, seconds=None):
        """What a verb prints, as JSON; another exit code than 0 is an error."""
        code, stdout, stderr = self.run(*arguments, seconds=seconds)
        if code != 0:
            raise RuntimeError(f"{' '.join(map(str, arguments))} exited {code}: {stderr[-2000:]}")
        return json.loads(stdout)

    def start(self, *arguments, log, environment=()):
        """A process that goes on in the background, its output in the file `log`."""
        with open(self.folder / log, "ab") as file:
            return subprocess.Popen(
                [self.binary, *map(str, arguments)],
                cwd=self.folder, env={**clean_environment(), **dict(environment)},
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )


class Answer:
    """Status, headers and body of one HTTP answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def kind(self):
        return self.headers.get("content-type", "").split(";")[0]

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.kind} {shown(self.body.decode(errors='replace'))}"


class Server:
    """`eddyline up` or `demo` on one data folder."""

    #: Seconds that a start may take.
    patience = STARTUP_SECONDS

    def __init__(self, program, data, verb="up", options=()):
        self.program = program
        self.options = options
        self.verb = verb
        self.data = program.folder / data
        self.log = f"{data}.log"
        self.address = None
        self.process = None

    def start(self, port=0, environment=()):
        note = self.data / "server.json"
        note.unlink(missing_ok=True)
        listen = f"127.0.0.1:{port}"
        self.process = self.program.start(
            self.verb, "--data", self.data, "--listen", listen, *self.options, log=self.log,
            environment=environment,
        )

        def noted():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.tail()}")
            return note.exists()

        wait_until("the server listens", self.patience, noted)
        self.address = json.loads(note.read_text())["listen"]
        wait_until("the server is ready", self.patience, lambda: noted() and self.is_ready())
        return self

    def is_ready(self):
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    @property
    def url(self):
        return f"http://{self.address}"

    def said(self):
        return (self.program.folder / self.log).read_text(errors="replace")

    def tail(self):
        return self.said()[-2000:]

    def kill(self):
        """kill -9: nothing gets the chance to be tidy."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SHUTDOWN_SECONDS)

    def terminate(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SHUTDOWN_SECONDS)

    def stop_hard(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def request(self, method, path, body=None, kind="application/json"):
        connection = http.client.HTTPConnection(self.address, timeout=15)
        try:
            headers = {} if body is None else {"content-type": kind}
            try:
                connection.request(method, path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a body that is too large is answered before it is sent whole
            answer = connection.getresponse()
            read = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, read, answer.read())
        finally:
            connection.close()

    def get(self, path, **query):
        query = urllib.parse.urlencode(query)
        return self.request("GET", f"{path}?{query}" if query else path)

    def get_json(self, path, **query):
        answer = self.get(path, **query)
        if answer.status != 200:
            raise RuntimeError(f"GET {path} {query} answered {answer}")
        return answer.json()

    def send(self, method, path, value):
        return self.request(method, path, json.dumps(value).encode())

    def post_event(self, event):
        """The consistency token of one event that must be accepted."""
        answer = self.send("POST", "/v1/events", event)
        if answer.status != 202:
            raise RuntimeError(f"{event} was not accepted: {answer}")
        return answer.json()["consistency_token"]

    def pipeline(self):
        return self.get_json("/v1/pipeline")

    def settled(self, accepted=0, patience=SETTLE_SECONDS):
        """The sums once everything on the log is folded, at least `accepted` records."""

        def look():
            now = self.pipeline()
            quiet = now["lag"] == 0 and now["committed_epoch"] == now["bound_epoch"]
            followed = now["serving_epoch"] == now["committed_epoch"]
            return now if quiet and followed and now["accepted"] >= accepted else None

        return wait_until(f"the dataflow folds {accepted} records", patience, look)


def sample(folder, into, rows):
    """Copies so many rows of MovieTweetings' stream, and the whole catalogue; the set of its rows:
    one that is there twice is one event."""
    into.mkdir(parents=True)
    shutil.copyfile(folder / "movies.dat", into / "movies.dat")
    with open(folder / "ratings.dat", encoding="utf-8") as ratings:
        lines = list(itertools.islice(ratings, rows))
    (into / "ratings.dat").write_text("".join(lines), encoding="utf-8")
    movies = (into / "movies.dat").read_text(encoding="utf-8").splitlines()
    return set(movies) | {line.rstrip("\n") for line in lines}


def conserved(sums):
    parts = ("applied", "duplicate", "late", "dead_letter")
    return sums["accepted"] == sum(sums[part] for part in parts)
