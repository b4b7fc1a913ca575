"""fsck and opening: a damaged byte is noticed, a version that never was is put aside, and nobody dies of either."""

import os
import random

import pytest

import speciate
from speciate import SpeciateError
from speciate_datasets import fsck
from speciate_datasets.store import Store
from speciate_datasets.sums import HINT, MANIFESTS, manifest_of


@pytest.fixture
def kept(workspace, news):
    workspace.add("news", news)
    return workspace


def fresh(ws):
    return speciate.open(ws.root, quiet=True).engine


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def folder(ws):
    return ws.root / "lance" / "dataset.news.lance"


def test_a_sound_workspace(kept):
    found = kept.engine.fsck()
    assert found["damaged"] == []
    assert found["rows"] == 240 + len(kept.engine.rows("datasets"))


@pytest.mark.parametrize("where", ["data", "_transactions", "_versions"])
def test_a_flipped_bit_is_named(kept, where):
    path = sorted((folder(kept) / where).iterdir(), key=lambda p: p.stat().st_size)[-1]
    path = (
        next(p for p in sorted((folder(kept) / where).iterdir()) if p.suffix != ".json")
        if where == "_versions"
        else path
    )
    flip(path, random.Random(0).randrange(path.stat().st_size * 8))
    found = fresh(kept).fsck("news")
    name = f"{where}/{path.name}"
    assert name in {entry["file"] for entry in found["damaged"]} or found["tables"][-1]["lost"], found


def test_training_refuses_damaged_rows(kept):
    data = next((folder(kept) / "data").glob("*.lance"))
    text = data.read_bytes()
    at = text.index(b"crude") if b"crude" in text else len(text) // 3
    flip(data, at * 8)
    dataset = fresh(kept).dataset("news")
    with pytest.raises(SpeciateError, match="is damaged") as caught:
        dataset.verify(dataset.rows())
    assert caught.value.do


def test_rows_in_memory_are_verified(kept):
    rows = kept.engine.dataset("news").rows()
    kept.engine.dataset("news").verify(rows)
    rows[3]["text"] += "!"
    with pytest.raises(SpeciateError, match=r"news\.jsonl row"):
        kept.engine.dataset("news").verify(rows)


@pytest.mark.parametrize("damage", ["empty", "zeros", "flip"])
def test_the_newest_manifest_is_damaged(kept, tmp_path, make, capsys, damage):
    """The version before it opens, with a word about it; nothing is deleted, and the add can be done again."""
    more = make.jsonl(tmp_path / "more.jsonl", make.rows(20, seed=4))
    first = kept.engine.resolve("news")
    last = kept.add("news", more).version
    path = folder(kept) / manifest_of(last)
    data = path.read_bytes()
    if damage == "flip":
        flip(path, 999)
    else:
        path.write_bytes(b"" if damage == "empty" else bytes(len(data)))
    engine = fresh(kept)
    dataset = engine.dataset("news")
    assert dataset.version == first
    assert len(dataset.rows()) == 240
    assert f"version {last} is damaged" in capsys.readouterr().err
    assert list((kept.root / "lost+found").rglob(path.name))
    again = speciate.open(kept.root, quiet=True).add("news", more)
    assert again.rows == 260
    assert len(fresh(kept).dataset("news").rows()) == 260


