"""One DICOM file: its header, where its pixels are, and its frames one by one, within limits asked beforehand.

Nothing said here repeats a value or a name of the file: they may tell who somebody is.
"""

from __future__ import annotations

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.pixels import as_pixel_options, get_decoder
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from speciate import SpeciateError
from speciate_dicom.fields import Fields
from speciate_dicom.quick import PIXELS, quick

__all__ = ["Header", "Pixels", "header", "quietly"]

DEFLATED = "1.2.840.10008.1.2.1.99"
MASKS = "1.2.840.10008.5.1.4.1.1.66"  # segmentations
BARE = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")  # how a file without a preamble begins
HEAD = 128 << 10  # of a file, that its header usually fits
SMALL = 64 << 20
MOST_FRAMES = 1 << 20
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
PLAIN = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")  # pixels of one number each
OPTIONS = {
    "samples_per_pixel": "SamplesPerPixel",
    "photometric_interpretation": "PhotometricInterpretation",
    "planar_configuration": "PlanarConfiguration",
    "number_of_frames": "NumberOfFrames",
    "rows": "Rows",
    "columns": "Columns",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
}
KNOWN = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class Pixels:
    """Where the frames of a file are and how they are coded; small, so that a series of thousands fits in memory."""

    path: Path
    syntax: str
    start: int  # of the pixel data's value
    length: int
    options: dict[str, Any]
    body: bytes = b""  # the inflated dataset, where the file is deflated

    def frames(self) -> Iterator[NDArray[Any]]:
        """Every frame: [rows, columns], or [rows, columns, 3] in RGB. As many as the header says, or an error."""
        count = 0
        with quietly(), self.open() as file:
            file.seek(self.start)
            try:
                for array in self._plain(file) if self._is_plain() else self._decoded(file):
                    count += 1
                    yield array
            except (MemoryError, GeneratorExit, SpeciateError):
                raise
            except Exception as error:
                raise damaged(f"frame {count} cannot be decoded ({type(error).__name__})", self.start) from None
        if count != self.options["number_of_frames"]:
            said = self.options["number_of_frames"]
            raise damaged(f"it has {count} frames, and its header says {said}", self.start)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.body) if self.body else self.path.open("rb")

    def _is_plain(self) -> bool:
        """Whether the pixels lie there as they are, so that nobody has to decode them."""
        options = self.options
        bits, used = options["bits_allocated"], options.get("bits_stored")
        plain = options["samples_per_pixel"] == 1 and options["photometric_interpretation"] in PLAIN
        plain = plain and options["pixel_keyword"] == "PixelData" and options.get("pixel_representation") in (0, 1)
        plain = plain and bits in (8, 16, 32) and isinstance(used, int) and 1 <= used <= bits
        plain = plain and max(options["rows"], options["columns"]) < 1 << 16
        syntax = UID(self.syntax)
        return plain and syntax in NATIVE and not self.body

    def _plain(self, file: BinaryIO) -> Iterator[NDArray[Any]]:
        """Frames as pydicom gives them: bits that are not used are cleared, or repeat the sign."""
        options = self.options
        rows, columns, bits = options["rows"], options["columns"], options["bits_allocated"]
        dtype = np.dtype(f"<{'ui'[options['pixel_representation']]}{bits // 8}")
        for _ in range(options["number_of_frames"]):
            array = np.fromfile(file, dtype=dtype, count=rows * columns).reshape(rows, columns)
            if unused := bits - options["bits_stored"]:
                np.left_shift(array, unused, out=array)
                np.right_shift(array, unused, out=array)
            yield array

    def _decoded(self, file: BinaryIO) -> Iterator[NDArray[Any]]:
        return (array for array, _ in self._decoder().iter_array(file, **self.options))

    def _decoder(self) -> Any:
        try:
            decoder = get_decoder(self.syntax)
        except NotImplementedError:
            name = UID(self.syntax).name
            raise SpeciateError("its pixels are coded in an unknown way", name, "convert it") from None
        if not decoder.is_available:
            asked = f"its pixels are coded as {decoder.UID.name}"
            do = 'type `pip install "speciate[dicom-codecs]"`'
            raise SpeciateError(asked, "no decoder for that is installed", do)
        return decoder


