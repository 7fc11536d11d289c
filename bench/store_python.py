# SPDX-License-Identifier: MIT
"""The peers of bench/store.py: milvus-lite through pymilvus, sqlite-vec through apsw.

    store_python.py milvus|sqlite_vec insert PATH COLUMNS ROWS_FILE
    store_python.py milvus|sqlite_vec ask PATH COLUMNS QUERIES_FILE
    store_python.py milvus|sqlite_vec shrink PATH

Prints the lines of bench/store.cpp. Both do it the way their users would: batches of 1,000 rows, each acknowledged; an
exact index; the metric by which rows of length 1 have the order of the inner product.
"""
import statistics
import sys
import time

import numpy as np

K, BATCH = 10, 1000


class Milvus:
    def __init__(self, path):
        from pymilvus import MilvusClient

        self.client = MilvusClient(path)

    def create(self, columns):
        from pymilvus import DataType

        schema = self.client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=columns)
        schema.add_field("percent", DataType.INT64)
        schema.add_field("text", DataType.VARCHAR, max_length=1000)
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self.client.create_collection("rows", schema=schema, index_params=index)

    def insert(self, first, rows, percents, text):
        data = [{"id": first + i, "vector": row, "percent": int(percent), "text": text}
                for i, (row, percent) in enumerate(zip(rows, percents))]
        self.client.insert("rows", data)

    def finish(self):
        self.client.flush("rows")

    def open(self):
        self.client.load_collection("rows")

    def search(self, query, below):
        kept = {} if below is None else {"filter": f"percent < {below}"}
        found = self.client.search("rows", [query], limit=K, output_fields=["text"], search_params={"metric_type": "IP"}, **kept)
        return [hit["id"] for hit in found[0]]

    def erase_half(self):
        self.client.load_collection("rows")
        self.client.delete("rows", filter="percent < 50")

    def compact(self):
        self.client.flush("rows")
        self.client.compact("rows")

    def close(self):
        self.client.close()


class SqliteVec:
    def __init__(self, path):
        import apsw
        import sqlite_vec

        self.database = apsw.Connection(path)
        self.database.enable_load_extension(True)
        self.database.load_extension(sqlite_vec.loadable_path())
        self.database.execute("PRAGMA journal_mode = WAL")

    def create(self, columns):
        self.database.execute(f"CREATE VIRTUAL TABLE rows USING vec0(id INTEGER PRIMARY KEY, percent INTEGER, +text TEXT, "
                              f"vector FLOAT[{columns}])")

    def insert(self, first, rows, percents, text):
        with self.database:
            self.database.executemany("INSERT INTO rows (id, percent, text, vector) VALUES (?, ?, ?, ?)",
                                      ((first + i, int(percent), text, row.tobytes())
                                       for i, (row, percent) in enumerate(zip(rows, percents))))

    def finish(self):
        pass

    open = finish

    def search(self, query, below):
        kept, values = ("", ()) if below is None else (" AND percent < ?", (below,))
        found = self.database.execute("SELECT id, text, distance FROM rows WHERE vector MATCH ? AND k = ?" + kept,
                                      (query.tobytes(), K, *values))
        return [row[0] for row in found]

    def erase_half(self):
        with self.database:
            self.database.execute("DELETE FROM rows WHERE percent < 50")

    def compact(self):
        self.database.execute("VACUUM")

    def close(self):
        self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.database.close()


def insert(peer, path, columns, rows_file):
    from search_python import percents

    columns = int(columns)
    rows = np.fromfile(rows_file, np.float32).reshape(-1, columns)
    numbers, text = percents(len(rows)), "x" * 200
    store = peer(path)
    store.create(columns)
    begin = time.perf_counter()
    for at in range(0, len(rows), BATCH):
        store.insert(at, rows[at : at + BATCH], numbers[at : at + BATCH], text)
    store.finish()
    print("insert", time.perf_counter() - begin)
    store.close()


def ask(peer, path, columns, queries_file):
    queries = np.fromfile(queries_file, np.float32).reshape(-1, int(columns))
    begin = time.perf_counter()
    store = peer(path)
    store.open()
    print("open", time.perf_counter() - begin)
    for name, below in (("search", None), ("filtered", 10)):
        spent = []
        for query in queries[:20]:
            begin = time.perf_counter()
            found = store.search(query, below)
            spent.append(time.perf_counter() - begin)
        print("first_" + name, spent[0])
        print(name, statistics.median(spent))
        print("found_" + name, *found)
    store.close()


def shrink(peer, path):
    store = peer(path)
    for name, work in (("erase", store.erase_half), ("compact", store.compact)):
        begin = time.perf_counter()
        work()
        print(name, time.perf_counter() - begin, flush=True)
    store.close()


if __name__ == "__main__":
    {"insert": insert, "ask": ask, "shrink": shrink}[sys.argv[2]]({"milvus": Milvus, "sqlite_vec": SqliteVec}[sys.argv[1]],
                                                                  *sys.argv[3:])
