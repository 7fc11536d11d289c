# SPDX-License-Identifier: MIT
"""The peer of bench/ingest.cpp: ingest_python.py FOLDER MODEL STORE.db

Reads every .md file below the folder, cuts it with langchain-text-splitters, embeds with sentence-transformers in batches
of 32, its default, and stores with milvus-lite, flushed. Prints the number of chunks.
"""
import glob
import os
import sys


def main(folder, model, store):
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from pymilvus import DataType, MilvusClient
    from sentence_transformers import SentenceTransformer

    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=0, add_start_index=True)
    rows = []
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.md"), recursive=True)):
        with open(path, encoding="utf-8", newline="") as file:
            for document in splitter.create_documents([file.read()], [{"source": os.path.relpath(path, folder)}]):
                rows.append({"text": document.page_content, "source": document.metadata["source"],
                             "begin": document.metadata["start_index"]})
    encoder = SentenceTransformer(model, device="cpu")
    vectors = encoder.encode([row["text"] for row in rows], normalize_embeddings=True, show_progress_bar=False)
    client = MilvusClient(store)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    for name in ("text", "source"):
        schema.add_field(name, DataType.VARCHAR, max_length=8000)
    schema.add_field("begin", DataType.INT64)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection("pages", schema=schema, index_params=index)
    for at in range(0, len(rows), 1000):
        client.insert("pages", [{"id": at + i, "vector": vector, **row}
                                for i, (row, vector) in enumerate(zip(rows[at : at + 1000], vectors[at : at + 1000]))])
    client.flush("pages")
    client.close()
    print(len(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
