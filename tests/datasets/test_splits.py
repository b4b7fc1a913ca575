"""Splits: 80/10/10 of each label, never moved, groups whole, near-duplicates on one side, the same whatever order."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.contracts import Near
from speciate_datasets import splits as module
from speciate_datasets.splits import SAME, SHARES, SPLITS, Splits, named

NEAR = Near("none:needed", threshold=0.5, band=4)
WIDTH = 32


@dataclass(frozen=True)
class Placed:
    id: str
    label: str | None = "x"
    group: str = ""
    split: str = ""
    near: bytes = b""


def table(rows):
    columns = {
        name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in list(Placed.__annotations__)[:4]
    }
    if rows and rows[0].near:
        columns["near"] = pa.array([row.near for row in rows], pa.binary(WIDTH))
    return pa.table(columns)


def assign(splits, rows):
    return dict(zip((row.id for row in rows), splits.assign(table(rows)).to_pylist(), strict=True))


def after(rows, where, near=None):
    """Splits that know these rows."""
    splits = Splits(near)
    splits.load(table(rows).set_column(3, "split", pa.array([where[row.id] for row in rows], pa.string())))
    return splits


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
    where = assign(Splits(), rows)
    for label in {row.label for row in rows}:
        found = counts(rows, where, label)
        for split, share in SHARES.items():
            assert abs(found[split] - share * found.total()) <= 1, (label, found)


def test_the_order_of_the_rows_does_not_matter():
    rows = placed(500, labels=7)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert assign(Splits(), rows) == assign(Splits(), shuffled)


def test_later_rows_move_nobody_and_fill_what_is_short():
    rows, more = placed(1000), placed(100, start=1000)
    before = assign(Splits(), rows)
    whole = before | assign(after(rows, before), more)
    found = counts(rows + more, whole)
    assert all(abs(found[split] - share * 1100) <= 2 for split, share in SHARES.items()), found


def test_groups_are_whole():
    rows = placed(1000, groups=60)
    where = assign(Splits(), rows)
    homes = {}
    for row in rows:
        homes.setdefault(row.group, set()).add(where[row.id])
    assert all(len(home) == 1 for home in homes.values())
    found = counts(rows, where)
    assert all(abs(found[split] / 1000 - share) < 0.05 for split, share in SHARES.items()), found


def test_labels_that_are_all_different():
    rows = placed(500, labels=0)
    found = counts(rows, assign(Splits(), rows))
    assert found == {"train": 400, "dev": 50, "test": 50}


@pytest.mark.parametrize("each", [2, 3, 5, 6])
def test_many_small_labels_have_all_three_splits(each):
    """Of five rows a label, 80/10/10 leaves half a row for test: some labels give it one, all keep most in train."""
    rows = placed(80 * each, labels=80)
    where = assign(Splits(), rows)
    found = counts(rows, where)
    for split, share in SHARES.items():
        assert abs(found[split] - share * len(rows)) <= 0.1 * len(rows), found
        assert found[split] > 0
    learnt = {row.label for row in rows if where[row.id] == "train"}
    assert learnt == {row.label for row in rows}, "a label that only the test rows have cannot be learnt"


def test_unlabelled_rows_are_shared_out_too():
    rows = [Placed(f"r{i}", None) for i in range(100)]
    assert counts(rows, assign(Splits(), rows)) == {"train": 80, "dev": 10, "test": 10}


def test_words_for_splits():
    assert [named(word) for word in ("Validation", "val", "TRAINING", " test ", None, "")] == [
        "dev",
        "dev",
        "train",
        "test",
        "",
        "",
    ]


def test_numbers_as_labels_of_a_few_rows_among_many_without():
    rows = [Placed(f"r{i}", f"{i / 7}" if i < 200 else None) for i in range(2000)]
    where = assign(Splits(), rows)
    found = counts(rows[:200], where)
    assert min(found["dev"], found["test"]) > 5, found


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["", "g1", "g2"]), st.sampled_from(["", "", "train", "test"])),
    max_size=60,
)


@settings(max_examples=60, deadline=None, database=None)
@given(ROWS, ROWS, st.randoms(use_true_random=False))
def test_whatever_comes(first, second, rng):
    one = [Placed(f"a{i}", *row) for i, row in enumerate(first)]
    two = [Placed(f"b{i}", *row) for i, row in enumerate(second)]
    before = assign(Splits(), one)
    assert before == assign(Splits(), rng.sample(one, len(one)))
    whole = before | assign(after(one, before), two)
    assert whole.keys() == {row.id for row in one + two}
    homes = defaultdict(set)
    for row in one + two:
        assert whole[row.id] in SHARES
        if row.group:
            homes[row.group].add(whole[row.id])
        elif row.split:
            assert whole[row.id] == row.split
    assert all(len(home) == 1 for home in homes.values())


@settings(max_examples=60, deadline=None, database=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 70), min_size=1))
def test_every_label_is_within_a_row(sizes):
    rows = [Placed(f"{label}{i}", label) for label, n in sizes.items() for i in range(n)]
    where = assign(Splits(), rows)
    if len(sizes) * 2 <= len(rows):
        for label, n in sizes.items():
            found = counts(rows, where, label)
            assert all(abs(found[split] - share * n) < 1.01 for split, share in SHARES.items()), (label, found)
            assert found["train"]


# --- near-duplicates --------------------------------------------------------------------------------------------


def signature(seed):
    return np.random.default_rng(seed).integers(0, 256, WIDTH, dtype=np.uint8)


def like(seed, changed=6, variant=1):
    """A near-duplicate of `signature(seed)`."""
    bytes_ = signature(seed).copy()
    bytes_[(variant * 7) % (WIDTH - changed) :][:changed] ^= variant % 255 + 1
    return bytes_.tobytes()


def homes(rows, where):
    return {where[row.id] for row in rows}


def test_near_duplicates_and_groups_do_not_part():
    """The leak test: 200 planted near-duplicates and 100 groups; 0 across splits, then and after 10% more; 0 moved."""
    rows = [Placed(f"r{i}", f"l{i % 4}", f"g{i % 100}" if i < 600 else "", near=like(i)) for i in range(2000)]
    rows += [Placed(f"twin{i}", f"l{i % 4}", near=like(i + 500, variant=2)) for i in range(200)]
    more = [Placed(f"m{i}", f"l{i % 4}", f"g{i % 100}" if i < 100 else "", near=like(10_000 + i)) for i in range(120)]
    more += [Placed(f"late{i}", f"l{i % 4}", near=like(i + 600, variant=3)) for i in range(100)]
    before = assign(Splits(NEAR), rows)
    whole = before | assign(after(rows, before, NEAR), more)
    assert set(whole.values()) == set(SHARES)
    groups, twins = defaultdict(list), defaultdict(list)
    for row in rows + more:
        groups[row.group].append(row)
        number = int(row.id.lstrip("rtwinlaem"))
        twins[number + {"t": 500, "l": 600, "m": 10_000}.get(row.id[0], 0)].append(row)
    assert len(groups) == 101
    assert sum(len(rows) > 1 for rows in twins.values()) == 200
    assert all(len(homes(rows, whole)) == 1 for group, rows in groups.items() if group)
    assert all(len(homes(rows, whole)) == 1 for rows in twins.values())
    found = counts(rows, before)
    assert all(abs(found[split] / len(rows) - share) < 0.03 for split, share in SHARES.items()), found


def test_without_near_they_would_part():
    rows = [Placed(f"{kind}{i}", near=like(i, variant=v)) for i in range(200) for v, kind in enumerate("ab", 1)]
    where = assign(Splits(), rows)
    assert any(where[f"a{i}"] != where[f"b{i}"] for i in range(200))


@pytest.mark.parametrize("home", list(SHARES))
def test_a_later_row_joins_its_relative(home):
    old = [Placed("old", near=like(1))]
    splits = after(old, {"old": home}, NEAR)
    assert assign(splits, [Placed("new", near=like(1, variant=2)), Placed("newer", near=like(1, variant=3))]) == {
        "new": home,
        "newer": home,
    }
    assert assign(splits, [Placed("next call", near=like(1, variant=4))]) == {"next call": home}


def between(one, two):
    """Half of each: a near-duplicate of both."""
    half = WIDTH // 2
    return np.concatenate([signature(one)[:half], signature(two)[half:]]).tobytes()


TWO = [Placed("a", near=signature(1).tobytes()), Placed("b", near=signature(2).tobytes())]
PARTED = {"a": "train", "b": "test"}


def test_a_row_that_is_the_same_as_rows_of_two_splits_is_set_aside():
    old = [Placed("a", near=signature(1).tobytes()), Placed("b", near=like(1, changed=1))]
    splits = after(old, PARTED, NEAR)
    assert assign(splits, [Placed("both", near=like(1, changed=1, variant=2))]) == {"both": "aside"}
    fresh = after([*TWO, Placed("both", near=between(1, 2))], {**PARTED, "both": "aside"}, NEAR)
    assert assign(fresh, [Placed("later", near=like(2))]) == {"later": "test"}, "what is aside leaks nothing"


def test_a_row_that_is_a_little_like_two_splits_joins_the_nearer():
    splits = after(TWO, PARTED, NEAR)
    nearer = np.frombuffer(between(1, 2), np.uint8).copy()
    nearer[0] = signature(2)[0]
    assert assign(splits, [Placed("new", near=nearer.tobytes())]) == {"new": "test"}


def test_rows_of_one_template_are_no_duplicates():
    """All alike at the threshold: they are shared out as ever, now and later, and nobody is set aside."""
    stem = signature(9)
    rows = []
    for i in range(300):
        row = stem.copy()
        row[: WIDTH // 4] = signature(100 + i)[: WIDTH // 4]
        rows.append(Placed(f"t{i}", "xy"[i % 2], near=row.tobytes()))
    before = assign(Splits(NEAR), rows[:200])
    later = assign(after(rows[:200], before, NEAR), rows[200:])
    for part, where in ((rows[:200], before), (rows[200:], later)):
        found = counts(part, where)
        assert set(found) == set(SHARES), found
        assert found["train"] < 0.95 * len(part)


def test_a_split_that_a_row_came_with_is_kept():
    splits = after(TWO, PARTED, NEAR)
    assert assign(splits, [Placed("new", split="dev", near=like(1))]) == {"new": "dev"}
    rows = [Placed("x", split="train", near=like(5)), Placed("y", near=like(5, variant=2))]
    assert assign(Splits(NEAR), rows) == {"x": "train", "y": "train"}
    rows += [Placed("z", split="test", near=like(5, variant=3))]
    assert assign(Splits(NEAR), rows) == {"x": "train", "y": "aside", "z": "test"}


def test_a_group_stays_whole_though_one_of_its_rows_is_near_another_split():
    old = [Placed("a", group="g", near=like(1)), Placed("b", near=signature(2).tobytes())]
    splits = after(old, PARTED, NEAR)
    new = [Placed("c", group="g", near=like(2, changed=1)), Placed("d", group="g", near=like(3))]
    assert assign(splits, new) == {"c": "aside", "d": "train"}
    assert assign(splits, [Placed("e", group="g", near=like(4))]) == {"e": "train"}


def test_a_group_takes_its_near_duplicates_along():
    old = [Placed("a", near=like(1))]
    splits = after(old, {"a": "dev"}, NEAR)
    new = [Placed("b", group="g", near=like(1, variant=2)), Placed("c", group="g", near=like(3))]
    new += [Placed("d", near=like(3, variant=2))]
    assert set(assign(splits, new).values()) == {"dev"}


RELATED = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from(["", "", "g1", "g2", "g3"])), max_size=10
)


@settings(max_examples=150, deadline=None, database=None)
@given(RELATED, RELATED, st.randoms(use_true_random=False))
def test_nothing_leaks_whatever_comes(first, second, rng):
    """Rows between any two of seven clusters, in two adds: no same rows across train, dev and test, no torn group."""
    make = lambda kind, rows: [  # noqa: E731
        Placed(f"{kind}{i}", "xy"[i % 2], group, near=between(a, b)) for i, (a, b, group) in enumerate(rows)
    ]
    one, two = make("a", first), make("b", second)
    before = assign(Splits(NEAR), one)
    assert before == assign(Splits(NEAR), rng.sample(one, len(one)))
    whole = before | assign(after(one, before, NEAR), two)
    used = [row for row in one + two if whole[row.id] != "aside"]
    for i, row in enumerate(used):
        for other in used[:i]:
            alike = np.frombuffer(row.near, np.uint8) == np.frombuffer(other.near, np.uint8)
            together = NEAR.threshold if (row.id[0] == other.id[0] == "a") else SAME
            if alike.mean() >= together or (row.group and row.group == other.group):
                assert whole[row.id] == whole[other.id], (row, other)
    assert set(whole.values()) <= set(SPLITS)
    if not second:
        assert "aside" not in whole.values()


def test_rows_without_a_signature_are_known_all_the_same():
    old = [Placed("a", near=like(1)), Placed("b", near=like(2))]
    there = table(old).set_column(3, "split", pa.array(["train", "test"]))
    there = there.set_column(4, "near", pa.array([like(1), None], pa.binary(WIDTH)))
    splits = Splits(NEAR)
    splits.load(there)
    assert assign(splits, [Placed("c", near=like(1, variant=2))]) == {"c": "train"}


def test_the_docstring():
    import doctest

    assert doctest.testmod(module, extraglobs={"pa": pa}).failed == 0
