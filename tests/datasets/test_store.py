"""The store: nothing lost or doubled by writers at once, nothing acknowledged that is not on the disk."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import speciate
from speciate import SpeciateError, UsageError
from speciate_datasets import engine as engine_module
from speciate_datasets.engine import LanceEngine
from speciate_datasets.store import KEY, Store

ADD = """
import sys, time, speciate
ws, folder, me = speciate.open(sys.argv[1], quiet=True), sys.argv[2], sys.argv[3]
ws.engine
print("ready", flush=True)
sys.stdin.readline()
for i in range(4):
    ws.add("d", f"{folder}/shared{i}.jsonl", f"{folder}/{me}{i}.jsonl")
    ws.engine.append("feedback", [{"who": me, "i": i, "score": 1 if i else 0.5}])
"""
APPEND_AND_DIE = """
import os, signal, sys
from pathlib import Path
from speciate_datasets import engine
engine.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
engine.LanceEngine(Path(sys.argv[1])).append("models", [{"name": "m2"}])
"""


def python(code, *words):
    command = [sys.executable, "-c", code, *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_two_processes_at_once_lose_and_double_nothing(workspace, tmp_path, make):
    for i in range(4):
        for who, seed in (("a", 1), ("b", 2), ("shared", 3)):
            rows = [{**row, "text": f"{who} {row['text']}"} for row in make.rows(30, seed=seed * 10 + i)]
            make.jsonl(tmp_path / f"{who}{i}.jsonl", rows)
    both = [python(ADD, workspace.root, tmp_path, who) for who in "ab"]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[1] for process in both] == ["", ""]
    dataset = workspace.engine.dataset("d")
    there = dataset.rows()
    assert len(there) == len({row["id"] for row in there}) == 4 * 30 * 3
    written = {(row["who"], row["i"], row["score"]) for row in workspace.engine.rows("feedback")}
    assert written == {(who, i, 1 if i else 0.5) for who in "ab" for i in range(4)}
    assert workspace.ledger.rows("feedback") == workspace.engine.rows("feedback")
    versions = [row["version"] for row in workspace.ledger.rows("datasets")]
    assert versions == sorted(set(versions)), "a version recorded late hides the rows of the one before"
    assert not list((workspace.root / "index").glob("*.dirty"))


def test_who_records_later_has_the_later_version(workspace, tmp_path, make, monkeypatch):
    """Two adds at once: the one that counts first must also record first, or its row hides the other's."""
    one, two = (make.jsonl(tmp_path / f"{s}.jsonl", make.rows(20, seed=s)) for s in (1, 2))
    append, inside = LanceEngine.append, []

    def slow(self, table, rows):
        if table == "datasets" and not inside:
            inside.append(1)
            with pytest.raises(SpeciateError, match="another process is writing"):
                speciate.open(workspace.root, quiet=True).add("d", two)
        append(self, table, rows)

    monkeypatch.setattr(LanceEngine, "append", slow)
    monkeypatch.setattr("speciate_datasets.store.LOCK_SECONDS", 0.2)
    workspace.add("d", one)
    workspace.add("d", two)
    assert inside
    assert workspace.engine.dataset("d").count() == 40


def test_a_process_killed_before_it_wrote_the_index(workspace, news):
    workspace.engine.append("models", [{"name": "m1"}])
    process = python(APPEND_AND_DIE, workspace.root)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert (workspace.root / "index" / "models.dirty").exists()
    fresh = speciate.open(workspace.root, quiet=True)
    assert [row["name"] for row in fresh.list("models")["models"]] == ["m1", "m2"]
    assert not (workspace.root / "index" / "models.dirty").exists()
    assert [row["name"] for row in json.loads((workspace.root / "index" / "models.json").read_text())] == ["m1", "m2"]


def test_a_process_killed_while_it_made_the_table(workspace, news):
    (workspace.root / "lance" / "dataset.news.lance" / "_versions").mkdir(parents=True)
    (workspace.root / "lance" / "datasets.lance" / "_transactions").mkdir(parents=True)
    assert workspace.list() == {"datasets": [], "runs": [], "models": [], "endpoints": []}
    assert workspace.add("news", news).rows == 240


