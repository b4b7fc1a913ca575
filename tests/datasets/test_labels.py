"""Label files: joined by path, name, stem or hash; what matches nothing is counted."""

import hashlib
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from speciate import SpeciateError, UsageError


@pytest.fixture
def folder(tmp_path):
    """Three texts in two folders."""
    for name in ("x/a.txt", "x/b.txt", "y/c.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    return tmp_path / "in"


@pytest.fixture
def add(workspace, folder, tmp_path):
    """add(csv text) -> what was added with it, and the labels by file."""

    def add(text, name="labels.csv", **asked):
        path = tmp_path / name
        if isinstance(text, str):
            path.write_text(text)
        added = workspace.add("d", folder, labels=path, **asked)
        return added, {row["source"]: row["label"] for row in workspace.engine.dataset("d").rows()}

    return add


WANTED = {"x/a.txt": "1", "x/b.txt": "2", "y/c.txt": "3"}


@pytest.mark.parametrize(
    "names",
    [
        ("x/a.txt", "x/b.txt", "y/c.txt"),
        ("./x/a.txt", "x\\b.txt", "in/y/c.txt"),
        ("a.txt", "b.txt", "c.txt"),
        ("a", "b", "c"),
        ("x/a", "b", "c.txt"),
        ("/elsewhere/p/a.txt", "/elsewhere/q/b.txt", "/elsewhere/r/c.txt"),
    ],
)
def test_by_path_name_and_stem(add, names):
    added, labels = add("file,label\n" + "".join(f"{name},{i}\n" for i, name in enumerate(names, 1)))
    assert labels == WANTED
    assert (added.labels_unmatched, added.unlabelled, added.target) == (0, 0, "label")


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_by_hash(add, folder, kind):
    lines = [f"{hashlib.new(kind, (folder / n).read_bytes()).hexdigest()},{label}" for n, label in WANTED.items()]
    assert add("sum,label\n" + "\n".join(lines))[1] == WANTED


def test_any_kind_of_label_file(add, tmp_path):
    rows = [{"image": name, "cls": label} for name, label in WANTED.items()]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "l.parquet")
    assert add(None, "l.parquet")[1] == WANTED
    assert add("".join(json.dumps(row) + "\n" for row in rows), "l.jsonl")[1] == WANTED
    assert add("image\tcls\n" + "".join(f"{n}\t{v}\n" for n, v in WANTED.items()), "l.tsv")[1] == WANTED


def test_what_matches_nothing_is_counted(add):
    added, labels = add("file,label\na.txt,1\ngone.txt,2\nlost.txt,3\nb.txt,\n")
    assert labels == {"x/a.txt": "1", "x/b.txt": None, "y/c.txt": None}
    assert (added.labels_unmatched, added.unlabelled) == (2, 2)
    assert added.label_gaps == {"unmatched": ("gone.txt", "lost.txt"), "unlabelled": ("x/b.txt", "y/c.txt")}


def test_a_file_that_is_refused_misses_no_label(add, folder):
    (folder / "x" / "bad.txt").write_bytes(b"\xff\xfe\x00")
    added, _ = add("file,label\na.txt,1\nb.txt,\n")
    assert [one.path.rpartition("/")[2] for one in added.quarantined] == ["bad.txt"]
    assert (added.unlabelled, added.label_gaps) == (2, {"unlabelled": ("x/b.txt", "y/c.txt")})


def test_target_group_and_split_come_along(add, workspace):
    text = "name,mood,colour,patient,split\na,good,red,p1,test\nb,bad,blue,p1,\nc,bad,red,p2,train\n"
    added, labels = add(text, target="colour", group="patient")
    assert labels == {"x/a.txt": "red", "x/b.txt": "blue", "y/c.txt": "red"}
    assert added.target == "colour"
    rows = {row["source"]: (row["group"], row["split"]) for row in workspace.engine.dataset("d").rows()}
    assert rows == {"x/a.txt": ("p1", "test"), "x/b.txt": ("p1", "test"), "y/c.txt": ("p2", "train")}


def test_folders(workspace, folder):
    added = workspace.add("d", folder, labels="folders")
    assert dict(added.labels) == {"x": 2, "y": 1}
    assert added.target == "folder"


def test_every_row_of_a_file_gets_its_label(workspace, tmp_path, make):
    make.jsonl(tmp_path / "rows.jsonl", [{"text": "p", "label": "old"}, {"text": "q"}])
    (tmp_path / "l.csv").write_text("file,label\nrows,new\n")
    workspace.add("d", tmp_path / "rows.jsonl", labels=tmp_path / "l.csv")
    rows = workspace.engine.dataset("d").rows()
    assert [row["label"] for row in rows] == ["new", "new"]
    assert {row["label_"] for row in rows} == {"old", None}


def test_a_label_file_among_the_files_is_no_input(workspace, folder):
    (folder / "labels.csv").write_text("file,label\na,1\nb,2\nc,3\n")
    added = workspace.add("d", folder, labels=folder / "labels.csv")
    assert (added.rows, added.quarantined) == (3, ())


def test_a_new_label_file_updates(add):
    add("file,label\na,1\nb,1\nc,1\n")
    added, labels = add("file,label\na,1\nb,2\nc,3\n")
    assert (added.updated, added.unchanged, labels) == (2, 1, WANTED)


@pytest.mark.parametrize(
    ("text", "asked", "why"),
    [
        ("file,label\nq.txt,1\n", {}, "names none of these files"),
        ("file,label\na,1\na,2\n", {}, "names 'a' twice"),
        ("file,p,q\na,1,2\n", {}, "which column"),
        ("file,label\na,1\n", {"target": "mood"}, "no column named 'mood'"),
    ],
)
def test_a_label_file_that_cannot_be_joined(add, text, asked, why):
    with pytest.raises(UsageError, match=why):
        add(text, **asked)


def test_a_label_may_be_called_like_a_file(add):
    added, labels = add("label,where\na,x/a.txt\nb,x/b.txt\na,y/c.txt\n", target="label")
    assert (added.updated, set(labels.values())) == (0, {"a", "b"})


def test_a_whole_name_before_one_without_its_ending(add, folder):
    """A file beside another that is called like it and has one more ending."""
    (folder / "x/a.txt.txt").write_text("something else")
    _, labels = add("file,label\nx/a.txt,1\n")
    assert labels["x/a.txt"] == "1"
    assert not labels["x/a.txt.txt"]


def test_a_name_that_two_files_have(add, folder):
    (folder / "y" / "a.txt").write_text("another")
    with pytest.raises(UsageError, match="names 'a'"):
        add("file,label\na,1\nb,2\nc,3\n")


@pytest.mark.parametrize(
    ("text", "name"), [("file,label\na\n", "l.csv"), ("{", "l.jsonl"), ("", "l.csv"), ("x", "l.parquet")]
)
def test_a_label_file_that_cannot_be_read(add, text, name):
    with pytest.raises(SpeciateError, match="label file"):
        add(text, name)


@pytest.mark.parametrize("name", ["none.csv", "l.xlsx"])
def test_no_label_file(workspace, folder, tmp_path, name):
    (tmp_path / "l.xlsx").write_text("x")
    with pytest.raises(UsageError, match="label file"):
        workspace.add("d", folder, labels=tmp_path / name)
