"""The same structure, seen another way: turned, its atoms moved by 0.1 Angstrom, a residue in fifty without a name."""

from __future__ import annotations

import numpy as np

from speciate import Sample

__all__ = ["augment"]

JITTER, UNNAMED = 0.1, 0.02


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """A new sample; the one that was given stays as it is."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))  # a mirror image is another molecule
    atoms = sample["atoms"].astype(np.float64)
    backbone = sample["backbone"].astype(np.float64)
    centre = atoms.mean(axis=0) if len(atoms) else np.zeros(3)
    moved = ((atoms - centre) @ turn.T + rng.normal(scale=JITTER, size=atoms.shape)).astype(np.float32)
    turned = ((backbone - centre) @ turn.T + rng.normal(scale=JITTER, size=backbone.shape)).astype(np.float32)
    letters = np.frombuffer(sample["sequence"].encode("ascii"), np.uint8).copy()
    letters[rng.random(len(letters)) < UNNAMED] = ord("X")
    return {**sample, "atoms": moved, "backbone": turned, "sequence": letters.tobytes().decode("ascii")}
