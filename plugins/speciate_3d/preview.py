"""What a person looks at: a thing from two sides, and its facts."""

from __future__ import annotations

import html
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import Preview, Sample
from speciate_3d.splat import directions, splat

__all__ = ["preview"]

SIZE = 256
FACTS = ("kind", "vertices", "faces", "parts", "degenerate", "invalid", "materials", "size_x", "size_y", "size_z")


def preview(row: Mapping[str, Any], sample: Sample) -> Preview:
    """Two views beside one another, and a table."""
    points, normals = sample["points"].astype(np.float64), sample["normals"].astype(np.float64)
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    dot = max(2, round(SIZE * 1.2 / max(1, len(points)) ** 0.5))
    picture = np.concatenate([splat(points, normals, eye, SIZE, dot) for eye in directions(2)], axis=1)
    facts = {name: row[name] for name in FACTS if row.get(name) is not None}
    lines = "".join(f"<tr><th>{name}</th><td>{html.escape(_said(value))}</td></tr>" for name, value in facts.items())
    return Preview(png(picture), f"<table>{lines}</table>")


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def png(picture: NDArray[np.uint8]) -> bytes:
    """An RGB picture as a PNG, which needs no library."""
    height, width, _ = picture.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
