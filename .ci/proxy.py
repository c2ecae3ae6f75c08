"""A TCP proxy that misbehaves on request, to stand in front of Kafka, Redis and S3.

Standard library only. A `Fault` says what happens to the bytes of connections from now on; faults
may be changed while connections are open. Each direction is pumped by a thread of its own.

    python3 .ci/proxy.py --self-test
"""

import argparse
import dataclasses
import random
import socket
import struct
import sys
import threading
import time

CHUNK = 64 << 10


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens. Seconds, bytes, bytes per second; the default is a good network."""

    latency: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    #: A connection is reset once so many bytes have passed in either direction.
    cut_after: int = 0
    #: Bytes are swallowed: the peer waits for an answer that never comes.
    half_open: bool = False
    #: One bit in about so many bytes is flipped.
    flip_every: int = 0
    #: Connections are refused, and open ones reset.
    down: bool = False


class Proxy:
    """Listens on a free loopback port until `close`; `port` names it."""

    def __init__(self, target, seed=0, port=0):
        self.target = target
        self.fault = Fault()
        self.passed = 0
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.open = set()
        self.is_closed = False
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, **changes):
        """From now on; what is not named is good again."""
        self.fault = Fault(**changes)
        if self.fault.down:
            self.reset_all()

    def reset_all(self):
        """Resets every open connection."""
        with self.lock:
            ends, self.open = self.open, set()
        for end in ends:
            _reset(end)

    def close(self):
        self.is_closed = True
        self.listener.close()
        self.reset_all()

    def _accept(self):
        while not self.is_closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.fault.down:
                _reset(client)
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client):
        try:
            server = socket.create_connection(self.target, timeout=10)
        except OSError:
            _reset(client)
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.open |= {client, server}
        left = _Budget()
        for pair in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(*pair, left), daemon=True).start()

    def _pump(self, source, sink, left):
        try:
            while chunk := source.recv(CHUNK):
                fault = self.fault
                if fault.down or left.spend(len(chunk), fault.cut_after):
                    break
                if fault.half_open:
                    continue
                self._delay(fault, len(chunk))
                sink.sendall(self._flip(chunk, fault.flip_every))
                with self.lock:
                    self.passed += len(chunk)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        _reset(source)
        _reset(sink)

    def _delay(self, fault, size):
        wait = fault.latency + fault.jitter * self.random.random()
        if fault.rate:
            wait += size / fault.rate
        if wait:
            time.sleep(wait)

    def _flip(self, chunk, every):
        if not every or self.random.random() >= len(chunk) / every:
            return chunk
        flipped = bytearray(chunk)
        flipped[self.random.randrange(len(flipped))] ^= 1 << self.random.randrange(8)
        return bytes(flipped)


class _Budget:
    """Bytes that a connection has moved, both directions together."""

    def __init__(self):
        self.spent = 0

    def spend(self, size, limit):
        """True once the limit is passed; a limit of 0 is none."""
        self.spent += size
        return 0 < limit < self.spent


def _reset(end):
    """Closes so that the peer sees a reset, not an orderly end."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


def _self_test():
    """An echo server behind the proxy: each fault shows, and a good network is good again."""
    echo = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            peer, _ = echo.accept()
            threading.Thread(target=lambda end: [
                end.sendall(got) for got in iter(lambda: end.recv(CHUNK), b"")
            ], args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    proxy = Proxy(echo.getsockname())

    def ask(data, timeout=2.0):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout) as end:
            end.settimeout(timeout)
            end.sendall(data)
            got = b""
            while len(got) < len(data):
                more = end.recv(CHUNK)
                if not more:
                    raise ConnectionError("closed")
                got += more
            return got

    def fails(**fault):
        proxy.set(**fault)
        try:
            ask(b"x" * 5_000, timeout=0.5)
        except OSError:
            return True
        return False

    data = random.Random(1).randbytes(200_000)
    assert ask(data) == data, "a good network"
    assert fails(down=True), "down"
    assert fails(cut_after=1_000), "cut"
    assert fails(half_open=True), "half open"
    proxy.set(flip_every=10)
    assert ask(b"x" * 1_000) != b"x" * 1_000, "flipped"
    proxy.set(latency=0.1)
    began = time.monotonic()
    assert ask(b"x") == b"x" and time.monotonic() - began >= 0.2, "latency, both ways"
    proxy.set()
    assert ask(data) == data, "good again"
    proxy.close()
    print("proxy: every fault shows")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-test", action="store_true", required=True)
    parser.parse_args()
    sys.exit(_self_test())
