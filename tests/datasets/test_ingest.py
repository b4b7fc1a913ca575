"""Ingest: what goes in comes out, adding twice changes nothing, and a damaged file costs nobody else a row."""

import dataclasses
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import speciate
from speciate import SpeciateError, UsageError
from speciate_datasets import ingest, spool, stored
from speciate_datasets.store import Store


@pytest.fixture
def write(tmp_path, make):
    """write(name, *rows) -> the path of a JSONL file."""

    def write(name, *rows):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return make.jsonl(path, rows)

    return write


def rows_of(ws, name="d"):
    return {row["text"]: row for row in ws.engine.dataset(name).rows()}


def types_of(ws, name="d"):
    return {f.name: f.type for f in Store(ws.root).schema(f"dataset.{name}")}


# --- again --------------------------------------------------------------------------------------------------------


def test_adding_twice_changes_nothing(workspace, news):
    first, again = workspace.add("news", news), workspace.add("news", news)
    assert (first.added, first.rows) == (240, 240)
    assert (again.added, again.updated, again.unchanged, again.rows) == (0, 0, 240, 240)
    assert again.version == first.version
    assert len(workspace.list("datasets")["datasets"]) == 1
    assert len(workspace.ledger.rows("datasets")) == 1


def test_the_same_content_twice_in_one_add(workspace, write):
    a = write("a.jsonl", {"text": "x", "label": "1"}, {"text": "x", "label": "1"}, {"text": "y", "label": "2"})
    b = write("b.jsonl", {"text": "x", "label": "2"})
    added = workspace.add("d", a, b)
    assert (added.added, added.duplicates, added.rows) == (2, 2, 2)
    assert rows_of(workspace)["x"]["label"] == "1"


def test_a_new_label_updates_and_the_split_stays(workspace, rows, write):
    workspace.add("d", write("a.jsonl", *rows))
    before = rows_of(workspace)
    added = workspace.add("d", write("b.jsonl", *({**row, "label": "other"} for row in rows[:50])))
    after = rows_of(workspace)
    assert (added.added, added.updated, added.rows) == (0, 50, 240)
    assert sum(row["label"] == "other" for row in after.values()) == 50
    assert {t: (r["split"], r["id"]) for t, r in before.items()} == {t: (r["split"], r["id"]) for t, r in after.items()}


def test_a_row_without_a_label_takes_none_away(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "label": "1"}))
    added = workspace.add("d", write("b.jsonl", {"text": "x"}))
    assert (added.updated, added.unchanged) == (0, 1)
    assert rows_of(workspace)["x"]["label"] == "1"


def test_an_update_leaves_what_it_does_not_speak_of(workspace, write):
    """Corrections come as text and label: the other columns and the vectors of these rows are still true."""
    workspace.add("d", write("a.jsonl", {"text": "x", "label": "1", "author": "me"}, {"text": "y", "label": "1"}))
    ones = lambda rows: [[1.0, 2.0] for _ in rows]  # noqa: E731
    dataset = workspace.engine.dataset("d")
    dataset.features("k", dataset.rows(), 2, ones)
    workspace.add("d", write("b.jsonl", {"text": "x", "label": "2"}))
    assert (rows_of(workspace)["x"]["label"], rows_of(workspace)["x"]["author"]) == ("2", "me")
    dataset = workspace.engine.dataset("d")
    dataset.features("k", dataset.rows(), 2, lambda rows: pytest.fail("computed again"))


# --- columns ------------------------------------------------------------------------------------------------------


def test_other_columns_keep_their_types(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "n": 3, "f": 0.5, "ok": True, "s": "é", "deep": {"a": [1]}}))
    row = rows_of(workspace)["x"]
    assert (row["n"], row["f"], row["ok"], row["s"], json.loads(row["deep"])) == (3, 0.5, True, "é", {"a": [1]})
    found = types_of(workspace)
    assert (found["n"], found["f"], found["ok"]) == (pa.int64(), pa.float64(), pa.bool_())


