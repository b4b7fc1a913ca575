"""Near-duplicates: the pairs that comparing every two would find, at a bounded cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.contracts import Near
from speciate_datasets.near import STANDINS, Index, join

NEAR = Near("none:needed", threshold=0.5, band=4)
WIDTH = 64


def noise(n, seed=0, width=WIDTH):
    return np.random.default_rng(seed).integers(0, 256, (n, width), dtype=np.uint8)


def altered(rows, share, seed=1):
    """Rows with this share of their bytes replaced."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(rows.shape) < share, rng.integers(0, 256, rows.shape), rows).astype(np.uint8)


def tags(n, tag=0):
    return np.full(n, tag, dtype=np.uint8)


def everything(one, two):
    return np.ones(len(one), dtype=bool)


def found(index, rows, marks=None, wanted=everything):
    one, two, share = index.collect(rows, tags(len(rows)) if marks is None else marks, wanted, 10**6)
    return dict(zip(zip(one.tolist(), two.tolist(), strict=True), share.tolist(), strict=True))


def brute(rows, threshold):
    share = (rows[:, None] == rows[None]).mean(axis=2)
    return {(i, j) for i, j in zip(*np.nonzero(share >= threshold), strict=True) if i < j}


@pytest.mark.parametrize("changed", [0.0, 0.1, 0.2])
def test_what_comparing_every_two_finds(changed):
    rows = np.vstack([noise(300), altered(noise(300)[:100], changed)])
    got = found(Index(NEAR, WIDTH), rows)
    assert set(got) == brute(rows, 0.5)
    assert len(got) == 100
    assert all(share == (rows[a] == rows[b]).mean() for (a, b), share in got.items())


def test_later_batches_meet_earlier_ones():
    rows = noise(500)
    index = Index(NEAR, WIDTH)
    index.load(rows[:200], tags(200))
    assert found(index, rows[200:300]) == {}
    got = found(index, np.vstack([altered(rows[:300], 0.1), rows[300:]]))
    assert set(got) == {(i, 300 + i) for i in range(300)}
    assert index.count == 800


def test_unlike_rows_that_share_a_band_are_no_pair():
    rows = noise(50)
    rows[:, :24] = rows[0, :24]
    assert found(Index(NEAR, WIDTH), rows) == {}


@pytest.mark.parametrize(("width", "band"), [(64, 4), (66, 4), (10, 4), (3, 4), (16, 16), (16, 1)])
def test_any_width_and_band(width, band):
    rows = noise(20, width=width)
    got = found(Index(Near("none:needed", 0.9, band), width), np.vstack([rows, rows]))
    assert set(got) == {(i, 20 + i) for i in range(20)}


def test_thousands_of_equal_rows_cost_little_and_none_is_lost():
    n, compared = 20_000, 0
    rows = np.repeat(noise(1), n, axis=0)
    roots = np.arange(n)

    def wanted(one, two):
        nonlocal compared
        keep = roots[one] != roots[two]
        compared += keep.sum()
        return keep

    for one, two, _ in Index(NEAR, WIDTH).pairs(rows, tags(n), wanted):
        join(roots, one, two)
    assert not roots.any()
    assert compared <= n * STANDINS


def test_each_tag_has_its_own_stand_ins():
    """Many equal rows in train, the last one in test: the next one must meet both."""
    rows, marks = np.repeat(noise(1), 1001, axis=0), tags(1001)
    marks[-1] = 2
    index = Index(NEAR, WIDTH)
    index.load(rows, marks)
    met = {a for a, _ in found(index, rows[:1])}
    assert 1000 in met
    assert len(met) == STANDINS + 1


def test_collect_stops():
    one, _, _ = Index(NEAR, WIDTH).collect(np.repeat(noise(1), 3000, axis=0), tags(3000), everything, 500)
    assert 500 <= len(one) < 200_000


def test_no_rows():
    index = Index(NEAR, WIDTH)
    assert found(index, noise(0)) == {}
    assert found(index, noise(3)) == {}
    assert found(index, noise(0)) == {}


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_union_find(pairs):
    roots = np.arange(31)
    for part in (pairs[::2], pairs[1::2]):
        if part:
            join(roots, *np.array(part).T)
    slow = list(range(31))
    for _ in range(31):
        for a, b in pairs:
            slow[a] = slow[b] = min(slow[a], slow[b])
    assert roots.tolist() == slow
