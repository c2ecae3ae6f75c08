"""One Apache Kafka broker of our own, as it runs in production: KRaft, one process.

`start FOLDER` brings it up in FOLDER (downloading it once, through Maven, into --cache) and prints
its address; `kill FOLDER` is kill -9; `stop FOLDER` ends it; a second `start` goes on where it
was, on the same port. `test FOLDER …` runs a command against a broker that is stopped afterwards,
and `end-to-end` has eddyline itself on it. Standard library only.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

VERSION = "4.1.1"
SCALA = "2.13"
START_SECONDS = 90
STOP_SECONDS = 60
USER, PASSWORD = "eddyline", "correct horse"

POM = f"""<project><modelVersion>4.0.0</modelVersion>
<groupId>eddyline</groupId><artifactId>ci-kafka</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_{SCALA}</artifactId>
<version>{VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
<version>1.7.36</version></dependency>
</dependencies></project>
"""

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised},SASL_PLAINTEXT://127.0.0.1:{sasl}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
"""


def libraries(cache):
    """The folder with Kafka's jars, downloaded when it is not there."""
    folder = Path(cache).resolve() / f"kafka_{SCALA}-{VERSION}"
    if folder.exists():
        return folder
    if shutil.which("mvn") is None or shutil.which("java") is None:
        sys.exit("kafka: mvn and java 17 are needed: apt-get install maven openjdk-17-jre-headless")
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir()
    pom = making / "pom.xml"
    pom.write_text(POM, encoding="utf-8")
    subprocess.run(
        ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies",
         "-DincludeScope=runtime", f"-DoutputDirectory={making}"],
        check=True, stdin=subprocess.DEVNULL,
    )
    with contextlib.suppress(OSError):  # another run was faster
        making.rename(folder)
    return folder


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Broker:
    """A broker in a folder; the folder remembers ports and process, so verbs may come apart."""

    def __init__(self, folder, cache, advertised=None):
        """`advertised` is the port that clients are told, when they come through a proxy."""
        self.folder = Path(folder).resolve()
        self.advertised = advertised
        self.cache = cache
        self.note = self.folder / "broker.json"

    def known(self):
        return json.loads(self.note.read_text()) if self.note.exists() else {}

    @property
    def address(self):
        return f"127.0.0.1:{self.known()['plain']}"

    @property
    def sasl_address(self):
        return f"127.0.0.1:{self.known()['sasl']}"

    def java(self, main, *arguments, heap="256m", **kwargs):
        command = ["java", f"-Xmx{heap}", "-XX:+UseSerialGC",
                   "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                   "-cp", f"{libraries(self.cache)}/*", main, *map(str, arguments)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, **kwargs)

    def format(self):
        """A new, empty broker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plain, sasl, controller = free_ports(3)
        config = self.folder / "server.properties"
        config.write_text(PROPERTIES.format(
            plain=plain, sasl=sasl, controller=controller,
            advertised=self.advertised or plain, data=self.folder / "data",
            user=USER, password=PASSWORD,
        ), encoding="utf-8")
        with open(self.folder / "format.log", "ab") as log:
            formatted = self.java(
                "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg",
                "-c", config, stdout=log, stderr=log,
            )
            if formatted.wait(START_SECONDS) != 0:
                raise RuntimeError(f"the broker's storage cannot be formatted: see {log.name}")
        self.note.write_text(json.dumps({"plain": plain, "sasl": sasl, "pid": 0}))

    def start(self):
        if not self.note.exists():
            self.format()
        with open(self.folder / "broker.log", "ab") as log:
            process = self.java(
                "kafka.Kafka", self.folder / "server.properties", heap="512m",
                stdout=log, stderr=log, start_new_session=True,
            )
        self.note.write_text(json.dumps(self.known() | {"pid": process.pid}))
        deadline = time.monotonic() + START_SECONDS
        while not self.listens():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the broker does not start: {tail}")
            time.sleep(0.05)
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.known()["plain"]), 1).close()
            return True
        except OSError:
            return False

    def signal(self, number):
        pid = self.known().get("pid", 0)
        if not pid or not self.is_ours(pid):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while self.is_ours(pid) and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)

    def is_ours(self, pid):
        """Whether `pid` still is the broker of this folder."""
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return str(self.folder).encode() in command

    def kill(self):
        """kill -9: nothing gets the chance to be tidy."""
        self.signal(signal.SIGKILL)

    def stop(self):
        self.signal(signal.SIGTERM)
        self.kill()


def run_command(broker, command):
    """Runs `command` against the broker; its exit code."""
    environment = os.environ | {
        "EDDYLINE_TEST_KAFKA": broker.address,
        "EDDYLINE_TEST_KAFKA_SASL": broker.sasl_address,
        "EDDYLINE_TEST_KAFKA_FOLDER": str(broker.folder),
        "EDDYLINE_TEST_KAFKA_CACHE": str(Path(broker.cache).resolve()),
        "EDDYLINE_TEST_KAFKA_SCRIPT": str(Path(__file__).resolve()),
    }
    return subprocess.run(command, env=environment, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", required=True, help="where downloads are kept")
    parser.add_argument("verb", choices=["start", "kill", "stop", "test"])
    parser.add_argument("folder")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    broker = Broker(given.folder, given.cache)
    if given.verb == "start":
        print(broker.start().address)
    elif given.verb == "kill":
        broker.kill()
    elif given.verb == "stop":
        broker.stop()
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            sys.exit(run_command(broker.start(), given.command))
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
