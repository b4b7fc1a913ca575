"""Points of a surface, evenly by area and always the same ones, upright, and as large as the options say."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from speciate_3d.shape import Broken, Floats, Ints, Shape

__all__ = ["TURNS", "Placed", "sample"]

TURNS = {"x": (1, 2, 0), "y": (2, 0, 1), "z": (0, 1, 2)}  # cyclic, so that nothing is mirrored: this axis becomes z
FLAT = 1e-14  # in a box of size 1, what has less than this for an area is thinner than rounding


class Placed:
    """A shape turned upright, in a box of size 1, so that no area is too small or too large for a float.

    Corners are kept as nine long arrays, which is several times faster than one of [faces, 3, 3].
    """

    def __init__(self, shape: Shape, up: str) -> None:
        self.shape, self.turn = shape, list(TURNS[up])
        axes = [np.ascontiguousarray(shape.vertices[:, i]) for i in self.turn]
        orders: list[Ints] = [np.ascontiguousarray(shape.faces[:, k]) for k in range(3)] if len(shape.faces) else []
        corners = [[axis[order] for axis in axes] for order in orders] or [axes]
        self.low = np.array([min(float(corner[i].min()) for corner in corners) for i in range(3)])
        self.size = np.array([max(float(corner[i].max()) for corner in corners) for i in range(3)]) - self.low
        self.box, self.scale = self.low + self.size / 2, float(self.size.max())
        if not self.scale > 1e-9 * max(1e-300, float(np.abs(self.box).max())):
            raise Broken("all of it lies in one place", "leave it out")
        self.corners = [[(c - m) / self.scale for c, m in zip(corner, self.box, strict=True)] for corner in corners]

    @cached_property
    def areas(self) -> Floats:
        """Of each triangle; one for each point of a cloud."""
        if len(self.corners) == 1:
            return np.ones(len(self.shape.vertices))
        across = _cross(*self.corners)
        double = np.sqrt(across[0] ** 2 + across[1] ** 2 + across[2] ** 2)
        double[double < FLAT] = 0
        if not double.sum() > 1e-12:
            raise Broken(f"none of its {len(double):,} triangles has an area", "mend it, or export its points alone")
        areas: Floats = double / 2
        return areas

    @cached_property
    def centre(self) -> Floats:
        """Where the middle of all area is, in the box."""
        weights = self.areas / self.areas.sum()
        middles = [[float(corner[i] @ weights) for i in range(3)] for corner in self.corners]
        return np.asarray(np.mean(middles, axis=0))

    @property
    def middle(self) -> Floats:
        """The same in the file's own numbers."""
        found: Floats = self.box + self.centre * self.scale
        return found

    @property
    def reach(self) -> float:
        """From the centre to the farthest corner, in the box."""
        x, y, z = self.centre
        squares = [((c[0] - x) ** 2 + (c[1] - y) ** 2 + (c[2] - z) ** 2).max() for c in self.corners]
        return float(np.sqrt(max(squares)))

    @property
    def degenerate(self) -> int:
        return int((self.areas == 0).sum())


def _cross(a: list[Floats], b: list[Floats], c: list[Floats]) -> list[Floats]:
    one, two = ([end - start for end, start in zip(corner, a, strict=True)] for corner in (b, c))
    return [one[i - 2] * two[i - 1] - one[i - 1] * two[i - 2] for i in range(3)]


def sample(placed: Placed, count: int, seed: int) -> tuple[Floats, Floats]:
    """[count, 3] points around the centre, in the box of size 1, and the normals there.

    One from each of `count` equal parts of the area, so that no part of the surface is missed by chance.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    if len(placed.corners) == 1:
        chosen = _spread(len(placed.areas), count, rng)[order]
        return _rows(placed.corners[0], chosen) - placed.centre, _own_normals(placed, chosen)
    reached = np.cumsum(placed.areas)
    wanted = (np.arange(count) + rng.random(count)) / count * reached[-1]
    chosen = np.minimum(np.searchsorted(reached, wanted, side="right"), _last(placed.areas))[order]
    one, two = np.sqrt(rng.random(count))[:, None], rng.random(count)[:, None]
    a, b, c = (_rows(corner, chosen) for corner in placed.corners)
    points = (1 - one) * a + one * (1 - two) * b + one * two * c - placed.centre
    return points, _unit(np.stack(_cross(list(a.T), list(b.T), list(c.T)), axis=1))


def _last(areas: Floats) -> int:
    """The last triangle that has an area: the one that rounding at the end may not go beyond."""
    return len(areas) - 1 - int(np.argmax(areas[::-1] > 0))


def _rows(columns: list[Floats], chosen: Ints) -> Floats:
    return np.stack([column[chosen] for column in columns], axis=1)


def _own_normals(placed: Placed, chosen: Ints) -> Floats:
    """What the file says, where it does."""
    if placed.shape.normals is None:
        return np.zeros((len(chosen), 3))
    normals = placed.shape.normals[chosen][:, placed.turn]
    return _unit(np.where(np.isfinite(normals), normals, 0))


def _unit(vectors: Floats) -> Floats:
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    found: NDArray[np.float64] = vectors / np.where(lengths > 0, lengths, 1)
    return found


def _spread(there: int, count: int, rng: np.random.Generator) -> Ints:
    """Indexes of points: each at most once where there are enough, else all equally often and a few once more."""
    again = [np.arange(there)] * (count // there)
    return np.sort(np.concatenate([*again, rng.permutation(there)[: count % there]]))
