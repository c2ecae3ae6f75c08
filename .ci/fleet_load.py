"""Clients of a fleet: some that send, some that ask, one that sends more than the door can hold.

Standard library only.
"""

import http.client
import json
import random
import select
import socket
import threading
import time

BATCH = 50
USERS, ITEMS = 300, 200


class Load:
    """Events of many users, each sent until it is taken, to whichever replica answers.

    An event whose answer was lost is sent again under its id: it counts once.
    """

    def __init__(self, replicas, seed, threads=2):
        self.replicas, self.seed = replicas, seed
        self.numbers = range(threads)
        self.lock = threading.Lock()
        self.sent = self.taken = self.lives = 0
        self.users, self.refused, self.threads = set(), [], []
        self.stop = threading.Event()

    def start(self):
        self.stop.clear()
        self.lives += 1
        self.threads = [
            threading.Thread(target=self._run, args=(f"{self.seed}-{self.lives}-{number}",),
                             daemon=True) for number in self.numbers
        ]
        for thread in self.threads:
            thread.start()

    def end(self):
        """Returns when everything that was begun is taken."""
        self.stop.set()
        for thread in self.threads:
            thread.join(300)
            if thread.is_alive():
                self.refused.append("a batch is not taken for 300 s")
        self.threads = []

    def some_users(self, count):
        return sorted(self.users)[:count]

    def _run(self, name):
        drawn = random.Random(name)
        number = 0
        while not self.stop.is_set():
            events = []
            for number in range(number, number + BATCH):
                # Few users and items are many of the events.
                user = f"load{int(USERS * drawn.random() ** 3)}"
                events.append({
                    "event_id": f"{name}-{number}", "user_id": user,
                    "event_type": drawn.choice(("view", "view", "click", "like", "add_to_cart")),
                    "item_id": f"i{int(ITEMS * drawn.random() ** 3)}",
                })
            number += 1
            self._deliver(events, drawn)
            with self.lock:
                self.taken += len(events)
                self.users |= {event["user_id"] for event in events}
            self.stop.wait(0.05)

    def _deliver(self, events, drawn):
        while True:
            try:
                answer = drawn.choice(self.replicas).send("POST", "/v1/events", {"events": events})
                if answer.status == 202:
                    return
                if answer.status != 503:
                    self.refused.append(str(answer))
            except (OSError, http.client.HTTPException):
                pass  # it was killed, or does not answer
            time.sleep(0.1)


class Asking:
    """Asks all replicas in turn, as long as it is open."""

    def __init__(self, replicas, users, from_store):
        self.replicas, self.users, self.from_store = replicas, users, from_store
        self.took, self.errors, self.unlabelled, self.labels = [], [], [], 0
        self.stop = threading.Event()

    @property
    def answers(self):
        return len(self.took)

    def __enter__(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.stop.set()
        self.thread.join()

    def slow(self):
        """Seconds of the slowest of a hundred."""
        return sorted(self.took)[len(self.took) * 99 // 100] if self.took else 99.0

    def _run(self):
        turn = 0
        while not self.stop.is_set():
            replica = self.replicas[turn % len(self.replicas)]
            user = self.users[turn % len(self.users)]
            turn += 1
            began = time.monotonic()
            try:
                answer = replica.get_json("/recommendations", user_id=user)
                if not answer["items"]:
                    self.errors.append("an answer without items")
                if self.from_store:
                    self._read_store(replica, user)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            self.took.append(time.monotonic() - began)
            time.sleep(0.05)

    def _read_store(self, replica, user):
        """A read of the feature store is answered too, and says when it is from memory."""
        fallback = replica.get_json(f"/v1/users/{user}/features", source="store").get("fallback")
        if fallback is None:
            return
        self.labels += 1
        if (fallback["tier"] != "in_process"
                or not fallback["reason"].startswith("feature_store_")):
            self.unlabelled.append(fallback)


class Flood:
    """More requests at once than the door's queue holds, an event each."""

    size = 1_500

    def __init__(self, replica):
        self.replica = replica
        self.open = {}
        self.told = []

    def event(self, number):
        return {"event_id": f"flood{number}", "event_type": "view", "user_id": f"flood{number % 9}",
                "item_id": f"i{number % 50}"}

    def send(self):
        """Leaves all requests open that are not answered."""
        host, port = self.replica.address.rsplit(":", 1)
        for number in range(self.size):
            body = json.dumps(self.event(number)).encode()
            end = socket.create_connection((host, int(port)), timeout=30)
            end.sendall(b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
                        % len(body) + body)
            self.open[end] = number

    def refused(self):
        """For each request that is refused by now: True for 503 and Retry-After, else its head."""
        poll = select.poll()
        by_number = {end.fileno(): end for end in self.open}
        for end in self.open:
            poll.register(end, select.POLLIN)
        told = []
        for number, _ in poll.poll(100):
            end = by_number[number]
            status, head = read(end)
            if status != 202:
                is_right = status == 503 and b"retry-after:" in head.lower()
                told.append(is_right or head)
            del self.open[end]
            end.close()
        return told

    def finish(self):
        """Sends each event again until it is taken; how many there are. An id counts once."""
        for end in self.open:
            end.close()
        for first in range(0, self.size, BATCH):
            events = [self.event(number) for number in range(first, min(first + BATCH, self.size))]
            for _ in range(600):
                answer = self.replica.send("POST", "/v1/events", {"events": events})
                if answer.status == 202:
                    break
                time.sleep(0.1)
        return self.size


def read(end):
    """Status and head of the answer."""
    end.settimeout(30)
    got = b""
    while b"\r\n\r\n" not in got:
        more = end.recv(4_096)
        if not more:
            break
        got += more
    head = got.split(b"\r\n\r\n")[0]
    return (int(head.split()[1]) if head else 0), head
