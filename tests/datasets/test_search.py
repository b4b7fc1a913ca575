"""Search: the rows with the words, and the nearest rows, of the version and the filters that were asked for."""

import numpy as np
import pytest

from speciate import UsageError
from speciate_datasets import search as search_module
from speciate_datasets.query import Dataset

WIDTH = 16


def vectors(rows):
    seeds = [int(row["id"][:8], 16) for row in rows]
    return np.array([np.random.default_rng(seed).normal(size=WIDTH) for seed in seeds], dtype=np.float32)


@pytest.fixture
def filled(workspace, tmp_path, make):
    """300 rows with vectors of a base."""
    rows = make.rows(300)
    for i in range(5):
        rows[i * 60]["text"] = f"a blurry gripper number {i}"
    workspace.add("news", make.jsonl(tmp_path / "news.jsonl", rows))
    dataset = workspace.engine.dataset("news")
    dataset.features("hash_ngrams_abc", dataset.rows(), WIDTH, vectors)
    return Dataset(workspace.engine, "news")


def nearest(rows, vector, k):
    """By hand."""
    there = vectors(rows)
    scores = there @ vector / np.linalg.norm(there, axis=1) / np.linalg.norm(vector)
    order = np.argsort(-scores)[:k]
    return [(rows[i]["id"], pytest.approx(float(scores[i]), abs=1e-5)) for i in order]


def found(dataset):
    return [(row["id"], row["score"]) for row in dataset]


# --- words --------------------------------------------------------------------------------------------------------


def test_words(filled):
    rows = filled.search("blurry gripper", k=3).rows()
    assert len(rows) == 3
    assert all("blurry gripper" in row["text"] for row in rows)
    assert filled.search("blurry gripper", k=50).count() == 5
    scores = [row["score"] for row in filled.search("number blurry 3", k=5)]
    assert scores == sorted(scores, reverse=True)
    assert "number 3" in filled.search("number blurry 3", k=1).rows()[0]["text"]


def test_words_of_nobody(filled):
    for words in ("zzzz", "", "  ", '"unclosed', "a AND (", "' or true --"):
        assert [row for row in filled.search(words) if "blurry" in row["text"]] == []
    with pytest.raises(UsageError):
        filled.search("x", k=0).rows()
    with pytest.raises(UsageError, match="no column named 'nosuch'"):
        filled.search("x", column="nosuch").rows()


def test_filters_count_before_and_after(filled):
    everything = {row["id"]: row for row in filled.search("blurry", k=50)}
    for split in {row["split"] for row in everything.values()}:
        mine = {i for i, row in everything.items() if row["split"] == split}
        assert {row["id"] for row in filled.split(split).search("blurry", k=50)} == mine
        assert {row["id"] for row in filled.search("blurry", k=50).split(split)} == mine
    assert filled.search("blurry", k=50).sample(2).count() == 2
    assert all("score" in row for row in filled.search("blurry", k=50).sample(2))


def test_added_rows_are_found_and_the_version_holds(workspace, filled, tmp_path, make):
    assert filled.search("blurry", k=50).count() == 5
    workspace.add("news", make.jsonl(tmp_path / "more.jsonl", [{"text": "another blurry one", "label": "oil"}]))
    newer = Dataset(workspace.engine, "news")
    assert newer.search("blurry", k=50).count() == 6
    assert filled.search("blurry", k=50).count() == 5, "the old version does not have it"


def test_the_index_is_made_once_and_again_when_stale(workspace, filled, tmp_path, make):
    store = workspace.engine.store
    filled.search("blurry").rows()
    version = store.version("dataset.news")
    filled.search("grain").rows()
    assert store.version("dataset.news") == version
    workspace.add("news", make.jsonl(tmp_path / "more.jsonl", make.rows(400, seed=5)))
    version = store.version("dataset.news")
    Dataset(workspace.engine, "news").search("blurry").rows()
    assert store.version("dataset.news") > version
    [index] = [i for i in store.open("dataset.news").list_indices() if i.columns == ["text"]]
    assert store.open("dataset.news").index_stats(index.name).num_unindexed_rows == 0


def test_an_encode_function_searches_by_meaning(filled):
    row = filled.head(1)[0]
    rows = filled.search("whatever", k=1, encode=lambda words: vectors([row])[0]).rows()
    assert rows[0]["id"] == row["id"]


# --- vectors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indexed", [False, True])
def test_the_nearest_are_the_nearest(filled, monkeypatch, indexed):
    monkeypatch.setattr(search_module, "INDEX_FROM", 1 if indexed else 10**9)
    rows = filled.rows()
    for i in (0, 17, 200):
        mine = vectors([rows[i]])[0]
        others = [row for row in rows if row["id"] != rows[i]["id"]]
        assert found(filled.similar(rows[i]["id"], k=7)) == nearest(others, mine, 7)
        assert found(filled.similar(mine, k=7)) == nearest(rows, mine, 7)
        train = [row for row in others if row["split"] == "train"]
        assert found(filled.split("train").similar(rows[i], k=7)) == nearest(train, mine, 7)
        sample = filled.sample(40)
        assert found(sample.similar(mine, k=7)) == nearest(sample.rows(), mine, 7)
    built = filled.engine.store.open("dataset.news").list_indices()
    assert bool(built) is indexed


def test_rows_without_a_vector_yet(workspace, filled, tmp_path, make):
    workspace.add("news", make.jsonl(tmp_path / "more.jsonl", make.rows(5, seed=9)))
    newer = Dataset(workspace.engine, "news")
    old = {row["id"] for row in filled}
    fresh = next(row["id"] for row in newer if row["id"] not in old)
    assert {row["id"] for row in newer.similar(filled.head(1)[0], k=400)} < old
    with pytest.raises(Exception, match="no vector yet"):
        newer.similar(fresh)


def test_bases_are_told_apart(workspace, filled):
    dataset = workspace.engine.dataset("news")
    dataset.features("minilm_x", dataset.rows(), 3, lambda rows: vectors(rows)[:, :3])
    row = filled.head(1)[0]
    with pytest.raises(UsageError, match="several bases") as caught:
        filled.similar(row)
    assert "minilm_x" in caught.value.exists
    assert len(filled.similar(row, k=2, base="hash-ngrams").rows()) == len(
        filled.similar(row, k=2, base="minilm").rows()
    )
    with pytest.raises(UsageError, match="no vectors of 'nosuch'"):
        filled.similar(row, base="nosuch")


def test_what_cannot_be_near(workspace, filled, tmp_path, make):
    for wrong in ([1.0, 2.0], [0.0] * WIDTH, [float("nan")] * WIDTH):
        with pytest.raises(UsageError):
            filled.similar(wrong).rows()
    for wrong in ("0" * 32, "' or true --", ""):
        with pytest.raises(UsageError, match="no row has the id"):
            filled.similar(wrong)
    workspace.add("bare", make.jsonl(tmp_path / "bare.jsonl", make.rows(9)))
    with pytest.raises(UsageError, match="no vectors yet"):
        Dataset(workspace.engine, "bare").similar("0" * 32)
    with pytest.raises(UsageError, match="first, then"):
        filled.map(dict).search("x")
