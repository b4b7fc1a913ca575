"""What a person does with a large dataset: `python benchmarks/curation.py [--rows 1000000] [--vectors 100000]`.

Rows: texts in one JSONL file are added, then filtered, counted, sampled, searched and compared with the version before.
Vectors: a base's embeddings are kept in the dataset, and the ten nearest of a row are asked for, against all of them
compared by numpy.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import record
from ingest import write_rows

import speciate
from speciate_datasets.versions import table_of

ASKED, NEAREST = 200, 10


def seconds(work, times=5):
    """The median of some, and the slowest."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), max(taken)


def over_rows(folder, count):
    write_rows(folder / "rows.jsonl", count)
    workspace = speciate.open(folder / "rows", quiet=True)
    start = time.perf_counter()
    first = workspace.add("d", folder / "rows.jsonl").version
    added = time.perf_counter() - start
    workspace.dataset("d").sample(1000).relabel("7", why="a look")
    data = workspace.dataset("d")
    some = data.filter("label = '3' and score > 0.999")
    works = {
        "filter, its rows read": some.rows,
        "count of a filter": some.count,
        "labels counted": lambda: data.counts("label"),
        "sample of 1,000, read": data.sample(1000).rows,
        "diff of two versions, 1,000 labels changed": lambda: workspace.diff("d", first),
        "first ten rows": data.head,
    }
    lines = [f"{count:,} texts were added in {added:.0f} s (bar 180).", "", "| | s | slowest |", "| --- | --- | --- |"]
    for name, work in works.items():
        typical, slowest = seconds(work)
        lines.append(f"| {name} | {typical:.3f} | {slowest:.3f} |")
    start = time.perf_counter()
    data.search("word17 word4000").rows()
    built = time.perf_counter() - start
    typical, slowest = seconds(data.search("word99 word1234").rows)
    lines.append(f"| search by words, after {built:.1f} s of indexing | {typical:.3f} | {slowest:.3f} |")
    return lines


def over_vectors(folder, count):
    write_rows(folder / "texts.jsonl", count)
    workspace = speciate.open(folder / "vectors", quiet=True)
    workspace.add("d", folder / "texts.jsonl")
    workspace.run("", "base=hash-ngrams", "base.width=384", "method=probe", dataset="d")
    data = workspace.dataset("d")
    table = workspace.engine.store.scan(table_of("d"))
    name = next(column for column in table.column_names if column.startswith("features_"))
    vectors = table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = table["id"].to_pylist()
    start = time.perf_counter()
    data.similar(ids[0], k=NEAREST).rows()
    built = time.perf_counter() - start
    by_row, by_vector, found = [], [], []
    for place in np.random.default_rng(0).choice(len(ids), ASKED, replace=False):
        for asked, taken in ((ids[place], by_row), (vectors[place].tolist(), by_vector)):
            start = time.perf_counter()
            near = data.similar(asked, k=NEAREST).rows()
            taken.append(time.perf_counter() - start)
        scores = vectors @ vectors[place]
        least = np.partition(scores, -NEAREST)[-NEAREST] - 1e-6
        told = {row["id"] for row in near}
        found.append(sum(scores[i] >= least for i, one in enumerate(ids) if one in told) / NEAREST)
    row, vector = (np.percentile(taken, [50, 95]) * 1000 for taken in (by_row, by_vector))
    return [
        f"{count:,} vectors of {vectors.shape[1]} numbers, the {NEAREST} nearest, rows read, {ASKED} times: of a "
        f"vector **{vector[0]:.0f} ms** in the middle, {vector[1]:.0f} ms for 95% (bar 50); of a row, which is looked "
        f"up first, {row[0]:.0f} and {row[1]:.0f} ms; recall {np.mean(found):.3f} (bar 0.95); the first time, which "
        f"builds the index, {built:.1f} s"
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    asked = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        if asked.rows:
            lines += [*over_rows(Path(name), asked.rows), ""]
        if asked.vectors:
            lines += over_vectors(Path(name), asked.vectors)
    record("Curation", lines, asked.dry)


if __name__ == "__main__":
    main()
