"""Splits: 80/10/10 of each label, never moved, groups whole, the same whatever order the rows come in."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate_datasets.splits import SHARES, Placed, Splits, named


def placed(n, labels=3, groups=0, start=0):
    return [
        Placed(f"row{i}", f"label{i % labels}" if labels else f"{i}", f"g{i % groups}" if groups else "", "")
        for i in range(start, start + n)
    ]


def counts(rows, where, label=None):
    return Counter(where[row.id] for row in rows if label in (None, row.label))


@pytest.mark.parametrize("n", [240, 1003, 3000])
def test_each_label_is_shared_out(n):
    rows = placed(n)
    where = Splits().assign(rows)
    for label in {row.label for row in rows}:
        found = counts(rows, where, label)
        for split, share in SHARES.items():
            assert abs(found[split] - share * found.total()) <= 1, (label, found)


def test_the_order_of_the_rows_does_not_matter():
    rows = placed(500, labels=7)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert Splits().assign(rows) == Splits().assign(shuffled)


def test_later_rows_move_nobody_and_fill_what_is_short():
    rows, more = placed(1000), placed(100, start=1000)
    splits = Splits()
    before = splits.assign(rows)
    later = Splits()
    later.load((row.label, row.group, before[row.id]) for row in rows)
    after = before | later.assign(more)
    assert {row.id: after[row.id] for row in rows} == before
    found = counts(rows + more, after)
    assert all(abs(found[split] - share * 1100) <= 2 for split, share in SHARES.items()), found


def test_groups_are_whole():
    rows = placed(1000, groups=60)
    where = Splits().assign(rows)
    homes = {}
    for row in rows:
        homes.setdefault(row.group, set()).add(where[row.id])
    assert all(len(home) == 1 for home in homes.values())
    found = counts(rows, where)
    assert all(abs(found[split] / 1000 - share) < 0.05 for split, share in SHARES.items()), found


def test_labels_that_are_all_different():
    rows = placed(500, labels=0)
    found = counts(rows, Splits().assign(rows))
    assert found == {"train": 400, "dev": 50, "test": 50}


@pytest.mark.parametrize("each", [2, 3, 5, 6])
def test_many_small_labels_have_all_three_splits(each):
    """Of five rows a label, 80/10/10 leaves half a row for test: some labels give it one, all keep most in train."""
    rows = placed(80 * each, labels=80)
    where = Splits().assign(rows)
    found = counts(rows, where)
    for split, share in SHARES.items():
        assert abs(found[split] - share * len(rows)) <= 0.1 * len(rows), found
        assert found[split] > 0
    learnt = {row.label for row in rows if where[row.id] == "train"}
    assert learnt == {row.label for row in rows}, "a label that only the test rows have cannot be learnt"


def test_unlabelled_rows_are_shared_out_too():
    rows = [Placed(f"r{i}", "", "", "") for i in range(100)]
    assert counts(rows, Splits().assign(rows)) == {"train": 80, "dev": 10, "test": 10}


def test_words_for_splits():
    assert [named(word) for word in ("Validation", "val", "TRAINING", " test ", None, "")] == [
        "dev",
        "dev",
        "train",
        "test",
        "",
        "",
    ]


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["", "g1", "g2"]), st.sampled_from(["", "", "train", "test"])),
    max_size=60,
)


@settings(max_examples=60, deadline=None, database=None)
@given(ROWS, ROWS)
def test_whatever_comes(first, second):
    one = [Placed(f"a{i}", *row) for i, row in enumerate(first)]
    two = [Placed(f"b{i}", *row) for i, row in enumerate(second)]
    before = Splits().assign(one)
    later = Splits()
    later.load((row.label, row.group, before[row.id]) for row in one)
    after = later.assign(two)
    whole = before | after
    assert whole.keys() == {row.id for row in one + two}
    homes = {}
    for row in one + two:
        assert whole[row.id] in SHARES
        if row.group:
            homes.setdefault(row.group, set()).add(whole[row.id])
        elif row.split:
            assert whole[row.id] == row.split
    assert all(len(home) == 1 for home in homes.values())


@settings(max_examples=60, deadline=None, database=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 70), min_size=1))
def test_every_label_is_within_a_row(sizes):
    rows = [Placed(f"{label}{i}", label, "", "") for label, n in sizes.items() for i in range(n)]
    where = Splits().assign(rows)
    if len(sizes) * 2 <= len(rows):
        for label, n in sizes.items():
            found = counts(rows, where, label)
            assert all(abs(found[split] - share * n) < 1.01 for split, share in SHARES.items()), (label, found)
            assert found["train"]
