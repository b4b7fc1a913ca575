"""What a person looks at: the chain traced through its CA atoms, flat as it lies widest, and a few facts."""

from __future__ import annotations

import html
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import Sample
from speciate.contracts import Preview

__all__ = ["preview"]

SIDE, MARGIN, GAP = 320, 16, 4.5  # pixels; Angstrom between two CA that are not drawn together
FACTS = ("entry", "region", "chain", "residues", "atoms", "models", "missing", "ligands")
Pixels = NDArray[np.uint8]


def preview(row: Mapping[str, Any], sample: Sample) -> Preview:
    """Chains go from blue to red; a sequence without coordinates is a strip of its residues."""
    alpha = sample["backbone"][:, 1]
    seen = np.isfinite(alpha).all(axis=1)
    picture = _trace(alpha, seen, sample["chain"]) if seen.sum() > 1 else _strip(sample["sequence"])
    facts = [(name, row[name]) for name in FACTS if row.get(name) not in (None, "", 0)]
    cells = "".join(f"<tr><th>{html.escape(n)}</th><td>{html.escape(str(v))[:200]}</td></tr>" for n, v in facts)
    sequence = html.escape(sample["sequence"][:120]) + ("…" if len(sample["sequence"]) > 120 else "")
    return Preview(_png(picture), f"<table>{cells}</table><p><code>{sequence}</code></p>")


def _trace(alpha: NDArray[np.float32], seen: NDArray[np.bool_], chain: NDArray[np.int32]) -> Pixels:
    """Lines between CA atoms, the near ones over the far ones."""
    points = alpha[seen].astype(np.float64)
    points -= points.mean(axis=0)
    _, _, axes = np.linalg.svd(points if len(points) > 2 else np.eye(3) + 0 * points[:1], full_matrices=False)
    flat = points @ axes.T
    size = max(float(np.ptp(flat[:, :2], axis=0).max()), 1.0)
    flat[:, :2] = (flat[:, :2] - flat[:, :2].min(axis=0)) / size * (SIDE - 2 * MARGIN) + MARGIN
    place, own = np.linspace(0, 1, len(flat)), chain[seen]
    bonds = np.flatnonzero((np.linalg.norm(np.diff(points, axis=0), axis=1) < GAP) & (own[1:] == own[:-1]))
    bonds = bonds if len(bonds) else np.arange(len(flat))[:-1]
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for bond in bonds[np.argsort(flat[bonds, 2])].tolist():
        _line(picture, flat[bond, :2], flat[bond + 1, :2], _colour(float(place[bond])))
    return picture


def _line(picture: Pixels, one: NDArray[np.float64], two: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    steps = np.linspace(0, 1, max(2, int(np.abs(two - one).max()) * 2))[:, None]
    dots = (one + (two - one) * steps).round().astype(np.int64)
    for x in (-1, 0, 1):
        for y in (-1, 0, 1):
            at = np.clip(dots + np.array((x, y)), 0, SIDE - 1)
            picture[at[:, 1], at[:, 0]] = colour


def _strip(sequence: str) -> Pixels:
    """A column for each residue, coloured by its letter."""
    letters = np.frombuffer(sequence[: SIDE - 2 * MARGIN].encode("ascii", "replace"), np.uint8)
    picture = np.full((64, SIDE, 3), 255, np.uint8)
    for place, letter in enumerate(letters.tolist()):
        picture[MARGIN:-MARGIN, MARGIN + place] = _colour((letter * 37 % 64) / 63)
    return picture


def _colour(share: float) -> tuple[int, int, int]:
    """From blue over green to red."""
    around = [abs(share - centre) for centre in (1.0, 0.5, 0.0)]
    red, green, blue = (round(230 * max(0.0, 1 - 2 * gap)) for gap in around)
    return red, green, blue


def _png(picture: Pixels) -> bytes:
    """RGB without a library: three chunks."""
    height, width, _ = picture.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = picture.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
