"""Versions: what each one says, how two differ, and what a person's edit makes."""

import pyarrow as pa
import pytest

import speciate
from speciate import UsageError
from speciate_datasets.fsck import files
from speciate_datasets.store import BLOB, KEY, Store
from speciate_datasets.tidy import HOLD


@pytest.fixture
def engine(workspace, news):
    workspace.add("news", news)
    return workspace.engine


def relabel(engine, ids, label, why=""):
    table = pa.table({"id": pa.array(ids), "label": pa.array([label] * len(ids), pa.string())})
    return engine.edit("news", "relabel", table, why=why)


def ids(engine, n, at=None):
    return [row["id"] for row in engine.dataset("news", at).rows()[:n]]


def test_the_log_says_who_when_and_why(engine, tmp_path, make):
    first = engine.resolve("news")
    second = relabel(engine, ids(engine, 3), "gold", "looked at them")
    third = engine.edit("news", "drop", drop=ids(engine, 2), why="twice")
    engine.tag("news", second, "checked")
    log = engine.log("news")
    assert [(row["version"], row["kind"], row["rows"]) for row in log] == [
        (first, "add", 240),
        (second, "relabel", 240),
        (third, "drop", 238),
    ]
    assert [row["why"] for row in log[1:]] == ["looked at them", "twice"]
    assert [row["tags"] for row in log] == [[], ["checked"], []]
    assert all("@" in row["who"] and row["time"] and row["schema"] == log[0]["schema"] for row in log)
    assert len({row["content"] for row in log}) == 3


def test_every_version_reads_as_it_was(engine):
    first, before = engine.resolve("news"), engine.dataset("news").rows()
    some = [row["id"] for row in before[:5]]
    second = relabel(engine, some, None)
    engine.tag("news", first, "gold")
    assert engine.dataset("news", "gold").rows() == engine.dataset("news", str(first)).rows() == before
    after = {row["id"]: row for row in engine.dataset("news", second).rows()}
    old = {row["id"]: row for row in before}
    assert all(after[i]["label"] is None and after[i]["digest"] != old[i]["digest"] for i in some)
    assert all(after[i] == old[i] for i in old if i not in some)


def test_a_relabel_and_back_says_what_it_said(engine):
    row = engine.dataset("news").rows()[0]
    relabel(engine, [row["id"]], "other")
    relabel(engine, [row["id"]], row["label"])
    assert engine.dataset("news").rows()[0] == row


def test_a_diff_counts_and_shows(engine, tmp_path, make):
    first = engine.resolve("news")
    engine.tag("news", first, "start")
    old = engine.dataset("news").rows()
    gone, moved = [row["id"] for row in old[:2]], [row["id"] for row in old[2:5]]
    engine.edit("news", "drop", drop=gone)
    relabel(engine, moved, "new")
    fresh = make.jsonl(tmp_path / "more.jsonl", make.rows(7, seed=5))
    speciate.open(engine.root, quiet=True).add("news", fresh)
    found = engine.diff("news", "start")
    assert {kind: found[kind]["count"] for kind in ("added", "removed", "changed", "relabelled", "resplit")} == {
        "added": 7,
        "removed": 2,
        "changed": 3,
        "relabelled": 3,
        "resplit": 0,
    }
    assert set(found["removed"]["examples"]) == set(gone)
    assert {one["id"]: (one["old"], one["new"]) for one in found["relabelled"]["examples"]} == {
        row["id"]: (row["label"], "new") for row in old[2:5]
    }
    assert found["columns"] == {"added": [], "removed": []}
    assert sorted(engine.dataset("news").added_since(first)) == sorted(found["added"]["examples"])
    same = engine.diff("news", first, first)
    assert not any(same[kind]["count"] for kind in ("added", "removed", "changed", "relabelled"))


def test_a_new_column_and_a_split_are_differences(engine):
    first, some = engine.resolve("news"), ids(engine, 4)
    table = pa.table({"id": some, "note": ["a", "b", "c", None], "split": ["test", "dev", "train", "test"]})
    engine.edit("news", "with_column", table)
    rows = {row["id"]: row for row in engine.dataset("news").rows()}
    assert [(rows[i]["note"], rows[i]["split"]) for i in some] == [
        ("a", "test"),
        ("b", "dev"),
        ("c", "train"),
        (None, "test"),
    ]
    found = engine.diff("news", first, "")
    assert found["columns"]["added"] == ["note"]
    assert 1 <= found["resplit"]["count"] <= 4 <= found["changed"]["count"] + 1


def test_tags_never_move(engine):
    first = engine.resolve("news")
    second = relabel(engine, ids(engine, 1), "x")
    engine.tag("news", first, "gold")
    engine.tag("news", first, "gold")
    with pytest.raises(UsageError, match="tag 'gold' is taken"):
        engine.tag("news", second, "gold")
    assert engine.resolve("news", "gold") == first
    for name in ("7", "a b", "", "../x"):
        with pytest.raises(UsageError):
            engine.tag("news", first, name)


