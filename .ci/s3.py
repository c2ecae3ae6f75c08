"""Starts SeaweedFS, a server that speaks S3, on loopback and free ports, makes a bucket, runs a
command with EDDYLINE_TEST_S3 and credentials set, and ends the server.

    python3 .ci/s3.py --weed BINARY --scratch FOLDER COMMAND…

Standard library only.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HOST = "127.0.0.1"
BUCKET = "eddyline-ci"
ABSENT = "no-such-bucket"
KEY, SECRET = "eddyline", "eddyline-ci"
PATIENCE_SECONDS = 90
# Each of these serves gRPC at another port, which is chosen too: what is left out would be fixed.
PARTS = ("master", "volume", "filer", "s3")


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


class Weed:
    """A server on empty folders."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, Path(folder).resolve()
        ports = free_ports(2 * len(PARTS))
        self.ports = dict(zip(PARTS, ports))
        self.grpc = dict(zip(PARTS, ports[len(PARTS):]))
        self.process = None

    def start(self):
        self.folder.mkdir(parents=True)
        (self.folder / "data").mkdir()
        actions = [f"{what}:{BUCKET}" for what in ("Read", "Write", "List", "Tagging")]
        # Whoever may not see a bucket is not told that there is none.
        actions += [f"{what}:{ABSENT}" for what in ("Read", "List")]
        identity = {"name": "ci", "actions": actions,
                    "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
        known = self.folder / "identities.json"
        known.write_text(json.dumps({"identities": [identity]}))
        command = [self.binary, f"-logdir={self.folder}", "server", f"-dir={self.folder}/data",
                   f"-ip={HOST}", f"-ip.bind={HOST}", "-volume.max=20", "-filer", "-s3",
                   f"-s3.config={known}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                   "-master.telemetry=false", "-master.volumeSizeLimitMB=256",
                   # By default nothing can be written when less than 1 % of the disk is free.
                   "-volume.minFreeSpace=256MiB"]
        for part in PARTS:
            command += [f"-{part}.port={self.ports[part]}", f"-{part}.port.grpc={self.grpc[part]}"]
        with open(self.folder / "weed.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.listens() and self.makes_bucket()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS does not start: {self.tail()}")
            time.sleep(0.3)
        return self

    def listens(self):
        try:
            socket.create_connection((HOST, self.ports["s3"]), 1).close()
            return True
        except OSError:
            return False

    def makes_bucket(self):
        """False as long as no volume server has reported to the master."""
        at = [f"-{part}={HOST}:{self.ports[part]}.{self.grpc[part]}" for part in ("master", "filer")]
        try:
            made = subprocess.run([self.binary, "shell", *at], text=True, capture_output=True,
                                  input=f"s3.bucket.create -name {BUCKET}\n", timeout=20,
                                  check=False)
        except subprocess.TimeoutExpired:
            return False
        return "created bucket" in made.stdout + made.stderr

    @property
    def url(self):
        return f"s3://{BUCKET}/ci?endpoint=http://{HOST}:{self.ports['s3']}&region=us-east-1"

    def tail(self):
        return (self.folder / "weed.log").read_text(errors="replace")[-2000:]

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weed", required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    weed = Weed(options.weed, options.scratch)
    try:
        weed.start()
        environment = os.environ | {"EDDYLINE_TEST_S3": weed.url, "AWS_ACCESS_KEY_ID": KEY,
                                    "AWS_SECRET_ACCESS_KEY": SECRET}
        status = subprocess.run(options.command, env=environment, check=False).returncode
        if status != 0:
            print(f"s3: the end of the server's log:\n{weed.tail()}", flush=True)
        return status
    finally:
        weed.end()


if __name__ == "__main__":
    sys.exit(main())
