"""Three requests of Kafka's protocol that its command line tools make, spoken by hand.

`add_partitions` is what `kafka-topics --alter --partitions` does, `committed` what
`kafka-consumer-groups --describe` reads, `produce` what `kafka-console-producer` sends. One broker, which is every coordinator. Standard library
only.
"""

import socket
import struct
import time

PRODUCE, CREATE_PARTITIONS, OFFSET_FETCH = 0, 37, 9
PATIENCE_SECONDS = 30


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def ask(address, request, version, body):
    """The answer to one request, without its length and its number."""
    host, port = address.rsplit(":", 1)
    header = struct.pack(">hhi", request, version, 1) + text("eddyline-ci")
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(header + body)) + header + body)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">i", stream.read(4))
            return Answer(stream.read(length)[4:])


class Answer:
    """Bytes that are taken from the front."""

    def __init__(self, data):
        self.data = data

    def take(self, form):
        size = struct.calcsize(form)
        (value,) = struct.unpack(form, self.data[:size])
        self.data = self.data[size:]
        return value

    def text(self):
        size = max(self.take(">h"), 0)
        value, self.data = self.data[:size], self.data[size:]
        return value.decode()

    def list(self, one):
        return [one() for _ in range(self.take(">i"))]


def add_partitions(address, topic, count):
    """`topic` has `count` partitions from now on."""
    body = struct.pack(">i", 1) + text(topic) + struct.pack(">ii", count, -1)
    body += struct.pack(">i?", PATIENCE_SECONDS * 1000, False)
    answer = ask(address, CREATE_PARTITIONS, 0, body)
    answer.take(">i")  # how long the broker held us back
    for name, error, why in answer.list(lambda: (answer.text(), answer.take(">h"), answer.text())):
        if error:
            raise RuntimeError(f"{name} gets no partitions: error {error} {why}")


def committed(address, group, topic, count):
    """The offsets of the first `count` partitions that `group` has committed, -1 for none."""
    body = text(group) + struct.pack(">i", 1) + text(topic)
    body += struct.pack(f">i{count}i", count, *range(count))
    answer = ask(address, OFFSET_FETCH, 1, body)

    def partition():
        index, offset = answer.take(">i"), answer.take(">q")
        answer.text()
        if error := answer.take(">h"):
            raise RuntimeError(f"the offsets of {group} in {topic}/{index}: error {error}")
        return index, offset

    topics = answer.list(lambda: (answer.text(), answer.list(partition)))
    return dict(dict(topics)[topic])


def crc32c(data):
    """Castagnoli's, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag, seven bits a byte."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def produce(address, topic, partition, records):
    """Appends (key, value) pairs of bytes, acks=all; the offset of the first."""
    batch = b""
    for delta, (key, value) in enumerate(records):
        record = b"\0" + varint(0) + varint(delta) + varint(len(key)) + key
        record += varint(len(value)) + value + varint(0)
        batch += varint(len(record)) + record
    now = int(time.time() * 1000)
    batch = struct.pack(">hiqqqhii", 0, len(records) - 1, now, now, -1, -1, -1,
                        len(records)) + batch
    batch = struct.pack(">ibI", -1, 2, crc32c(batch)) + batch
    batch = struct.pack(">qi", 0, len(batch)) + batch
    body = struct.pack(">hhi", -1, -1, PATIENCE_SECONDS * 1000)
    body += struct.pack(">i", 1) + text(topic)
    body += struct.pack(">iii", 1, partition, len(batch)) + batch
    answer = ask(address, PRODUCE, 3, body)

    def appended():
        _, error, offset = answer.take(">i"), answer.take(">h"), answer.take(">q")
        answer.take(">q")
        if error:
            raise RuntimeError(f"{topic}/{partition} takes no records: error {error}")
        return offset

    [(_, [first])] = answer.list(lambda: (answer.text(), answer.list(appended)))
    return first
