"""The frames that an AVI file holds, chunk by chunk, and what its headers say of their number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from speciate_video.containers import Claim, Damage

__all__ = ["claim"]

Chunk = tuple[bytes, int, int]  # name (of a list: its kind), place of the content, length
PACKED = {b"XVID", b"DIVX", b"DX50", b"FMP4", b"MP4V"}  # may hold tiny chunks that stand for no frame
TINY = 16


def claim(file: BinaryIO, size: int) -> Claim:
    said: list[int] = []
    stream, video = -1, -1
    width = height = full = tiny = 0
    codec = b""
    for name, at, length in _chunks(file, 0, size):
        if name == b"avih":
            said.append(_int(file, at + 16))
        elif name == b"dmlh":
            said.append(_int(file, at))
        elif name == b"strh":
            stream += 1
            if _read(file, at, 4) == b"vids" and video < 0:
                video, codec = stream, _read(file, at + 4, 4).upper()
                said.append(_int(file, at + 32))
        elif name == b"strf" and stream == video >= 0:
            width, height = _int(file, at + 4), abs(_int(file, at + 8, signed=True))
        elif video >= 0 and name[:2] == b"%02d" % video and name[2:] in (b"dc", b"db") and length:
            full, tiny = full + (length > TINY), tiny + (length <= TINY)
    if video < 0:
        raise Damage("it has no video track")
    count = full + tiny
    if any(said) and count not in said:
        raise Damage(f"its header says {max(said)} frames, it holds {count}")
    return Claim("avi", width, height, count, full if codec in PACKED else count)


def _chunks(file: BinaryIO, start: int, end: int, top: bool = True) -> Iterator[Chunk]:
    at = start
    while at + 8 <= end:
        head = _read(file, at, 12 if at + 12 <= end else 8)
        name, length = head[:4], int.from_bytes(head[4:8], "little")
        if top and name != b"RIFF":
            return  # what some cameras write behind
        if at + 8 + length > end:
            raise Damage(f"chunk {name!r} at byte {at} is {length} bytes long, {end - at - 8} are there")
        if name in (b"RIFF", b"LIST"):
            yield head[8:12], at + 12, length - 4
            yield from _chunks(file, at + 12, at + 8 + length, top=False)
        else:
            yield name, at + 8, length
        at += 8 + length + length % 2


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _int(file: BinaryIO, at: int, signed: bool = False) -> int:
    return int.from_bytes(_read(file, at, 4), "little", signed=signed)
