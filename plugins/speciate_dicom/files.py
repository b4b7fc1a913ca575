"""One DICOM file: its header, where its pixels are, and its frames one by one, within limits asked beforehand.

Nothing said here repeats a value or a name of the file: they may tell who somebody is.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.pixels import as_pixel_options, get_decoder
from pydicom.uid import UID, ExplicitVRLittleEndian

from speciate import SpeciateError

__all__ = ["Header", "Pixels", "header", "quietly"]

DEFLATED = "1.2.840.10008.1.2.1.99"
PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
MASKS = "1.2.840.10008.5.1.4.1.1.66"  # segmentations
BARE = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")  # how a file without a preamble begins
SMALL = 64 << 20
MOST_FRAMES = 1 << 20
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
                for array, _ in self._decoder().iter_array(file, **self.options):
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
    log, mode = logging.getLogger("pydicom"), config.settings.reading_validation_mode
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        config.settings.reading_validation_mode = mode


def damaged(what: str, offset: int = -1) -> SpeciateError:
    where = f"near byte {offset:,}" if offset >= 0 else ""
    return SpeciateError(f"this DICOM file is damaged: {what}", where, "export it again")


def _parsed(path: Path, most_bytes: int) -> tuple[Dataset, str, tuple[int, int, str], bytes]:
    """(header, transfer syntax, the pixels' place, length and VR, the inflated dataset)."""
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
        exists = "it may be a report, a plan or a directory"
        raise SpeciateError("this DICOM file holds no picture", exists, "leave it out")
    if data[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN"):
        length = struct.unpack(f"{order}L", file.read(4))[0]
        return file.tell(), int(length), data[4:6].decode()
    return file.tell(), int(struct.unpack(f"{order}L", data[4:])[0]), ""


def _options(data: Dataset, syntax: str, vr: str) -> dict[str, Any]:
    """What the decoder needs to know."""
    try:
        options: dict[str, Any] = dict(as_pixel_options(data))
    except Exception as error:
        raise damaged(f"what it says about its pixels cannot be read ({type(error).__name__})") from None
    known = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
    bits = options.get("bits_allocated")
    keyword = next((name for name, size in known.items() if bits == size and "pixel_representation" not in options), "")
    options |= {"transfer_syntax_uid": UID(syntax), "pixel_keyword": keyword or "PixelData"}
    options |= {"pixel_vr": vr or "OW", "raw": False, "validate": True}
    single = UID(syntax).is_encapsulated and options["number_of_frames"] == 1
    return options | ({"indices": [0]} if single else {})


def _check(data: Dataset, pixels: Pixels, most: int) -> None:
    """The header agrees with itself, with the pixels it describes, and with the limits."""
    options = pixels.options
    if str(data.get("SOPClassUID", "")).startswith(MASKS):
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
