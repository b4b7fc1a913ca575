"""What a picture's header says, and whether to believe it: nothing is decompressed here.

Pillow reads headers: it is lazy, knows every kind, and finds EXIF. Only the kinds below are tried, so that no rare
decoder meets a stranger's file.
"""

from __future__ import annotations

import io
import threading
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from speciate import SpeciateError

__all__ = ["Header", "opened"]

KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 274, 258, 262
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
        exists = f"its first bytes are {data[:8].hex(' ')}" if data else "it is empty"
        do = f"give one of: {', '.join(KINDS).lower()}"
        raise SpeciateError(f"{name} is no picture that can be read", exists, do) from None
    except Exception as error:  # Pillow's parsers raise nearly everything
        asked = f"{name} has a damaged header"
        raise SpeciateError(asked, f"{type(error).__name__}: {error}", "export it again") from error
    if found.width * found.height > max_pixels:
        raise _too_large(name, f"its header says {found.width} x {found.height}, the limit is {max_pixels:,} pixels")
    if found.kind == "png":
        _check_chunks(data, name)
    return found, image


def _header(image: Image.Image, data: bytes) -> Header:
    kind = "jpeg" if image.format == "MPO" else str(image.format).lower()
    frames = int(getattr(image, "n_frames", 1)) if kind != "jpeg" else 1
    bands = image.getbands()
    seethrough = "transparency" in image.info or bool({"A", "a"} & set(bands))
    turn = _turn(image, kind)
    inverted = kind == "tiff" and image.tag_v2.get(PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    lying = turn > 4 and kind != "tiff"  # of a TIFF Pillow says the upright size
    width, height = image.size[::-1] if lying else image.size
    return Header(kind, width, height, image.mode, _bits(image, kind, data), turn, frames, seethrough, inverted)


def _bits(image: Image.Image, kind: str, data: bytes) -> int:
    if kind == "png":
        return data[24]  # of IHDR, which always comes first
    if kind == "tiff":
        return max(map(int, image.tag_v2.get(BITS_PER_SAMPLE, (1,))))  # type: ignore[attr-defined]  # TIFF's own
    return 8


def _turn(image: Image.Image, kind: str) -> int:
    """`getexif` of a PNG without EXIF would decode all of it, to look behind the pixels."""
    if kind == "png" and "exif" not in image.info:
        return 1
    turn = image.getexif().get(ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _check_chunks(data: bytes, name: str) -> None:
    """OpenCV takes memory for as many bytes as a chunk says that it has, which may be 4 GB."""
    at, kind = 8, b""
    while at + 12 <= len(data) and kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            exists = f"the chunk at offset {at} says it has {length:,} bytes, {len(data) - at - 12:,} are left"
            raise SpeciateError(f"{name} is damaged or cut off", exists, "copy or export it again")
        at += 12 + length


def _too_large(name: str, exists: str) -> SpeciateError:
    return SpeciateError(f"{name} is too large", exists, "scale it down, or type -o max_pixels=NUMBER")