@pytest.mark.parametrize("what", ["manifest", "data"])
def test_a_power_cut_before_the_commit_was_acknowledged(kept, monkeypatch, tmp_path, make, what, capsys):
    """Lance had committed, nothing was fsynced: files are empty, and the version that names them is not there."""
    before = {path for path in folder(kept).rglob("*") if path.is_file()}
    monkeypatch.setattr("speciate_datasets.sums.Sums.vouch", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
    more = make.jsonl(tmp_path / "more.jsonl", make.rows(20, seed=4))
    with pytest.raises(KeyboardInterrupt):
        speciate.open(kept.root, quiet=True).add("news", more)
    monkeypatch.undo()
    new = {path for path in folder(kept).rglob("*") if path.is_file()} - before
    suffix = ".manifest" if what == "manifest" else ".lance"
    lost = [path for path in new if path.suffix == suffix]
    assert lost
    for path in lost:
        os.truncate(path, 0)
    assert len(fresh(kept).dataset("news").rows()) == 240
    assert speciate.open(kept.root, quiet=True).add("news", more).added == 20
    assert fresh(kept).fsck()["damaged"] == []
    assert "is damaged" in capsys.readouterr().err


def test_what_a_killed_writer_committed_is_kept_and_put_on_the_disk(kept, monkeypatch, tmp_path, make):
    monkeypatch.setattr("speciate_datasets.sums.Sums.vouch", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
    more = make.jsonl(tmp_path / "more.jsonl", make.rows(20, seed=4))
    with pytest.raises(KeyboardInterrupt):
        speciate.open(kept.root, quiet=True).add("news", more)
    monkeypatch.undo()
    store = Store(kept.root)
    assert store.count("dataset.news") == 260
    assert set(store.sums("dataset.news").files()) == store.sums("dataset.news").known().keys()


def test_a_damaged_list_of_deleted_rows_never_reaches_lance(kept):
    engine = kept.engine
    first, ids = engine.resolve("news"), [row["id"] for row in engine.dataset("news").rows()[:3]]
    engine.edit("news", "drop", drop=ids)
    for path in (folder(kept) / "_deletions").iterdir():
        flip(path, 2000)
    dataset = fresh(kept).dataset("news")
    assert dataset.version == first
    with pytest.raises(SpeciateError, match="cannot open version"):
        fresh(kept).store.open("dataset.news")
    assert any("_deletions" in entry["file"] for entry in fresh(kept).fsck("news")["damaged"])


def test_reading_beside_a_writer_and_a_gc(kept):
    """What a writer is just writing has a name that says nothing; what a gc takes meanwhile nobody needs."""
    engine = kept.engine
    engine.edit("news", "drop", drop=[row["id"] for row in engine.dataset("news").rows()[:3]])
    (folder(kept) / "_deletions" / ".tmpA1b2C3").write_bytes(b"")
    other = fresh(kept)
    assert other.dataset("news").count() == 237
    sums = other.store.sums("dataset.news")
    (listed,) = sums.deletions(other.resolve("news"))
    (folder(kept) / listed).unlink()
    sums = Store(kept.root).sums("dataset.news")
    assert sums.right(listed)
    assert not sums.right("data/gone.lance")


def test_a_torn_line_of_the_list(kept):
    path = kept.root / "sums" / "dataset.news"
    path.write_bytes(path.read_bytes()[:-5])
    engine = fresh(kept)
    assert len(engine.dataset("news").rows()) == 240
    engine.edit("news", "drop", drop=[engine.dataset("news").rows()[0]["id"]])
    assert {entry["what"] for entry in fresh(kept).fsck("news")["damaged"]} <= {"1 lines cannot be read"}


def test_any_flipped_bit_of_the_list_is_named(kept):
    path, chance = kept.root / "sums" / "dataset.news", random.Random(0)
    data = path.read_bytes()
    assert fsck.files(Store(kept.root), "dataset.news") == []
    for bit in [*chance.sample(range(len(data) * 8 - 8), 60), *range(len(data) * 8 - 8, len(data) * 8)]:
        flip(path, bit)
        assert fsck.files(Store(kept.root), "dataset.news"), bit
        path.write_bytes(data)


def test_no_file_is_kept_that_nobody_can_check(kept, tmp_path, make):
    """Lance's note of its newest version is neither fsynced nor needed, whatever it says."""
    hint = folder(kept) / MANIFESTS / HINT
    assert not hint.exists()
    for words in ('{"version":99}', "x"):
        hint.write_text(words)
        engine = fresh(kept)
        assert engine.dataset("news").count() == 240
        assert engine.fsck("news")["damaged"] == []
    more = make.jsonl(tmp_path / "more.jsonl", make.rows(20, seed=4))
    assert speciate.open(kept.root, quiet=True).add("news", more).rows == 260
    assert not hint.exists()
    files = {str(path.relative_to(folder(kept))) for path in folder(kept).rglob("*") if path.is_file()}
    assert files == Store(kept.root).sums("dataset.news").known().keys()


def test_a_reader_that_dies_is_reported(kept, monkeypatch):
    dying = "import os; os.abort()"
    real = __import__("subprocess").run
    monkeypatch.setattr(
        "speciate_datasets.fsck.subprocess.run", lambda command, **k: real([command[0], "-c", dying], **k)
    )
    assert any("signal 6" in entry["what"] for entry in kept.engine.fsck("news")["damaged"])
