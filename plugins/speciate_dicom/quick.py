"""The header of a usual DICOM file, read several times as fast as pydicom reads it; what is unusual is left to it.

Usual is: a preamble, little endian, and every length as promised. What comes out are the very elements that pydicom
gives, as raw as it gives them (tests/dicom/test_quick.py).
"""

from __future__ import annotations

import io
import struct
from typing import Any, TypeAlias

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR
from pydicom.values import convert_string

__all__ = ["PIXELS", "Found", "quick"]

PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
PIXEL_KINDS = (b"OB", b"OW", b"OF", b"OD", b"UN")
START, SYNTAX, CHARSET, UNDEFINED = 132, 0x00020010, 0x00080005, 0xFFFFFFFF
OTHERS = (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, "")
EXPLICIT, IMPLICIT, LENGTH = struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L")
KINDS: dict[bytes, tuple[str, bool, Any]] = {  # of a VR as it is coded: it, whether it is long, what is empty
    str(kind).encode(): (str(kind), kind in EXPLICIT_VR_LENGTH_32, empty_value_for_VR(kind, raw=True)) for kind in VR
}

Element: TypeAlias = RawDataElement | DataElement
Found = tuple[Dataset, str, tuple[int, int, str]]
"""The dataset before the pixels, the transfer syntax, and the pixels: where their value begins, its length, its VR."""


class Unusual(Exception):
    """For pydicom."""


def quick(head: bytes) -> Found | None:
    """The header that these first bytes of a file hold; nothing where pydicom has to look, or where it goes on."""
    if head[128:START] != b"DICM":
        return None
    try:
        syntax, at = _meta(head)
        implicit = syntax == ImplicitVRLittleEndian
        elements, pixels = (_implicit if implicit else _explicit)(head, at)
    except Exception:  # whatever it is, pydicom says it better
        return None
    data = Dataset(elements)
    data.set_original_encoding(implicit, True)
    return data, syntax, pixels


def _meta(head: bytes) -> tuple[str, int]:
    """The transfer syntax, and where the dataset begins."""
    at, syntax = START, ""
    while True:
        group, number, kind, length = EXPLICIT.unpack_from(head, at)
        if group != 2:
            break
        at += 8
        if KINDS[kind][1]:
            (length,) = LENGTH.unpack_from(head, at)
            at += 4
        if group << 16 | number == SYNTAX:
            syntax = head[at : at + length].decode("ascii").rstrip("\0 ")
        at += length
    if not group or syntax in OTHERS:  # a command set, or another way of coding
        raise Unusual
    return syntax, at


def _explicit(head: bytes, at: int) -> tuple[dict[BaseTag, Element], tuple[int, int, str]]:
    found: dict[BaseTag, Element] = {}
    unpack, size = EXPLICIT.unpack_from, len(head)
    while True:
        group, number, coded, length = unpack(head, at)
        kind, long, empty = KINDS[coded]
        start = at + 8
        if long:
            (length,) = LENGTH.unpack_from(head, start)
            start += 4
        tag = BaseTag(group << 16 | number)
        if group == 0x7FE0 and tag in PIXELS:
            if coded not in PIXEL_KINDS:
                raise Unusual
            return found, (start, length, kind)
        if length == UNDEFINED:
            found[tag], at = _undefined(head, at, False, found)
            continue
        at = start + length
        if at > size:
            raise Unusual
        value = head[start:at] if length else empty
        found[tag] = RawDataElement(tag, kind, length, value, start, False, True)


def _implicit(head: bytes, at: int) -> tuple[dict[BaseTag, Element], tuple[int, int, str]]:
    found: dict[BaseTag, Element] = {}
    unpack, size = IMPLICIT.unpack_from, len(head)
    if head[at + 4 : at + 6].isalpha():  # that is a VR
        raise Unusual
    while True:
        group, number, length = unpack(head, at)
        start = at + 8
        tag = BaseTag(group << 16 | number)
        if group == 0x7FE0 and tag in PIXELS:
            return found, (start, length, "")
        if length == UNDEFINED:
            found[tag], at = _undefined(head, at, True, found)
            continue
        at = start + length
        if at > size or group == 0xFFFE:
            raise Unusual
        found[tag] = RawDataElement(tag, None, length, head[start:at] if length else None, start, True, True)


def _undefined(head: bytes, at: int, implicit: bool, found: dict[BaseTag, Element]) -> tuple[Element, int]:
    """An element that ends where it says so, as a sequence often is; pydicom reads it, and says where that is."""
    charset: Any = found.get(BaseTag(CHARSET))
    encoding = convert_encodings(convert_string(charset.value or b"", True)) if charset else default_encoding
    file = io.BytesIO(head)
    file.seek(at)
    return next(data_element_generator(file, implicit, True, encoding=encoding)), file.tell()
