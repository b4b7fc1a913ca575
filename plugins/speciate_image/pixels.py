"""From the bytes of a file to upright RGB. Three libraries, each for what it does best:

- simplejpeg decodes JPEG in grey and colour: the fastest, and the only one that tells of all damage it meets (of 600
  mutated files OpenCV takes 385 with wrong pixels, Pillow 333, simplejpeg 25).
- OpenCV decodes PNG, WebP and BMP of 8 and 24 bits in plain grey and colour, faster than Pillow, and colour of 16 bits,
  which Pillow cuts to 8.
- Pillow does the rest: TIFF (where it notices far more damage than OpenCV), palettes, transparency, CMYK, grey of more
  than 8 bits, BMP of other bits (whose masks OpenCV guesses), and the first picture of those that move.

Where two of them can decode a file they agree to the last bit; a test holds that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from speciate import SpeciateError
from speciate_image.header import Header, opened, still
from speciate_image.options import ImageOptions

__all__ = ["decoded", "glanced"]

Pixels = NDArray[np.uint8]
COLOUR = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
SMALL = 64  # pixels of a side, at least, that show what a picture looks like
ROWS = 256  # scaled at a time, so that deep pictures take little memory
SAMPLED = 1 << 20  # values that say where a deep picture is dark and bright
SHALLOW = ("1", "P", "PA", "CMYK", "LAB", "HSV", "YCbCr")  # Pillow makes 8 bits of these
FAILURES = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError, cv2.error)


def decoded(data: bytes, options: ImageOptions, name: str = "this picture") -> tuple[Header, Pixels]:
    """The header, and uint8 [height, width, 3] upright."""
    header, image = opened(data, name, options.max_pixels)
    return header, _whole(data, header, image, options, name)


def glanced(data: bytes, options: ImageOptions, name: str) -> tuple[Header, Pixels]:
    """The same in fewer pixels where that is quicker. What is damaged shows all the same: a JPEG is unpacked to the
    end, and what is saved is half the time, to compute every pixel of it."""
    header, image = opened(data, name, options.max_pixels)
    if not _plain(header, "jpeg"):
        return header, _whole(data, header, image, options, name)
    with _told(header, name):
        height, width = simplejpeg.decode_jpeg_header(data, strict=options.strict)[:2]
        _check((height, width)[:: -1 if header.turn > 4 else 1], header, name)
        return header, np.ascontiguousarray(_upright(_jpeg(data, options.strict, SMALL), header.turn))


def _whole(data: bytes, header: Header, image: Image.Image, options: ImageOptions, name: str) -> Pixels:
    with _told(header, name):
        found = _decode(data, header, image, options)
        _check(found.shape[:2], header, name)
    return np.ascontiguousarray(found)


@contextmanager
def _told(header: Header, name: str) -> Iterator[None]:
    """What a decoder says of a damaged file, in three parts."""
    try:
        yield
    except FAILURES as error:
        asked, exists = f"{name} is damaged or cut off", " ".join(str(error).split()) or type(error).__name__
        do = "copy it again, or type -o strict=false" if header.kind == "jpeg" else "copy or export it again"
        raise SpeciateError(asked, exists, do) from error


def _check(size: tuple[int, ...], header: Header, name: str) -> None:
    if tuple(size) != (header.height, header.width):
        exists = f"its header says {header.width} x {header.height}, {size[1]} x {size[0]} were decoded"
        raise SpeciateError(f"{name} is not what it says", exists, "export it again")


def _plain(header: Header, *kinds: str) -> bool:
    return header.kind in kinds and header.mode in ("L", "RGB") and not header.seethrough and header.frames == 1


def _decode(data: bytes, header: Header, image: Image.Image, options: ImageOptions) -> Pixels:
    if _plain(header, "jpeg"):
        return _upright(_jpeg(data, options.strict), header.turn)
    if header.bits > 8 and header.mode not in SHALLOW:
        return _deep(data, header, image, options)
    if _plain(header, "png", "webp") or (_plain(header, "bmp") and data[28] in (8, 24)):
        return _upright(_opencv(data, COLOUR), header.turn)
    return _pillow(image, header, options.background)


def _jpeg(data: bytes, strict: bool, least: int = 0) -> Pixels:
    """At full size, or at the smallest that its blocks allow with sides of so many pixels."""
    sides = {"min_height": least, "min_width": least, "min_factor": 1}
    found: Pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False, strict=strict, **sides)
    return found


def _opencv(data: bytes, flags: int) -> Any:
    found = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if found is None:
        raise ValueError("the decoder gave up")
    return found


def _pillow(image: Image.Image, header: Header, background: int) -> Pixels:
    if header.seethrough:
        seen = image.convert("RGBA")
        under = Image.new("RGBA", seen.size, (background, background, background, 255))
        return _values(Image.alpha_composite(under, seen).convert("RGB"), header)
    return _values(image.convert("RGB"), header)


def _values(image: Image.Image, header: Header) -> NDArray[Any]:
    """Pillow's pixels, upright; of 32 bits without a sign Pillow makes some with one."""
    values = np.asarray(image)
    return _turned(values.view(np.uint32) if header.unsigned else values, header)


