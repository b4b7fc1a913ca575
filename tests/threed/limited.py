"""Reads mutated files in this process, with little memory and time: `limited.py FIRST COUNT`, and says what came."""

from __future__ import annotations

import collections
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from bad_meshes import SEEDS, mutated

from speciate import SpeciateError
from speciate_3d.options import ThreeDOptions
from speciate_3d.reader import ThreeDReader

MEMORY = 1 << 30


def counts(row: dict[str, Any]) -> tuple[object, ...]:
    """Points that are no numbers are left out and counted: together they are what the header says."""
    return (int(row["vertices"]) + int(row["invalid"]), row["faces"], row["parts"])


def main(first: int, count: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    reader = ThreeDReader(ThreeDOptions(points=64))
    said: collections.Counter[str] = collections.Counter()
    wrong: list[tuple[int, str]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        good = {}
        for name, data in SEEDS.items():
            (Path(folder) / name).write_bytes(data)
            good[name] = counts(next(reader.read(Path(folder) / name)))
        for seed in range(first, first + count):
            name, data = mutated(seed)
            path = Path(folder) / name
            path.write_bytes(data)
            start = time.monotonic()
            try:
                row = next(reader.read(path))
                reader.decode(row)
            except SpeciateError as error:
                said["refused" if error.exists and error.do else "refused without a reason"] += 1
            except Exception as error:
                said[f"{type(error).__name__}"] += 1
                wrong.append((seed, f"{name}: {error!r}"[:200]))
            else:
                same = counts(row) == good[name]
                said["accepted" if same else "accepted, but other counts"] += 1
                wrong += [] if same else [(seed, f"{name}: {counts(row)} for {good[name]}")]
            slowest = max(slowest, time.monotonic() - start)
    print(json.dumps({"said": said, "wrong": wrong, "slowest": slowest}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
