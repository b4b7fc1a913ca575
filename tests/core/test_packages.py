"""Files out of packages: with this machine's own pip, from a folder instead of the index, and never more than asked."""

import io
import tarfile

import pytest

from speciate import SpeciateError, UsageError
from speciate.files import sha256
from speciate.packages import cache, download, fetch, find

BACKEND = """
from pathlib import Path
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = Path(folder) / "tape-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: tape\\nVersion: 1.0\\n")
    return info.name
"""
PROJECT = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"


def yes(question):
    return True


def never(question):
    raise AssertionError(f"it asked: {question}")


def sources(folder, members=(), others=()):
    """A source archive; what pip asks of it is answered without any other package."""
    path = folder / "tape-1.0.tar.gz"
    known = {"pyproject.toml": PROJECT, "backend.py": BACKEND, "PKG-INFO": "Name: tape\nVersion: 1.0\n"}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**{f"tape-1.0/{name}": text for name, text in known.items()}, **dict(members)}.items():
            entry, data = tarfile.TarInfo(name), content.encode() if isinstance(content, str) else content
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in others:
            tar.addfile(entry)
    return path


def entry(name, kind, target=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize("source", [False, True])
def test_pip_brings_it_and_only_what_was_asked_for_comes_out(source, tmp_path, index, make):
    folder = tmp_path / "data"
    top = "tape-1.0/" if source else ""
    members = {f"{top}tape/songs/a.txt": "la la", f"{top}tape/b.bin": b"\0\1", f"{top}tape/__init__.py": "1 / 0"}
    archive = sources(index, members) if source else make.wheel(index, "tape", "1.0", members)
    asked = []

    def ask(question):
        asked.append(question)
        return True

    wanted = [f"{top}tape/songs/a.txt", f"{top}tape/b.bin"]
    found = fetch("tape==1.0", wanted, folder, ask, source=source)
    assert found == [folder / "a.txt", folder / "b.bin"]
    assert [path.read_bytes() for path in found] == [b"la la", b"\0\1"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["a.txt", "b.bin", archive.name])
    assert len(asked) == 1
    assert "tape==1.0" in asked[0]
    assert ("build script" in asked[0]) is source
    assert fetch("tape==1.0", wanted, folder, never, source=source) == found  # it is there


def test_what_cannot_be_had(tmp_path, index):
    with pytest.raises(UsageError, match="nothing was downloaded"):
        fetch("tape==1.0", [], tmp_path / "data", lambda question: False)
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(SpeciateError, match=r"cannot download tape==1\.0") as caught:
        fetch("tape==1.0", [], tmp_path / "data", yes)
    assert caught.value.exists
    assert caught.value.do
    assert list((tmp_path / "data").iterdir()) == []


def test_only_that_package_in_that_version_and_kind_is_taken_from_the_folder(tmp_path, make):
    one, two = (make.wheel(tmp_path, "tape", version, {}) for version in ("1.0", "2.0"))
    three = sources(tmp_path)
    (tmp_path / "notes.whl").write_text("no name of a package")
    assert download("tape==1.0", tmp_path, never) == one
    assert download("Tape>1.5", tmp_path, never) == two
    assert download("tape==1.0", tmp_path, never, source=True) == three
    for requirement, source in (("tape==3.0", False), ("tap", False), ("tape==2.0", True)):
        with pytest.raises(UsageError):
            download(requirement, tmp_path, lambda question: False, source)


@pytest.mark.parametrize("name", ["tape-1.0/../../evil", "/evil", "tape-1.0/link", "tape-1.0/hard", "tape-1.0/pipe"])
def test_nothing_leaves_the_folder_and_no_link_is_followed(name, tmp_path):
    """The names in an archive never say where a file is written, and only regular files are."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = tmp_path / "data"
    folder.mkdir()
    links = [
        entry("tape-1.0/link", tarfile.SYMTYPE, str(secret)),
        entry("tape-1.0/hard", tarfile.LNKTYPE, str(secret)),
        entry("tape-1.0/pipe", tarfile.FIFOTYPE),
    ]
    sources(folder, {"tape-1.0/../../evil": "evil", "/evil": "evil", "tape-1.0/good": "good"}, links)
    before = sorted(tmp_path.iterdir())
    [good] = fetch("tape==1.0", ["tape-1.0/good"], folder, never, source=True)
    assert good.read_text() == "good"
    if "evil" in name:
        [path] = fetch("tape==1.0", [name], folder, never, source=True)
        assert path == folder / "evil"
    else:
        with pytest.raises(SpeciateError, match="holds no file"):
            fetch("tape==1.0", [name], folder, never, source=True)
    assert sorted(tmp_path.iterdir()) == before
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("source", [False, True])
def test_damaged_archives_and_missing_members(source, tmp_path, make):
    members = {"tape/a": bytes(range(256)) * 400}
    archive = sources(tmp_path, members) if source else make.wheel(tmp_path, "tape", "1.0", members)
    with pytest.raises(SpeciateError, match="holds no file tape/b"):
        fetch("tape==1.0", ["tape/b"], tmp_path, never, source)
    with pytest.raises(ValueError, match="one name"):
        fetch("tape==1.0", ["tape/a", "other/a"], tmp_path, never, source)
    whole = archive.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:60] + bytes(200) + whole[260:]):
        archive.write_bytes(broken)
        with pytest.raises(SpeciateError, match=r"cannot be unpacked") as caught:
            fetch("tape==1.0", ["tape/a"], tmp_path, never, source)
        assert archive.name in caught.value.do


def test_a_package_is_found_without_being_imported(tmp_path, monkeypatch):
    (tmp_path / "tape_that_breaks").mkdir()
    (tmp_path / "tape_that_breaks" / "__init__.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find("tape_that_breaks") == tmp_path / "tape_that_breaks"
    assert find("no_such_tape") is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "speciate"


def test_a_hash_is_of_what_the_file_is_now(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = sha256(path)
    assert first == sha256(path)
    path.write_bytes(b"three")
    assert sha256(path) != first
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
