"""OFF: counts, vertices and polygons as text."""

from __future__ import annotations

import re

import numpy as np

from speciate_3d.shape import Broken, Floats, Ints, Shape, fan, indexes, numbers, too_many

__all__ = ["parse"]

HEAD = re.compile(
    rb"\s*(?:#[^\n]*\n\s*)*(ST)?(C)?(N)?(4)?(n)?OFF\b|\s*OFF(?=\d)|\s*off\b"
)  # ModelNet writes OFF490 518 0


def parse(data: bytes, most: int) -> Shape:
    match = HEAD.match(data)
    if match is None:
        raise Broken("it does not begin with OFF")
    if match[4] or match[5] or data[match.end() :][:8].strip().startswith(b"BINARY"):
        raise Broken("it is a binary or four-dimensional OFF", "export it as plain text OFF")
    rest = data[match.end() :].splitlines()
    lines = [line for line in (line.partition(b"#")[0].strip() for line in rest) if line]
    counts = indexes(lines[0], "the line of counts") if lines else np.zeros(0, dtype=np.int64)
    if len(counts) not in (2, 3) or (counts < 0).any():
        raise Broken("its counts of vertices, faces and edges are missing")
    vertices, faces = int(counts[0]), int(counts[1])
    if vertices + faces != len(lines) - 1:
        there = f"{len(lines) - 1:,} lines follow"
        raise Broken(f"its header says {vertices:,} vertices and {faces:,} faces, {there}")
    if max(vertices, faces) > most:
        raise too_many(max(vertices, faces), most)
    points, normals = _vertices(lines[1 : vertices + 1], bool(match[3]))
    shape = Shape(points, normals=normals)
    if faces:
        shape.faces, shape.normals = _faces(lines[vertices + 1 :]), None
    return shape


def _vertices(lines: list[bytes], normals: bool) -> tuple[Floats, Floats | None]:
    wanted = 6 if normals else 3
    widths = set(map(len, map(bytes.split, lines)))
    if not lines or min(widths) < wanted:
        raise Broken(f"a vertex has fewer than {wanted} numbers")
    if len(widths) > 1:
        lines, widths = [b" ".join(line.split()[:wanted]) for line in lines], {wanted}
    width = widths.pop()
    table = numbers(b" ".join(lines), "a vertex", width * len(lines)).reshape(-1, width)
    return table[:, :3], table[:, 3:6] if normals else None


def _faces(lines: list[bytes]) -> Ints:
    """Each line is a count, that many vertices, and perhaps a colour."""
    split = list(map(bytes.split, lines))
    try:
        counts = np.array([int(tokens[0]) for tokens in split], dtype=np.int64)
    except ValueError:
        raise Broken("a face does not begin with the number of its corners") from None
    room = np.array(list(map(len, split)), dtype=np.int64) - 1
    wrong = np.flatnonzero((counts < 0) | (counts > room) | (room > counts + 4))
    if len(wrong):
        raise Broken(
            f"face {wrong[0]} says {counts[wrong[0]]} corners: {lines[wrong[0]][:40].decode('ascii', 'replace')}"
        )
    text = b" ".join([b" ".join(tokens[1 : count + 1]) for tokens, count in zip(split, counts.tolist(), strict=True)])
    return fan(indexes(text, "a face", int(counts.sum())), counts)
