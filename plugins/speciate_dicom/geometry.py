"""Which pictures are the planes of one volume, in which order, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from speciate_dicom.deid import flat, numbers
from speciate_dicom.fields import Fields
from speciate_dicom.files import Header, Pixels, header, quietly
from speciate_dicom.pictures import scale, void_of
from speciate_dicom.secret import secret

__all__ = ["Plane", "Stack", "key_of", "planes_of", "stacks_of"]

SAME = 0.02  # cosines and millimetres: less than any scanner means
SAME_GAP = 0.1  # of the usual distance of two planes
TOLD_APART = ("EchoNumbers", "EchoTime", "DiffusionBValue", "TemporalPositionIdentifier", "InversionTime")
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
ORDER = ("AcquisitionNumber", "TriggerTime", "InstanceNumber")
USUAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Vector = tuple[float, ...]
KEY_LIMIT = 1 << 40  # a header alone is read for the key; the Reader asks the person's own limit


@dataclass(frozen=True)
class Plane:
    """One frame of a file, and where it is."""

    frame: int
    uid: str
    order: tuple[float, ...]  # acquisition, time, number: tells planes at one place apart
    position: Vector
    orientation: Vector
    spacing: tuple[float, float]  # between rows and between columns
    thickness: float
    known: bool  # whether the file says where it is
    kind: tuple[Any, ...]  # planes of one stack have one kind
    pixels: Pixels
    scale: tuple[float, float]  # slope and intercept
    table: Dataset | None  # instead of them
    void: tuple[int, int] | None  # stored values that are no picture

    def along(self, normal: Sequence[float]) -> float:
        return float(np.dot(self.position, normal))


@dataclass(frozen=True)
class Stack:
    """Planes in their order."""

    planes: tuple[Plane, ...]
    places: tuple[float, ...]  # millimetres along the normal
    distance: float  # the usual one between neighbours

    @property
    def gaps(self) -> int:
        """How many planes are missing between the first and the last."""
        steps = [abs(b - a) / self.distance for a, b in pairwise(self.places)]
        return sum(max(0, round(step) - 1) for step in steps if step > 1 + SAME_GAP)


def key_of(path: Path) -> str:
    """Files of one key may be one volume. It is a pseudonym: a series' UID tells whose it is."""
    with quietly():
        found = header(path, KEY_LIMIT)
        fields = Fields(found.data)
        uid = fields.text("SeriesInstanceUID")
        if found.frames > 1 or not uid:
            return secret().name("file", fields.text("SOPInstanceUID") or str(path))
        return secret().name("series", "\0".join([uid, *_kind(fields)]))


def planes_of(found: Header) -> list[Plane]:
    """The planes in one file."""
    return [_plane(flat(found.data, number), number, found) for number in range(found.frames)]


def stacks_of(planes: Sequence[Plane]) -> tuple[list[Stack], list[tuple[Plane, str]]]:
    """The volumes in a series, and the planes that have no part in one, with the reason."""
    kept: dict[tuple[str, int], Plane] = {}
    refused = []
    for plane in planes:
        if plane.uid and (plane.uid, plane.frame) in kept:
            refused.append((plane, "a copy of another picture of its series"))
        else:
            kept[plane.uid or str(plane.pixels.path), plane.frame] = plane
    stacks: list[Stack] = []
    for alike in _alike(list(kept.values())):
        found, left = _sorted(alike)
        stacks += found
        refused += [(plane, "at the place of another picture of its series") for plane in left]
    return stacks, refused


def _plane(data: Dataset, number: int, found: Header) -> Plane:
    fields = Fields(data)
    spacing = next((s for s in (_vector(fields, name, 2) for name in SPACINGS) if s and min(s) > 0), (1.0, 1.0))
    distance = abs(_number(fields, "SpacingBetweenSlices") or _number(fields, "SliceThickness") or 1.0)
    position, orientation, known = _place(fields, number, found, distance)
    size = (found.pixels.options["rows"], found.pixels.options["columns"])
    return Plane(
        frame=number,
        uid=fields.text("SOPInstanceUID"),
        order=tuple(_number(fields, name) or 0.0 for name in ORDER),
        position=position,
        orientation=orientation,
        spacing=(spacing[0], spacing[1]),
        thickness=distance,
        known=known,
        kind=(*_kind(fields), *size, round(spacing[0], 4), round(spacing[1], 4)),
        pixels=found.pixels,
        scale=scale(data),
        table=data if fields.has("ModalityLUTSequence") and data.get("ModalityLUTSequence") else None,
        void=void_of(data),
    )


