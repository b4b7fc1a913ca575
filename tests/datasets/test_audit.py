"""The audit names what was planted: leaks, contradictions, outliers and wrong labels, row by row."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest

from speciate.contracts import Near
from speciate_datasets.audit import audit
from speciate_datasets.store import KEY, Store
from speciate_datasets.suspects import outliers, unlikely

NEAR = Near("none:needed", threshold=0.5, band=4)
WIDTH = 32


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, WIDTH), dtype=np.uint8)


def dataset(tmp_path, n=100, near=None, features=None, **columns):
    """A dataset as the store keeps it, and its record."""
    usual = {
        "source": [f"file{i % 3}.txt" for i in range(n)],
        "row": list(range(n)),
        "label": ["ab"[i % 2] for i in range(n)],
        "group": [""] * n,
        "split": [("train", "train", "train", "dev", "test")[i % 5] for i in range(n)],
        **columns,
    }
    fields = [pa.field(name, pa.int64() if name == "row" else pa.string()) for name in usual]
    arrays = [pa.array([f"{i:032x}" for i in range(n)]), *(pa.array(usual[f.name], f.type) for f in fields)]
    schema = [KEY, *fields]
    if near is not None:
        schema.append(pa.field("near", pa.binary(WIDTH)))
        arrays.append(pa.array([row.tobytes() for row in near], pa.binary(WIDTH)))
    store = Store(tmp_path)
    store.append("dataset.d", pa.table(arrays, schema=pa.schema(schema)))
    record = {"name": "d", "version": store.version("dataset.d")}
    if features is not None:
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(features.astype(np.float32).ravel()), features.shape[1])
        columns = pa.schema([KEY, pa.field("features_base_1", vectors.type)])
        store.merge("dataset.d", pa.table([arrays[0], vectors], schema=columns), insert=False)
    return store, "d", record


def said(report, words):
    return [finding for finding in report["findings"] if words in finding["what"]]


def blobs(n=1000, labels=4, width=32, seed=0):
    """Vectors that their labels explain."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % labels
    return rng.normal(size=(labels, width))[codes] * 2 + rng.normal(size=(n, width)), codes


def test_a_clean_dataset(tmp_path):
    vectors, codes = blobs(200)
    report = audit(*dataset(tmp_path, 200, noise(200), vectors, label=[f"l{c}" for c in codes]), NEAR)
    assert report["findings"] == []
    assert report["rows"] == 200
    assert report["looked_at"] == 200
    assert report["splits"]["train"] == {
        "rows": 120,
        "unlabelled": 0,
        "labels": dict.fromkeys(["l0", "l1", "l2", "l3"], 30),
        "different": 4,
    }
    assert list(report["splits"]) == ["train", "dev", "test"]


def test_it_is_json(tmp_path):
    vectors, codes = blobs(100)
    labels = [f"l{c}" for c in codes[:90]] + [None] * 10
    near = np.vstack([noise(50), noise(50)])
    report = audit(*dataset(tmp_path, 100, near, vectors, label=labels, group=[f"g{i % 7}" for i in range(100)]), NEAR)
    assert json.loads(json.dumps(report)) == report
    for finding in report["findings"]:
        assert finding.keys() == {"severity", "what", "count", "do"}
        assert all(finding.values())


def test_near_duplicates_across_splits(tmp_path):
    near = noise(100)
    near[3] = near[0]  # dev like train, equal
    near[9] = near[1]  # test like train, a few bytes apart
    near[9, :5] ^= 1
    near[6] = near[5]  # both in train: no leak
    report = audit(*dataset(tmp_path, near=near), NEAR)
    pairs = [(p["one"]["row"], p["two"]["row"], p["similarity"]) for p in report["near"]["pairs"]]
    assert pairs == [(0, 3, 1.0), (1, 9, round(27 / 32, 3))]
    assert (report["near"]["count"], report["near"]["rows"], report["near"]["compared"]) == (2, 4, 100)
    assert report["near"]["pairs"][0]["two"]["source"] == "file0.txt"
    found = [(f["severity"], f["count"]) for f in said(report, "pairs across splits")]
    assert found == [("error", 1), ("note", 1)], "the equal one is a leak, the other only alike"


def test_a_row_that_is_aside_leaks_nothing(tmp_path):
    near = np.repeat(noise(1), 100, axis=0)
    splits = ["train"] * 60 + ["aside"] * 40
    report = audit(*dataset(tmp_path, near=near, split=splits), NEAR)
    assert report["near"]["count"] == 0
    assert report["aside"]["count"] == 40
    assert said(report, "set aside")


def test_groups_across_splits(tmp_path):
    groups = ["p1" if i in (0, 1, 4) else "p2" if i in (5, 6) else "" for i in range(100)]
    report = audit(*dataset(tmp_path, group=groups))
    (torn,) = report["groups"]["groups"]
    assert (torn["group"], torn["splits"]) == ("p1", {"train": 2, "test": 1})
    assert [row["row"] for row in torn["rows"]] == [0, 1, 4]
    assert said(report, "groups in two splits")[0]["severity"] == "error"


