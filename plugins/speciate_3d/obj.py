"""OBJ: vertices and polygons as text. It has no counts, so that what is cut off has to be told by other signs.

Only geometry is read. Materials (`mtllib`) and the textures they name are never opened, so nothing is followed out of
the folder; how many materials there are is kept as a fact.
"""

from __future__ import annotations

import re
from itertools import groupby

import numpy as np

from speciate_3d.shape import Broken, Floats, Ints, Shape, fan, indexes, too_many, values

__all__ = ["parse"]

WORDS = frozenset(
    b"v vn vt vp f l p o g s mg lod usemtl mtllib maplib usemap bevel c_interp d_interp shadow_obj trace_obj cstype deg"
    b" bmat step curv curv2 surf parm trim hole scrv sp end con ctech stech call csh fo".split()
)
PROMISE = re.compile(rb"^#\s*(vertices|faces):\s*(\d+)\s*$", re.IGNORECASE | re.MULTILINE)  # as MeshLab writes it
LINES = 1 << 16  # whose words are in memory at once
BEHIND = re.compile(rb"/\S*")  # of 7/3/9, all but the vertex


class _Lines:
    """The lines of a file by their first word."""

    def __init__(self, data: bytes) -> None:
        self.vertices: list[bytes] = []
        self.normals: list[bytes] = []
        self.faces: list[bytes] = []
        self.seen: list[int] = []  # vertices before each face, for relative indexes
        self.materials: set[bytes] = set()
        self.words: dict[bytes, int] = {}
        text = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
        lines = text.splitlines()
        if b" #" in text or b"\t#" in text:  # comments behind something
            lines = [line.partition(b"#")[0] for line in lines]
        at = 0
        for start, run in groupby([line[:2] for line in lines]):
            there, at = at, at + len(list(run))
            if start == b"v ":
                self.vertices += [line[2:] for line in lines[there:at]]
            elif start == b"f ":
                self.faces += [line[2:] for line in lines[there:at]]
                self.seen += [len(self.vertices)] * (at - there)
            elif start[:1] not in (b"", b"#"):
                for number, line in enumerate(lines[there:at], there + 1):
                    self._other(line, number)

    def _other(self, line: bytes, number: int) -> None:
        word, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        if word in (b"f", b"fo"):
            self.faces.append(rest)
            self.seen.append(len(self.vertices))
        elif word == b"v":
            self.vertices.append(rest)
        elif word == b"vn":
            self.normals.append(rest)
        elif word == b"usemtl":
            self.materials.add(rest)
        elif word and word not in WORDS and not word.startswith(b"#"):
            raise Broken(f"line {number} begins with {word[:20].decode('ascii', 'replace')!r}, which OBJ does not know")
        self.words[word] = self.words.get(word, 0) + 1


def parse(data: bytes, most: int) -> Shape:
    if b"\0" in data:
        raise Broken("it has NUL bytes in it: it is no text", "leave it out if it is a compiler's object file")
    lines = _Lines(data)
    if max(len(lines.vertices), len(lines.faces)) > most:
        raise too_many(max(len(lines.vertices), len(lines.faces)), most)
    _check_promises(data, lines)
    vertices = _table(lines.vertices, "vertex")
    shape = Shape(vertices, parts=max(1, lines.words.get(b"o", 0)), up="y", materials=len(lines.materials))
    if lines.faces:
        shape.faces = _faces(lines, len(vertices), most)
        _check_whole(data, lines, shape.faces)
    elif {b"o", b"g", b"s", b"usemtl", b"mtllib", b"vt", b"surf", b"curv", b"l"} & lines.words.keys():
        raise Broken("it has no faces: it is cut off, or has only curves or lines", "export it with polygons")
    elif len(lines.normals) == len(lines.vertices):
        shape.normals = _table(lines.normals, "normal")
    return shape


def _check_promises(data: bytes, lines: _Lines) -> None:
    for match in PROMISE.finditer(data[: 1 << 16]):
        there = len(lines.vertices if match[1].lower() == b"vertices" else lines.faces)
        if there != int(match[2]):
            raise Broken(f"a comment says {int(match[2]):,} {match[1].decode().lower()}, there are {there:,}")


def _table(lines: list[bytes], what: str) -> Floats:
    """The first three numbers of each line."""
    if not lines:
        raise Broken(f"it has no {what}")
    return np.concatenate([_rows(lines[at : at + LINES], what, at) for at in range(0, len(lines), LINES)])


def _rows(lines: list[bytes], what: str, before: int) -> Floats:
    widths = set(map(len, map(bytes.split, lines)))  # no list of them is kept: of so many, Python would count them all
    if min(widths) < 3:
        bad = next(i for i, line in enumerate(lines) if len(line.split()) < 3)
        raise Broken(f"{what} {before + bad + 1} has fewer than three numbers: {lines[bad][:40]!r}")
    if len(widths) > 1:  # some with colours, some without
        lines, widths = [b" ".join(line.split()[:3]) for line in lines], {3}
    return values(b" ".join(lines).split(), f"a {what}").reshape(-1, widths.pop())[:, :3]


def _faces(lines: _Lines, vertices: int, most: int) -> Ints:
    counts = np.array(list(map(len, map(bytes.split, lines.faces))), dtype=np.int64)
    corners = _corners(b" ".join(lines.faces), int(counts.sum()))
    if len(corners) > 8 * most:
        raise too_many(len(corners), most)
    if len(corners) and corners.min() < 0:
        seen = np.repeat(np.array(lines.seen, dtype=np.int64), counts)
        corners = np.where(corners < 0, seen + corners + 1, corners)
    if not len(corners) or corners.min() < 1 or corners.max() > vertices:
        where = np.repeat(np.arange(len(counts)), counts)[(corners < 1) | (corners > vertices)]
        bad = (
            f"face {where[0] + 1} ({lines.faces[where[0]][:40].decode('ascii', 'replace')})" if len(where) else "a face"
        )
        raise Broken(f"{bad} names a vertex that is not there; there are {vertices:,}")
    return fan(corners - 1, counts)


def _corners(text: bytes, count: int) -> Ints:
    """The vertex of each corner; what stands behind its slashes is texture and normal."""
    slashes, doubles = text.count(b"/"), text.count(b"//")
    width = {(0, 0): 1, (count, 0): 2, (2 * count, 0): 3, (2 * count, count): 2}.get((slashes, doubles), 0)
    if width:
        flat = indexes(text.replace(b"/", b" "), "a face")
        if len(flat) == width * count:
            return flat.reshape(-1, width)[:, 0]
    return indexes(BEHIND.sub(b"", text), "a face", count)


def _check_whole(data: bytes, lines: _Lines, faces: Ints) -> None:
    """Vertices at the end that no face uses, behind the last face or before a line without an end: a cut."""
    used = int(faces.max()) + 1 if len(faces) else 0
    behind = len(lines.vertices) - max(used, lines.seen[-1])
    if behind > 0:
        raise Broken(f"it ends with {behind:,} vertices that no face uses: it is cut off")
    if used < len(lines.vertices) and not data.endswith((b"\n", b"\r")):
        raise Broken("its last line has no end, and its last vertices have no face: it is cut off")