def _place(fields: Fields, number: int, found: Header, distance: float) -> tuple[Vector, Vector, bool]:
    """(position, orientation, whether the file says so); frames without a place of their own follow one another."""
    position, orientation = _vector(fields, "ImagePositionPatient", 3), _vector(fields, "ImageOrientationPatient", 6)
    if position and orientation and (found.frames == 1 or "PerFrameFunctionalGroupsSequence" in found.data):
        return position, orientation, True
    facing = orientation or USUAL
    offsets = numbers(fields.value("GridFrameOffsetVector"))
    if position and orientation and isinstance(offsets, list) and len(offsets) == found.frames:
        return _moved(position, facing, offsets[number] - offsets[0]), facing, True
    if found.frames > 1:
        return _moved(position or (0.0, 0.0, 0.0), facing, number * distance), facing, False
    along = _number(fields, "SliceLocation")
    if along is None:
        along = (_number(fields, "InstanceNumber") or 0.0) * distance
    return _moved((0.0, 0.0, 0.0), facing, along), facing, False


def _moved(position: Vector, orientation: Vector, along: float) -> Vector:
    return tuple(a + along * b for a, b in zip(position, _normal(orientation), strict=True))


def _kind(fields: Fields) -> tuple[str, ...]:
    """What all planes of a volume have in common, roughly; a rounded direction could part neighbours."""
    sides = _vector(fields, "ImageOrientationPatient", 6)
    facing = "" if sides is None else f"{_steepest(sides[:3])}{_steepest(sides[3:])}"
    image = "/".join(str(part) for part in fields.words("ImageType") or ())
    size = f"{fields.value('Rows')}x{fields.value('Columns')}"
    return (facing, image, size, *(fields.text(name) for name in TOLD_APART))


def _steepest(direction: Vector) -> int:
    sizes = [abs(part) for part in direction]
    return sizes.index(max(sizes))


def _alike(planes: list[Plane]) -> list[list[Plane]]:
    """Planes of one kind that face one way."""
    groups: list[list[Plane]] = []
    for plane in planes:
        for group in groups:
            first = group[0]
            if first.kind == plane.kind and np.allclose(first.orientation, plane.orientation, atol=SAME):
                group.append(plane)
                break
        else:
            groups.append([plane])
    return groups


def _sorted(planes: list[Plane]) -> tuple[list[Stack], list[Plane]]:
    """One stack, or several where every place is taken as often: phases of a heart, repeated measurements."""
    normal = _normal(planes[0].orientation)
    places: list[list[Plane]] = []
    at = 0.0
    for plane in sorted(planes, key=lambda plane: (plane.along(normal), plane.order)):
        if places and abs(plane.along(normal) - at) < SAME:
            places[-1].append(plane)
        else:
            places.append([plane])
            at = plane.along(normal)
    most = max(map(len, places))
    for place in places:
        place.sort(key=lambda plane: plane.order)
    if all(len(place) == most for place in places):
        return [_stack([place[i] for place in places], normal) for i in range(most)], []
    left = [plane for place in places for plane in place[1:]]
    return [_stack([place[0] for place in places], normal)], left


def _stack(planes: list[Plane], normal: Vector) -> Stack:
    places = tuple(plane.along(normal) for plane in planes)
    steps = [b - a for a, b in pairwise(places)]
    return Stack(tuple(planes), places, float(np.median(steps)) if steps else planes[0].thickness)


def _normal(orientation: Vector) -> Vector:
    found = np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(found))
    return tuple(float(part) for part in found / length) if length > 0 else (0.0, 0.0, 1.0)


def _vector(fields: Fields, keyword: str, length: int) -> Vector | None:
    found = numbers(fields.value(keyword))
    return tuple(found) if isinstance(found, list) and len(found) == length else None


def _number(fields: Fields, keyword: str) -> float | None:
    found = numbers(fields.value(keyword))
    return float(found[0] if isinstance(found, list) else found) if found is not None else None