@pytest.mark.parametrize("at", ["nope", "99", "-1", "gold'; drop"])
def test_versions_that_are_not_there(engine, at):
    with pytest.raises(UsageError, match="no version of news named"):
        engine.dataset("news", at)


@pytest.mark.parametrize("words", [["0" * 32], ["x"], ["' OR 1=1 --"], ["0" * 31 + "'"]])
def test_only_rows_that_are_there_are_edited(engine, words):
    with pytest.raises(UsageError, match="1 of 1 ids are not there"):
        engine.edit("news", "drop", drop=words)
    with pytest.raises(UsageError, match="does not have"):
        relabel(engine, words, "x")
    with pytest.raises(UsageError):
        engine.store.delete("dataset.news", ["' OR 1=1 --"])
    assert engine.dataset("news").count() == 240
    assert len(engine.log("news")) == 1


@pytest.mark.parametrize("column", ["digest", "text", "source"])
def test_content_is_not_edited(engine, column):
    with pytest.raises(UsageError, match=f"cannot edit {column}"):
        engine.edit("news", "edit", pa.table({"id": ids(engine, 1), column: ["x"]}))


def test_gc_keeps_what_is_tagged_and_what_is_newest(engine):
    first, before = engine.resolve("news"), engine.dataset("news").rows()
    for label in "abc":
        middle = relabel(engine, ids(engine, 2), label)
    engine.tag("news", middle, "kept")
    kept = engine.dataset("news", "kept").rows()
    newest = relabel(engine, ids(engine, 2), "z")
    after = engine.dataset("news").rows()
    done = engine.gc("news", older_than_days=0)
    assert done["tables"][0]["cleaned"] > 0
    assert engine.dataset("news").version == newest
    assert engine.dataset("news").rows() == after
    assert engine.dataset("news", "kept").rows() == kept != before
    assert [row["kept"] for row in engine.log("news")] == [False, False, False, True, True]
    with pytest.raises(UsageError, match="cannot be read") as caught:
        engine.dataset("news", first)
    assert caught.value.do
    assert engine.fsck("news")["damaged"] == []
    assert engine.gc(older_than_days=0)["tables"]


def test_gc_with_pylance_cleans_between_the_tags(engine):
    pytest.importorskip("lance", reason="pylance is not installed")
    versions = [engine.resolve("news"), *(relabel(engine, ids(engine, 2), label) for label in "abcdef")]
    for version in (versions[2], versions[4]):
        engine.tag("news", version, f"v{version}")
    kept = (versions[2], versions[4], versions[6])
    before = {version: engine.dataset("news", str(version)).rows() for version in kept}
    done = engine.gc("news", older_than_days=0)
    assert (done["tables"][0]["cleaned"], done["tables"][0]["note"]) == (4, "")
    assert [row["version"] for row in engine.log("news") if row["kept"]] == list(kept)
    assert {version: engine.dataset("news", str(version)).rows() for version in kept} == before
    assert engine.fsck("news")["damaged"] == []
    assert sorted(engine.store.tags("dataset.news")) == sorted(f"v{version}" for version in kept[:2])


def test_the_tag_of_a_gc_that_was_killed(engine):
    """It keeps no version for good, and nobody misses it."""
    first = engine.resolve("news")
    engine.store.tag("dataset.news", first, HOLD)
    relabel(engine, ids(engine, 2), "a")
    engine.gc("news", older_than_days=0)
    assert engine.store.tags("dataset.news") == {}
    assert [row["kept"] for row in engine.log("news")] == [False, True]
    engine.store.tag("dataset.news", engine.resolve("news"), HOLD)
    next((engine.root / "lance" / "dataset.news.lance").rglob(f"{HOLD}.json")).unlink()
    assert files(engine.store, "dataset.news") == []


def test_gc_leaves_the_young_alone(engine):
    relabel(engine, ids(engine, 2), "a")
    before = engine.store.sums("dataset.news").versions()
    engine.gc()
    assert set(before) <= set(engine.store.sums("dataset.news").versions())


def test_blob_columns_merge_and_read(tmp_path):
    store = Store(tmp_path)
    schema = pa.schema([KEY, ("label", pa.string()), pa.field("content", pa.large_binary(), metadata=BLOB)])

    def rows(names, sizes, label="x"):
        content = [None if size is None else name.encode() * size for name, size in zip(names, sizes, strict=True)]
        columns = [[name * 32 for name in names], [label] * len(names), pa.array(content, pa.large_binary())]
        return pa.table(columns, schema=schema)

    store.merge("dataset.t", rows("abc", [10, 100_000, 5_000_000]), insert=True)
    store.merge("dataset.t", rows("cde", [3, 70_000, None], "y"), insert=True)
    written = store.version("content.t")
    small = pa.table({"id": ["a" * 32, "b" * 32], "label": ["z", "z"]}, schema=pa.schema([KEY, ("label", pa.string())]))
    store.merge("dataset.t", small, insert=False)
    assert store.version("content.t") == written, "labels do not touch content"
    there = store.scan("dataset.t", ["id", "label"])
    labels = dict(zip([i[0] for i in there["id"].to_pylist()], there["label"].to_pylist(), strict=True))
    assert labels == {"a": "z", "b": "z", "c": "y", "d": "y", "e": "y"}
    found = store.contents("dataset.t").read("content", pa.array([name * 32 for name in "edcbax"])).to_pylist()
    sizes = {"d": 70_000, "c": 5_000_000, "b": 100_000, "a": 10}  # an id is a hash of the content: the first stays
    assert found == [None, *(name.encode() * size for name, size in sizes.items()), None]