@dataclass(frozen=True)
class Header:
    """All of a file but its pixels."""

    data: Dataset
    pixels: Pixels
    frames: int


def header(path: Path, most_bytes: int) -> Header:
    """The header of a picture, checked against the limits."""
    with quietly():
        try:
            data, syntax, (start, length, vr), body = _parsed(path, most_bytes)
        except (MemoryError, SpeciateError, OSError):
            raise
        except Exception as error:
            raise damaged(f"its header cannot be read ({type(error).__name__})") from None
        pixels = Pixels(path, syntax, start, length, _options(data, syntax, vr), body)
    _check(data, pixels, most_bytes)
    return Header(data, pixels, int(pixels.options["number_of_frames"]))


@contextmanager
def quietly() -> Iterator[None]:
    """Without pydicom's warnings and log, which repeat values of the file."""
    with QUIET:
        yield


class Quiet:
    """Entered again while it is entered, in this thread or another, it costs and changes nothing."""

    def __init__(self) -> None:
        self._lock, self._depth, self._before = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            log, mode = logging.getLogger("pydicom"), config.settings.reading_validation_mode
            self._before.callback(log.setLevel, log.level)
            self._before.callback(setattr, config.settings, "reading_validation_mode", mode)
            self._before.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            log.setLevel(logging.CRITICAL + 1)
            config.settings.reading_validation_mode = config.IGNORE

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if not self._depth:
                self._before.close()


QUIET = Quiet()


def damaged(what: str, offset: int = -1) -> SpeciateError:
    where = f"near byte {offset:,}" if offset >= 0 else ""
    return SpeciateError(f"this DICOM file is damaged: {what}", where, "export it again")


def _parsed(path: Path, most_bytes: int) -> tuple[Dataset, str, tuple[int, int, str], bytes]:
    """(header, transfer syntax, the pixels' place, length and VR, the inflated dataset)."""
    with path.open("rb") as file:
        found = quick(file.read(HEAD))
    if found is not None:
        return *found, b""
    with _opened(path) as file:
        head = file.read(2048)
        if DEFLATED.encode() in head:
            body = _inflated(path, head, most_bytes)
            inflated = io.BytesIO(body)
            data = read_dataset(inflated, False, True, stop_when=_at_pixels)
            return data, ExplicitVRLittleEndian, _value(inflated, little=True), body
        file.seek(0)
        known = head[128:132] == b"DICM"
        if not known and head[:2] not in BARE:
            raise _stranger()
        data = dcmread(file, stop_before_pixels=True, force=not known)
        if not known and "SOPClassUID" not in data and "Rows" not in data:
            raise _stranger()
        implicit, little = data.original_encoding
        guess = {(True, True): "1.2.840.10008.1.2", (False, False): "1.2.840.10008.1.2.2"}
        usual = guess.get((bool(implicit), bool(little)), ExplicitVRLittleEndian)
        syntax = str(data.file_meta.get("TransferSyntaxUID") or usual) if "file_meta" in vars(data) else usual
        return data, syntax, _value(file, little=bool(little)), b""


def _opened(path: Path) -> BinaryIO:
    """Small files at once: what lies about its length is cut there, and asks a file for gigabytes."""
    if path.stat().st_size <= SMALL:
        return io.BytesIO(path.read_bytes())
    return path.open("rb")


def _stranger() -> SpeciateError:
    return SpeciateError("this is no DICOM file", "it does not begin as one", "leave it out")


def _inflated(path: Path, head: bytes, most: int) -> bytes:
    """A deflated dataset, never more than the limit: a megabyte of it can hold gigabytes."""
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DEFLATED:
        raise damaged("it is not what it says it is")
    start = 144 + struct.unpack("<L", head[140:144])[0]
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(start)
        body = inflate.decompress(file.read(), most)
    if inflate.unconsumed_tail or not inflate.eof:
        raise too_large("inflated") if inflate.unconsumed_tail else damaged("it is cut off")
    return body


def _at_pixels(tag: int, vr: Any, length: int) -> bool:
    return tag in PIXELS


