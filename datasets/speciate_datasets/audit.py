"""The audit of a dataset: what a person should look at before trusting a score from it.

Leakage between splits, balance, missing labels, rows that contradict each other; and, where a base has left its vectors
in the dataset, rows unlike all others and labels that the vectors speak against. Every row is named by id and source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import Row
from speciate.contracts import Near
from speciate_datasets.near import Index, to_signatures
from speciate_datasets.splits import SAME, SPLITS
from speciate_datasets.store import Store
from speciate_datasets.stored import as_shown
from speciate_datasets.suspects import outliers, unlikely
from speciate_datasets.versions import vector_columns

SHOWN = 100  # rows or pairs listed of each kind; the counts are of all
MOST_PAIRS = 1_000_000
MOST_VECTORS = 100_000  # drawn by id, which is a hash
COLUMNS = ["id", "source", "row", "label", "group", "split"]
Numbers = NDArray[np.int64]


def audit(
    store: Store,
    name: str,
    record: Mapping[str, Any],
    near: Near | None = None,
    features: str = "",
    shown: int = SHOWN,
) -> dict[str, Any]:
    """All that is found, as JSON; `findings` says in words what to do. `features` names one base's vectors."""
    table = f"dataset.{name}"
    there = store.schema(table, record["version"]).names
    wanted = [*COLUMNS, *(["near"] if near and "near" in there else [])]
    rows = _Rows(store.scan(table, wanted, record["version"]).sort_by("id"), shown)
    report: dict[str, Any] = {
        "dataset": name,
        "version": record["version"],
        "rows": len(rows),
        "splits": rows.balance(),
        "unlabelled": rows.listed(np.flatnonzero(rows.labels == "")),
        "aside": rows.listed(np.flatnonzero(rows.splits == "aside")),
        "groups": rows.straddling(),
        **rows.near_duplicates(near),
        **_by_vectors(store, table, rows, features),
    }
    return {**report, "findings": list(_findings(name, report))}


@dataclass
class _Rows:
    """The columns of a dataset as arrays, and what can be seen in them."""

    table: pa.Table
    shown: int
    labels: NDArray[Any] = field(init=False)
    splits: NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.labels, self.splits = (_words(self.table[name]) for name in ("label", "split"))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def at(self, places: Iterable[int]) -> list[Row]:
        """Rows as a person finds them again."""
        named = self.table.select(COLUMNS).take(pa.array(list(places), pa.int64()))
        found: list[Row] = named.to_pylist()
        return found

    def listed(self, places: Numbers, **more: Any) -> Row:
        """How many, and the first of them; `more` are values beside each."""
        some = self.at(places[: self.shown])
        beside = [dict(zip(more, values, strict=True)) for values in zip(*more.values(), strict=True)] or [{}] * len(
            some
        )
        return {"count": len(places), "rows": [row | values for row, values in zip(some, beside, strict=False)]}

    def balance(self) -> dict[str, Row]:
        """Rows, and rows of each label, by split."""
        counted = self.table.group_by(["split", "label"]).aggregate([([], "count_all")]).to_pylist()
        found: dict[str, Row] = {}
        for split in sorted({c["split"] for c in counted}, key=lambda s: SPLITS.index(s) if s in SPLITS else 9):
            mine = [c for c in counted if c["split"] == split]
            labels = sorted((c for c in mine if c["label"] is not None), key=lambda c: (-c["count_all"], c["label"]))
            found[split] = {
                "rows": sum(c["count_all"] for c in mine),
                "unlabelled": sum(c["count_all"] for c in mine if c["label"] is None),
                "labels": as_shown((c["label"], c["count_all"]) for c in labels[: self.shown]),
                "different": len(labels),
            }
        return found

    def straddling(self) -> Row:
        """Groups with rows in more than one split."""
        inside = self.table.filter(
            pc.and_(pc.not_equal(self.table["group"], ""), pc.not_equal(self.table["split"], "aside"))
        )
        homes = inside.group_by("group").aggregate([("split", "count_distinct")])
        torn = homes.filter(pc.greater(homes["split_count_distinct"], 1))["group"].to_pylist()
        some = []
        for group in sorted(torn)[: self.shown]:
            rows = inside.filter(pc.equal(inside["group"], group))
            splits = {v["values"]: v["counts"] for v in pc.value_counts(rows["split"]).to_pylist()}
            some.append({"group": group, "splits": splits, "rows": rows.select(COLUMNS).slice(0, 10).to_pylist()})
        return {"count": len(torn), "groups": some}

    def near_duplicates(self, near: Near | None) -> Row:
        """Near-duplicates across splits, most alike first, and equal rows whose labels differ."""
        if not near or "near" not in self.table.column_names:
            why = "the format compares rows by their exact content only, and equal rows are stored once"
            return {"near": {"count": 0, "pairs": [], "skipped": why}, "contradictions": {"count": 0, "pairs": []}}
        kept = np.flatnonzero(np.asarray(pc.is_valid(self.table["near"])))
        signatures = to_signatures(self.table["near"].take(pa.array(kept)))
        splits = np.asarray(pc.fill_null(pc.index_in(pa.array(self.splits[kept]), pa.array(SPLITS)), 3)).astype(
            np.uint8
        )
        index = Index(near, signatures.shape[1])
        one, two, alike = index.collect(
            signatures, splits, lambda a, b: (splits[a] != splits[b]) & (splits[a] < 3) & (splits[b] < 3), MOST_PAIRS
        )
        codes = np.unique(self.labels[kept], return_inverse=True)[1]
        none = self.labels[kept] == ""
        equal = Index(Near(near.signature, 1.0, signatures.shape[1]), signatures.shape[1])
        same = equal.collect(signatures, splits, lambda a, b: (codes[a] != codes[b]) & ~none[a] & ~none[b], MOST_PAIRS)
        return {
            "near": {**self._pairs(kept[one], kept[two], alike), "compared": len(kept)},
            "contradictions": self._pairs(kept[same[0]], kept[same[1]], same[2]),
        }

    def _pairs(self, one: Numbers, two: Numbers, alike: NDArray[np.float64]) -> Row:
        order = np.lexsort((two, one, -alike))[: self.shown]
        pairs = zip(self.at(one[order]), self.at(two[order]), alike[order].tolist(), strict=True)
        return {
            "count": len(one),
            "same": int((alike >= SAME).sum()),
            "rows": len(np.unique(np.concatenate([one, two]))),
            "pairs": [{"one": a, "two": b, "similarity": round(share, 3)} for a, b, share in pairs],
        }


