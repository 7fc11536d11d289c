#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a FileStore's file by docs/store-format.md alone, so that the page is known to say enough."""
import struct

PAGE, WORD = 4096, (1 << 64) - 1
BATCH, CHECKPOINT, CREATE, DROP, END = 1, 2, 3, 4, 5


def table():
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        values.append(value)
    return values


TABLE = table()


def crc32c(data, before=0):
    value = before ^ 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def up(value, step):
    return (value + step - 1) // step * step


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def source_key(source):
    """detail::hash64, begun with 0."""
    data, key = source.encode(), 0

    def mix(key, word):
        key = (key ^ word) * 0x9E3779B97F4A7C15 & WORD
        return key ^ key >> 32

    for at in range(0, len(data), 8):
        key = mix(key, int.from_bytes(data[at:at + 8], "little"))
    key = mix(key, len(data))
    key = (key ^ key >> 33) * 0xFF51AFD7ED558CCD & WORD
    key = (key ^ key >> 33) * 0xC4CEB9FE1A85EC53 & WORD
    return key ^ key >> 33


def record(number, source, words, metadata=()):
    chunk = struct.pack("<qQQ", number, 0, len(words.encode())) + text(words) + text(source) + struct.pack("<I", len(metadata))
    for name, value in metadata:
        if isinstance(value, bool):
            chunk += text(name) + struct.pack("<BB", 2, value)
        elif isinstance(value, str):
            chunk += text(name) + b"\0" + text(value)
        else:
            chunk += text(name) + struct.pack("<Bd", 1, value)
    return struct.pack("<II", len(chunk), crc32c(chunk)) + chunk


class Collection:
    def __init__(self, number, name, metric, dimension):
        self.number, self.name, self.metric, self.dimension = number, name, metric, dimension
        self.ids, self.sources, self.dead, self.extents = [], [], set(), []
        self.record_bytes = 0

    def info(self):
        return struct.pack("<IIIIQ", self.number, self.metric, 0, 0, self.dimension) + text(self.name) + text("hash-1")

    def layout(self, capacity):
        """Where orders, ids, texts and lengths begin in an extent, and its size; it has no planes."""
        parts, at = [], up(capacity * self.dimension * 4, 64)
        for width in (8, 8, 8):
            parts.append(at)
            at = up(at + capacity * width, 64)
        parts.append(at)
        return parts, up(at + (capacity * 4 if self.metric == 1 else 0), PAGE)


