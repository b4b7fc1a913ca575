"""What keeping decoded samples brings: pictures decoded in every epoch, and read from the cache after the first.

    python benchmarks/decoded.py [--samples 600] [--side 224] [--dry]

JPEG pictures (needs Pillow) of 512 x 384 are decoded and scaled to a square, as a model takes them. Wall and CPU
milliseconds a sample, one process, page cache warm, the median of three epochs.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np


class Pictures:
    """As a format's reader: bytes in, an array out."""

    def __init__(self, side):
        self.side = side

    def decode(self, row):
        from PIL import Image

        image = Image.open(io.BytesIO(row["content"])).convert("RGB").resize((self.side, self.side))
        return {"pixels": np.asarray(image), "id": row["id"]}


def written(folder, count):
    """A dataset of pictures that compress as photographs do."""
    import pyarrow as pa
    from PIL import Image

    from speciate_datasets.store import BLOB, KEY, Store

    rng, contents = np.random.default_rng(0), []
    for _ in range(count):
        rough = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        file = io.BytesIO()
        rough.resize((512, 384), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    fields = [KEY, pa.field("split", pa.string())]
    schema = pa.schema([*fields, pa.field("content", pa.large_binary(), metadata=BLOB)])
    store = Store(folder)
    rows = [[f"{i:032x}" for i in range(count)], ["train"] * count, contents]
    store.merge("dataset.d", pa.table(rows, schema=schema), insert=True)
    size = sum(map(len, contents)) / count
    return SimpleNamespace(store=store, name="d", version=store.version("dataset.d")), size


def epochs(dataset, count, side, **options):
    """Milliseconds a sample (wall, CPU) of each of four epochs."""
    from speciate_datasets.loader import RowLoader

    columns = ["id", "content"]
    loader = RowLoader(dataset, batch_size=32, columns=columns, decode=Pictures(side).decode, prefetch=0, **options)
    found = []
    for _ in range(4):
        wall, used = time.perf_counter(), time.process_time()
        assert len({sample["id"] for batch in loader for sample in batch}) == count
        found.append((1e3 * (time.perf_counter() - wall) / count, 1e3 * (time.process_time() - used) / count))
    return found


def main():
    from bench import record

    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset, size = written(Path(folder), args.samples)
        plain = epochs(dataset, args.samples, args.side)
        kept = epochs(dataset, args.samples, args.side, cache=True)
    rows = {"decoded every time": plain[1:], "the first epoch with a cache": kept[:1], "later epochs": kept[1:]}
    lines = [f"{args.samples} JPEG pictures of {size / 1e3:.0f} KB to {args.side} x {args.side}.", ""]
    lines += ["| | wall ms a sample | CPU ms a sample |", "|---|---|---|"]
    for name, runs in rows.items():
        wall, used = (statistics.median(run[i] for run in runs) for i in (0, 1))
        lines.append(f"| {name} | {wall:.2f} | {used:.2f} |")
    record("Decoded cache", lines, args.dry)


if __name__ == "__main__":
    main()