@pytest.mark.parametrize("second", [{"text": "y"}, {"text": "y", "b": 2}, {"text": "y", "a": None}])
def test_rows_with_other_columns_than_the_dataset(workspace, write, second):
    workspace.add("d", write("a.jsonl", {"text": "x", "a": 1}))
    added = workspace.add("d", write("b.jsonl", second))
    assert (added.added, added.rows, len(rows_of(workspace))) == (1, 2, 2)
    assert workspace.add("d", write("c.jsonl", {"text": "z", "a": 3})).rows == 3
    kept = rows_of(workspace)
    assert (kept["x"]["a"], kept["y"]["a"], kept["z"]["a"]) == (1, None, 3)
    assert kept["y"].get("b") == second.get("b")
    assert kept["x"].get("b") is None


def test_two_types_in_one_add_become_text(workspace, write):
    a, b = write("a.jsonl", {"text": "x", "n": 1}), write("b.jsonl", {"text": "y", "n": "many"})
    assert not workspace.add("d", a, b).quarantined
    assert {t: r["n"] for t, r in rows_of(workspace).items()} == {"x": "1", "y": "many"}


def test_a_type_that_the_dataset_does_not_hold_quarantines_the_file(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "n": 1}))
    bad, good = write("b.jsonl", {"text": "y", "n": "many"}), write("c.jsonl", {"text": "z", "n": 2})
    added = workspace.add("d", bad, good)
    (refused,) = added.quarantined
    assert Path(refused.path) == bad
    assert "'n' holds int64" in refused.reason
    assert {t: r["n"] for t, r in rows_of(workspace).items()} == {"x": 1, "z": 2}


def test_whole_numbers_fit_a_column_of_fractions(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "n": 0.5}))
    assert not workspace.add("d", write("b.jsonl", {"text": "y", "n": 2})).quarantined
    assert rows_of(workspace)["y"]["n"] == 2.0


def test_a_type_that_changes_after_the_first_commit(workspace, write, monkeypatch):
    """The type is decided for the whole file before any of it is kept."""
    monkeypatch.setattr(spool, "ROWS", 10)
    monkeypatch.setattr(ingest, "COMMIT_ROWS", 20)
    added = workspace.add("d", write("a.jsonl", *({"text": f"t{i}", "n": i if i < 80 else "many"} for i in range(100))))
    assert (added.added, added.quarantined) == (100, ())
    assert {r["n"] for r in rows_of(workspace).values()} == {*map(str, range(80)), "many"}


NAMES = ("digest", "a.b", "a_b", "_rowid", "_id", "x", "_x", "id", "source", "row", "A", "a", "", " ", "it's", '"', "`")


def test_no_name_of_a_column_is_lost(workspace, write):
    """Whatever a column is called: dots nest in Lance, _rowid is its own, digest is ours."""
    values = {name: f"value {i}" for i, name in enumerate(NAMES)}
    added = workspace.add("d", write("a.jsonl", {"text": "x", **values}))
    assert added.quarantined == ()
    assert set(values.values()) <= set(rows_of(workspace)["x"].values())


def test_a_named_target_keeps_the_column_called_label(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "label": "old", "topic": "new", "group": "g"}), target="topic")
    row = rows_of(workspace)["x"]
    assert (row["label"], row["label_"], row["group"]) == ("new", "old", "g")


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [20_000, 7])
def test_a_damaged_file_leaves_nothing_and_costs_nothing(workspace, write, monkeypatch, chunk):
    monkeypatch.setattr(spool, "ROWS", chunk)
    monkeypatch.setattr(ingest, "COMMIT_ROWS", 10)
    good = [write(f"{name}.jsonl", *({"text": f"{name}{i}"} for i in range(30))) for name in "az"]
    bad = write("m.jsonl", *({"text": f"m{i}"} for i in range(30)))
    with bad.open("a") as file:
        file.write('{"text": "cut')
    added = workspace.add("d", good[0].parent)
    assert {text[0] for text in rows_of(workspace)} == {"a", "z"}
    assert (added.added, [Path(q.path).name for q in added.quarantined]) == (60, ["m.jsonl"])
    assert "line 31" in added.quarantined[0].reason


