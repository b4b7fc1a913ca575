"""The same thing seen another way, to train on: turned about the vertical, moved, stretched, rougher, in part."""

from __future__ import annotations

import numpy as np

from speciate import Sample

__all__ = ["augment"]


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """A new sample with as many points."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    stretch = rng.uniform(0.9, 1.1, size=3)
    size = max(float(np.abs(sample["points"]).max()), 1e-12)
    points = (sample["points"] @ turn.T) * stretch + rng.normal(0, 0.02, size=3) * size
    points += np.clip(rng.normal(0, 0.005, size=points.shape), -0.02, 0.02) * size
    normals = (sample["normals"] @ turn.T) / stretch  # a stretched surface faces elsewhere
    normals /= np.maximum(np.sqrt((normals * normals).sum(axis=1, keepdims=True)), 1e-12)
    kept = rng.random(len(points)) >= rng.uniform(0, 0.3)
    kept[0] = True
    filled = np.where(kept, np.arange(len(points)), rng.choice(np.flatnonzero(kept), len(points)))
    return {"points": points[filled].astype(np.float32), "normals": normals[filled].astype(np.float32)}
