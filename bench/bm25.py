# SPDX-License-Identifier: MIT
"""Search by words, ours against bm25s: bm25.py OURS PYTHON DATA WORK

OURS is the built bm25.cpp, PYTHON one that can run bm25_python.py, DATA the folder with chunking, code, milvus-docs and
xquad, WORK an empty one. The 100,000 chunks of about 1,000 characters are made of the texts there, which are too few: each
chunk is sentences drawn from one text, of whose words a third is drawn anew from a vocabulary of 200,000 words by Zipf's
law, the words of the texts by their number and then made-up ones. The questions are the real ones. Both rank with the
same words, on one thread; time a question is the least of several rounds.
"""
import collections
import itertools
import json
import os
import random
import re
import subprocess
import sys

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bm25_python.py")
CHUNKS, LENGTH, VOCABULARY, TOLERANCE = 100_000, 1000, 200_000, 1e-5
ROUNDS = {"ours": 40, "numpy": 5, "numba": 40}
TURNS = ["ours", "numba", "numpy", "ours", "numba"]
WORD = re.compile(r"[^\W_]+")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def texts_and_questions(data):
    texts = [read(data, "chunking", name) for name in sorted(os.listdir(os.path.join(data, "chunking"))) if name.endswith(".md")]
    texts += [read(place, name) for place, folders, names in os.walk(os.path.join(data, "milvus-docs")) if folders.sort() is None
              for name in sorted(names) if name.endswith(".md")]
    code = collections.defaultdict(str)
    for document in json.loads(read(data, "code", "codebase_chunks.json")):
        code[document["doc_id"]] += document["content"] + "\n"
    texts += code.values()
    questions = [json.loads(line)["question"] for name in ("chunking", "code") for line in read(data, name, "questions.jsonl").splitlines()]
    for article in json.loads(read(data, "xquad", "xquad.en.json"))["data"]:
        texts.append("\n".join(paragraph["context"] for paragraph in article["paragraphs"]))
        questions += [question["question"] for paragraph in article["paragraphs"] for question in paragraph["qas"]][::4]
    return texts, [" ".join(question.split()) for question in questions]


def chunks_of(texts):
    rng = random.Random(1)
    counts = collections.Counter(word for text in texts for word in WORD.findall(text))
    vocabulary = sorted(counts, key=lambda word: (-counts[word], word))
    letters = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu"]
    made = ("".join(parts) for parts in itertools.product(letters, repeat=5))
    vocabulary += itertools.islice(made, VOCABULARY - len(vocabulary))
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(vocabulary))))
    drawn = itertools.cycle(rng.choices(vocabulary, cum_weights=weights, k=2_000_003))
    change = itertools.cycle(rng.choices((True, False, False), k=1_000_003))
    sentences = [[" ".join(part.split())[:LENGTH] for part in re.split(r"(?<=[.!?])\s+|\n", text) if part.strip()] for text in texts]
    by_size = list(itertools.accumulate(len(text) for text in texts))
    for at in rng.choices(range(len(texts)), cum_weights=by_size, k=CHUNKS):
        chunk = ""
        while len(chunk) < LENGTH * 0.9:
            chunk += WORD.sub(lambda word: next(drawn) if next(change) else word[0], rng.choice(sentences[at])) + " "
        yield chunk[:LENGTH + 200]


def measure(command, found):
    """(index seconds, least seconds of a round, rankings)"""
    lines = subprocess.run([*command, found], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    pairs = [line.split() for line in lines if line]
    rankings = [[(int(number), float(score)) for number, score in (hit.split(":") for hit in line.split())]
                for line in read(found).splitlines()]
    return (float(pairs[0][1]), min(float(value) for name, value in pairs if name == "round"), rankings)


def equal(a, b):
    """Are the rankings the same but for hits whose scores are the same within the tolerance?"""
    if len(a) != len(b) or any(abs(x[1] - y[1]) > TOLERANCE for x, y in zip(a, b)):
        return False
    scores = dict(b)
    return all(abs(scores.get(number, b[-1][1]) - score) <= TOLERANCE for number, score in a)


def main(ours, python, data, work):
    texts, questions = texts_and_questions(data)
    files = {name: os.path.join(work, name) for name in ("chunks", "questions", "words", "asked", "found")}
    with open(files["chunks"], "w", encoding="utf-8") as file:
        size = sum(file.write(chunk + "\n") for chunk in chunks_of(texts))
    with open(files["questions"], "w", encoding="utf-8") as file:
        file.writelines(question + "\n" for question in questions)
    for source, target, more in (("chunks", "words", []), ("questions", "asked", ["question"])):
        with open(files[target], "w", encoding="utf-8") as file:
            subprocess.run([ours, "words", files[source], *more], check=True, stdout=file)
    print(f"# {CHUNKS} chunks of {size / CHUNKS:.0f} characters, {len(questions)} questions of "
          f"{sum(len(line.split()) for line in read(files['asked']).splitlines()) / len(questions):.1f} words that count")
    commands = {"ours": [ours, "search", files["chunks"], files["questions"], str(ROUNDS["ours"])]}
    for backend in ("numpy", "numba"):
        commands[backend] = [python, PEER, backend, files["words"], files["asked"], str(ROUNDS[backend])]
    taken = collections.defaultdict(list)
    for name in TURNS:
        taken[name].append(measure(commands[name], files["found"]))
    index, query = ({name: min(run[part] for run in runs) for name, runs in taken.items()} for part in (0, 1))
    for name in commands:
        print(f"# {name}: {query[name] / len(questions) * 1e6:.1f} us a question, {index[name]:.2f} s to index")
    same = [[equal(mine, theirs) for mine, theirs in zip(taken["ours"][0][2], taken[name][0][2])] for name in ("numpy", "numba")]
    share = sum(all(both) for both in zip(*same)) / len(questions)
    fastest = [min(values["numpy"], values["numba"]) for values in (index, query)]
    print(f"value bm25_query_us {query['ours'] / len(questions) * 1e6:.2f}")
    print(f"value bm25_index_s {index['ours']:.3f}")
    print(f"value bm25_rankings_equal {share:.4f}")
    print(f"ratio bm25_index {fastest[0] / index['ours']:.2f}")
    print(f"ratio bm25_query {fastest[1] / query['ours']:.2f}")
    if share != 1:
        sys.exit(f"bm25.py: the rankings of {round((1 - share) * len(questions))} questions differ")


if __name__ == "__main__":
    main(*sys.argv[1:])