def _value(file: BinaryIO, little: bool) -> tuple[int, int, str]:
    """Where the value of the pixel element begins, its length and its VR; the file stands at the element."""
    order = "<" if little else ">"
    data = file.read(8)
    if len(data) < 8:
        exists = "it may be a report, a plan or a directory, or be cut off"
        raise SpeciateError("this DICOM file holds no picture", exists, "leave it out")
    if data[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN"):
        length = struct.unpack(f"{order}L", file.read(4))[0]
        return file.tell(), int(length), data[4:6].decode()
    return file.tell(), int(struct.unpack(f"{order}L", data[4:])[0]), ""


def _options(data: Dataset, syntax: str, vr: str) -> dict[str, Any]:
    """What the decoder needs to know."""
    try:
        options: dict[str, Any] = _plain_options(Fields(data)) or dict(as_pixel_options(data))
    except Exception as error:
        raise damaged(f"what it says about its pixels cannot be read ({type(error).__name__})") from None
    known = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
    bits = options.get("bits_allocated")
    keyword = next((name for name, size in known.items() if bits == size and "pixel_representation" not in options), "")
    options |= {"transfer_syntax_uid": UID(syntax), "pixel_keyword": keyword or "PixelData"}
    options |= {"pixel_vr": vr or "OW", "raw": False, "validate": True}
    single = UID(syntax).is_encapsulated and options["number_of_frames"] == 1
    return options | ({"indices": [0]} if single else {})


def _plain_options(fields: Fields) -> dict[str, Any] | None:
    """What pydicom would gather, where each value is a number or a word; else nothing."""
    options: dict[str, Any] = {}
    for name, keyword in OPTIONS.items():
        if fields.has(keyword):
            is_word = name == "photometric_interpretation"
            value = fields.words(keyword) if is_word else fields.value(keyword)
            if type(value) is not (str if is_word else int):
                return None
            options[name] = value
    options.setdefault("number_of_frames", 1)
    return options if options["number_of_frames"] > 0 and not fields.has("ExtendedOffsetTable") else None


def _check(data: Dataset, pixels: Pixels, most: int) -> None:
    """The header agrees with itself, with the pixels it describes, and with the limits."""
    options = pixels.options
    if Fields(data).text("SOPClassUID").startswith(MASKS):
        raise SpeciateError("this is a segmentation", "masks are no pictures", "leave it out")
    numbers = [options.get(name) for name in ("rows", "columns", "samples_per_pixel", "bits_allocated")]
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise damaged("it does not say how large its picture is")
    rows, columns, samples, bits = (int(number or 0) for number in numbers)
    frames = options["number_of_frames"]
    if bits not in (1, 8, 16, 32, 64) or samples not in (1, 3) or not isinstance(frames, int) or frames < 1:
        raise damaged("what it says about its pixels is impossible")
    if options.get("photometric_interpretation") not in KNOWN:
        raise SpeciateError("its colours are of an unknown kind", f"known: {', '.join(KNOWN)}", "convert it")
    if rows * columns * samples * max(1, bits // 8) > most or frames > MOST_FRAMES:
        raise too_large("decompressed")
    if not UID(pixels.syntax).is_encapsulated:
        _check_length(pixels, rows * columns * samples * bits)


def _check_length(pixels: Pixels, frame_bits: int) -> None:
    """Pixels that are stored as they are: as many bytes as the header promises, and nothing but padding behind."""
    options = pixels.options
    if options["photometric_interpretation"] == "YBR_FULL_422":
        frame_bits = frame_bits * 2 // 3
    wanted = (frame_bits * options["number_of_frames"] + 7) // 8
    more = pixels.length - wanted
    if 0 <= more <= 1:
        return
    if 0 < more < 1 << 16:
        with pixels.open() as file:
            file.seek(pixels.start + wanted)
            if not any(file.read(more)):
                return
    raise damaged(f"it holds {pixels.length:,} bytes of pixels, and its header promises {wanted:,}")


def too_large(how: str) -> SpeciateError:
    return SpeciateError(f"{how}, this DICOM file is too large", "", "type -o frame_megabytes=N if you trust it")