def _by_vectors(store: Store, table: str, rows: _Rows, wanted: str) -> Row:
    """What only embeddings can show; they are in the newest version, whatever version is looked at."""
    columns = [name for name in vector_columns(store.schema(table)) if wanted in name]
    best: tuple[str, Numbers, NDArray[np.float32]] | None = None
    for column in reversed(columns):
        places, vectors = _vectors(store, table, column, rows)
        if best is None or len(places) > len(best[1]):
            best = column, places, vectors
        if len(best[1]) == min(len(rows), MOST_VECTORS):
            break
    if best is None or len(best[1]) < 20:
        why = "no base has left its vectors here" if best is None else f"only {len(best[1])} rows have vectors"
        skipped = {"count": 0, "rows": [], "skipped": why}
        return {"features": "", "outliers": skipped, "label_errors": skipped}
    column, places, vectors = best
    far, distance = outliers(vectors)
    wrong, instead, margin = unlikely(vectors, rows.labels[places], _words(rows.table["group"].take(pa.array(places))))
    return {
        "features": column.removeprefix("features_"),
        "looked_at": len(places),
        "outliers": rows.listed(places[far], distance=distance.round(4).tolist()),
        "label_errors": rows.listed(places[wrong], likely=instead.tolist(), margin=margin.round(4).tolist()),
    }


def _vectors(store: Store, table: str, column: str, rows: _Rows) -> tuple[Numbers, NDArray[np.float32]]:
    """The vectors that are there, and whose they are."""
    there = store.scan(table, ["id", column])
    there = there.filter(pc.is_valid(there[column])).combine_chunks()
    found = pc.index_in(rows.table["id"], there["id"]).combine_chunks()
    places = np.flatnonzero(np.asarray(found.is_valid()))[:MOST_VECTORS]
    if not len(places):
        return places, np.empty((0, 1), dtype=np.float32)
    taken = there[column].take(found.take(pa.array(places))).combine_chunks()
    return places, np.asarray(taken.flatten()).reshape(len(places), -1)


def _words(column: pa.ChunkedArray) -> NDArray[Any]:
    return (
        np.asarray(pc.fill_null(column, "").to_pylist(), dtype=object).astype(str) if len(column) else np.empty(0, str)
    )


def _findings(name: str, report: Mapping[str, Any]) -> Iterable[Row]:
    """What is wrong, how bad it is (error: a score would lie; warning: look; note), and what to do."""

    def found(severity: str, what: str, count: int, do: str) -> Iterable[Row]:
        if count:
            yield {"severity": severity, "what": what, "count": count, "do": do}

    splits = report["splits"]
    yield from found("error", "groups in two splits", report["groups"]["count"], "put each group into one split")
    do = "drop one row of each pair, or let Speciate choose the splits"
    same = report["near"].get("same", 0)
    yield from found("error", "pairs across splits that are practically the same", same, do)
    do = "look at the first few: rows of one template are alike too, and yet no duplicates"
    yield from found("note", "pairs across splits that are alike", report["near"]["count"] - same, do)
    do = "relabel one row of each pair"
    yield from found("warning", "equal rows whose labels differ", report["contradictions"]["count"], do)
    unseen = set().union(*(splits.get(s, {"labels": ()})["labels"] for s in ("dev", "test")))
    unseen -= set(splits.get("train", {"labels": ()})["labels"])
    if all(part["different"] * 2 <= part["rows"] for part in splits.values()):
        do = "add training rows with these labels"
        yield from found(
            "warning", f"labels that train does not have: {', '.join(sorted(unseen)[:5])}", len(unseen), do
        )
    empty = [split for split in ("train", "dev", "test") if split not in splits]
    yield from found(
        "warning", f"splits without rows: {', '.join(empty)}", len(empty), f"speciate add {name} more files"
    )
    yield from found(
        "warning", "rows without a label", report["unlabelled"]["count"], "label them; nothing learns from them"
    )
    do = "look at the rows, then relabel what is wrong"
    yield from found("warning", "likely label errors", report["label_errors"]["count"], do)
    yield from found(
        "note", "rows unlike all others", report["outliers"]["count"], "look at the rows, drop what is no data"
    )
    yield from found(
        "note", "rows set aside", report["aside"]["count"], "none: they are practically equal to rows of two splits"
    )
    do = f"speciate run RECIPE dataset={name}, which leaves its base's vectors in the dataset"
    yield from found("note", "no outliers or label errors were looked for", int(not report["features"]), do)
