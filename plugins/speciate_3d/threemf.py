"""3MF: a zip of XML models. Sizes are asked of the zip's own list before anything is unpacked, and then held to it."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np

from speciate_3d.shape import Broken, Floats, Ints, Shape, joined, too_many

__all__ = ["parse"]

UNITS = {"micron": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "inch": 0.0254, "foot": 0.3048, "meter": 1.0}
ENTRIES, MODELS, BYTES_A_PLACE = 10_000, 1_000, 200  # no vertex or triangle takes more bytes of XML
DEEPEST = 32
Key = tuple[str, str]  # the part of the zip, and the id in it


@dataclass
class _Object:
    vertices: list[str] = field(default_factory=list)
    triangles: list[str] = field(default_factory=list)
    components: list[tuple[Key, Floats]] = field(default_factory=list)


def parse(data: bytes, most: int) -> Shape:
    model = _Model(most)
    for name, text in _parts(data, most * BYTES_A_PLACE):
        model.read(name, text)
    shapes: list[Shape] = []
    for key, place in model.items or [(key, np.eye(4)) for key in model.objects]:
        model.show(key, place, 0, shapes)
    whole = joined(shapes)
    whole.unit = model.unit
    return whole


def _parts(data: bytes, most: int) -> list[tuple[str, bytes]]:
    """The models in the zip; one that unpacks to more than it says is damaged, and zipfile compares its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES:
                raise Broken(f"it has {len(entries):,} entries; the limit is {ENTRIES:,}")
            models = [entry for entry in entries if entry.filename.lower().endswith(".model")]
            size = sum(entry.file_size for entry in models)
            if size > most or len(models) > MODELS:
                raise Broken(f"it unpacks to {size:,} bytes in {len(models)} models; the limit is {most:,}")
            if not models:
                raise Broken("there is no .model in it")
            return [("/" + entry.filename, archive.read(entry)) for entry in models]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, OSError) as error:
        raise Broken(f"it is no whole zip: {error}") from None


class _Model:
    """The objects of all models, and which of them are built where."""

    def __init__(self, most: int) -> None:
        self.most, self.unit, self.count = most, UNITS["millimeter"], 0
        self.objects: dict[Key, _Object] = {}
        self.items: list[tuple[Key, Floats]] = []
        self._part, self._object = "", _Object()
        self._known: dict[Key, Shape] = {}

    def read(self, part: str, text: bytes) -> None:
        self._part = part
        parser = expat.ParserCreate(namespace_separator="}")
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise Broken(f"{part} is no XML: {error}") from None

    def _doctype(self, *_: object) -> None:
        raise Broken(f"{self._part} declares a document type, which 3MF forbids")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition("}")[2]:
            case "vertex":
                self._object.vertices += [attributes["x"], attributes["y"], attributes["z"]]
            case "triangle":
                self._object.triangles += [attributes["v1"], attributes["v2"], attributes["v3"]]
            case "object":
                self._object = self.objects[self._part, attributes["id"]] = _Object()
            case "component":
                self._object.components.append((self._key(attributes), _matrix(attributes.get("transform", ""))))
            case "item":
                self.items.append((self._key(attributes), _matrix(attributes.get("transform", ""))))
            case "model" if attributes.get("unit", "millimeter") in UNITS:
                self.unit = UNITS[attributes.get("unit", "millimeter")]
            case "model":
                raise Broken(f"its unit {attributes['unit']!r} is none of {', '.join(UNITS)}")

    def _key(self, attributes: dict[str, str]) -> Key:
        path = next((value for name, value in attributes.items() if name.endswith("}path")), self._part)
        return posixpath.normpath(path), attributes["objectid"]

    def show(self, key: Key, place: Floats, depth: int, shapes: list[Shape]) -> None:
        """An object and its components; counted before each is put where it belongs."""
        if key not in self.objects or depth > DEEPEST:
            raise Broken(f"object {key[1]!r} of {key[0]} is not there, or holds itself")
        found = self.objects[key]
        if found.triangles:
            shape = self._mesh(key, found)
            self.count += max(len(shape.vertices), len(shape.faces))
            moved = shape.vertices @ place[:3, :3] + place[3, :3]
            shapes.append(Shape(moved, shape.faces[:, ::-1] if np.linalg.det(place[:3, :3]) < 0 else shape.faces))
        self.count += len(found.components)
        if self.count > self.most:
            raise too_many(self.count, self.most)
        for inner, where in found.components:
            self.show(inner, where @ place, depth + 1, shapes)

    def _mesh(self, key: Key, found: _Object) -> Shape:
        if key not in self._known:
            try:
                vertices = np.array(found.vertices, dtype=np.float64).reshape(-1, 3)
                faces: Ints = np.array(found.triangles).astype(np.int64).reshape(-1, 3)
            except ValueError as error:
                raise Broken(f"object {key[1]!r} has what is no number: {error}") from None
            if faces.min() < 0 or faces.max() >= len(vertices):
                raise Broken(f"a triangle of object {key[1]!r} names a vertex that is not there")
            self._known[key] = Shape(vertices, faces)
        return self._known[key]


def _matrix(text: str) -> Floats:
    """A 3MF transform: rows are multiplied from the left."""
    place = np.eye(4)
    if text:
        values = np.array(text.split(), dtype=np.float64)
        if values.shape != (12,) or not np.isfinite(values).all():
            raise Broken(f"a transform is not 12 numbers: {text[:60]!r}")
        place[:, :3] = values.reshape(4, 3)
    return place
