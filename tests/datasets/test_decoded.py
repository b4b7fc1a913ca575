"""Decoded samples kept on the disk: the same samples, fewer decodings, and never anything damaged or out of date."""

import importlib
import os
import random
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from speciate import UsageError
from speciate_datasets import decoded
from speciate_datasets.decoded import Decoded, packed, unpacked
from speciate_datasets.loader import RowLoader
from speciate_datasets.store import BLOB, KEY, Store

DECODERS = """
from dataclasses import dataclass
from pathlib import Path
import numpy as np

@dataclass
class Options:
    scale: int = 1

class Reader:
    def __init__(self, options):
        self.options = options

    def decode(self, row):
        with Path({calls!r}).open("a") as file:
            print(row["text"], file=file)
        pixels = np.frombuffer(bytes(row["content"]), np.uint8).astype(np.float32) * self.options.scale
        return {{"pixels": pixels, "text": row["text"]}}

def drawn(row, rng):
    return rng.random()

def told(row):
    return {{"text": row["text"], "label": row["label"]}}

def around(n):
    return lambda row: n

def strange(row):
    return object()
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A dataset, a module of decoders, and how often they were called."""
    calls, contents = tmp_path / "calls", [os.urandom(size) for size in range(1, 41)]
    calls.touch()
    (tmp_path / "decoders_to_keep.py").write_text(DECODERS.format(calls=str(calls)))
    monkeypatch.syspath_prepend(tmp_path)
    fields = [KEY, *(pa.field(name, pa.string()) for name in ("split", "text", "label"))]
    store, ids = Store(tmp_path / "rows"), [f"{i:032x}" for i in range(40)]
    given = [ids, ["train"] * 40, [f"text {i}" for i in range(40)], ["a"] * 40, contents]
    content = pa.field("content", pa.large_binary(), metadata=BLOB)
    store.merge("dataset.d", pa.table(given, schema=pa.schema([*fields, content])), insert=True)
    dataset = SimpleNamespace(store=store, name="d", version=store.version("dataset.d"))

    def taken():
        n = len(calls.read_text().splitlines())
        calls.write_text("")
        return n

    yield SimpleNamespace(
        dataset=dataset,
        code=importlib.import_module("decoders_to_keep"),
        taken=taken,
        file=tmp_path / "decoders_to_keep.py",
        kept=tmp_path / "rows" / "cache" / "decoded",
    )
    del sys.modules["decoders_to_keep"]


def epoch(there, scale=1, decode=None, **options):
    reader = there.code.Reader(there.code.Options(scale))
    options = {"batch_size": 7, "cache": True, "columns": ["text", "label", "content"]} | options
    loader = RowLoader(there.dataset, decode=decode or reader.decode, **options)
    return [sample for batch in loader for sample in batch]


def said(samples):
    return {s["text"]: (s["pixels"].tobytes(), s["pixels"].dtype.str, s["pixels"].flags.writeable) for s in samples}


@pytest.mark.parametrize("workers", [0, 1])
def test_the_second_epoch_decodes_nothing_and_gives_the_same(there, workers):
    wanted = said(epoch(there, cache=False))
    assert there.taken() == 40
    assert said(epoch(there, workers=workers)) == wanted
    assert there.taken() == 40
    assert said(epoch(there, batch_size=3)) == wanted
    assert there.taken() == 0


def test_what_decides_the_decoding_decides_what_is_found(there):
    epoch(there)
    assert there.taken() == 40
    epoch(there, scale=2)
    assert there.taken() == 40
    there.file.write_text(there.file.read_text() + "\n# changed\n")
    epoch(there)
    assert there.taken() == 40


def test_a_row_that_says_something_else_is_decoded_again(there):
    before = epoch(there, decode=there.code.told)
    assert {sample["label"] for sample in before} == {"a"}
    schema = pa.schema([KEY, pa.field("label", pa.string())])
    there.dataset.store.merge("dataset.d", pa.table([[f"{3:032x}"], ["b"]], schema=schema), insert=False)
    there.dataset.version = there.dataset.store.version("dataset.d")
    assert sum(sample["label"] == "b" for sample in epoch(there, decode=there.code.told)) == 1