# --- on the disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch):
    """What os.fsync was called on, in order, as (inode, size)."""
    calls, real = [], os.fsync

    def fsync(handle):
        found = os.fstat(handle)
        calls.append((found.st_ino, found.st_size))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


def files(root):
    return {path: path.stat().st_ino for path in root.rglob("*")}


def test_what_is_acknowledged_is_on_the_disk(workspace, news, synced):
    """Every file that came, at its last size, and after it the folder its name came into."""
    workspace.engine  # noqa: B018  (makes the folder)
    lance = workspace.root / "lance"
    steps = [
        lambda: workspace.add("news", news),
        lambda: workspace.engine.append("models", [{"name": "m"}]),
        lambda: workspace.engine.append("models", [{"name": "n"}]),
        lambda: _features(workspace),
        lambda: workspace.engine.tag("news", 1, "kept"),
    ]
    for step in steps:
        synced.clear()
        before = files(workspace.root)
        step()
        new = [path for path in files(workspace.root) if path not in before and path.suffix != ".lock"]
        new = [path for path in new if path.name != "latest_version_hint.json"]  # Lance does without a whole one
        assert new
        for path in new:
            last = {inode: when for when, (inode, _) in enumerate(synced)}
            if path.is_file():
                assert (path.stat().st_ino, path.stat().st_size) in synced, path
            if lance in path.parents or path.parent.name == "index":
                assert last[path.parent.stat().st_ino] > last.get(path.stat().st_ino, -1), path


def _features(workspace):
    dataset = workspace.engine.dataset("news")
    dataset.features("k", dataset.rows(), 2, lambda rows: [[1.0, 2.0]] * len(rows))


def test_the_dirty_mark_is_on_the_disk_before_the_commit(workspace, synced, monkeypatch):
    workspace.engine.append("models", [{"name": "m"}])
    index, seen = workspace.root / "index", []
    append = Store.append

    def watch(self, *words):
        seen.append((index / "models.dirty").exists() and index.stat().st_ino in {inode for inode, _ in synced})
        append(self, *words)

    monkeypatch.setattr(Store, "append", watch)
    synced.clear()
    workspace.engine.append("models", [{"name": "n"}])
    assert seen == [True]


def test_the_index_is_whole_or_old(workspace, monkeypatch):
    workspace.engine.append("models", [{"name": "m"}])

    def die(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine_module, "write_json", die)
    with pytest.raises((OSError, SpeciateError)):
        workspace.engine.append("models", [{"name": "n"}])
    monkeypatch.undo()
    assert [row["name"] for row in speciate.open(workspace.root).ledger.rows("models")] == ["m", "n"]


# --- rows of any shape --------------------------------------------------------------------------------------------


def test_rows_of_the_workspaces_tables_may_differ(workspace):
    """The JSON is the row; columns beside it are for who queries the table."""
    batches = [
        [{"name": "a", "value": 1, "ok": True}],
        [{"name": "b", "value": 0.5, "deep": {"x": [1, None]}}, {"name": "c", "value": "many", "ok": 3}],
        [{"value": None}],
        [{"name": 7, "value": 2**70, "é": "ü"}],
    ]
    for batch in batches:
        workspace.engine.append("odd", batch)
    there = [{k: v for k, v in row.items() if k != "time"} for row in workspace.engine.rows("odd")]
    assert there == [row for batch in batches for row in batch]
    assert Store(workspace.root).scan("odd", ["value"])["value"].to_pylist()[0] == 1


# --- the folder ---------------------------------------------------------------------------------------------------