def test_nothing_but_damage_is_an_error(workspace, tmp_path):
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(SpeciateError, match="nothing was added"):
        workspace.add("d", tmp_path / "a.jsonl")
    assert workspace.list("datasets") == {"datasets": []}


def test_a_disk_that_is_full_is_not_a_damaged_file(workspace, write, monkeypatch):
    """A failed commit concerns every row that waited for it, not the file that was read at the time."""
    monkeypatch.setattr(ingest, "COMMIT_ROWS", 10)

    def full(*_, **__):
        raise SpeciateError("cannot write", "No space left on device", "free some")

    monkeypatch.setattr(Store, "insert", full)
    with pytest.raises(SpeciateError, match="No space left"):
        workspace.add("d", write("a.jsonl", *({"text": f"t{i}"} for i in range(30))), write("b.jsonl", {"text": "y"}))


def test_lances_own_disk_errors_are_in_three_parts(workspace, write):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = write("a.jsonl", *({"text": f"{i} {os.urandom(500).hex()}"} for i in range(300)))
    workspace.add("other", write("b.jsonl", {"text": "y"}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(SpeciateError, match="cannot write") as caught:
            workspace.add("d", big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exists
    assert caught.value.do
    assert workspace.add("d", big).added == 300


def test_a_name_that_is_no_text(workspace, tmp_path):
    folder = os.fsencode(tmp_path) + b"/in"
    os.mkdir(folder)  # noqa: PTH102  (bytes)
    Path(os.fsdecode(folder + b"/\xff.txt")).write_text("hello")
    Path(os.fsdecode(folder + b"/\xfe.jsonl")).write_text("{")
    added = workspace.add("d", Path(os.fsdecode(folder)))
    assert (added.added, len(added.quarantined)) == (1, 1)
    json.dumps(dataclasses.asdict(added), ensure_ascii=False).encode()


# --- target, group, split -----------------------------------------------------------------------------------------


def test_the_target_is_found_or_named(workspace, write):
    path = write("a.jsonl", {"text": "x", "Topic": "t", "mood": "m"})
    assert (workspace.add("d", path).target, rows_of(workspace)["x"]["label"]) == ("Topic", "t")
    assert workspace.add("e", path, target="mood").target == "mood"
    assert rows_of(workspace, "e")["x"]["label"] == "m"


def test_a_target_that_is_not_there(workspace, write):
    with pytest.raises(UsageError) as caught:
        workspace.add("d", write("a.jsonl", {"text": "x", "mood": "m"}), target="mod")
    assert "'mod'" in caught.value.asked
    assert caught.value.exists == "there is: mood, text"
    assert "did you mean 'mood'?" in caught.value.do
    assert "--target" in caught.value.do


def test_the_datasets_own_target_is_taken_first_and_not_demanded(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "mood": "m", "label": "l"}), target="mood")
    added = workspace.add("d", write("b.jsonl", {"text": "y", "mood": "n", "label": "l"}))
    assert (added.target, rows_of(workspace)["y"]["label"]) == ("mood", "n")
    added = workspace.add("d", write("c.jsonl", {"text": "z"}))
    assert (added.added, added.target, rows_of(workspace)["z"]["label"]) == (1, "mood", None)
    assert workspace.engine.dataset("d").target == "mood"


@pytest.mark.parametrize("empty", [None, "", float("nan")])
def test_unlabelled_rows(workspace, tmp_path, empty):
    labels = [empty, 1.0 if isinstance(empty, float) else "1"]
    parquet.write_table(pa.table({"text": ["x", "y"], "label": labels}), tmp_path / "a.parquet")
    added = workspace.add("d", tmp_path / "a.parquet")
    assert (dict(added.labels), added.rows) == ({"1": 1}, 2)
    assert rows_of(workspace)["x"]["label"] is None


def test_a_group_lies_in_one_split_over_all_adds(workspace, write):
    noise = random.Random(0)  # texts that are no near-duplicates
    rows = [{"text": noise.randbytes(40).hex(" "), "label": str(i % 2), "patient": i % 40} for i in range(400)]
    workspace.add("d", write("a.jsonl", *rows[:150]), group="patient")
    workspace.add("d", write("b.jsonl", *rows[150:300]), group="patient")
    workspace.add("d", write("c.jsonl", *rows[300:]))  # who forgets it once has not leaked
    homes = {}
    for row in rows_of(workspace).values():
        homes.setdefault(row["patient"], set()).update({row["split"]} - {"aside"})
    assert {len(home) for home in homes.values()} == {1}
    assert set.union(*homes.values()) == {"train", "dev", "test"}


def test_a_split_that_is_asked_for_does_not_tear_a_group(workspace, write):
    workspace.add("d", write("a.jsonl", {"text": "x", "group": "g"}), split="train")
    workspace.add("d", write("b.jsonl", {"text": "y", "group": "g"}, {"text": "z", "group": "h"}), split="test")
    assert {t: r["split"] for t, r in rows_of(workspace).items()} == {"x": "train", "y": "train", "z": "test"}


def test_splits_that_are_asked_for(workspace, write):
    assert dict(workspace.add("d", write("a.jsonl", {"text": "x"}), split="validation").splits) == {"dev": 1}
    workspace.add("d", write("b.jsonl", {"text": "y", "split": "Test"}, {"text": "z", "split": "train"}))
    assert {t: r["split"] for t, r in rows_of(workspace).items()} == {"x": "dev", "y": "test", "z": "train"}
    with pytest.raises(UsageError, match="no split named 'tset'"):
        workspace.add("d", write("c.jsonl", {"text": "w"}), split="tset")


def test_a_files_own_unknown_split_concerns_that_file(workspace, write):
    bad, good = write("a.jsonl", {"text": "x", "split": "extra"}), write("b.jsonl", {"text": "y"})
    added = workspace.add("d", bad, good)
    assert "no split named 'extra'" in added.quarantined[0].reason
    assert list(rows_of(workspace)) == ["y"]


def test_texts_in_folders_named_after_their_class(workspace, tmp_path):
    for label in ("cat", "dog"):
        for i in range(5):
            path = tmp_path / "pets" / label / f"{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{label} {i}")
    added = workspace.add("d", tmp_path / "pets")
    assert (dict(added.labels), added.target) == ({"cat": 5, "dog": 5}, "folder")
    assert rows_of(workspace)["dog 3"]["source"] == "dog/3.txt"