def test_equal_rows_whose_labels_differ(tmp_path):
    near = noise(100)
    near[6] = near[5]  # a and b, both train
    near[7] = near[1]  # both b
    near[11] = near[2]
    near[11, 0] ^= 1  # not equal
    report = audit(*dataset(tmp_path, near=near), NEAR)
    assert [(p["one"]["row"], p["two"]["row"]) for p in report["contradictions"]["pairs"]] == [(5, 6)]


def test_labels_missing(tmp_path):
    labels = ["a" if i % 5 < 3 else "b" for i in range(95)] + [None] * 5
    report = audit(*dataset(tmp_path, label=labels))
    assert report["unlabelled"]["count"] == 5
    assert [row["row"] for row in report["unlabelled"]["rows"]] == [95, 96, 97, 98, 99]
    assert said(report, "train does not have: b")
    assert report["splits"]["dev"]["unlabelled"] == 1


def test_a_split_without_rows(tmp_path):
    report = audit(*dataset(tmp_path, split=["train"] * 100))
    assert said(report, "without rows: dev, test")[0]["count"] == 2


def test_without_vectors_it_says_what_to_type(tmp_path):
    report = audit(*dataset(tmp_path))
    assert report["outliers"]["skipped"]
    assert report["features"] == ""
    assert "dataset=d" in said(report, "no outliers")[0]["do"]
    assert report["near"]["skipped"]


@pytest.mark.parametrize("seed", range(3))
def test_planted_label_errors_are_found(tmp_path, seed):
    vectors, codes = blobs(2000, labels=5, seed=seed)
    flipped = random.Random(seed).sample(range(2000), 100)
    codes[flipped] = (codes[flipped] + 1 + np.arange(100) % 4) % 5
    report = audit(*dataset(tmp_path, 2000, None, vectors, label=[f"l{c}" for c in codes]), shown=200)
    listed = [row["row"] for row in report["label_errors"]["rows"]]
    hits = set(listed) & set(flipped)
    assert len(hits) >= 70, len(hits)
    assert len(hits) >= len(listed) / 2, (len(hits), len(listed))
    first = report["label_errors"]["rows"][0]
    assert first["label"] != first["likely"]
    assert first["margin"] > 0
    assert first["source"]
    assert said(report, "likely label errors")[0]["count"] == report["label_errors"]["count"]


def test_labels_without_any_signal_are_not_called_errors_with_confidence():
    vectors, _ = blobs(1000)
    labels = np.array(["ab"[i] for i in np.random.default_rng(5).integers(0, 2, 1000)])
    _wrong, _, margin = unlikely(vectors.astype(np.float32), labels, np.full(1000, ""))
    assert margin.max(initial=0) < 0.5


def test_a_group_is_in_one_fold():
    """Rows of one group that are all wrong together would vouch for each other."""
    vectors, codes = blobs(600, labels=2)
    base = vectors[::2].mean(axis=0)
    vectors[:40:2] = base + np.random.default_rng(0).normal(size=(20, 32)) * 0.05
    labels = np.array([f"l{c}" for c in codes])
    labels[:40:2] = "l1"
    groups = np.array(["same" if i < 40 and i % 2 == 0 else "" for i in range(600)])
    wrong = set(unlikely(vectors.astype(np.float32), labels, groups)[0].tolist())
    assert len(wrong & set(range(0, 40, 2))) >= 18


@pytest.mark.parametrize("labels", [["a"] * 50, [f"{i}" for i in range(50)], [""] * 50])
def test_labels_that_cannot_be_judged(labels):
    vectors, _ = blobs(50)
    assert len(unlikely(vectors.astype(np.float32), np.array(labels), np.full(50, ""))[0]) == 0


@pytest.mark.parametrize("n", [100, 6000])
def test_planted_outliers_are_first(n):
    vectors, _ = blobs(n)
    planted = [7, n // 2, n - 1]
    vectors[planted] = np.random.default_rng(9).normal(size=(3, 32)) * 5
    far, distance = outliers(vectors.astype(np.float32))
    assert set(far[:3].tolist()) == set(planted)
    assert (np.diff(distance) <= 0).all()
    assert len(far) < 0.02 * n + 3


def test_through_a_workspace(workspace, news):
    """Add, run a probe, audit: the vectors are found where the run left them."""
    workspace.add("news", news)
    workspace.run("text/probe-hash", dataset="news")
    dataset = workspace.engine.dataset("news")
    report = audit(workspace.engine.store, "news", {"version": dataset.version})
    assert report["rows"] == report["looked_at"] == 240
    assert report["features"].startswith("hash_ngrams")
    assert report["label_errors"]["count"] < 12