class File:
    CAPACITY = 16

    def __init__(self):
        self.uuid, self.generation, self.version = bytes(range(16)), 1, 1
        self.data = bytearray(2 * PAGE)
        self.seed = crc32c(self.uuid + struct.pack("<Q", self.generation))
        self.chain, self.sequence, self.collections, self.next_number = self.seed, 0, [], 1
        self.superblock(0)

    def superblock(self, checkpoint):
        page = b"ragstore" + struct.pack("<IIII", 1, 0, 0x01020304, 0) + self.uuid
        page += struct.pack("<QQQQQQ", self.generation, self.version, self.sequence, len(self.data), checkpoint, 0)
        page = page.ljust(PAGE - 4, b"\0")
        at = self.version % 2 * PAGE
        self.data[at:at + PAGE] = page + struct.pack("<I", crc32c(page))
        self.version += 1

    def frame(self, kind, body, end=None):
        at = len(self.data)
        after = end or up(at + 64 + len(body), 64)
        self.sequence += 1
        head = struct.pack("<IIQQQQQIII", 0x6D617266, kind, self.sequence, self.sequence - 1, len(body), after, 0, self.chain,
                           crc32c(body), 7)
        self.chain = crc32c(head, self.seed)
        self.data += (head + struct.pack("<I", self.chain) + body).ljust(after - at, b"\0")

    def create(self, name, metric=0, dimension=2):
        self.collections.append(Collection(self.next_number, name, metric, dimension))
        self.next_number += 1
        self.frame(CREATE, self.collections[-1].info())
        return self.collections[-1]

    def batch(self, to, rows, records=(), dead=()):
        """At most as many rows as an extent has, in one that is begun or a new one."""
        at, slots = len(self.data), len(to.ids)
        first = slots % self.CAPACITY
        new_extent = first == 0 and rows
        body_size = 48 + (56 if rows else 0) + up(4 * len(dead), 8) + sum(map(len, records))
        end = up(at + 64 + body_size, 64)
        parts, size = to.layout(self.CAPACITY)
        if new_extent:
            to.extents.append(up(end, PAGE))
            end = to.extents[-1] + size
        texts, where = [], at + 64 + body_size - sum(map(len, records))
        for one in records:
            texts.append(where)
            where += len(one)
        ids = [struct.unpack_from("<q", one, 8)[0] for one in records]
        filled = b"".join(struct.pack(f"<{to.dimension}f", *row) for row in rows)
        pieces = [(0, to.dimension * 4, filled), (parts[0], 8, b"".join(struct.pack("<Q", slots + i) for i in range(len(rows)))),
                  (parts[1], 8, b"".join(struct.pack("<q", i) for i in ids)), (parts[2], 8, b"".join(struct.pack("<Q", i) for i in texts))]
        if to.metric == 1:
            pieces.append((parts[3], 4, b"".join(struct.pack("<f", sum(x * x for x in row) ** 0.5) for row in rows)))
        check = 0
        for _, _, data in pieces:
            check = crc32c(data, check)
        to.ids += ids
        to.sources += [source_of(one) for one in records]
        to.dead |= set(dead)
        to.record_bytes += sum(map(len, records))
        body = struct.pack("<IIQQqQII", to.number, 0, to.dimension, slots, max(to.ids, default=-1) + 1, len(to.ids), 1 if rows else 0, len(dead))
        if rows:
            body += struct.pack("<QQQQQQII", to.extents[-1], self.CAPACITY, first, len(rows), 0, 0, check, 0)
        body += struct.pack(f"<{len(dead)}I", *dead).ljust(up(4 * len(dead), 8), b"\0") + b"".join(records)
        self.frame(BATCH, body, end)
        for offset, width, data in pieces if rows else ():
            begin = to.extents[-1] + offset + first * width
            self.data[begin:begin + len(data)] = data

    def drop(self, which):
        self.frame(DROP, struct.pack("<II", which.number, 0))
        self.collections.remove(which)

    def checkpoint(self):
        def head(tables):
            out, tables = struct.pack("<II", self.next_number, len(self.collections)), list(tables)
            for c in self.collections:
                out += c.info() + struct.pack("<qQQQQQ", max(c.ids, default=-1) + 1, len(c.ids), len(c.ids), len(c.dead), c.record_bytes, len(c.extents))
                out += b"".join(struct.pack("<QQ", offset, self.CAPACITY) for offset in c.extents)
                out += b"".join(tables.pop(0) if tables else bytes(24) for _ in range(3))
            return out

        body, tables = bytes(up(8 + len(head([])), 64)), []
        for c in self.collections:
            living = [slot for slot in range(len(c.ids)) if slot not in c.dead]
            for key in (lambda slot: c.ids[slot], lambda slot: source_key(c.sources[slot])):
                entries = sorted((key(slot), slot) for slot in living)
                data = b"".join(struct.pack("<Q", k) for k, _ in entries) + b"".join(struct.pack("<I", slot) for _, slot in entries)
                tables.append(struct.pack("<QQII", len(body), len(entries), crc32c(data), 0))
                body = body + data.ljust(up(len(data), 64), b"\0")
            words = up(len(c.ids), 64) // 64 if c.dead else 0
            data = sum(1 << slot for slot in c.dead).to_bytes(words * 8, "little")
            tables.append(struct.pack("<QQII", len(body), words, crc32c(data), 0))
            body = body + data.ljust(up(len(data), 64), b"\0")
        filled = head(tables)
        at = len(self.data)
        self.frame(CHECKPOINT, struct.pack("<II", len(filled), crc32c(filled)) + filled + body[8 + len(filled):])
        self.superblock(at)

    def end(self):
        self.frame(END, b"")


def source_of(one):
    """The source in a record."""
    at = 8 + 24
    at += 8 + struct.unpack_from("<Q", one, at)[0]
    return one[at + 8:at + 8 + struct.unpack_from("<Q", one, at)[0]].decode()


def rows_of(count, first=0):
    rows = [(0.25 * (first + i) - 1, 1 - 0.125 * i) for i in range(count)]
    records = [record(first + i, f"s{i % 3}", f"text {first + i}", [("year", 2000.0 + i), ("draft", i % 2 == 0), ("name", "n" * i)]) for i in range(count)]
    return rows, records


def store_seeds():
    yield bytes(File().data)
    one = File()
    a, b = one.create("a"), one.create("b", metric=1)
    one.batch(a, *rows_of(4))
    one.batch(b, *rows_of(2))
    one.batch(a, *rows_of(2, 10), dead=[1])
    yield bytes(one.data)
    one.checkpoint()
    one.batch(a, *rows_of(1, 20), dead=[0, 2])
    yield bytes(one.data)
    one.end()
    yield bytes(one.data)
    one.drop(b)
    one.batch(a, [], dead=[3])
    yield bytes(one.data[:-30])
    one.checkpoint()
    one.end()
    yield bytes(one.data)
