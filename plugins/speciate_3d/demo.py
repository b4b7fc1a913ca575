"""The demo's data: furniture in twelve kinds, out of a package of Debian and Ubuntu."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from speciate import Demo, SpeciateError, UsageError

__all__ = ["furniture", "unpack"]

PACKAGE = "sweethome3d-furniture"
KINDS = {  # by words in the English names that the package gives them
    "plug": "plug socket switch dimmer",
    "door": "door",
    "window": "window panes",
    "lamp": "lamp light chandelier",
    "plant": "plant tree ficus flower bush cactus palm pine",
    "person": "male female man woman boy girl child baby",
    "bed": "bed cot",
    "sofa": "sofa couch",
    "chair": "chair armchair stool bench",
    "table": "table desk",
    "cabinet": "cabinet wardrobe bookcase shelves drawers cupboard dresser chest unit",
    "vessel": "bottle cup glass bowl vase plate jar mug",
}
UNSEEN = ("BlendSwap-CC-BY", "KatorLegaz")  # libraries of the test
FIELD = re.compile(r"^(name|model|creator)#(\d+)\s*=\s*(.*?)\s*$", re.MULTILINE)
MODEL_BYTES, CATALOGUE_BYTES = 1 << 26, 1 << 24


def furniture(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """OBJ files in a folder for each kind; those of makers whose work is in no other library are for the test."""
    package = next(iter(folder.glob(f"{PACKAGE}_*.deb")), None) or _download(folder, ask)
    paths = unpack(package, folder / "furniture")
    tested = [path for path in paths if path.name.startswith(UNSEEN)]
    parts = {"train": [path for path in paths if path not in set(tested)], "test": tested}
    return Demo(
        title=f"Sweet Home 3D: {len(paths)} pieces of furniture in {len(KINDS)} kinds, tested on unseen makers",
        licence="CC0 and CC-BY 3.0 of their makers, named in the LICENSE files beside them. Nothing of it is kept.",
        add=[{"paths": files, "split": split, "labels": "folders"} for split, files in parts.items()],
        recipe="3d/probe",
        question=next((path for path in tested if path.stem.lower().endswith("chair")), tested[0]),
    )


def _download(folder: Path, ask: Callable[[str], bool]) -> Path:
    """The package, through this machine's own apt, as it is set up here."""
    other = f"put {PACKAGE}_*.deb, a package of Debian or Ubuntu, into {folder} and type the same again"
    apt = shutil.which("apt-get")
    if apt is None:
        raise SpeciateError("the 3d demo needs its models", "they come with apt-get, which is not here", other)
    if not ask(f"This downloads the package {PACKAGE} (120 MB) with apt-get; nothing is installed."):
        raise UsageError("nothing was downloaded", "the answer was no", "type `speciate demo --yes` to agree")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([apt, "download", "-q", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
    found = next(iter(folder.glob(f"{PACKAGE}_*.deb")), None)
    if done.returncode or found is None:
        reason = (done.stderr.strip().splitlines() or ["no package came"])[-1]
        raise SpeciateError(f"cannot download {PACKAGE}", reason, f"type `apt-get update`, or {other}")
    return found


def unpack(package: Path, folder: Path) -> list[Path]:
    """The models, written below the folder as KIND/LIBRARY-MODEL.obj."""
    paths: set[Path] = set()
    for name, archive in _libraries(package):
        with zipfile.ZipFile(io.BytesIO(archive)) as library:
            for kind, member in _models(library):
                path = folder / kind / f"{name}-{Path(member).stem}.obj"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(library.read(member))
                paths.add(path)
            (folder / f"LICENSE-{name}.txt").write_bytes(library.read("LICENSE.TXT"))
    return sorted(paths)


def _models(library: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """(kind, member) of the models whose name says what they are."""
    there = {entry.filename: entry.file_size for entry in library.infolist()}
    if there.get("PluginFurnitureCatalog.properties", CATALOGUE_BYTES) >= CATALOGUE_BYTES:
        return
    pieces: dict[str, dict[str, str]] = {}
    for field, number, value in FIELD.findall(library.read("PluginFurnitureCatalog.properties").decode("latin-1")):
        pieces.setdefault(number, {})[field] = value
    for piece in pieces.values():
        kind, member = kind_of(piece.get("name", "")), piece.get("model", "").lstrip("/")
        if kind and member.endswith(".obj") and there.get(member, MODEL_BYTES) < MODEL_BYTES:
            yield kind, member


def kind_of(name: str) -> str:
    """The kind that a name says, by its last word that says one: a table lamp is a lamp."""
    words = re.findall(r"[a-z]+", name.lower())
    known = {word: kind for kind, all_words in KINDS.items() for word in all_words.split()}
    return next((known[word] for word in reversed(words) if word in known), "")


def _libraries(package: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the .sh3f libraries in a Debian package: an ar archive that holds a tar."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_member(package.read_bytes(), b"data.tar")), mode="r:*") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() and entry.name.endswith(".sh3f") else None
                if content is not None:
                    yield Path(entry.name).stem, content.read()
    except (tarfile.TarError, OSError, ValueError) as error:
        raise SpeciateError(f"{package.name} is no Debian package", str(error), "remove it and try again") from error


def _member(archive: bytes, name: bytes) -> bytes:
    at = len(b"!<arch>\n")
    while archive.startswith(b"!<arch>\n") and at + 60 <= len(archive):
        size = int(archive[at + 48 : at + 58])
        if archive[at:].startswith(name):
            return archive[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise ValueError(f"it has no {name.decode()}")
