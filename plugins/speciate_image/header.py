"""What a picture's header says, and whether to believe it: nothing is decompressed here.

Pillow reads headers: it is lazy, knows every kind, and finds EXIF. Only the kinds below are tried, so that no rare
decoder meets a stranger's file.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from speciate import SpeciateError

__all__ = ["Header", "opened", "still"]

KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC, PLANES, EXTRA, SAMPLE = 274, 258, 262, 284, 338, 339
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM", b"GIF8")
MOVING = (b"acTL", b"fcTL", b"fdAT")
PROFILES = {"exif", "Raw profile type exif"}
_quiet = threading.Lock()


@dataclass(frozen=True)
class Header:
    """The facts of a file."""

    kind: str
    width: int  # upright
    height: int
    mode: str  # as Pillow names it: L, RGB, RGBA, P, CMYK, I;16 …
    bits: int  # of one channel
    turn: int  # EXIF's orientation, 1 to 8: how the stored pixels lie
    frames: int
    seethrough: bool
    inverted: bool  # 0 is white
    multiplied: bool = False  # colours are multiplied by their transparency already
    planar: bool = False  # each colour by itself
    unsigned: bool = False  # 32 bits of which none is a sign


def opened(data: bytes, name: str, max_pixels: int) -> tuple[Header, Image.Image]:
    """The header, and Pillow's image with its pixels still packed."""
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF, odd TIFF tags: the picture may be fine
            image = Image.open(io.BytesIO(data), formats=KINDS)
            found = _header(image, data)
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from None
    except UnidentifiedImageError:
        raise _unknown(data, name) from None
    except Exception as error:  # Pillow's parsers raise nearly everything
        asked = f"{name} has a damaged header"
        raise SpeciateError(asked, f"{type(error).__name__}: {error}", "export it again") from error
    if found.width * found.height > max_pixels:
        raise _too_large(name, f"its header says {found.width} x {found.height}, the limit is {max_pixels:,} pixels")
    if found.planar and found.bits > 8 and len(image.getbands()) > 1:
        exists = f"OpenCV mixes up colours of {found.bits} bits that lie in planes, Pillow cuts them to 8 bits"
        raise SpeciateError(f"{name} keeps each colour in a plane of its own", exists, "export it interleaved")
    if found.kind == "png":
        _check_chunks(data, name)
    return found, image


def _header(image: Image.Image, data: bytes) -> Header:
    kind = "jpeg" if image.format == "MPO" else str(image.format).lower()
    frames = int(getattr(image, "n_frames", 1)) if kind != "jpeg" else 1
    bands = image.getbands()
    seethrough = "transparency" in image.info or bool({"A", "a"} & set(bands))
    turn = _turn(image, kind, data)
    tags = image.tag_v2 if kind == "tiff" else {}  # type: ignore[attr-defined]  # TIFF's own
    lying = turn > 4 and kind != "tiff"  # of a TIFF Pillow says the upright size
    width, height = image.size[::-1] if lying else image.size
    bits = _bits(tags, kind, data)
    unsigned = image.mode == "I" and bits == 32 and max(tags.get(SAMPLE, (1,))) == 1
    odd = (tags.get(PHOTOMETRIC) == 0, tags.get(EXTRA) == (1,), tags.get(PLANES) == 2, unsigned)
    return Header(kind, width, height, image.mode, bits, turn, frames, seethrough, *odd)


def _bits(tags: Mapping[int, Any], kind: str, data: bytes) -> int:
    if kind == "png":
        return data[24]  # of IHDR, which always comes first
    return max(map(int, tags.get(BITS_PER_SAMPLE, (1,)))) if kind == "tiff" else 8


def _turn(image: Image.Image, kind: str, data: bytes) -> int:
    """`getexif` of a PNG would decode all of it, to look for EXIF behind the pixels."""
    exif = Image.Exif()
    if kind != "png" or PROFILES & set(image.info):
        exif = image.getexif()
    else:
        exif.load(next((data[at + 8 : end - 4] for name, at, end in _chunks(data) if name == b"eXIf"), b""))
    turn = exif.get(ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin, end) of each chunk of a PNG; the last may say that it ends behind the file."""
    at, name = 8, b""
    while at + 12 <= len(data) and name != b"IEND":
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        yield name, at, end
        at = end


def still(data: bytes) -> bytes:
    """A PNG without what makes it move: of 16 bits that move OpenCV shows black."""
    return data[:8] + b"".join(data[at:end] for name, at, end in _chunks(data) if name not in MOVING)


def _check_chunks(data: bytes, name: str) -> None:
    """OpenCV takes memory for as many bytes as a chunk says that it has, which may be 4 GB."""
    for _, at, end in _chunks(data):
        if end > len(data):
            exists = f"the chunk at offset {at} says it has {end - at - 12:,} bytes, {len(data) - at - 12:,} are left"
            raise SpeciateError(f"{name} is damaged or cut off", exists, "copy or export it again")


def _unknown(data: bytes, name: str) -> SpeciateError:
    """No picture, or one of a known kind that its library makes nothing of."""
    if data.startswith(MAGIC) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        exists = "it begins as one of its kind does, but what follows is damaged, or of a sort that is not read here"
        return SpeciateError(f"{name} has a header that cannot be read", exists, "export it again, as PNG if in doubt")
    exists = f"its first bytes are {data[:8].hex(' ')}" if data else "it is empty"
    return SpeciateError(f"{name} is no picture that can be read", exists, f"give one of: {', '.join(KINDS).lower()}")


def _too_large(name: str, exists: str) -> SpeciateError:
    return SpeciateError(f"{name} is too large", exists, "scale it down, or type -o max_pixels=NUMBER")
