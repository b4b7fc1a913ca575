"""Splits: made once, when a row first comes in, and never moved.

Each label is shared out 80/10/10, and the order within a label is a hash of the row: the same rows get the same splits,
and rows that come later only fill what is short. In this order of strength:

1. a group stays whole, even against a split that one of its rows came with;
2. a row that came with a split keeps it;
3. a row that is nearly equal to others joins those it is most alike; where rows of two splits are practically the same
   as it, it is set aside and used by none.

Rows made from one template are all alike and yet no duplicates. So near-duplicates never hang together in clusters of
more than a twentieth of the dataset: within such a cluster, rows have to be more alike.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import SpeciateError
from speciate.contracts import Near
from speciate_datasets.near import Index, join, to_signatures

Numbers = NDArray[np.int64]

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
SPLITS = (*SHARES, "aside")
ASIDE = 3
SAME = 0.9  # so alike that to part them is a leak
CLUSTER_ROWS, CLUSTER_SHARE, STEPS = 10, 0.05, 6
CHOOSE = -1
ALIASES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
}


def named(word: object, error: type[SpeciateError] = SpeciateError) -> str:
    """The split a person's word means; empty when the row does not say."""
    text = str(word or "").strip().lower()
    if text and text not in ALIASES:
        raise error(f"no split named {text!r}", f"there is: {', '.join(SHARES)}", "name one of them, or leave it out")
    return ALIASES.get(text, "")