# --- the table ----------------------------------------------------------------------------------------------------


def test_the_hashes_of_rows_do_not_change(workspace, tmp_path):
    """They are kept in datasets: others would make every row a new one. These are of layout 2."""
    folder = tmp_path / "fine"
    folder.mkdir()
    (folder / "a.txt").write_bytes('two\r\nlines "quoted" \\ é\n'.encode())
    row = {"text": "hello \x01 😀", "label": "x", "group": "g", "n": 1, "f": 2.5, "ok": True, "none": None}
    (folder / "b.jsonl").write_text(json.dumps({**row, "": "e", "a.b": [1, {"c": 2}]}))
    workspace.add("d", folder)
    there = rows_of(workspace)
    assert [(there[text]["id"], there[text]["digest"]) for text in ('two\nlines "quoted" \\ é\n', row["text"])] == [
        ("863702b586fdd69e9a37a121f11b6751", "a2307d66f7adc0eea2f3399c0785e2de"),
        ("9f6dce44f9ca4f047df769cdcd70dfe6", "7168bc7357aea487b671d8f571a2b514"),
    ]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/b/x.txt", "/a/c/d/y.txt"], ["b/x.txt", "c/d/y.txt"]),
        (["/a/b/x.txt", "/a/bc/y.txt"], ["b/x.txt", "bc/y.txt"]),
        (["/a/x.txt", "/a/b/y.txt"], ["x.txt", "b/y.txt"]),
        (["/x.txt", "/a/y.txt"], ["x.txt", "a/y.txt"]),
        (["x.txt"], ["x.txt"]),
    ],
)
def test_names_of_files_are_below_what_they_share(paths, names):
    assert list(ingest.source_names([Path(path) for path in paths]).values()) == names


