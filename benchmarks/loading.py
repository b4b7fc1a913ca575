"""Loading for training: our loader against its limit and its peers, in one run.

    python benchmarks/loading.py [--samples 3000] [--bytes 100000] [--rows 200000] [--rounds 3] [--only NAME,NAME]

Each loader runs in a process of its own, in rounds that take turns, with the page cache warm and no worker processes
(they cost more than they give at these sizes). CPU per sample is of whole epochs after the first, all threads counted,
relative to the limit in the same round: a mmap of one packed file, read in a full shuffle. A peer that is not installed
is left out, with the reason (`peers.py` says what brings them).
"""

from __future__ import annotations

import argparse
import importlib
import json
import mmap
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
from peers import Files, HuggingFace, LanceStream, LitData, Mosaic, WebDataset, order

EPOCHS = {"blob": 4, "text": 2}  # measured, after one that is not
WORDS = "the quick brown fox jumps over a lazy dog while markets rise and fall in every quarter".split()  # noqa: SIM905


def samples(kind, count, size):
    """(what, position) pairs; the position is told by the first bytes."""
    rng = np.random.default_rng(0)
    for at in range(count):
        if kind == "blob":
            yield at.to_bytes(8, "little") + rng.bytes(size - 8)
        else:
            yield f"{at:08d} " + " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(20, 100)))


def place(kind, sample):
    return int.from_bytes(memoryview(sample)[:8], "little") if kind == "blob" else int(sample[:8])


class Packed:
    """The limit: a mmap of one packed file."""

    def write(self, folder, kind, made):
        ends = [0]
        with (folder / "packed").open("wb") as file:
            for sample in made:
                file.write(sample if kind == "blob" else sample.encode())
                ends.append(file.tell())
        np.save(folder / "ends.npy", np.array(ends))

    def load(self, folder, kind, size):
        ends = np.load(folder / "ends.npy").tolist()
        with (folder / "packed").open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

        whole, sizes = memoryview(data), np.diff(ends)
        buffer = memoryview(bytearray(size * int(sizes.max())))  # one for all batches: nothing can cost less

        def copied(batch):
            samples, at = [], 0
            for i in batch:
                sample = buffer[at : at + ends[i + 1] - ends[i]]
                sample[:] = whole[ends[i] : ends[i + 1]]
                samples.append(sample)
                at += len(sample)
            return samples

        def epoch(number):
            at = order(len(ends) - 1, number).tolist()
            for batch in (at[start : start + size] for start in range(0, len(at), size)):
                yield copied(batch) if kind == "blob" else [data[ends[i] : ends[i + 1]].decode() for i in batch]

        return epoch


class Ours:
    """Speciate's RowLoader."""

    needs, options = ("speciate_datasets.loader",), MappingProxyType({})

    def write(self, folder, kind, made):
        import pyarrow as pa

        from speciate_datasets.store import BLOB, KEY, Store

        large = pa.field("what", pa.large_binary(), metadata=BLOB)
        schema = pa.schema([KEY, ("split", pa.string()), large if kind == "blob" else ("what", pa.string())])
        made = list(made)
        ids = [f"{i * 2654435761 % 2**32:032x}" for i in range(len(made))]
        Store(folder).merge("dataset.d", pa.table([ids, ["train"] * len(made), made], schema=schema), insert=True)

    def load(self, folder, kind, size):
        from speciate_datasets.loader import RowLoader
        from speciate_datasets.store import Store

        store = Store(folder)
        dataset = SimpleNamespace(store=store, name="d", version=store.version("dataset.d"))
        loader = RowLoader(dataset, "train", size, columns=["what"], **self.options)

        def epoch(number):
            for batch in loader:
                yield batch["what"] if kind == "blob" else batch["what"].to_pylist()

        return epoch


class OursThread(Ours):
    options = MappingProxyType({"prefetch": 2})


class OursGeneral(Ours):
    options = MappingProxyType({"fast": False})


class OursLarge(Ours):
    options = MappingProxyType({"memory": 0})


LOADERS = {
    "mmap of one packed file": (Packed, "packed"),
    "Speciate": (Ours, "ours"),
    "Speciate, prefetch thread": (OursThread, "ours"),
    "Speciate, general path": (OursGeneral, "ours"),
    "Speciate, more than memory": (OursLarge, "ours"),
    "files + DataLoader": (Files, "files"),
    "Hugging Face datasets": (HuggingFace, "hf"),
    "LitData": (LitData, "lit"),
    "WebDataset": (WebDataset, "wds"),
    "MosaicML Streaming": (Mosaic, "mds"),
    "LanceDB StreamingDataset": (LanceStream, "stream"),
}
SKIPPED = {("blob", "Speciate, more than memory"), ("text", "Speciate, general path"), ("text", "files + DataLoader")}
BATCH = {"blob": 32, "text": 256}
LIMIT = next(iter(LOADERS))


