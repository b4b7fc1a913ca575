"""A format whose files' names tell too much: pseudonyms are stored, and a person is still told the real ones."""

import importlib
from pathlib import Path

import pytest

import speciate
from speciate import UsageError
from speciate.catalog import Catalog, Plugin, installed

HERE = str(Path(__file__).parent)


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    catalog = Catalog([*installed().plugins.values(), Plugin("quiet", importlib.import_module("quiet"))])
    return speciate.open(tmp_path / "ws", catalog=catalog, quiet=True)


@pytest.fixture
def folder(tmp_path):
    for name, text in {"Ann/one.tape": "b c", "Ann/two.tape": "d", "Bob/one.tape": "e"}.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "in"


def stored(ws):
    return b"".join(path.read_bytes() for path in ws.root.rglob("*") if path.is_file())


def test_rows_have_pseudonyms(ws, folder):
    added = ws.add("d", folder, format="tape")
    rows = ws.engine.dataset("d").rows()
    names = ("Ann/one.tape", "Ann/two.tape", "Bob/one.tape")
    assert {row["source"] for row in rows} == {f"file:{name}"[::-1] for name in names}
    assert b"Ann" not in stored(ws)
    assert ws.add("d", folder, format="tape").version == added.version


def test_labels_are_joined_by_the_real_names(ws, folder, tmp_path):
    """And the groups that a label file names are stored as pseudonyms, equal ones alike; numbers as they would be."""
    table = tmp_path / "labels.csv"
    table.write_text("file,label,group\nAnn/one.tape,x,Ann\nAnn/two.tape,y,Ann\nBob/one.tape,x,\nEve/one.tape,z,Eve\n")
    added = ws.add("d", folder, format="tape", labels=table)
    rows = {row["word"]: (row["label"], row["group"]) for row in ws.engine.dataset("d").rows()}
    assert rows == {"b": ("x", "nnA:puorg"), "c": ("x", "nnA:puorg"), "d": ("y", "nnA:puorg"), "e": ("x", "")}
    assert added.label_gaps == {"unmatched": ("Eve/one.tape",)}
    assert not {name for name in (b"Ann", b"Bob", b"Eve") if name in stored(ws)}


def test_labels_are_joined_by_the_pseudonyms_that_a_person_sees(ws, folder, tmp_path):
    ws.add("d", folder, format="tape")
    sources = sorted({row["source"] for row in ws.engine.dataset("d").rows()})
    table = tmp_path / "labels.csv"
    table.write_text("source,label\n" + "".join(f"{source},{n % 2}\n" for n, source in enumerate(sources)))
    added = ws.add("d", folder, format="tape", labels=table)
    assert (added.updated, dict(added.labels)) == (4, {"0": 2, "1": 2})


def test_a_refused_file_is_told_by_its_name_and_stored_nowhere(ws, folder):
    (folder / "Ann" / "bad.tape").write_bytes(b"\xff\xff")
    added = ws.add("d", folder, format="tape")
    assert [one.path for one in added.quarantined] == [str(folder / "Ann" / "bad.tape")]
    assert not {name for name in (b"Ann", b"bad.tape") if name in stored(ws)}


def test_files_that_are_one_thing(ws, tmp_path):
    """Keys are told apart by place: two files whose names are printed alike stay two."""
    for name, text in {b"in/a\xff-1.strip": "b c", b"in/b\xfe-1.strip": "d", b"in/b\xfe-2.strip": "e"}.items():
        path = tmp_path / Path(name.decode("utf-8", "surrogateescape"))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    added = ws.add("d", tmp_path / "in", format="strips")
    assert (added.rows, added.quarantined) == (4, ())
    assert len({row["source"] for row in ws.engine.dataset("d").rows()}) == 2


def test_a_reference_would_tell_where_files_lie(ws, folder):
    with pytest.raises(UsageError, match="stores no names of files"):
        ws.add("d", folder, format="tape", reference=True)


def test_names_stay_where_the_options_say_so(ws, folder):
    ws.add("d", folder, format="loud")
    assert {row["source"] for row in ws.engine.dataset("d").rows()} == {"Ann/one.tape", "Ann/two.tape", "Bob/one.tape"}