def test_the_key_is_marked_and_rows_have_stable_ids(workspace, news):
    workspace.add("news", news)
    key = Store(workspace.root).schema("dataset.news").field("id")
    assert key.metadata == {b"lance-schema:unenforced-primary-key": b"true"}
    assert not key.nullable
    manifests = sorted((workspace.root / "lance" / "dataset.news.lance" / "_versions").glob("*.manifest"))
    assert manifests
    table = Store(workspace.root).open("dataset.news")
    before = table.search().with_row_id(True).select(["id"]).limit(None).to_arrow().to_pylist()
    workspace.add("news", news.with_name("more.jsonl") if _relabelled(news) else news)
    table = Store(workspace.root).open("dataset.news")
    after = table.search().with_row_id(True).select(["id"]).limit(None).to_arrow().to_pylist()
    assert {r["id"]: r["_rowid"] for r in before} == {r["id"]: r["_rowid"] for r in after}


def _relabelled(news):
    rows = [json.loads(line) for line in news.read_text().splitlines()]
    news.with_name("more.jsonl").write_text("".join(json.dumps({**r, "label": "new"}) + "\n" for r in rows[:100]))
    return True


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda t: not t.isspace()
)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text())
ROW = st.fixed_dictionaries({"text": TEXT}, optional=dict.fromkeys(("a", "b.c", "_d", "digest", "E f"), SCALAR))
KEPT = {"a": "a", "b.c": "b_c", "_d": "d", "digest": "digest_", "E f": "E f"}


def _same(there, given):
    """A value as it went in, or as the text of it where its column holds several types."""
    return there == given or (given is not None and there == str(given)) or _number(there, given)


def _number(there, given):
    return isinstance(there, str) and isinstance(given, int | float) and float(there) == float(given)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(st.lists(st.lists(ROW, min_size=1, max_size=4), min_size=1, max_size=3))
def test_any_rows_come_back(files):
    with tempfile.TemporaryDirectory() as folder:
        ws = speciate.open(Path(folder) / "ws", quiet=True)
        paths = []
        for i, rows in enumerate(files):
            paths.append(Path(folder) / f"{i}.jsonl")
            paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        added = ws.add("d", *paths)
        again = ws.add("d", *paths)
        there = rows_of(ws)
    first = {}
    for row in (row for rows in files for row in rows):
        first.setdefault(row["text"], row)
    assert (added.added, len(there), added.quarantined) == (len(first), len(first), ())
    assert (again.added, again.updated, again.version) == (0, 0, added.version)
    for text, row in first.items():
        for name, value in row.items():
            if name != "text" and value is not None:
                assert _same(there[text][KEPT[name]], value), (name, value, there[text])


HUNGRY = """
import resource, sys, speciate
ws = speciate.open(sys.argv[1], quiet=True)
ws.engine
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
added = ws.add("big", sys.argv[2])
print(added.rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.soak
@pytest.mark.parametrize("words", [80, 2000])
def test_memory_stays_bounded(tmp_path, words):
    """300 MB go in; the process grows by far less, whether there are many rows or long ones."""
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        rows = 0
        while file.tell() < 300e6:
            file.write(json.dumps({"text": f"{rows} " + "word " * words, "label": str(rows % 5), "n": rows}) + "\n")
            rows += 1
    command = [sys.executable, "-c", HUNGRY, tmp_path / "ws", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    there, grown = map(int, done.stdout.split())
    assert there == rows
    assert grown < 1024, f"{grown} MB"


def test_a_digest_is_of_the_id_and_of_all_beside_the_content():
    content, others = {"text": "x" * 100}, {"label": "y", "group": "g"}
    both = {"id": stored.row_hash(content)}
    both["digest"] = stored.row_hash({"id": both["id"], **others})
    assert stored._hashes(stored._hashed(content), stored._hashed(others)) == both