# --- what changes nothing, and who has the last word --------------------------------------------------------------


def test_the_first_version_is_the_first(engine):
    (only,) = engine.log("news")
    assert (only["version"], only["rows"]) == (1, 240)
    assert engine.store.sums("dataset.news").versions() == [1]
    key = engine.store.schema("dataset.news").field("id")
    assert key.metadata == KEY.metadata
    assert not key.nullable, "without its key, writers at once double rows"


def test_an_edit_that_changes_nothing_is_no_version(engine, capsys):
    first, row = engine.resolve("news"), engine.dataset("news").rows()[0]
    for table in (
        pa.table({"id": [row["id"]], "label": [row["label"]]}),
        pa.table({"id": [row["id"]], "split": [row["split"]], "group": [row["group"]]}),
    ):
        assert engine.edit("news", "relabel", table) == first
    assert "nothing changes: this is version 1 of news" in capsys.readouterr().err
    assert engine.store.sums("dataset.news").versions() == [first]
    second = engine.edit("news", "edit", pa.table({"id": [row["id"]], "note": pa.array([None], pa.string())}))
    assert second > first, "a column that was not there is a change, even if it is empty"
    assert engine.edit("news", "edit", pa.table({"id": [row["id"]], "split": ["test"]})) > second


@pytest.mark.parametrize("kind", ["relabel", "split", "drop"])
def test_an_edit_that_was_killed_before_its_row_is_recorded_when_repeated(engine, kind, monkeypatch):
    first, row = engine.resolve("news"), engine.dataset("news").rows()[0]
    other = {"train": "test"}.get(row["split"], "train")
    table = pa.table({"id": [row["id"]], **({"label": ["x"]} if kind == "relabel" else {"split": [other]})})
    words = {"drop": [row["id"]]} if kind == "drop" else {"rows": table}
    monkeypatch.setattr(type(engine), "_next", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        engine.edit("news", kind, **words)
    monkeypatch.undo()
    assert engine.resolve("news") == first
    assert engine.edit("news", kind, **words) > first
    there = {r["id"]: r for r in engine.dataset("news").rows()}
    if kind == "drop":
        assert row["id"] not in there
    else:
        assert (there[row["id"]]["label"] == "x") if kind == "relabel" else (there[row["id"]]["split"] == other)


def test_a_person_wins_until_the_file_says_something_else(workspace, tmp_path, make):
    """A relabelled row keeps its label when its file is added again, however often it was relabelled."""
    lines = [{"text": "a b c", "label": "x"}, {"text": "d e f", "label": "x"}]
    path = make.jsonl(tmp_path / "a.jsonl", lines)
    workspace.add("news", path)
    engine = workspace.engine

    def labels():
        return {row["text"]: row["label"] for row in engine.dataset("news").rows()}

    some = [row["id"] for row in engine.dataset("news").rows() if row["text"] == "a b c"]
    relabel(engine, some, "y")
    last = relabel(engine, some, "z")
    again = workspace.add("news", path)
    assert (again.updated, again.unchanged, again.version) == (0, 2, last)
    assert labels() == {"a b c": "z", "d e f": "x"}
    make.jsonl(path, [{**lines[0], "label": "w"}, lines[1]])
    assert workspace.add("news", path).updated == 1
    assert labels() == {"a b c": "w", "d e f": "x"}
    assert workspace.add("news", path).unchanged == 2
    relabel(engine, some, None)
    assert workspace.add("news", path).unchanged == 2
    assert labels() == {"a b c": None, "d e f": "x"}


def test_only_damaged_files_are_an_error_also_for_a_dataset_that_is_there(engine, cli, tmp_path, make):
    bad, good = tmp_path / "bad.jsonl", make.jsonl(tmp_path / "good.jsonl", make.rows(2, seed=9))
    bad.write_text('{"text": ')
    code, out, err = (done := cli("add", "news", bad)).returncode, done.stdout, done.stderr
    assert (code, "nothing was added to 'news'" in err, "bad.jsonl" in err) == (1, True, True), (out, err)
    assert len(engine.log("news")) == 1
    assert cli("add", "news", bad, good).returncode == 0


def test_a_version_can_be_shown(workspace, news):
    workspace.add("news", news)
    workspace.tag("news", "gold")
    workspace.engine.edit("news", "drop", drop=[workspace.engine.dataset("news").rows()[0]["id"]], why="odd")
    assert [workspace.show(f"news@{at}")["datasets"]["rows"] for at in ("gold", "1")] == [240, 240]
    assert workspace.show("news")["datasets"]["rows"] == 239
