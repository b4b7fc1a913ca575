"""The Reader of slices: every frame of a file is one picture, stored as a DICOM file of its own, de-identified.

Compressed pixels are decompressed here, in the limited process that reads strangers' files, so that no codec is needed
(or can crash) where the picture is decoded again: in training and at an endpoint.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from speciate import Row, Sample, SpeciateError
from speciate_dicom.deid import as_bytes, check_tags, clean, columns, flat, patient_of, refuse_burned_in
from speciate_dicom.files import Header, damaged, header, quietly
from speciate_dicom.options import SliceOptions
from speciate_dicom.pictures import rendered, window_of
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
DROPPED = ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


class SliceReader:
    """Reads one file: a picture, or the frames of several."""

    def __init__(self, options: SliceOptions) -> None:
        check_tags(options)
        window_of(options.window)
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"dicom": "blob"}

    def read(self, path: Path) -> Iterator[Row]:
        found = header(path, self.options.frame_megabytes << 20)
        refuse_burned_in(found.data, self.options)
        key = secret()
        for number, array in enumerate(found.pixels.frames()):
            with quietly():
                yield self._row(found, number, array, key)

    def decode(self, row: Mapping[str, Any]) -> Sample:
        with quietly():
            data = dcmread(io.BytesIO(row["dicom"]))
            return {"pixels": rendered(stored(data), data, self.options.window)}

    def _row(self, found: Header, number: int, array: NDArray[Any], key: Secret) -> Row:
        try:
            data = flat(found.data, number)
            kept = data.copy() if self.options.keep_phi else clean(data, number, key)
            blob = written(kept, array, found.frames > 1)
            row: Row = {"dicom": blob, "group": key.name("patient", patient_of(data))}
            row["series"] = key.name("series", str(data.get("SeriesInstanceUID", "")))
            row |= {"frame": number, "modality": str(kept.get("Modality", "")), "height": array.shape[0]}
            row |= {"width": array.shape[1], **columns(data, self.options)}
            if any(keyword in kept for keyword in TABLES):
                rendered(array, kept, self.options.window)  # a table may not fit the pixels
        except (SpeciateError, MemoryError):
            raise
        except Exception as error:
            raise damaged(f"frame {number} cannot be shown ({type(error).__name__})") from None
        return row


def stored(data: Dataset) -> NDArray[Any]:
    """The pixels of a file that `written` made."""
    shape: tuple[int, ...] = (int(data.Rows), int(data.Columns))
    if "FloatPixelData" in data:
        return np.frombuffer(data.FloatPixelData, dtype="<f4").reshape(shape)
    if data.SamplesPerPixel == 3:
        shape += (3,)
    dtype = f"<{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    size = int(np.prod(shape))
    return np.frombuffer(data.PixelData, dtype=dtype, count=size).reshape(shape)


def written(data: Dataset, array: NDArray[Any], one_of_many: bool) -> bytes:
    """A DICOM file of one picture, uncompressed."""
    kind = str(data.get("SOPClassUID") or CAPTURE)
    kind = SINGLE.get(kind, CAPTURE if one_of_many else kind)
    uid = str(data.get("SOPInstanceUID") or "2.25.1")
    for keyword in DROPPED:
        if keyword in data:
            del data[keyword]
    for keyword, vr, value in [*_described(data, array), ("SOPClassUID", "UI", kind), ("SOPInstanceUID", "UI", uid)]:
        given = struct.pack("<H", value) if isinstance(value, int) else value
        data[keyword] = as_bytes(keyword, vr, given.encode() if isinstance(given, str) else given)
    meta = [("MediaStorageSOPClassUID", kind), ("MediaStorageSOPInstanceUID", uid)]
    meta += [("TransferSyntaxUID", ExplicitVRLittleEndian), ("ImplementationClassUID", WRITER)]
    about = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01"
    about += b"".join(_encoded(as_bytes(keyword, "UI", value.encode())) for keyword, value in meta)
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(about)) + about
    return head + _body(data)


def _described(data: Dataset, array: NDArray[Any]) -> list[tuple[str, str, Any]]:
    """The pixels, and the attributes that say how they are stored: (keyword, VR, value)."""
    size = [("Rows", "US", array.shape[0]), ("Columns", "US", array.shape[1])]
    if array.dtype.kind == "f":
        pixels = np.ascontiguousarray(array, dtype="<f4").tobytes()
        return [*size, ("SamplesPerPixel", "US", 1), ("BitsAllocated", "US", 32), ("FloatPixelData", "OF", pixels)]
    bits = array.dtype.itemsize * 8
    used = min(int(data.get("BitsStored") or bits), bits)
    pixels = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    numbers = {"BitsAllocated": bits, "BitsStored": used, "HighBit": used - 1, "SamplesPerPixel": 1}
    numbers["PixelRepresentation"] = int(array.dtype.kind == "i")
    colours = []
    if array.ndim == 3:
        numbers |= {"SamplesPerPixel": 3, "PlanarConfiguration": 0}
        colours = [("PhotometricInterpretation", "CS", "RGB")]
    described = [(keyword, "US", number) for keyword, number in numbers.items()]
    return [*size, *described, *colours, ("PixelData", "OW" if bits > 8 else "OB", pixels)]


def _body(data: Dataset) -> bytes:
    """The dataset in explicit VR, little endian. What is bytes already is copied; pydicom writes the rest."""
    parts = []
    for tag in sorted(data.keys()):
        element = data.get_item(tag)
        if isinstance(element, RawDataElement) and element.VR and element.is_little_endian and tag.element:
            parts.append(_encoded(element))
            continue
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        one = Dataset()
        element = data[tag]
        one[tag] = correct_ambiguous_vr_element(element, data, True) if " or " in element.VR else element
        write_dataset(file, one)
        parts.append(file.getvalue())
    return b"".join(parts)


def _encoded(element: RawDataElement) -> bytes:
    value, kind = element.value or b"", str(element.VR)
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if kind in EXPLICIT_VR_LENGTH_32:
        return struct.pack("<HH2sHL", group, number, kind.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, kind.encode(), len(value)) + value
