"""A disk that is full, or a folder that may not be written any more, in the middle of a command."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

import speciate
from speciate import SpeciateError
from speciate_datasets import ingest

sys.path.insert(0, str(Path(__file__).parent))
from soak_child import Work

NOBODY = 65534
STEP = max(1, round(1 / float(os.environ.get("SPECIATE_SOAK", "1"))))


@pytest.fixture
def small():
    """A folder on a small disk, which is all the disk there is, and which everybody may enter."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    words = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "none", place]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip("only root may mount")
    yield place
    subprocess.run(["umount", place], check=True)
    place.rmdir()


@contextmanager
def full(root):
    """Not one block is left."""
    filler = root.parent / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield "No space left on device"
    filler.unlink()


@contextmanager
def forbidden(root):
    """Its folders may be read, and no more."""
    os.seteuid(0)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    os.seteuid(NOBODY)
    yield "Permission denied"
    os.seteuid(0)
    for path in folders:
        path.chmod(0o755)
    os.seteuid(NOBODY)


@contextmanager
def failing(monkeypatch, how, root, nth):
    """The disk fails when something is put on it for the n-th time; whether it did, and what the system says then."""
    real, calls, said = os.fsync, count(1), []
    trouble = how(root)

    def fsync(handle):
        if next(calls) == nth:
            said.append(trouble.__enter__())
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    try:
        yield said
    finally:
        monkeypatch.setattr(os, "fsync", real)
        if said:
            trouble.__exit__(None, None, None)


@pytest.fixture
def nobody(small, monkeypatch):
    """A workspace of a person who is not root, to whom permissions mean something."""
    monkeypatch.setattr(ingest, "COMMIT_ROWS", 20)
    root = small / "home" / "workspace"
    root.parent.mkdir()
    work = Work(root)
    for what in (work.add, work.relabel, work.gc):  # and all that is imported for them
        what(0)
    for path in (root.parent, *root.parent.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    yield root
    os.seteuid(0)


def look(root):
    rows = speciate.open(root, quiet=True).engine.dataset("d").rows()
    return {row["text"]: row["label"] for row in rows}


@pytest.mark.soak
@pytest.mark.parametrize("how", [full, forbidden])
@pytest.mark.parametrize("what", ["add", "relabel", "gc"])
def test_the_disk_fails_in_the_middle(nobody, monkeypatch, how, what):
    """Wherever something is put on the disk: an error that names a path, the last version, and the command goes on."""
    for nth in count(1, STEP):
        before, errors = look(nobody), []
        with failing(monkeypatch, how, nobody, nth) as said:
            try:
                getattr(Work(nobody), what)(nth)
            except SpeciateError as error:
                errors.append(error)
        for error in errors:
            assert str(nobody) in error.asked, error
            assert said[0] in error.exists, error
            assert "bytes" in error.exists or how is forbidden, error
            assert error.do
        done = {**before, **Work(nobody).texts(nth)} if what == "add" else before
        there = look(nobody)
        assert errors or there != before or not said or what == "gc"
        assert there in (before, done) or (what == "relabel" and len(there) == len(before)), "rows no version has"
        getattr(Work(nobody), what)(nth)
        there = look(nobody)
        changed = sum(there[text] != before[text] for text in before)
        assert (len(there), changed) == (len(done), 20 if what == "relabel" else 0)
        if not said:
            break
    os.seteuid(0)  # fsck starts another process, and this Python may be root's alone
    assert nth > 2 * STEP
    assert speciate.open(nobody, quiet=True).engine.fsck()["damaged"] == []
