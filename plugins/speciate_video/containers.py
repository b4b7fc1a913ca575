"""What a video file says of itself, before any codec looks at it: its kind, frame size, and number of frames.

FFmpeg, which OpenCV and PyAV stand on, plays what it can of a damaged file and stops without a word. So the frames that
the container lists are counted here, by its own tables, and compared with those that come out. Only file headers and
tables are read, so that a file of any size costs little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speciate import SpeciateError

__all__ = ["Claim", "claim", "damaged"]


@dataclass(frozen=True)
class Claim:
    """What a container promises. `least` is below `most` where a player may leave out some frames rightly."""

    kind: str
    width: int
    height: int
    most: int
    least: int


def claim(path: Path) -> Claim:
    """The promise of a file, or a SpeciateError where it is none of the kinds or contradicts itself."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        read = _kind(head)
        if read is None:
            asked = f"{path.name} is empty" if not size else f"{path.name} is no video that is known here"
            exists = f"its first bytes are {head[:8].hex(' ')}" if size else ""
            raise SpeciateError(asked, exists, "give an MP4, MOV, MKV, WebM or AVI file, or numbered pictures")
        file.seek(0)
        try:
            found = read(file, size)
        except Damage as error:
            raise damaged(path, str(error)) from None
    if not found.most:
        raise damaged(path, "it lists no frame")
    return found


class Damage(Exception):
    """What is wrong inside a container."""


def damaged(path: Path, what: str) -> SpeciateError:
    return SpeciateError(f"{path.name} is damaged or cut off", what, "copy it again, or leave it out")


def _kind(head: bytes) -> Callable[[BinaryIO, int], Claim] | None:
    """By first bytes alone: a playlist that is called .mp4 must never reach FFmpeg, which would follow it."""
    from speciate_video import avi, folders, matroska, mp4

    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return mp4.claim
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return matroska.claim
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return avi.claim
    return folders.claim if head[:4] == b"PK\3\4" else None
