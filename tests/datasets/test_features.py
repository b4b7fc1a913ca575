"""The feature cache: each vector is computed once, and what a killed run had computed is still there."""

import numpy as np
import pytest

from speciate import SpeciateError
from speciate_datasets import dataset as dataset_module


class Base:
    """Counts what it computes; may die."""

    def __init__(self, width=4, factor=1.0, dies_after=None):
        self.width, self.factor, self.dies_after, self.calls, self.rows = width, factor, dies_after, 0, 0

    def __call__(self, rows):
        if self.calls == self.dies_after:
            raise KeyboardInterrupt
        self.calls, self.rows = self.calls + 1, self.rows + len(rows)
        return self.of(rows)

    def of(self, rows):
        seeds = np.array([[int(row["id"][:6], 16)] for row in rows], dtype=np.float64) % 1000
        return (seeds * self.factor + np.arange(self.width)).astype(np.float32)


@pytest.fixture
def dataset(workspace, news):
    workspace.add("news", news)
    return workspace.engine.dataset("news")


def test_each_row_is_computed_once(dataset):
    base, rows = Base(), dataset.rows()
    first = dataset.features("k", rows, 4, base)
    assert np.array_equal(first, base.of(rows))
    assert base.rows == 240
    shuffled = rows[::-1][7:]
    assert np.array_equal(dataset.features("k", shuffled, 4, base), base.of(shuffled))
    assert base.rows == 240


def test_only_new_rows_are_computed(workspace, dataset, tmp_path, make):
    base = Base()
    dataset.features("k", dataset.rows(), 4, base)
    workspace.add("news", make.jsonl(tmp_path / "more.jsonl", make.rows(40, seed=9)))
    newer = workspace.engine.dataset("news")
    rows = newer.rows()
    assert len(rows) == 280
    assert np.array_equal(newer.features("k", rows, 4, base), base.of(rows))
    assert base.rows == 280


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_killed_run_keeps_its_batches(dataset, monkeypatch, batches):
    monkeypatch.setattr(dataset_module, "FEATURE_ROWS", 50)
    rows = dataset.rows()
    with pytest.raises(KeyboardInterrupt):
        dataset.features("k", rows, 4, Base(dies_after=batches))
    again = Base()
    assert np.array_equal(dataset.features("k", rows, 4, again), again.of(rows))
    assert again.rows == 240 - 50 * batches


def test_an_older_version_finds_them_and_does_not_see_them(workspace, dataset):
    base = Base()
    dataset.features("k", dataset.rows(), 4, base)
    pinned = workspace.engine.dataset("news", dataset.version)
    assert pinned.version == dataset.version
    pinned.features("k", pinned.rows(), 4, base)
    assert base.rows == 240
    assert not [name for name in pinned.columns() + list(pinned.rows()[0]) if name.startswith("features")]


def test_two_bases_side_by_side(dataset):
    rows = dataset.rows()
    one, two = Base(4), Base(7, factor=-2.0)
    for _ in range(2):
        assert np.array_equal(dataset.features("one", rows, 4, one), one.of(rows))
        assert np.array_equal(dataset.features("two", rows, 7, two), two.of(rows))
    assert (one.rows, two.rows) == (240, 240)


def test_no_rows(dataset):
    assert dataset.features("k", [], 4, pytest.fail).shape == (0, 4)
    dataset.features("k", dataset.rows(), 4, Base())
    assert dataset.features("k", [], 4, pytest.fail).shape == (0, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_none_is_not_kept(dataset, bad):
    rows = dataset.rows()

    def compute(rows):
        vectors = Base().of(rows)
        vectors[17, 2] = bad
        return vectors

    with pytest.raises(SpeciateError, match="NaN or infinity for 1 row") as caught:
        dataset.features("k", rows, 4, compute)
    assert rows[17]["source"] in caught.value.exists
    base = Base()
    dataset.features("k", rows, 4, base)
    assert base.rows == 240


def test_features_make_no_new_version_of_the_dataset(workspace, dataset, news):
    dataset.features("k", dataset.rows(), 4, Base())
    again = workspace.add("news", news)
    assert (again.version, again.added) == (dataset.version, 0)
