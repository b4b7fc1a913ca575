"""Good files of every kind of text, which tests/mutated.py damages, and what of them can be told to be whole."""

from __future__ import annotations

import gzip
import io
import random
import tempfile
from pathlib import Path

import pyarrow
from pyarrow import parquet

from speciate import Row
from speciate_text.example import write
from speciate_text.options import TextOptions
from speciate_text.reader import TextReader


def seeds() -> dict[str, bytes]:
    """The example's files, the plain ones packed, a long document, and Parquet in each of its codings."""
    with tempfile.TemporaryDirectory() as folder:
        found = {path.name: path.read_bytes() for path in write(Path(folder))}
    plain = [name for name in found if not name.endswith(".parquet")]
    found |= {f"{name}.gz": gzip.compress(found[name], mtime=0) for name in plain}
    rng = random.Random(0)
    found["long.txt"] = " ".join(rng.choice(("pump", "välve", "leak", "北")) for _ in range(20_000)).encode()
    found["long.txt.gz"] = gzip.compress(found["long.txt"], mtime=0)
    many = [{"text": f"{i} {rng.random()}", "label": "ab"[i % 2], "n": i, "tags": ["x"] * (i % 3)} for i in range(3000)]
    for codec in ("none", "snappy", "gzip", "zstd", "brotli", "lz4"):
        found[f"{codec}.parquet"] = _parquet(many[: 3000 if codec == "zstd" else 50], compression=codec)
    found["sums.parquet"] = _parquet(many[:500], row_group_size=100, write_page_checksum=True)
    found["sums.dat"] = found["sums.parquet"]  # known by its first bytes
    found["delta.parquet"] = _parquet(many[:50], use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"})
    return found


def _parquet(rows: list[Row], **how: object) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), out, **how)
    return out.getvalue()


SEEDS = seeds()


def reader() -> TextReader:
    return TextReader(TextOptions())


def counts(name: str, rows: list[Row]) -> object:
    """A gzip has a sum of all of it, a Parquet file says how many rows and columns it has, other text says nothing."""
    if name.endswith(".gz") or name.startswith("sums."):
        return rows
    return (len(rows), len(rows[0])) if name.endswith(".parquet") else None
