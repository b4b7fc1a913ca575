"""The demo's data: what a package of Debian holds, by kind; and what is said where it cannot be had."""

import io
import lzma
import tarfile
import zipfile

import pytest

from speciate import SpeciateError, UsageError
from speciate.catalog import installed
from speciate.sources import recognise
from speciate_3d.demo import KINDS, PACKAGE, furniture, kind_of
from speciate_3d.example import box, cone, obj

CATALOGUE = """
id#1=a
name#1=Dining chair
model#1=/x/chair.obj
name#2=Table lamp
model#2=/x/lamp/lamp.obj
name#3=Something else
model#3=/x/else.obj
name#4=Caf\xe9 table
model#4=/x/../../table.obj
name#5=Lost desk
model#5=/x/lost.obj
"""


def library(*pieces):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOGUE.encode("latin-1"))
        archive.writestr("LICENSE.TXT", "free")
        for name, data in pieces:
            archive.writestr(name, data)
    return packed.getvalue()


def package(folder, libraries):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in libraries.items():
            entry = tarfile.TarInfo(f"./usr/share/furniture/{name}.sh3f")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(packed.getvalue())}
    content = b"!<arch>\n"
    for name, data in members.items():
        content += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    folder.mkdir()
    (folder / f"{PACKAGE}_1.8-1_all.deb").write_bytes(content)


def no(question):
    raise AssertionError(f"it asked: {question}")


def test_the_models_come_out_by_kind_and_the_test_is_of_other_makers(tmp_path):
    pieces = [(f"x/{name}.obj", obj(*cone(2, 0.5))) for name in ("chair", "lamp/lamp", "else", "../../table")]
    other = [("x/chair.obj", obj(*box()))]
    package(tmp_path / "data", {"Scopia": library(*pieces), "KatorLegaz": library(*other)})
    demo = furniture(tmp_path / "data", no)
    found = {
        part["split"]: [path.relative_to(tmp_path / "data" / "furniture") for path in part["paths"]]
        for part in demo.add
    }
    assert sorted(map(str, found["train"])) == [
        "chair/Scopia-chair.obj",
        "lamp/Scopia-lamp.obj",
        "table/Scopia-table.obj",
    ]
    assert list(map(str, found["test"])) == ["chair/KatorLegaz-chair.obj"]
    assert demo.question.read_bytes() == obj(*box())
    assert all(part["labels"] == "folders" for part in demo.add)
    assert recognise(installed(), demo.add[0]["paths"], (), "")[0].name == "3d"
    assert "CC-BY" in demo.licence


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Table lamp", "lamp"), ("Chair", "chair"), ("Sofa bed", "bed"), ("Window with 2 panes", "window"), ("Car", "")],
)
def test_a_name_says_the_kind_by_its_last_word_that_does(name, kind):
    assert kind_of(name) == kind
    assert kind in {*KINDS, ""}


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"!<arch>\n" + b"x" * 200, b"no package at all" * 99])
def test_a_damaged_package_says_so(content, tmp_path):
    (tmp_path / f"{PACKAGE}_1_all.deb").write_bytes(content)
    with pytest.raises(SpeciateError, match="no Debian package") as caught:
        furniture(tmp_path, no)
    assert caught.value.do


def test_without_apt_it_says_how_to_do_without(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpeciateError, match="apt-get") as caught:
        furniture(tmp_path / "data", no)
    assert str(tmp_path / "data") in caught.value.do


def test_a_no_downloads_nothing(tmp_path, monkeypatch):
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UsageError, match="nothing was downloaded"):
        furniture(tmp_path / "data", lambda question: False)
    assert not (tmp_path / "data").exists()
    with pytest.raises(SpeciateError, match="cannot download"):
        furniture(tmp_path / "data", lambda question: True)
