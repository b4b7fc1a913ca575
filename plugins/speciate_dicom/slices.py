"""The Reader of slices: every frame of a file is one picture, stored as a DICOM file of its own, de-identified.

Compressed pixels are decompressed here, in the limited process that reads strangers' files, so that no codec is needed
(or can crash) where the picture is decoded again: in training and at an endpoint.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from speciate import Row, Sample, SpeciateError
from speciate_dicom.deid import GROUPS, as_bytes, check_tags, clean, columns, flat, patient_of, refuse_burned_in
from speciate_dicom.fields import Fields, tag_of
from speciate_dicom.files import Header, damaged, header, quietly
from speciate_dicom.near import look
from speciate_dicom.options import SliceOptions
from speciate_dicom.pictures import rendered, window_of
from speciate_dicom.quick import PIXELS, quick
from speciate_dicom.secret import Secret, secret
from speciate_dicom.tags import TABLES

__all__ = ["SliceReader"]

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SINGLE = {  # what a frame of an enhanced picture is alone
    "1.2.840.10008.5.1.4.1.1.2.1": "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4.1": "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.130": "1.2.840.10008.5.1.4.1.1.128",
}
WRITER = "2.25.302043790172249692526321623266752743501"
DROPPED = frozenset(map(tag_of, ("NumberOfFrames", *GROUPS)))
TABLE_TAGS = frozenset(map(tag_of, TABLES))
HEAD = 64 << 10


class SliceReader:
    """Reads one file: a picture, or the frames of several."""

    def __init__(self, options: SliceOptions) -> None:
        check_tags(options)
        window_of(options.window)
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"dicom": "blob"}

    def read(self, path: Path) -> Iterator[Row]:
        with quietly():
            found = header(path, self.options.frame_megabytes << 20)
            refuse_burned_in(found.data, self.options)
            key = secret()
            for number, array in enumerate(found.pixels.frames()):
                yield self._row(found, number, array, key)

    def decode(self, row: Mapping[str, Any]) -> Sample:
        with quietly():
            data, array = opened(row["dicom"])
            return {"pixels": rendered(array, data, self.options.window)}

    def _row(self, found: Header, number: int, array: NDArray[Any], key: Secret) -> Row:
        try:
            data = flat(found.data, number)
            kept = data if self.options.keep_phi else clean(data, number, key)
            if found.data.original_encoding[1] is False:
                kept = _turned(kept)
            blob = written(kept, array, found.frames > 1)
            row: Row = {"dicom": blob, "group": key.name("patient", patient_of(data))}
            row["series"] = key.name("series", Fields(data).text("SeriesInstanceUID"))
            row |= {"frame": number, "modality": Fields(kept).text("Modality"), "height": array.shape[0]}
            row |= {"width": array.shape[1], **columns(data, kept, self.options)}
            plain = array.dtype.isnative and TABLE_TAGS.isdisjoint(kept.keys())
            row["look"] = look(*((kept, array) if plain else opened(blob)))
            if not plain:
                self.decode(row)  # a table may not fit the pixels
        except (SpeciateError, MemoryError):
            raise
        except Exception as error:
            raise damaged(f"frame {number} cannot be shown ({type(error).__name__})") from None
        return row


def opened(blob: bytes | memoryview) -> tuple[Dataset, NDArray[Any]]:
    """The header and the pixels of a file that `written` made."""
    found = quick(bytes(memoryview(blob)[:HEAD]))
    if found is None:
        whole = dcmread(io.BytesIO(blob))
        element = next(whole[tag] for tag in PIXELS if tag in whole)
        data, (start, vr), pixels = whole, (0, element.VR), element.value
    else:
        data, _, (start, _, vr) = found
        pixels = blob
    fields, dtype = Fields(data), "<f4"
    shape: tuple[int, ...] = (int(fields.value("Rows")), int(fields.value("Columns")))
    if vr != "OF":
        shape += (3,) if fields.value("SamplesPerPixel") == 3 else ()
        dtype = f"<{'i' if fields.value('PixelRepresentation') else 'u'}{fields.value('BitsAllocated') // 8}"
    return data, np.frombuffer(pixels, dtype=dtype, count=math.prod(shape), offset=start).reshape(shape)


def written(data: Dataset, array: NDArray[Any], one_of_many: bool) -> bytes:
    """A DICOM file of one picture, uncompressed."""
    fields = Fields(data)
    kind = fields.text("SOPClassUID") or CAPTURE
    kind = SINGLE.get(kind, CAPTURE if one_of_many else kind)
    uid = fields.text("SOPInstanceUID") or "2.25.1"
    elements: dict[int, Any] = {int(tag): element for tag, element in data.items() if int(tag) not in DROPPED}
    for keyword, vr, value in [*_described(fields, array), ("SOPClassUID", "UI", kind), ("SOPInstanceUID", "UI", uid)]:
        given = struct.pack("<H", value) if isinstance(value, int) else value
        elements[tag_of(keyword)] = as_bytes(keyword, vr, given.encode() if isinstance(given, str) else given)
    meta = [("MediaStorageSOPClassUID", kind), ("MediaStorageSOPInstanceUID", uid)]
    meta += [("TransferSyntaxUID", ExplicitVRLittleEndian), ("ImplementationClassUID", WRITER)]
    about = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01"
    about += b"".join(b"".join(_encoded(as_bytes(keyword, "UI", value.encode()))) for keyword, value in meta)
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(about)) + about
    return b"".join([head, *_body(elements)])


def _turned(data: Dataset) -> Dataset:
    """What a big-endian file says, its tables turned round as a little-endian one holds them; pydicom does not."""
    one = Dataset(data)
    for tag in TABLE_TAGS & {int(tag) for tag in data.keys()}:  # noqa: SIM118  (iterating over a dataset gives elements)
        element = data[tag]
        if element.VR == "SQ":
            one[tag] = DataElement(tag, "SQ", [_turned(item) for item in element.value])
        elif element.VR == "OW" and isinstance(element.value, bytes):
            words = element.value[: len(element.value) // 2 * 2]
            one[tag] = DataElement(tag, "OW", np.frombuffer(words, dtype=">u2").astype("<u2").tobytes())
    return one


def _described(fields: Fields, array: NDArray[Any]) -> list[tuple[str, str, Any]]:
    """The pixels, and the attributes that say how they are stored: (keyword, VR, value)."""
    size = [("Rows", "US", array.shape[0]), ("Columns", "US", array.shape[1])]
    if array.dtype.kind == "f":
        pixels = np.ascontiguousarray(array, dtype="<f4").tobytes()
        return [*size, ("SamplesPerPixel", "US", 1), ("BitsAllocated", "US", 32), ("FloatPixelData", "OF", pixels)]
    bits = array.dtype.itemsize * 8
    used = min(int(fields.value("BitsStored") or bits), bits)
    lying = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    numbers = {"BitsAllocated": bits, "BitsStored": used, "HighBit": used - 1, "SamplesPerPixel": 1}
    numbers["PixelRepresentation"] = int(array.dtype.kind == "i")
    colours = []
    if array.ndim == 3:
        numbers |= {"SamplesPerPixel": 3, "PlanarConfiguration": 0}
        colours = [("PhotometricInterpretation", "CS", "RGB")]
    described = [(keyword, "US", number) for keyword, number in numbers.items()]
    return [*size, *described, *colours, ("PixelData", "OW" if bits > 8 else "OB", _bytes_of(lying))]


def _bytes_of(array: NDArray[Any]) -> Any:
    """As it lies in memory: not copied, unless it will be padded."""
    return array.data.cast("B") if array.nbytes % 2 == 0 else array.tobytes()


def _body(elements: Mapping[int, Any]) -> Iterator[bytes]:
    """The dataset in explicit VR, little endian. What is bytes already is copied; pydicom writes the rest."""
    whole = Dataset()
    for tag in sorted(elements):
        element = elements[tag]
        raw = isinstance(element, RawDataElement)
        if raw and element.VR and element.value is not None and element.is_little_endian and tag & 0xFFFF:
            yield from _encoded(element)
            continue
        if raw or " or " in element.VR:  # what it is depends on others
            for every in () if len(whole) else elements.values():
                whole[every.tag] = every
            element = whole[tag]
            element = correct_ambiguous_vr_element(element, whole, True) if " or " in element.VR else element
        yield _written(element)


def _written(element: DataElement) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    one = Dataset()
    one[element.tag] = element
    write_dataset(file, one)
    return bytes(file.getvalue())


def _encoded(element: RawDataElement) -> tuple[bytes, bytes]:
    value, kind = element.value or b"", str(element.VR)
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if kind in EXPLICIT_VR_LENGTH_32:
        return struct.pack("<HH2sHL", group, number, kind.encode(), 0, len(value)), value
    return struct.pack("<HH2sH", group, number, kind.encode(), len(value)), value
