"""Ingest against plain Python: `python benchmarks/ingest.py [--files 20000] [--rows 1000000] [--large 1000] [--full]`.

Small files: `add` against one plain process a core that reads, hashes and writes the same bytes. Rows: one JSONL file
of texts. Large: megabytes of JSONL in ten files, for the peak memory of the whole process; --full makes that 10 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import record

WORDS = [f"word{i}" for i in range(5000)]
ADD = """
import json, resource, sys, time
import speciate
ws = speciate.open(sys.argv[1], quiet=True)
ws.engine.store._db
start = time.perf_counter()
added = ws.add("d", sys.argv[2])
wall = time.perf_counter() - start
peak = lambda who: resource.getrusage(who).ru_maxrss >> 10
peaks = {"parent": peak(resource.RUSAGE_SELF), "worker": peak(resource.RUSAGE_CHILDREN)}
print(json.dumps({"rows": added.rows, "wall": wall, **peaks}))
"""


def add(folder, what, environment=None):
    """`add` in a fresh process, timed from when the store is open."""
    start = time.perf_counter()
    command = [sys.executable, "-c", ADD, str(folder), str(what)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **(environment or {})}
    )
    return {**json.loads(done.stdout), "process": time.perf_counter() - start}


def small_files(folder, count):
    """Texts of 1 to 4 KB in ten class folders."""
    random.seed(0)
    for i in range(count):
        path = folder / f"class{i % 10}" / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(random.choices(WORDS, k=random.randint(130, 520))) + f" {i}")


def plain(paths, target):
    """What one plain process does: read, hash, write."""
    with open(target, "wb") as out, open(f"{target}.hashes", "w") as hashes:  # noqa: PTH123  (the fastest plain way)
        for path in paths:
            with open(path, "rb") as file:  # noqa: PTH123
                data = file.read()
            hashes.write(hashlib.blake2b(data, digest_size=16).hexdigest() + "\n")
            out.write(data)


def plain_all(source, folder):
    """One plain process a core, each with its share; timed from when they are there."""
    paths = sorted(str(path) for path in source.rglob("*.txt"))
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(abs, range(cores * 4), 1)
        start = time.perf_counter()
        pool.starmap(plain, [(paths[i::cores], str(folder / f"plain{i}")) for i in range(cores)], 1)
        return time.perf_counter() - start


def write_rows(path, count):
    random.seed(1)
    with path.open("w") as file:
        for i in range(count):
            text = " ".join(random.choices(WORDS, k=16))
            file.write(json.dumps({"text": f"{text} {i}", "label": str(i % 5), "score": i / count}) + "\n")


def write_large(folder, megabytes):
    folder.mkdir()
    block = " ".join(random.choices(WORDS, k=2000))
    number = 0
    for part in range(10):
        with (folder / f"{part}.jsonl").open("w") as file:
            while file.tell() < megabytes * 100_000:
                number += 1
                start = random.randrange(4000)
                file.write(
                    json.dumps({"text": f"{number} {block[start : start + 8000]}", "label": str(number % 7)}) + "\n"
                )


def files_lines(folder, count):
    small_files(folder / "small", count)
    plain_all(folder / "small", folder)  # warms the page cache
    base = min(plain_all(folder / "small", folder) for _ in range(3))
    found = min((add(folder / f"ws{i}", folder / "small") for i in range(3)), key=lambda run: run["wall"])
    return [
        f"- {count:,} files of 1-4 KB: plain Python, a process a core, {base:.2f} s; add {found['wall']:.2f} s "
        f"({found['process']:.2f} s with imports): **{base / found['wall']:.0%}** of its speed; "
        f"peak {found['parent']} MB and {found['worker']} MB a worker"
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=1000, help="MB")
    parser.add_argument("--full", action="store_true", help="10 GB of input")
    asked = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.files:
            lines += files_lines(folder, asked.files)
        if asked.rows:
            write_rows(folder / "rows.jsonl", asked.rows)
            found = add(folder / "wsrows", folder / "rows.jsonl")
            rate = found["rows"] / found["wall"]
            lines.append(
                f"- {found['rows']:,} texts: {found['wall']:.0f} s, {rate:,.0f} a second; peak {found['parent']} MB"
            )
        megabytes = 10_000 if asked.full else asked.large
        if megabytes:
            write_large(folder / "large", megabytes)
            found = add(folder / "wslarge", folder / "large")
            lines.append(
                f"- {megabytes:,} MB of JSONL in 10 files, {found['rows']:,} rows: {found['wall']:.0f} s; "
                f"peak {found['parent']} MB, {found['worker']} MB a worker"
            )
    record("Ingest", lines)


if __name__ == "__main__":
    main()
