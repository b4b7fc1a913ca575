"""Blob columns: the fast way reads what Lance reads, whatever has happened to the table."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from speciate import SpeciateError
from speciate_datasets import blobs, manifest
from speciate_datasets.blobs import Blobs, Buffers
from speciate_datasets.store import BLOB, KEY, Store

SIZES = [None, 0, 1, 1000, 65_535, 65_536, 65_537, 100_000, 100_000, 5_000_000]


class Table:
    """A table with a blob column, and beside it what it must hold."""

    def __init__(self, folder, seed):
        self.random, self.truth = random.Random(seed), {}
        schema = pa.schema([KEY, blobs.field("content"), pa.field("label", pa.string())])
        self.table = Store(folder)._db.create_table("dataset.d", schema=schema)

    def made(self, names):
        contents = []
        for name in names:
            size = self.random.choice(SIZES)
            contents.append(None if size is None else self.random.randbytes(size))
            self.truth[name] = contents[-1]
        schema = pa.schema([KEY, pa.field("content", pa.large_binary()), pa.field("label", pa.string())])
        return pa.table([names, contents, ["x"] * len(names)], schema=schema)

    def append(self):
        self.table.add(self.made([f"{len(self.truth)}-{i}" for i in range(self.random.randrange(1, 25))]))

    def delete(self):
        for name in self.some():
            del self.truth[name]
            self.table.delete(f"id = '{name}'")

    def replace(self):
        merge = self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(self.made([*self.some(), f"new-{self.random.random()}"]))

    def relabel(self):
        names = self.some()
        schema = pa.schema([KEY, pa.field("label", pa.string())])
        merge = self.table.merge_insert("id").when_matched_update_all()
        merge.execute(pa.table([names, ["y"] * len(names)], schema=schema))

    def compact(self):
        self.table.optimize()

    def some(self):
        return self.random.sample(sorted(self.truth), min(3, len(self.truth)))

    def blobs(self, **options):
        columns = ["id", "content", blobs.ADDRESS]
        rows = self.table.search().select(columns).with_row_id(True).limit(None).to_arrow()
        return rows["id"].to_pylist(), Blobs(self.table, "content", rows, **options)


def plain(contents):
    return [None if content is None else bytes(content) for content in contents]


@pytest.fixture(params=["mapped", "read"])
def way(request, monkeypatch):
    if request.param == "read":
        monkeypatch.setattr(blobs, "MAPPED_BYTES", 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("seed", range(6))
def test_both_ways_agree_whatever_was_done_to_the_table(tmp_path, seed):
    table = Table(tmp_path, seed)
    table.append()
    for _ in range(7):
        table.random.choice([table.append, table.append, table.delete, table.replace, table.relabel, table.compact])()
        ids, fast = table.blobs()
        _, general = table.blobs(fast=False)
        order = np.random.default_rng(seed).permutation(len(ids))
        truth = [table.truth[ids[i]] for i in order]
        assert plain(fast.read(order)) == truth
        assert plain(general.read(order)) == truth
        assert fast.fast == 1.0
        assert not (general._file != blobs.NOWHERE).any()


@pytest.fixture
def table(tmp_path):
    table = Table(tmp_path, 1)
    for _ in range(3):
        table.append()
    return table


def test_an_older_version_is_read_as_it_was(table):
    before, version = dict(table.truth), table.table.version
    table.replace()
    table.compact()
    table.table.checkout(version)
    ids, fast = table.blobs()
    assert fast.fast == 1.0
    assert dict(zip(ids, plain(fast.read(np.arange(len(ids)))), strict=True)) == before


@pytest.mark.parametrize("answer", ["nothing", "another fragment", "no manifest"])
def test_a_file_that_is_not_the_one_is_not_believed(table, monkeypatch, answer):
    real = manifest.data_files

    def wrong(folder, version, column):
        if answer == "no manifest":
            raise ValueError("of another shape")
        files = real(folder, version, column)
        return {} if answer == "nothing" else dict(zip(files, reversed(files.values()), strict=True))

    monkeypatch.setattr(blobs, "data_files", wrong)
    ids, fast = table.blobs()
    assert fast.fast < 1.0
    assert plain(fast.read(np.arange(len(ids)))) == [table.truth[name] for name in ids]


@pytest.mark.usefixtures("way")
def test_a_file_cut_short_after_opening_is_named(table, tmp_path):
    ids, fast = table.blobs()
    for path in Path(tmp_path).rglob("*.blob"):
        with path.open("r+b") as file:
            file.truncate(1)
    with pytest.raises(blobs.SpeciateError, match="ends too early"):
        fast.read(np.arange(len(ids)))


def test_many_files_are_not_all_held_open(table, monkeypatch):
    monkeypatch.setattr(blobs, "OPEN_FILES", 2)
    monkeypatch.setattr(blobs, "MAPPED_BYTES", 0)
    ids, fast = table.blobs()
    assert plain(fast.read(np.arange(len(ids)))) == [table.truth[name] for name in ids]
    assert len(fast._open) <= 2
    fast.close()
    assert not fast._open


def test_memory_is_used_again_only_when_nobody_looks_at_it():
    buffers = Buffers()
    first = buffers.take(1000)
    view = memoryview(first)[10:20]
    second = buffers.take(1000)
    assert second is not first
    where = second.ctypes.data
    del second
    assert buffers.take(900).ctypes.data == where
    where = first.ctypes.data
    del first
    assert all(buffers.take(1000).ctypes.data != where for _ in range(20))
    del view
    assert buffers.take(1000).ctypes.data == where


def test_lance_panics_are_errors_of_ours(tmp_path):
    """Over some bits of a data file Lance panics, which nobody could make sense of."""
    ids = [f"{n:032x}" for n in range(5)]
    whole = [None, b"", b"a", b"b" * 1000, b"c" * 60_000]
    schema = pa.schema([KEY, pa.field("content", pa.large_binary(), metadata=BLOB)])
    Store(tmp_path).merge("dataset.d", pa.table([ids, whole], schema=schema), insert=True)
    (path,) = (tmp_path / "lance" / "content.d.lance" / "data").glob("*.lance")
    data = path.read_bytes()
    answers = []
    for place in [*range(0, 61_000, 15_000), *range(62_000, len(data), max(1, (len(data) - 62_000) // 60))]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        try:
            answers.append(Store(tmp_path).contents("dataset.d").read("content", pa.array(ids)).to_pylist() == whole)
        except SpeciateError as error:
            answers.append("refused" if "content.d" in f"{error.asked} {error.exists}" else str(error))
    assert {True, False, "refused"} == set(answers), answers  # the hash of a row tells what is false
