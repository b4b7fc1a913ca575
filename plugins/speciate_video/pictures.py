"""The size of a picture from its header, before anything is decompressed, and whether it is whole."""

from __future__ import annotations

import struct

from speciate import SpeciateError

__all__ = ["check", "size_of"]


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """(width, height), or a SpeciateError where the header is damaged."""
    try:
        width, height = _size(data)
    except (struct.error, IndexError):
        width = height = 0
    if width < 1 or height < 1:
        raise SpeciateError(f"frame {name} has no size", "its header is damaged", "copy it again, or leave it out")
    return width, height


def check(data: bytes, name: str, max_pixels: int) -> None:
    """Refuse a picture that is too large to decode, or cut off: decoders fill what is missing with grey."""
    width, height = size_of(data, name)
    if width * height > max_pixels:
        exists = f"it is {width} x {height}; the limit is {max_pixels:,} pixels"
        raise SpeciateError(f"frame {name} is too large", exists, f"type -o max_pixels={width * height}")
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-1024:]:
        raise SpeciateError(f"frame {name} is cut off", f"it ends after {len(data)} bytes", "copy it again")


def _size(head: bytes) -> tuple[int, int]:
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return struct.unpack(">II", head[16:24])
    if head[:2] == b"\xff\xd8":
        return _jpeg(head)
    if head[:2] == b"BM":
        width, height = struct.unpack("<ii", head[18:26])
        return abs(width), abs(height)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(head)
    return 0, 0


def _jpeg(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            break
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + max(2, length)
    return 0, 0


def _tiff(head: bytes) -> tuple[int, int]:
    order = "<" if head[:2] == b"II" else ">"
    (at,) = struct.unpack(f"{order}I", head[4:8])
    (count,) = struct.unpack(f"{order}H", head[at : at + 2])
    found = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack(f"{order}HH", head[entry : entry + 4])
        if tag in (256, 257):
            form = f"{order}H" if kind == 3 else f"{order}I"
            found[tag] = struct.unpack_from(form, head, entry + 8)[0]
    return found.get(256, 0), found.get(257, 0)
