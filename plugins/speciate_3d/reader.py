"""The Reader of 3D files: one thing a file, its bytes as they are beside points of its surface, ready to learn from.

What a model sees is made once, by `read`, where limits hold; `decode` only gives it back.
"""

from __future__ import annotations

import codecs
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from speciate import Row, Sample, SpeciateError, UsageError
from speciate.errors import unknown
from speciate_3d.options import ThreeDOptions
from speciate_3d.sample import TURNS, Placed, sample
from speciate_3d.shape import Broken, Shape

__all__ = ["ThreeDReader", "parse"]

METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "ft": 0.3048}
NORMALISE = ("sphere", "center", "none")
PARSERS = {
    **{"stl": "stl:parse", "obj": "obj:parse", "ply": "ply:parse", "off": "off:parse", "3mf": "threemf:parse"},
    **{"glb": "gltf:parse", "gltf": "gltf:parse", "pcd": "pcd:parse", "xyz": "cloud:xyz"},
    **{"las": "cloud:las", "laz": "cloud:laz"},
}
MAGIC = {b"glTF": "glb", b"ply": "ply", b"OFF": "off", b"# .PCD": "pcd", b"LASF": "las", b"PK\3\4": "3mf"}


def parse(data: bytes, kind: str, most: int) -> Shape:
    """Bytes of a kind as a checked shape."""
    if data.startswith(codecs.BOM_UTF8) and (kind != "stl" or data[3:].lstrip().lower().startswith(b"solid")):
        data = data[3:]  # a mark of some systems' editors before what is text
    module, _, name = PARSERS[kind].partition(":")
    parser: Callable[[bytes, int], Shape] = getattr(importlib.import_module(f"speciate_3d.{module}"), name)
    return parser(data, most).check(most)


class ThreeDReader:
    """Reads one file as one row."""

    def __init__(self, options: ThreeDOptions) -> None:
        for name, there in (("normalise", NORMALISE), ("units", ("", *METRES)), ("up", ("", *TURNS))):
            if getattr(options, name) not in there:
                raise unknown(name, getattr(options, name), [word for word in there if word], f"type -o {name}=WORD")
        if not 1 <= options.points <= 1 << 20 or min(options.most, options.most_mb, options.seed + 1) < 1:
            asked = f"points={options.points} seed={options.seed} most={options.most} most_mb={options.most_mb}"
            raise UsageError(
                asked, "points are 1 to 1,048,576, the others not below 1 (seed: 0)", "type -o points=2048"
            )
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"original": "blob", "kind": "string", "points": "blob"}

    def read(self, path: Path) -> Iterator[Row]:
        try:
            data, kind = self._content(path)
            with np.errstate(all="ignore"):  # what overflows is found by the checks, with a reason
                shape = parse(data, kind, self.options.most)
                placed = Placed(shape, self.options.up or shape.up)
                points = self._points(shape, placed)
        except Broken as error:
            raise SpeciateError(f"{path.name} cannot be taken", error.why, error.do) from None
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            why = f"its parts do not go together ({type(error).__name__}: {str(error)[:200]})"
            raise SpeciateError(f"{path.name} cannot be taken", why, "export or copy it again") from error
        yield {"original": data, "kind": kind, "points": points} | self._facts(shape, placed)

    def decode(self, row: Mapping[str, Any]) -> Sample:
        table = np.frombuffer(row["points"], "<f4").reshape(-1, 6)
        return {"points": table[:, :3].copy(), "normals": table[:, 3:].copy()}

    def _content(self, path: Path) -> tuple[bytes, str]:
        """The bytes to keep and their kind; a glTF in several files becomes a GLB."""
        size = path.stat().st_size
        if size > self.options.most_mb << 20:
            do = "split it, make it simpler, or type -o most_mb=NUMBER"
            raise Broken(f"it has {size >> 20:,} MB; the limit is {self.options.most_mb:,}", do)
        data = path.read_bytes()
        kind = path.suffix.lower().removeprefix(".")
        if kind not in PARSERS:
            kind = next((known for start, known in MAGIC.items() if data.startswith(start)), "")
        if not kind:
            raise Broken(
                "it is none of the kinds that are known", f"give it one of these suffixes: {', '.join(PARSERS)}"
            )
        return _packed(path, data, kind)

    def _points(self, shape: Shape, placed: Placed) -> bytes:
        points, normals = sample(placed, self.options.points, self.options.seed)
        if self.options.normalise == "sphere":
            points = points / placed.reach
        else:
            points = points * placed.scale
            points = (points + placed.middle if self.options.normalise == "none" else points) * self._unit(shape)
        table = np.concatenate([points, normals], axis=1).astype("<f4")
        if not np.isfinite(table).all():
            raise Broken("its points are too large or too small for a float", "type -o normalise=sphere")
        return table.tobytes()

    def _unit(self, shape: Shape) -> float:
        return shape.unit or METRES[self.options.units or "m"]

    def _facts(self, shape: Shape, placed: Placed) -> Row:
        """What a person may filter by; sizes are in metres, upright."""
        size = dict(zip(("size_x", "size_y", "size_z"), (placed.size * self._unit(shape)).tolist(), strict=True))
        counts = {"vertices": len(shape.vertices), "faces": len(shape.faces), "parts": shape.parts}
        marks = {"degenerate": placed.degenerate, "invalid": shape.invalid, "materials": shape.materials}
        return {**counts, **marks, **size}


def _packed(path: Path, data: bytes, kind: str) -> tuple[bytes, str]:
    """A .gltf that names other files, with them in one GLB; only files below its own folder are opened."""
    if kind != "gltf":
        return data, kind
    from speciate_3d import gltf

    head, _ = gltf.document(data)
    uris = [str(buffer["uri"]) for buffer in head.get("buffers", []) if "uri" in buffer]
    outside = [uri for uri in uris if not uri.startswith("data:")]
    if not outside:
        return data, kind
    beside = {uri: _beside(path, uri) for uri in outside}
    return gltf.pack(head, gltf.buffers(head, b"", beside)), "glb"


def _beside(path: Path, uri: str) -> bytes:
    folder, name = path.absolute().parent.resolve(), unquote(uri).replace("\0", "/")
    there = (folder / name).resolve()
    if not there.is_relative_to(folder) or not there.is_file():
        raise Broken(f"its buffer {uri[:80]!r} is not there, or not below its own folder", "put it beside the .gltf")
    return there.read_bytes()