def test_a_copy_of_the_workspace_is_a_workspace(trained, tmp_path, make):
    copy = speciate.open(shutil.copytree(trained.root, tmp_path / "elsewhere"), quiet=True)
    moved = copy.root.rename(tmp_path / "moved")
    copy = speciate.open(moved, quiet=True)
    assert copy.list() == trained.list()
    one = make.jsonl(tmp_path / "one.jsonl", make.rows(3))
    assert copy.predict("news-probe-1", one)["predictions"] == trained.predict("news-probe-1", one)["predictions"]
    assert copy.add("news", make.jsonl(tmp_path / "same.jsonl", make.rows(240))).added == 0
    assert copy.run("text/probe-hash", dataset="news").model == "news-probe-2"
    assert [row["name"] for row in trained.list("models")["models"]] == ["news-probe-1"]
    paths = [path for path in moved.rglob("*.json") if str(trained.root) in path.read_text(encoding="utf-8")]
    assert paths == [], "an absolute path would tie the folder to its place"


@pytest.mark.parametrize("verb", ["add", "run"])
def test_a_folder_that_cannot_be_written(tmp_path, news, verb):
    place = tmp_path / "file"
    place.write_text("a file, not a folder")
    ws = speciate.open(place / "workspace", quiet=True)
    with pytest.raises(SpeciateError) as caught:
        ws.add("news", news) if verb == "add" else ws.run("text/probe-hash", dataset="news")
    assert all((caught.value.asked, caught.value.exists, caught.value.do))


def test_a_disk_that_is_full(tmp_path, news):
    """A tiny file system of its own: every write fails in three parts, and what was there is still there."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "none", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount")
    try:
        ws = speciate.open(small / "workspace", quiet=True)
        ws.add("news", news)
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 1024)
        more = tmp_path / "more.jsonl"
        more.write_text("".join(json.dumps({"text": f"{i} more", "label": "m"}) + "\n" for i in range(300)))
        with pytest.raises(SpeciateError) as caught:
            ws.add("news", more)
        assert "No space left" in str(caught.value)
        assert all((caught.value.asked, caught.value.exists, caught.value.do))
        fresh = speciate.open(ws.root, quiet=True)
        assert len(fresh.engine.dataset("news").rows()) == 240
        filler.unlink()
        assert fresh.add("news", more).rows == 540
    finally:
        subprocess.run(["umount", small], check=True)


def test_versions_that_are_not_there(workspace, news):
    workspace.add("news", news)
    for version in (99, 2, 0):
        with pytest.raises(UsageError, match=f"no version of news named '{version}'") as caught:
            workspace.engine.dataset("news", version)
        assert "there is: 1" in caught.value.exists


def test_a_lock_that_is_held_too_long(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr("speciate_datasets.store.LOCK_SECONDS", 0.2)
    one, other = Store(Path(tmp_path)), Store(Path(tmp_path))
    with (
        one.lock("t"),
        one.lock("t"),
        pytest.raises(SpeciateError, match="another process is writing"),
        other.lock("t"),
    ):
        pytest.fail("two writers at once")
    with other.lock("t"):
        pass


def test_a_merge_replaces_and_inserts_only_if_told(tmp_path):
    store = Store(tmp_path)
    schema = pa.schema([KEY, ("n", pa.int64())])
    for n in (1, 2):
        store.merge("t", pa.table({"id": ["a"], "n": [n]}, schema=schema), insert=True)
    assert store.scan("t").to_pylist() == [{"id": "a", "n": 2}]
    store.merge("t", pa.table({"id": ["a", "b"], "n": [3, 3]}, schema=schema), insert=False)
    assert store.scan("t").to_pylist() == [{"id": "a", "n": 3}]


def test_what_a_compaction_replaced_is_not_missed(workspace, news):
    """A manifest also names the files that a compaction has replaced: cleaned away, they are not damage."""
    workspace.add("news", news)
    workspace.engine.edit("news", "drop", drop=[workspace.engine.dataset("news").rows()[0]["id"]])
    done = workspace.gc(older_than_days=0)
    assert sum(table["cleaned"] for table in done["tables"]) >= 3
    dataset = workspace.engine.dataset("news")
    dataset.verify(dataset.rows())
    assert dataset.count() == 239
    assert workspace.fsck()["damaged"] == []