def measure(name, kind, folder):
    """In a process of its own: one loader, one workload."""
    loader, where = LOADERS[name]
    for module in ("numpy", *getattr(loader, "needs", ())):
        importlib.import_module(module)
    begin = time.perf_counter()
    epoch = loader().load(folder / where, kind, BATCH[kind])
    first, places = None, []
    for batch in epoch(0):
        first = first or time.perf_counter() - begin
        places += [place(kind, sample) for sample in batch]
    n, wall, used, seen = len(places), time.perf_counter(), time.process_time(), 0
    for number in range(1, EPOCHS[kind] + 1):
        for batch in epoch(number):
            seen += len(batch)
    used, wall = time.process_time() - used, time.perf_counter() - wall
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    at = np.array(places, dtype=np.int64)
    gap = np.abs(np.diff(at)).mean() / (n / 3)
    spread = np.abs(at - np.arange(n)).mean() / (n / 3)
    once = len(set(places)) == n and seen == n * EPOCHS[kind]
    print("RESULT", json.dumps([1e6 * used / seen, 1e6 * wall / seen, first, rss, gap, spread, n if once else -n]))


def child(*words):
    """Run this file with other words; its RESULT line, or why there is none."""
    command = [sys.executable, "-W", "ignore", __file__, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
    return (json.loads(lines[-1][7:]), "") if lines and not done.returncode else (None, said)


def written(names, kind, args, folder, notes):
    """The loaders whose data could be written."""
    done = {}
    for name in names:
        where = LOADERS[name][1]
        if where not in done:
            done[where], said = child("--write", name, kind, folder, args.samples, args.bytes, args.rows)
        if done[where] is None:
            notes.append(f"{name}: left out, {said}")
    return [name for name in names if done[LOADERS[name][1]] is not None]


def compare(kind, args, folder):
    """One workload over all loaders: the runs of each, and what went wrong."""
    notes, only = [], args.only.split(",") if args.only else LOADERS
    names = [name for name in LOADERS if (kind, name) not in SKIPPED and (name in only or name == LIMIT)]
    names = written(names, kind, args, folder, notes)
    rounds = {name: [] for name in names}
    for _ in range(args.rounds):
        for name in names:
            found, said = child("--one", name, kind, folder)
            if found:
                rounds[name].append(found)
            else:
                notes.append(f"{name}: failed, {said}")
    return {name: runs for name, runs in rounds.items() if len(runs) == args.rounds}, [*dict.fromkeys(notes)]


def table(rounds):
    """The lines of a table, and of each loader its CPU relative to the limit and its peak memory."""
    head = ("loader", "CPU x mmap", "wall x mmap", "CPU us a sample", "first batch s", "peak MB", "gap", "dispersion")
    lines, found = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"], {}
    for name, runs in rounds.items():
        pairs = list(zip(runs, rounds[LIMIT], strict=True))
        ratios = [statistics.median(run[i] / base[i] for run, base in pairs) for i in (0, 1)]
        used, _, first, peak, gap, spread = (statistics.median(run[i] for run in runs) for i in range(6))
        wrong = "" if all(run[6] > 0 for run in runs) else " (rows lost or repeated)"
        cells = f"{ratios[0]:.2f}", f"{ratios[1]:.2f}", f"{used:.2f}", f"{first:.2f}", f"{peak:.0f}", f"{gap:.2f}"
        lines.append(f"| {name}{wrong} | {' | '.join(cells)} | {spread:.2f} |")
        found[name] = (ratios[0], peak)
    return lines, found


def bars(kind, found):
    """Our numbers beside what they must be."""
    ours, lines = found.get("Speciate"), []
    if ours:
        lines.append(f"CPU {ours[0]:.2f}x of mmap (bar {1.4 if kind == 'blob' else 2.5})")
    if ours and kind == "blob" and "LitData" in found:
        lines.append(f"peak memory {ours[1] / found['LitData'][1]:.2f}x of LitData's (bar 0.5)")
    if ours and kind == "blob" and "WebDataset" in found:
        lines.append(f"CPU {ours[0] / found['WebDataset'][0]:.2f}x of WebDataset's (bar 0.3)")
    return [f"Speciate: {', '.join(lines)}.", ""] if lines else []


def main():
    from bench import record

    parser = argparse.ArgumentParser()
    for name, value in {"samples": 3000, "bytes": 100_000, "rows": 200_000, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--only", default="")
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    args = parser.parse_args()
    lines = []
    what = {"blob": f"{args.samples} samples of {args.bytes} bytes", "text": f"{args.rows} short texts"}
    for kind in what:
        with tempfile.TemporaryDirectory() as folder:
            rounds, notes = compare(kind, args, Path(folder))
        rows, found = table(rounds)
        lines += [f"### {what[kind]}, batches of {BATCH[kind]}", "", *rows, ""]
        lines += [*(f"- {note}" for note in notes), *([""] if notes else []), *bars(kind, found)]
    print("\n".join(lines)) if args.dry else record("Loading", lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        loader, where = LOADERS[sys.argv[2]]
        for module in getattr(loader, "needs", ()):
            importlib.import_module(module)
        kind, folder, (count, size, rows) = sys.argv[3], Path(sys.argv[4]) / where, map(int, sys.argv[5:8])
        folder.mkdir()
        loader().write(folder, kind, samples(kind, count if kind == "blob" else rows, size))
        print("RESULT", 1)
    elif sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main()