class Splits:
    """How many rows of each label are in each split so far, where each group lives, and what near-duplicates lie where.

    >>> new = pa.table({"id": ["a", "b"], "label": ["x", "y"], "group": ["", ""], "split": ["", "test"]})
    >>> splits = Splits(near=None)
    >>> splits.load(new.slice(0, 0))  # the dataset's rows: id, label, group, split, and near where the Format has it
    >>> splits.assign(new).to_pylist()  # new rows, "" where the split is to be chosen; call it again with the next ones
    ['train', 'test']
    """

    def __init__(self, near: Near | None = None) -> None:
        self.near = near
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # label -> rows in train, dev, test
        self._total = [0, 0, 0]
        self._groups: dict[str, int] = {}
        self._index: Index | None = None

    def load(self, table: pa.Table) -> None:
        """Rows that have their splits."""
        where = _codes(table["split"])
        self._count(_text(table["label"]), where)
        self._settle(_text(table["group"]), where)
        if self.near and "near" in table.column_names:
            kept = pc.and_(pc.is_valid(table["near"]), pa.array(where != ASIDE))
            signatures = to_signatures(table["near"].filter(kept))
            self._indexed(signatures.shape[1]).load(signatures, where[np.asarray(kept)].astype(np.uint8))

    def assign(self, table: pa.Table) -> pa.Array:
        """A split for each new row."""
        order = _order(table["id"].to_pylist())
        table = table.take(pa.array(order))
        labels, groups, asked = _text(table["label"]), _text(table["group"]), _codes(table["split"])
        where, units = self._group(groups, asked)
        if self.near and "near" in table.column_names:
            self._part(to_signatures(table["near"]), groups, asked, where, units)
        self._choose(labels, where, units)
        self._count(labels, where)
        self._settle(groups, where)
        if self._index:
            self._index.tags[self._index.count - len(where) : self._index.count] = where
        back = np.empty(len(order), dtype=np.int64)
        back[order] = where
        return pa.array(SPLITS).take(pa.array(back))

    def _group(self, groups: pa.ChunkedArray, asked: Numbers) -> tuple[Numbers, Numbers]:
        """The splits that are settled by groups and by what rows came with; and for each row the first of its unit."""
        where, units = asked.copy(), np.arange(len(asked))
        grouped = np.flatnonzero(np.asarray(pc.not_equal(groups, "")))
        if not len(grouped):
            return where, units
        names = pc.dictionary_encode(groups.take(pa.array(grouped))).combine_chunks()
        codes = np.asarray(names.indices)
        _, first = np.unique(codes, return_index=True)
        units[grouped] = grouped[first][codes]
        homes = np.array([self._groups.get(name, CHOOSE) for name in names.dictionary.to_pylist()])
        said = np.flatnonzero(asked[grouped] != CHOOSE)[::-1]
        wishes = np.full(len(homes), CHOOSE)
        wishes[codes[said]] = asked[grouped][said]  # the first row that says one decides
        where[grouped] = np.where(homes == CHOOSE, wishes, homes)[codes]
        return where, units

    def _part(
        self, signatures: NDArray[np.uint8], groups: pa.ChunkedArray, asked: Numbers, where: Numbers, units: Numbers
    ) -> None:
        """Put near-duplicates into one unit, into the split where they have relatives, or aside."""
        clusters, ties = self._clusters(signatures, where)
        touched = (ties[clusters].max(axis=1) > 0) | (np.bincount(clusters, minlength=len(clusters))[clusters] > 1)
        whole = clusters.copy()
        join(whole, np.arange(len(units)), units)
        near = np.zeros_like(ties)
        np.maximum.at(near, whole, ties[clusters])
        said = np.flatnonzero((where >= 0) & (where < ASIDE))
        np.maximum.at(near, (whole[said], where[said]), 1.0)
        near = near[whole]
        several = (near >= SAME).sum(axis=1) > 1
        units[~several] = whole[~several]
        joins = ~several & (near.max(axis=1) > 0) & (where == CHOOSE)
        where[joins] = near.argmax(axis=1)[joins]
        where[several & touched & (asked == CHOOSE)] = ASIDE

    def _clusters(self, signatures: NDArray[np.uint8], where: Numbers) -> tuple[Numbers, NDArray[np.float64]]:
        """Which new rows hang together, by the first of them; and for these how near they are to earlier rows of
        train, dev and test."""
        index = self._indexed(signatures.shape[1])
        first, roots = index.count, np.arange(len(signatures))
        ties, todo = np.zeros((len(roots), len(SHARES))), np.ones(len(roots), dtype=np.bool_)
        index.load(signatures, np.where(where < 0, ASIDE, where).astype(np.uint8))

        def wanted(one: Numbers, two: Numbers) -> NDArray[np.bool_]:
            known, mine = one < first, np.maximum(one - first, 0)
            found: NDArray[np.bool_] = np.where(known, todo.all(), todo[mine] & (roots[mine] != roots[two - first]))
            return found & todo[two - first]

        most = max(CLUSTER_ROWS, int(CLUSTER_SHARE * index.count))
        for threshold in np.linspace(index.near.threshold, 1.0, STEPS):
            for one, two, share in index.among(first, wanted, threshold):
                known = (one < first) & (index.tags[one] < ASIDE)
                np.maximum.at(ties, (two[known] - first, index.tags[one[known]]), share[known])
                fresh = one >= first
                join(roots, one[fresh] - first, two[fresh] - first)
            todo = np.bincount(roots, minlength=len(roots))[roots] > most
            if not todo.any() or threshold == 1.0:
                break
            roots[todo] = np.flatnonzero(todo)  # a template, not duplicates: only what is more alike hangs together
        drawn = np.zeros_like(ties)
        np.maximum.at(drawn, roots, ties)
        return roots, drawn

    def _choose(self, labels: pa.ChunkedArray, where: Numbers, units: Numbers) -> None:
        """Fill in the rest, unit by unit: each goes where its label is short."""
        codes = pc.dictionary_encode(labels).combine_chunks()
        names, code = codes.dictionary.to_pylist(), np.asarray(codes.indices)
        counts = [list(self._counts[name]) if name in self._counts else [0, 0, 0] for name in names]
        total = list(self._total)
        for c, split in zip(*(a.tolist() for a in (code[where >= 0], where[where >= 0])), strict=True):
            if split != ASIDE:
                counts[c][split] += 1
                total[split] += 1
        free = np.flatnonzero(where == CHOOSE)
        free = free[np.argsort(units[free], kind="stable")]
        bounds = np.append(np.flatnonzero(np.diff(units[free], prepend=-1)), len(free))
        members, stratified = code[free].tolist(), self._stratified(names, labels)
        chosen = np.empty(len(bounds) - 1, dtype=np.int64)
        for i, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
            chosen[i] = split = _shortest(counts[members[start]] if stratified else total, total, end - start)
            total[split] += end - start
            for member in members[start:end]:
                counts[member][split] += 1
        where[free] = np.repeat(chosen, np.diff(bounds))

    def _stratified(self, names: Sequence[str], labels: pa.ChunkedArray) -> bool:
        """Labels that hardly repeat are numbers or names: they are not shared out one by one."""
        there = sum(map(sum, self._counts.values())) - sum(self._counts.get("", ()))
        fresh = len(labels) - pc.sum(pc.equal(labels, "")).as_py() if len(labels) else 0
        return len(({*names} | self._counts.keys()) - {""}) * 2 <= there + fresh

    def _count(self, labels: pa.ChunkedArray, where: Numbers) -> None:
        found = pa.table({"label": labels, "split": where}).group_by(["label", "split"]).aggregate([([], "count_all")])
        for label, split, n in zip(*(column.to_pylist() for column in found.columns), strict=True):
            if 0 <= split < ASIDE:
                self._counts[label][split] += n
                self._total[split] += n

    def _settle(self, groups: pa.ChunkedArray, where: Numbers) -> None:
        """Note where groups live; a row that is set aside does not say."""
        kept = pc.and_(pc.not_equal(groups, ""), pa.array(where != ASIDE))
        found = pa.table({"group": groups, "split": where}).filter(kept).group_by("group").aggregate([("split", "min")])
        self._groups |= dict(zip(found["group"].to_pylist(), found["split_min"].to_pylist(), strict=True))

    def _indexed(self, width: int) -> Index:
        if self._index is None:
            assert self.near
            self._index = Index(self.near, width)
        return self._index


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column, "")


def _codes(splits: pa.ChunkedArray) -> Numbers:
    """Splits as their numbers; "" is CHOOSE."""
    found = pc.index_in(_text(splits), pa.array(SPLITS))
    return np.asarray(pc.fill_null(found, CHOOSE)).astype(np.int64)


def _order(ids: Sequence[str]) -> Numbers:
    """Rows by a hash of their id, so that the order they came in does not matter."""
    hashes = b"".join(hashlib.blake2b(one.encode(), digest_size=8, person=b"split").digest() for one in ids)
    return np.argsort(np.frombuffer(hashes, dtype=">u8").astype(np.uint64), kind="stable")


def _shortest(label: Sequence[int], whole: Sequence[int], size: int) -> int:
    """The split that the label lacks most. Where that is less than a row, the one of those it lacks that the whole
    dataset lacks most: of many small labels, some give a row to dev and others to test."""
    lacking = _lacking(label, size)
    most = lacking.index(max(lacking))
    if lacking[most] >= 1 or not label[0]:
        return most
    overall = _lacking(whole, size)
    return max((split for split in range(3) if lacking[split] > 0), key=overall.__getitem__)


def _lacking(counts: Sequence[int], size: int) -> list[float]:
    total = sum(counts) + size
    return [0.8 * total - counts[0], 0.1 * total - counts[1], 0.1 * total - counts[2]]
