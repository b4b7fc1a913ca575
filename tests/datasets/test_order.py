"""The order of an epoch: every row once, by weight, or with those of one key side by side."""

from collections import Counter
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate_datasets.loader import RowLoader
from speciate_datasets.order import drawn, grouped
from speciate_datasets.store import KEY, Store

KEYS = [f"k{i % 7}" for i in range(60)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60), st.integers(1, 6), st.integers(0, 99))
def test_rows_of_a_key_stand_side_by_side(keys, size, seed):
    order = np.random.default_rng(seed).permutation(len(keys))
    found = grouped(order, keys, size)
    assert sorted(found) == list(range(len(keys)))
    left = Counter(keys)
    whole = sum(count // size for count in left.values()) * size
    runs = np.array([keys[i] for i in found[:whole]]).reshape(-1, size)
    assert (runs == runs[:, :1]).all(), "whole runs come first"
    rest = [keys[i] for i in found[whole:]]
    assert Counter(rest) == Counter({k: n % size for k, n in left.items() if n % size})
    assert len(list(groupby(rest))) == len(set(rest)), "what is left of a key stands side by side, too"


def test_a_run_stands_where_its_first_row_stood():
    assert grouped(np.array([3, 0, 2, 1]), ["a", "b", "a", "b"], 2).tolist() == [3, 1, 0, 2]


def test_rows_are_drawn_as_often_as_they_weigh():
    weights = {"a": 1.0, "b": 3.0}
    order = drawn(np.random.default_rng(0), 2, weights)
    assert len(order) == 2
    many = np.concatenate([drawn(np.random.default_rng(i), 2, weights) for i in range(2000)])
    assert abs((many == 1).mean() - 0.75) < 0.03


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("order"))
    ids = [f"{i:02}" for i in range(60)]
    columns = [ids, ["train"] * 60, KEYS, ids, list(range(60))]
    names = [("split", pa.string()), ("key", pa.string()), ("source", pa.string()), ("row", pa.int64())]
    schema = pa.schema([KEY, *(pa.field(*name) for name in names)])
    store.merge("dataset.d", pa.table(columns, schema=schema), insert=True)
    return SimpleNamespace(store=store, name="d", version=store.version("dataset.d"))


def loader(dataset, **more):
    ids = [f"{i:02}" for i in range(60)]
    return RowLoader(dataset, ids=ids, batch_size=8, seed=1, columns=("id", "key"), together=(KEYS, 4), **more)


def test_a_batch_holds_rows_that_belong_together(dataset):
    made = loader(dataset)
    first, second = ([batch["key"].to_pylist() for batch in made] for _ in range(2))
    assert sorted(key for batch in first for key in batch) == sorted(KEYS)
    assert all(set(Counter(batch).values()) <= {4, 8} for batch in first[:5])
    assert first != second, "another epoch, another order"


def test_it_goes_on_where_it_stopped(dataset):
    whole, made = [batch["id"].to_pylist() for batch in loader(dataset)], loader(dataset)
    batches = iter(made)
    some = [next(batches)["id"].to_pylist() for _ in range(3)]
    state = made.state_dict()
    batches.close()
    again = loader(dataset)
    again.load_state_dict(state)
    assert [*some, *(batch["id"].to_pylist() for batch in again)] == whole


def test_every_rank_has_its_share(dataset):
    parts = [list(loader(dataset, world_size=2, rank=rank)) for rank in range(2)]
    assert sorted(key for part in parts for batch in part for key in batch["id"].to_pylist()) == [
        f"{i:02}" for i in range(60)
    ]
    assert all(set(Counter(batch["key"].to_pylist()).values()) <= {2, 4, 6, 8} for batch in parts[0][:3])
