"""Numbered pictures as one video: files with one name and counting numbers are kept as one zip, uncompressed, in order.

The pictures stay as they are. The zip has no times and no names of its own, so equal frames make an equal file.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from speciate import SpeciateError
from speciate_video.containers import Claim, Damage, damaged
from speciate_video.pictures import check, size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "ZipCapture", "claim", "is_zip", "key", "numbered", "pack"]

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NUMBER = re.compile(r"(.*?)(\d+)")
MOST_BYTES = 1 << 28  # of one picture


def key(path: Path) -> str:
    """The pictures of one folder that differ by their number alone are one thing; any other file is one by itself."""
    parts = numbered(path)
    return f"{path.parent}/{parts[0]}#{path.suffix.lower()}" if parts else str(path)


def numbered(path: Path) -> tuple[str, int] | None:
    """The name before the number, and the number."""
    found = NUMBER.fullmatch(path.stem)
    if found is None or path.suffix.lower() not in KINDS:
        return None
    return found[1], int(found[2])


def pack(paths: Sequence[Path], folder: Path, gaps: bool) -> Path:
    """One zip of pictures, in the order of their numbers."""
    numbers = {number: path for path in paths if (parts := numbered(path)) for number in (parts[1],)}
    if len(numbers) < len(paths):
        twice = Counter(parts[1] for path in paths if (parts := numbered(path)))
        raise SpeciateError(
            f"frames of {paths[0].parent.name} have the same number", f"number {twice.most_common(1)[0][0]}", "keep one"
        )
    order = sorted(numbers)
    if not gaps:
        _check_gaps(order, paths[0].parent.name)
    target = folder / "video.frames.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for place, number in enumerate(order):
            name = zipfile.ZipInfo(f"{place:08d}{numbers[number].suffix.lower()}", (1980, 1, 1, 0, 0, 0))
            archive.writestr(name, _bytes(numbers[number]))
    return target


def _check_gaps(numbers: Sequence[int], folder: str) -> None:
    """Every n-th frame is a video; one with holes is probably a copy that stopped."""
    steps = np.diff(numbers)
    if len(steps) and int(steps.max()) != int(steps.min()):
        missing = numbers[int(np.argmax(steps != steps.min()))] + int(steps.min())
        do = "copy it again, or type -o gaps=true"
        raise SpeciateError(f"frames are missing in {folder}", f"there is no number {missing}", do)


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise SpeciateError(f"{path.name} is too large for a frame", f"the limit is {MOST_BYTES >> 20} MiB", "")
    return path.read_bytes()


def is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def claim(file: BinaryIO, size: int) -> Claim:
    """How many pictures a zip holds, and how large the first is; it must hold nothing else."""
    with _told(), zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        for info in infos:
            if wrong := _wrong(info):
                raise Damage(f"{info.filename} is no frame: {wrong}")
        width, height = size_of(archive.read(infos[0]), infos[0].filename) if infos else (0, 0)
    return Claim("frames", width, height, len(infos), len(infos))


@contextmanager
def _told() -> Iterator[None]:
    """All that zipfile says of a damaged zip."""
    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError, ValueError) as error:
        raise Damage(str(error) or type(error).__name__) from error


def _wrong(info: zipfile.ZipInfo) -> str:
    if info.compress_type != zipfile.ZIP_STORED:
        return "it is compressed"
    if Path(info.filename).suffix.lower() not in KINDS:
        return f"it is none of {', '.join(KINDS)}"
    return "it is too large" if info.file_size > MOST_BYTES else ""


class ZipCapture:
    """The pictures of a zip, in the order of their names."""

    fps, codec = 0.0, "pictures"

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path, self._most = path, max_pixels
        self._file: BinaryIO = path.open("rb")
        self._archive = zipfile.ZipFile(self._file)
        self._names = sorted(self._archive.namelist())
        self._at = -1

    def grab(self) -> bool:
        self._at += 1
        return self._at < len(self._names)

    def picture(self) -> NDArray[np.uint8]:
        import cv2

        name = self._names[self._at]
        try:
            with _told():
                data = self._archive.read(name)
        except Damage as error:
            raise damaged(self._path, str(error)) from None
        check(data, name, self._most)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise SpeciateError(f"frame {name} cannot be decoded", "", "copy it again, or leave it out")
        found: NDArray[np.uint8] = np.asarray(picture, np.uint8)
        return found

    def time(self) -> float:
        return float(self._at)

    def seek(self, time: float) -> None:
        """Any frame is as near as another."""
        self._at = max(-1, int(time) - 1)

    def close(self) -> None:
        self._archive.close()
        self._file.close()