def _turned(values: NDArray[Any], header: Header) -> NDArray[Any]:
    """Upright: of a TIFF, Pillow and OpenCV both give it so."""
    return values if header.kind == "tiff" else _upright(values, header.turn)


def _deep(data: bytes, header: Header, image: Image.Image, options: ImageOptions) -> Pixels:
    """More than 8 bits in a channel, scaled to 8."""
    channels, share = _channels(data, header, image)
    scaled = _scaled(channels, *_range(channels, header, options))
    if header.inverted:
        scaled = 255 - scaled
    if share is not None:
        scaled = np.rint(scaled * share + options.background * (1 - share)).astype(np.uint8)
    return scaled if scaled.shape[2] == 3 else np.repeat(scaled, 3, axis=2)


def _channels(data: bytes, header: Header, image: Image.Image) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """[height, width, 1 or 3] in all their bits, and how much of each place is seen where not all is."""
    if len(image.getbands()) == 1:
        values = _values(image, header)[:, :, None]
        clear = image.info.get("transparency")
        return values, None if clear is None else (values != clear).astype(np.float32)
    found = _opencv(still(data) if header.frames > 1 and header.kind == "png" else data, cv2.IMREAD_UNCHANGED)
    values = _turned(np.atleast_3d(found), header)
    channels = values[:, :, 2::-1] if values.shape[2] > 2 else values[:, :, :1]  # OpenCV gives blue first
    if not header.seethrough or values.shape[2] < 4:
        return channels, None
    full = _full(values.dtype, header.bits)
    share = (values[:, :, 3:] / full).astype(np.float32)
    if header.multiplied:
        whole = np.divide(channels, share, out=np.zeros(channels.shape, np.float32), where=share > 0)
        channels = whole.clip(0, full).astype(values.dtype)
    return channels, share


def _range(values: NDArray[Any], header: Header, options: ImageOptions) -> tuple[float, float]:
    """What becomes black, and what white."""
    if options.deep == "window":
        return options.low, options.high
    if options.deep == "full":
        lowest = -(2 ** (header.bits - 1)) if values.dtype.kind == "i" else 0
        return float(lowest), _full(values.dtype, header.bits)
    with np.errstate(all="ignore"):  # float files may hold what is no number, or numbers whose difference is none
        some = values.reshape(-1)[:: max(1, values.size // SAMPLED)].astype(np.float64)
        some = some[np.isfinite(some)]
        if not len(some):
            return 0.0, 1.0
        low, high = np.percentile(some, (0.1, 99.9))
    return (float(low), float(high)) if high > low else (float(some.min()), float(some.max()))


def _full(dtype: np.dtype[Any], bits: int) -> float:
    """The largest value there can be."""
    return 1.0 if dtype.kind == "f" else float(2 ** (bits - (dtype.kind == "i")) - 1)


def _scaled(values: NDArray[Any], low: float, high: float) -> Pixels:
    """Linear between both, cut off outside; what is not a number is black."""
    scaled = np.zeros(values.shape, dtype=np.uint8)
    factor = 255 / (high - low) if high > low else 0.0
    for start in range(0, len(values), ROWS):
        with np.errstate(all="ignore"):
            part = (values[start : start + ROWS].astype(np.float64) - low) * factor
        scaled[start : start + ROWS] = np.rint(np.nan_to_num(part, posinf=255).clip(0, 255))
    return scaled


def _upright(stored: NDArray[Any], turn: int) -> NDArray[Any]:
    """EXIF's eight ways to hold a camera: mirrored when even up to 4, lying from 5 on."""
    turned = stored.swapaxes(0, 1) if turn > 4 else stored
    if turn in (3, 4, 7, 8):
        turned = turned[::-1]
    return turned[:, ::-1] if turn in (2, 3, 6, 7) else turned
