"""Mutated files, and what a reader makes of them in a process with little memory: `mutated.py MAKERS FIRST COUNT`.

MAKERS is the file of a format's tests that has SEEDS (good files by name), `reader()`, and `counts(name, rows)`: what
of a file's rows its own headers and checksums vouch for, or None where nothing in such a file does.
"""

from __future__ import annotations

import collections
import importlib
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speciate import SpeciateError

MEMORY = 1 << 30
ACCEPTED, REFUSED, WRONG, UNTOLD = "accepted", "refused", "accepted, but other counts", "accepted, nothing to tell by"
NASTY = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(seeds: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """(name, bytes) of one of them: flips, header flips, cuts, nasty numbers, deleted or doubled pieces."""
    rng = random.Random(seed)
    name = rng.choice(sorted(seeds))
    data = bytearray(seeds[name])
    share = rng.random()
    if share < 0.4:
        for _ in range(rng.randint(1, 64)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif share < 0.6:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(256, len(data)))] = rng.randrange(256)
    elif share < 0.8:
        del data[rng.randrange(len(data)) :]
    elif share < 0.9:
        at = rng.randrange(max(1, len(data) - 4))
        data[at : at + 4] = struct.pack("<I", rng.choice(NASTY))
    else:
        at, size = rng.randrange(len(data)), rng.randint(1, 64)
        data[at : at + (size if rng.random() < 0.5 else 0)] = data[at : at + size] if rng.random() < 0.5 else b""
    return name, bytes(data)


def outcomes(makers: Path, first: int, count: int) -> dict[str, Any]:
    """What came of so many, in a process of its own; a crash, a hang or an answer that is none fails."""
    command = [sys.executable, __file__, str(makers), str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 + count / 10)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found["said"]) <= {ACCEPTED, REFUSED, WRONG, UNTOLD}, found["wrong"]
    assert sum(found["said"].values()) == count
    assert found["said"].get(WRONG, 0) < count / 100, found["wrong"]
    assert found["slowest"] < 10
    return found


def main(makers: Path, first: int, count: int) -> None:
    sys.path.insert(0, str(makers.parent))
    known = importlib.import_module(makers.stem)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    reader = known.reader()
    said: collections.Counter[str] = collections.Counter()
    wrong: list[tuple[int, str]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        good = {}
        for name, data in known.SEEDS.items():
            (Path(folder) / name).write_bytes(data)
            good[name] = known.counts(name, list(reader.read(Path(folder) / name)))
        for seed in range(first, first + count):
            name, data = mutated(known.SEEDS, seed)
            path = Path(folder) / name
            path.write_bytes(data)
            start = time.monotonic()
            try:
                rows = list(reader.read(path))
                for row in rows:
                    reader.decode(row)
            except SpeciateError as error:
                said[REFUSED if error.exists and error.do else "refused without a reason"] += 1
            except Exception as error:
                said[f"{type(error).__name__}"] += 1
                wrong.append((seed, f"{name}: {error!r}"[:200]))
            else:
                counts = known.counts(name, rows)
                said[UNTOLD if counts is None else ACCEPTED if counts == good[name] else WRONG] += 1
                wrong += [] if counts == good[name] else [(seed, f"{name}: {counts} for {good[name]}"[:200])]
            slowest = max(slowest, time.monotonic() - start)
    print(json.dumps({"said": said, "wrong": wrong, "slowest": slowest}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
