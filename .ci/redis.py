"""Starts a Redis server and a cluster of three masters and three replicas on loopback, runs a
command with EDDYLINE_TEST_REDIS and EDDYLINE_TEST_REDIS_CLUSTER set, and ends the servers.

python3 .ci/redis.py --scratch FOLDER COMMAND…
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

HOST = "127.0.0.1"
MASTERS = 3
NODES = 2 * MASTERS
# A node serves clients at a port and its peers at that port plus 10,000.
PEERS = 10_000
PATIENCE_S = 60


def free_ports(number):
    """Ports that are free, and whose peer ports are free too."""
    found, sockets = [], []
    while len(found) < number:
        first = socket.socket()
        first.bind((HOST, 0))
        port = first.getsockname()[1]
        sockets.append(first)
        peer = socket.socket()
        try:
            if port + PEERS < 65_536:
                peer.bind((HOST, port + PEERS))
                found.append(port)
        except OSError:
            pass
        sockets.append(peer)
    for one in sockets:
        one.close()
    return found


class Servers:
    def __init__(self, scratch):
        self.scratch, self.running = scratch, []

    def start(self, port, *arguments):
        folder = self.scratch / str(port)
        folder.mkdir(parents=True)
        command = ["redis-server", "--port", str(port), "--bind", HOST, "--dir", str(folder)]
        command += ["--save", "", "--appendonly", "no", "--logfile", "redis.log", *arguments]
        self.running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def end(self):
        for server in self.running:
            server.kill()
        for server in self.running:
            server.wait()


def ask(port, *words):
    command = ["redis-cli", "-h", HOST, "-p", str(port), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout


def wait_for(what, done):
    until = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > until:
            sys.exit(f"redis: waited in vain: {what}")
        time.sleep(0.1)


class Redis:
    """A redis-server that keeps nothing over its death."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options
        [self.port] = free_ports(1)
        folder.mkdir(parents=True)
        self.process = None

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", HOST, "--save", "",
                   "--appendonly", "no", "--dir", str(self.folder), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for("redis-server answers", lambda: ask(self.port, "ping"))
        return self

    @property
    def url(self):
        return f"redis://{HOST}:{self.port}"

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def create_cluster(ports):
    nodes = [f"{HOST}:{port}" for port in ports]
    create = ["redis-cli", "--cluster", "create", *nodes]
    create += ["--cluster-replicas", "1", "--cluster-yes"]
    made = subprocess.run(create, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        sys.exit(f"redis: the cluster cannot be made:\n{made.stdout}{made.stderr}")
    for port in ports:
        wait_for("the cluster is up", lambda: "cluster_state:ok" in ask(port, "cluster", "info"))
    in_step = lambda: sum("master_link_status:up" in ask(p, "info", "replication") for p in ports)
    wait_for("replicas follow", lambda: in_step() == NODES - MASTERS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=pathlib.Path, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    for tool in ("redis-server", "redis-cli"):
        if shutil.which(tool) is None:
            sys.exit(f"redis: {tool} is missing: install redis-server")
    servers = Servers(options.scratch)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        single, *cluster = free_ports(1 + NODES)
        servers.start(single)
        for port in cluster:
            servers.start(port, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        for port in (single, *cluster):
            wait_for("redis-server answers", lambda: ask(port, "ping").startswith("PONG"))
        create_cluster(cluster)
        seeds = ",".join(f"{HOST}:{port}" for port in cluster)
        environment = os.environ | {
            "EDDYLINE_TEST_REDIS": f"redis://{HOST}:{single}",
            "EDDYLINE_TEST_REDIS_CLUSTER": f"redis+cluster://{seeds}",
        }
        status = subprocess.run(options.command, env=environment, check=False).returncode
    finally:
        servers.end()
    sys.exit(status)


if __name__ == "__main__":
    main()
