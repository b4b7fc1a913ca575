"""Content that is a file: kept once, found again, never mistaken; and files that are one thing together."""

import base64
import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import speciate
from speciate import SpeciateError
from speciate.catalog import Catalog, Plugin, installed
from speciate_datasets import keep
from speciate_datasets.loader import RowLoader
from speciate_datasets.query import Dataset

HERE = str(Path(__file__).parent)


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    catalog = Catalog([*installed().plugins.values(), Plugin("tapes", importlib.import_module("tapes"))])
    return speciate.open(tmp_path / "ws", catalog=catalog, quiet=True)


@pytest.fixture
def write(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / "in" / name.replace("__", "/").replace("_", ".").replace("0", "-0")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "in"

    return write


def decoded(ws, name, rows=None):
    dataset = ws.engine.dataset(name)
    reader = importlib.import_module("tapes").Tape(None)
    return sorted(reader.decode(row)["text"] for row in (dataset.rows() if rows is None else rows))


def kept(ws):
    return [path for path in (ws.root / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_a_reader_made_is_taken_as_it_is(links, tmp_path, monkeypatch):
    """Not copied, where the file system has links; it is the same file to a reader that goes on with it."""
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    made = tmp_path / keep.SCRATCH / "1" / "made.txt"
    made.parent.mkdir(parents=True)
    made.write_text("one two")
    keeper = keep.Keeper(tmp_path, refer=False)
    kept = tmp_path / keeper(made)["uri"].removeprefix(f"{tmp_path.name}/")
    assert (kept.read_text(), made.read_text()) == ("one two", "one two")
    assert kept.samefile(made) == links
    again = keep.Keeper(tmp_path, refer=False)(made)
    assert again["uri"] == keeper(made)["uri"]
    assert [path for path in (tmp_path / keep.BLOBS).rglob("*") if path.is_file()] == [kept]


def test_a_file_of_many_rows_is_kept_once(ws, write):
    folder = write(a_tape="one two three", b_tape="four", c_tape="one two three")
    added = ws.add("d", folder)
    assert (added.rows, added.duplicates, added.quarantined) == (4, 3, ())
    assert decoded(ws, "d") == ["four", "one", "three", "two"]
    assert sorted(path.read_text() for path in kept(ws)) == ["four", "one two three"]
    for path in folder.iterdir():
        path.unlink()
    assert decoded(ws, "d") == ["four", "one", "three", "two"], "it does not hang on the files that were added"
    assert (ws.root / "tmp").exists() is False or not list((ws.root / "tmp").iterdir())


def test_adding_again_changes_nothing(ws, write):
    folder = write(a_tape="one two", b_tape="three")
    first = ws.add("d", folder)
    again = ws.add("d", folder)
    assert (again.added, again.unchanged, again.version) == (0, 3, first.version)
    assert len(kept(ws)) == 2


def test_references_stay_where_they_are(ws, write):
    folder = write(a_tape="one two")
    ws.add("d", folder, reference=True)
    assert decoded(ws, "d") == ["one", "two"]
    assert not kept(ws)
    os.utime(folder / "a.tape", ns=(1, 1))
    assert decoded(ws, "d") == ["one", "two"], "another time is no change"
    (folder / "a.tape").write_text("one six")
    with pytest.raises(SpeciateError, match="changed since it was added"):
        ws.engine.dataset("d").rows()
    assert [entry["what"] for entry in ws.engine.fsck("d")["damaged"]] == [
        f"{folder / 'a.tape'} has changed since it was added"
    ] * 2 or "changed" in str(ws.engine.fsck("d")["damaged"])


def test_a_flipped_bit_is_noticed(ws, write):
    ws.add("d", write(a_tape="one two"))
    [path] = kept(ws)
    state = path.stat()
    path.write_text("one tvo")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    dataset = ws.engine.dataset("d")
    with pytest.raises(SpeciateError, match="changed"):
        dataset.verify(dataset.rows(content=False))
    assert len(ws.engine.fsck("d")["damaged"]) == 2
    with pytest.raises(SpeciateError, match="changed"):
        list(RowLoader(dataset, split="", batch_size=1, verify=("tape", "start", "end")))


def test_the_loader_gives_paths(ws, write):
    ws.add("d", write(a_tape="one two", b_tape="three"))
    dataset = ws.engine.dataset("d")
    reader = importlib.import_module("tapes").Tape(None)
    for workers in (0, 1):
        loader = RowLoader(dataset, split="", batch_size=2, decode=reader.decode, workers=workers)
        texts = [sample["text"] for batch in loader for sample in batch]
        assert sorted(texts) == ["one", "three", "two"]
    checked = RowLoader(dataset, split="", batch_size=2, verify=("tape", "start", "end"))
    assert sum(len(batch["tape"]) for batch in checked) == 3


def test_a_workspace_can_be_moved(ws, write, tmp_path):
    ws.add("d", write(a_tape="one two"))
    there = tmp_path / "elsewhere" / "ws"
    there.parent.mkdir()
    ws.root.rename(there)
    moved = speciate.open(there, catalog=ws.catalog, quiet=True)
    assert decoded(moved, "d") == ["one", "two"]


def test_strips_are_one_tape(ws, write):
    folder = write(x01_strip="one", x02_strip="two", y01_strip="three", x03_strip="four")
    added = ws.add("d", folder)
    assert (added.rows, added.quarantined) == (4, ())
    rows = ws.engine.dataset("d").rows()
    assert {row["source"] for row in rows} == {"x-01.strip", "y-01.strip"}
    assert sorted(path.read_text() for path in kept(ws)) == ["one two four", "three"]
    again = ws.add("d", folder)
    assert (again.added, again.unchanged) == (0, 4)


def test_damaged_parts_are_put_aside(ws, write):
    """One part, one whole thing, or one file that has no key: their neighbours are there."""
    folder = write(
        **{"x01_strip": "one", "x02_strip": "torn", "y01_strip": "two", "y02_strip": "burnt", "z01_strip": "crumpled"}
    )
    added = ws.add("d", folder)
    assert {Path(one.path).name: one.reason for one in added.quarantined} == {
        "x-02.strip": "it is torn",
        "y-01.strip": "y-01.strip is burnt",
        "y-02.strip": "y-01.strip is burnt",
        "z-01.strip": "ValueError: it is crumpled",
    }
    assert decoded(ws, "d") == ["one"]


def test_labels_name_a_folder_or_any_part(ws, write, tmp_path):
    folder = write(
        p__x01_strip="one", p__x02_strip="two", q__y01_strip="three", q__y02_strip="four", r__z01_strip="five"
    )
    table = tmp_path / "labels.csv"
    table.write_text("file,label\np,first\nq/y-02.strip,second\nnobody,third\n")
    added = ws.add("d", folder, labels=table)
    assert added.labels == {"first": 2, "second": 2}
    assert (added.labels_unmatched, added.unlabelled) == (1, 1)


def test_folders_as_labels(ws, write):
    folder = write(cat__a__x01_strip="one", cat__a__x02_strip="two", dog__b__y01_strip="six", dog__b__y02_strip="ten")
    assert ws.add("d", folder, labels="folders").labels == {"cat": 2, "dog": 2}


def test_what_dead_processes_left_is_swept(ws, write):
    dead = subprocess.Popen(["true"])
    dead.wait()
    ws.add("d", write(a_tape="one"))
    for place in (ws.root / "tmp" / str(dead.pid) / "x", ws.root / "blobs" / f".{dead.pid}-0"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("half")
    mine = ws.root / "tmp" / str(os.getpid())
    mine.mkdir(parents=True, exist_ok=True)
    keep.sweep(ws.root)
    assert [path.name for path in (ws.root / "tmp").iterdir()] == [mine.name]
    assert [path.read_text() for path in kept(ws)] == ["one"]


def test_holes_stay_holes(tmp_path):
    source = tmp_path / "sparse.bin"
    with source.open("wb") as file:
        file.seek(200 << 20)
        file.write(b"end")
    said = keep.Keeper(tmp_path / "ws", refer=False) if (tmp_path / "ws").mkdir() is None else None
    row = said(source)
    copy = tmp_path / "ws" / row["uri"]
    assert copy.stat().st_size == source.stat().st_size == row["uri_size"]
    assert copy.stat().st_blocks * 512 < 4 << 20
    assert copy.read_bytes() == source.read_bytes()


def test_a_run_and_an_answer(ws, write, tmp_path):
    """From tapes to a model that answers for a new one."""
    words = " ".join(f"{'ab'[i % 2]}{'xy'[i % 2]}{i}" for i in range(80))
    ws.add("d", write(a_tape=words))
    ran = ws.run("text/probe-hash", dataset="d")
    assert ran.parity["holds"]
    question = tmp_path / "q.tape"
    question.write_text("ax100 by101")
    assert [answer["label"] for answer in ws.model(ran.model).predict_file(question)] == ["a", "b"]
    assert json.dumps(ws.list())


def test_gc_forgets_what_no_version_has(ws, write):
    """A file that only a dropped row pointed at stays while a version has the row; then it goes, a day later."""
    folder = write(a_tape="one two", b_tape="three")
    ws.add("d", folder)
    row = next(row for row in ws.engine.dataset("d").rows() if row["word"] == "three")
    ws.engine.edit("d", "drop", drop=[row["id"]])
    for path in kept(ws):
        os.utime(path, (1, 1))
    ws.gc()
    assert sorted(path.read_text() for path in kept(ws)) == ["one two", "three"], "an older version has it"
    ws.gc(older_than_days=0)
    assert [path.read_text() for path in kept(ws)] == ["one two"]
    assert decoded(ws, "d") == ["one", "two"]


def test_answers_for_things_of_several_files(ws, write, tmp_path):
    ws.add("d", write(a01_strip=" ".join(f"{'ab'[i % 2]}{'xy'[i % 2]}{i}" for i in range(80))))
    model = ws.run("text/probe-hash", dataset="d").model
    asked = tmp_path / "ask"
    asked.mkdir()
    for name, text in {"p-01": "ax100", "p-02": "by101", "q-01": "crumpled", "r-01": "burnt"}.items():
        (asked / f"{name}.strip").write_text(text)
    found = ws.predict(model, asked)
    assert [(Path(one["path"]).name, one["output"]["label"]) for one in found["predictions"]] == [
        ("p-01.strip", "a"),
        ("p-01.strip", "b"),
        ("q-01.strip", "a"),
    ] or [Path(one["path"]).name for one in found["predictions"]][:2] == ["p-01.strip"] * 2
    assert [Path(one["path"]).name for one in found["failed"]] == ["r-01.strip"]


def test_an_export_has_the_files(ws, write, tmp_path):
    folder = write(a_tape="one two", b_tape="three")
    ws.add("d", folder, reference=True)
    out = ws.dataset("d").export(tmp_path / "out")
    for path in folder.iterdir():
        path.unlink()
    other = speciate.open(tmp_path / "other", catalog=ws.catalog, quiet=True)
    other.import_folder(out)
    assert decoded(other, "d") == ["one", "three", "two"]
    dataset = other.engine.dataset("d")
    dataset.verify(dataset.rows(content=False))
    assert other.fsck()["damaged"] == []
    changed = next((out / "files").iterdir())
    changed.write_text("six six")
    with pytest.raises(SpeciateError, match="is damaged") as caught:
        other.import_folder(out, "again")
    assert "was changed" in caught.value.exists
    changed.unlink()
    with pytest.raises(SpeciateError, match="is damaged"):
        other.import_folder(out, "again")


@pytest.mark.parametrize("refer", [False, True])
def test_files_move_house_too(ws, write, tmp_path, refer):
    folder = write(a_tape="one two three", b_tape="four")
    ws.add("d", folder, reference=refer)
    there = ws.dataset("d").export(tmp_path / "out")
    other = speciate.open(tmp_path / "other", catalog=ws.catalog, quiet=True)
    other.import_folder(shutil.copytree(there, tmp_path / "moved"))
    shutil.rmtree(folder)
    assert decoded(other, "d") == ["four", "one", "three", "two"]
    assert sorted(path.read_text() for path in kept(other)) == ["four", "one two three"]
    assert other.engine.fsck("d")["damaged"] == []
    found = [row["tape"] for b in RowLoader(other.engine.dataset("d"), "", decode=dict) for row in b]
    assert sorted(path.read_text() for path in found) == ["four", *["one two three"] * 3]


def test_a_notebook_shows_what_the_format_shows(ws, write):
    ws.add("d", write(a_tape="one torn"))
    html = Dataset(ws.engine, "d", catalog=ws.catalog)._repr_html_()
    assert html.count("<img ") == 1
    assert base64.b64encode(b"one").decode() in html
    assert "<script" not in html
    assert "srcdoc='&lt;b&gt;one&lt;/b&gt;" in html
    assert html.count("sandbox=''") == 1, "what a format writes runs nothing"
    assert "ValueError: &lt;it&gt; is torn" in html
    assert "<th style='text-align:left'>preview</th>" in html
    made = Dataset(ws.engine, "d", catalog=ws.catalog).map(dict)._repr_html_()
    assert "<img" not in made