def test_a_killed_process_leaves_nothing_that_is_believed(there):
    """A pack that was cut short at any place: what it cannot give is decoded again."""
    wanted = said(epoch(there))
    there.taken()
    pack = next(there.kept.glob("*/*.pack"))
    whole, index = pack.read_bytes(), pack.with_suffix(".index").read_bytes()
    for trial in range(20):
        choose = random.Random(trial)
        for other in pack.parent.iterdir():
            other.unlink()
        damaged = bytearray(whole)
        damaged[choose.randrange(len(whole))] ^= 1 << choose.randrange(8)
        pack.write_bytes(whole[: choose.randrange(len(whole))] if trial % 2 else damaged)
        pack.with_suffix(".index").write_bytes(index)
        assert said(epoch(there)) == wanted
        assert there.taken() == (40 if trial % 2 else 1)


def test_a_pack_without_an_index_is_swept_once_it_is_old(there):
    epoch(there)
    folder = next(there.kept.iterdir())
    for age in (10, 2 * decoded.LEFT_SECONDS):
        orphan = folder / f"{age}.pack"
        orphan.write_bytes(b"half")
        when = orphan.stat().st_mtime - age
        os.utime(orphan, (when, when))
    epoch(there)
    assert [path.name for path in folder.glob("[0-9]*0.pack") if path.stat().st_size == 4] == ["10.pack"]


def test_it_stays_within_its_budget_and_the_oldest_other_makes_room(there):
    epoch(there)
    full = sum(path.stat().st_size for path in there.kept.rglob("*.*") if path.is_file())
    there.taken()
    epoch(there, scale=2, cache_bytes=full)
    assert len(list(there.kept.iterdir())) == 1  # the first was taken away
    there.taken()
    epoch(there, scale=3, cache_bytes=full // 2)
    epoch(there, scale=3, cache_bytes=full // 2)
    assert 40 < there.taken() < 80
    packs = sum(path.stat().st_size for path in there.kept.rglob("*.pack"))
    assert packs <= full // 2


def test_augmenting_comes_after(there):
    def brighter(sample, rng):
        return sample["pixels"] + rng.random()

    options = {"augment": brighter, "batch_size": 40}
    first, again, bare = epoch(there, **options), epoch(there, **options), epoch(there, cache=False, **options)
    assert there.taken() == 80
    assert all((a == b).all() and (a == c).all() for a, b, c in zip(first, again, bare, strict=True))
    assert len({float(array[0] % 1) for array in first}) > 30


@pytest.mark.parametrize(
    ("decode", "why"),
    [("drawn", "draws from rng"), ("strange", "a object"), ("around", "variables of a function around it")],
)
def test_what_cannot_be_kept_is_refused(there, decode, why):
    made = there.code.around(1) if decode == "around" else getattr(there.code, decode)
    with pytest.raises(UsageError) as error:
        epoch(there, decode=made)
    assert why in str(error.value)


def test_two_writers_at_once_lose_nothing(tmp_path):
    one, two = (Decoded(tmp_path / "d-x", 1 << 20) for _ in range(2))
    one.put(b"a" * 16, 1.5)
    two.put(b"b" * 16, [2])
    assert Decoded(tmp_path / "d-x", 1 << 20).get(b"a" * 16) is None
    two.close(), one.close()
    found = Decoded(tmp_path / "d-x", 1 << 20)
    assert (found.get(b"a" * 16), found.get(b"b" * 16), found.get(b"c" * 16)) == (1.5, [2], None)


SAMPLES = [
    {"x": np.zeros((0, 3), np.float16), "y": [1, "é\n", None, True, float("inf")], "z": {"": b"\0"}},
    (np.arange(6, dtype=">i4").reshape(2, 3)[:, ::2], np.float64(0.1), np.array("words")),
    [torch.arange(4).reshape(2, 2), torch.tensor(1.5), ("a", ())],
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_comes_back_as_it_was(sample):
    description, content = packed(sample)
    again = unpacked(memoryview(description + content), len(description))

    def same(a, b):
        assert type(a) is type(b)
        if isinstance(a, dict):
            assert list(a) == list(b)
            return all(same(a[key], b[key]) for key in a)
        if isinstance(a, list | tuple):
            return len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, np.ndarray | torch.Tensor):
            return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())
        return a == b

    assert same(sample, again)
