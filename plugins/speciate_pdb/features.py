"""What can be measured on a structure: distances, angles and neighbours, in numpy. All of it stays the same when the
structure is turned or moved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import Sample

__all__ = ["RESIDUE_FEATURES", "alpha_distances", "neighbours", "places", "residue_features", "torsions"]

CA = 1
BOND = 4.2  # Angstrom between the CA of two residues that follow each other; more is a gap
RESIDUE_FEATURES = 17
Floats = NDArray[np.float64]


def alpha_distances(sample: Sample) -> NDArray[np.float32]:
    """[residue, residue]: Angstrom between CA atoms; NaN where there is none."""
    alpha: Floats = sample["backbone"][:, CA].astype(np.float64)
    square = (alpha**2).sum(axis=1)
    gaps = square[:, None] + square[None] - 2 * alpha @ alpha.T
    return np.asarray(np.sqrt(np.maximum(gaps, 0)), np.float32)


def residue_features(sample: Sample) -> NDArray[np.float32]:
    """[residue, 17]: whether it has coordinates; sine and cosine of phi, psi and omega; distances to the CA two, three
    and four residues on, in both directions; neighbours within 8, 10, 12 and 14 Angstrom. 0 where something is missing.
    """
    backbone, chain = sample["backbone"].astype(np.float64), sample["chain"]
    alpha = backbone[:, CA]
    seen = np.isfinite(alpha).all(axis=1)
    angles = torsions(backbone, chain)
    columns = [seen.astype(np.float64), *np.sin(angles).T, *np.cos(angles).T]
    for step in (2, 3, 4):
        along = np.full((2, len(alpha)), np.nan)
        if len(alpha) > step:
            far = np.linalg.norm(alpha[step:] - alpha[:-step], axis=1) / 10
            far[chain[step:] != chain[:-step]] = np.nan
            along[0, :-step], along[1, step:] = far, far
        columns += [*along]
    found = np.column_stack([*columns, *(neighbours(alpha, radius) / 10 for radius in (8.0, 10.0, 12.0, 14.0))])
    return np.asarray(np.nan_to_num(found, nan=0.0), np.float32)


def torsions(backbone: Floats, chain: NDArray[Any]) -> Floats:
    """[residue, 3]: phi, psi and omega in radians; NaN at ends, gaps and where an atom is missing."""
    n, ca, c = backbone[:, 0], backbone[:, 1], backbone[:, 2]
    angles = np.full((len(n), 3), np.nan)
    if len(n) < 2:
        return angles
    with np.errstate(invalid="ignore"):
        bonded = (np.linalg.norm(ca[1:] - ca[:-1], axis=1) < BOND) & (chain[1:] == chain[:-1])
        phi = _dihedral(c[:-1], n[1:], ca[1:], c[1:])
        psi = _dihedral(n[:-1], ca[:-1], c[:-1], n[1:])
        omega = _dihedral(ca[:-1], c[:-1], n[1:], ca[1:])
    angles[1:, 0] = np.where(bonded, phi, np.nan)
    angles[:-1, 1] = np.where(bonded, psi, np.nan)
    angles[1:, 2] = np.where(bonded, omega, np.nan)
    return angles


def neighbours(alpha: Floats, radius: float) -> Floats:
    """How many other CA atoms lie within a radius of each; through cells, so that large structures take no square."""
    counts = np.zeros(len(alpha))
    seen = np.flatnonzero(np.isfinite(alpha).all(axis=1))
    if not len(seen):
        return counts
    points = alpha[seen]
    for first, second in _close(points, radius):
        near = np.linalg.norm(points[first] - points[second], axis=1) <= radius
        counts[seen] += np.bincount(first[near], minlength=len(points))
    counts[seen] -= 1
    return counts


def places(sample: Sample) -> NDArray[np.int64]:
    """Where each residue stands in its chain: counted on by its author's numbers where they leave a gap."""
    number, chain = sample["number"].astype(np.int64), sample["chain"]
    steps = np.ones(len(number), np.int64)
    same = chain[1:] == chain[:-1]
    steps[1:] = np.where(same, np.clip(number[1:] - number[:-1], 1, 100), 100)
    return np.cumsum(steps) - 1


def _close(points: Floats, radius: float) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of points in the same or in touching cells, a point with itself among them."""
    cell = np.floor((points - points.min(axis=0)) / radius).astype(np.int64) + 1
    size = cell.max(axis=0) + 2
    key = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    pairs = []
    steps = np.array([-1, 0, 1])
    for offset in (steps[:, None, None] * size[1] + steps[None, :, None]) * size[2] + steps[None, None, :]:
        for step in offset.ravel().tolist():
            left = np.searchsorted(ordered, key + step, "left")
            met = np.searchsorted(ordered, key + step, "right") - left
            first = np.repeat(np.arange(len(points)), met)
            at = np.arange(met.sum()) - np.repeat(np.cumsum(met) - met, met) + np.repeat(left, met)
            pairs.append((first, order[at]))
    return pairs


def _dihedral(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    along = c - b
    one, two = np.cross(b - a, along), np.cross(along, d - c)
    sine = np.einsum("ij,ij->i", np.cross(one, two), along) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)
    angle: Floats = np.arctan2(sine, np.einsum("ij,ij->i", one, two))
    return angle
