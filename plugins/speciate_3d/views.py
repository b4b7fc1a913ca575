"""A base that looks: pictures of the points from several sides, through any base of images that is installed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from speciate import IMAGE, Base, Sample, SpeciateError, UsageError
from speciate.catalog import installed, options_of
from speciate.contracts import Encoder
from speciate.errors import unknown
from speciate_3d.options import DepthViewsOptions
from speciate_3d.splat import directions, splat

if TYPE_CHECKING:
    import torch

__all__ = ["DepthViews"]

VERSION = "depth-views 1"
POOLS = ("concat", "max")
AT_ONCE = 16  # samples whose pictures are in memory together


class DepthViews:
    """What an image base says of each view, one after another or the strongest of them."""

    def __init__(self, options: DepthViewsOptions) -> None:
        if options.pool not in POOLS:
            raise unknown("pool", options.pool, POOLS, "type base.pool=concat")
        if not 1 <= options.views <= 24 or not 32 <= options.size <= 1024:
            asked = f"base.views={options.views} base.size={options.size}"
            raise UsageError(asked, "views are 1 to 24, size is 32 to 1024 pixels", "type base.views=3 base.size=128")
        self.options = options
        self.image = _image(options.image)
        self.width = self.image.width * (options.views if options.pool == "concat" else 1)
        self.tolerance = self.image.tolerance

    def fingerprint(self) -> str:
        chosen = (VERSION, self.options.views, self.options.size, self.options.pool, self.image.fingerprint())
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        for start in range(0, len(samples), AT_ONCE):
            part = samples[start : start + AT_ONCE]
            pictures = [{"pixels": picture} for sample in part for picture in self.pictures(sample)]
            found = self.image.encode(pictures, _silent).reshape(len(part), self.options.views, -1)
            pooled = found.max(axis=1) if self.options.pool == "max" else found.reshape(len(part), -1)
            vectors[start : start + len(part)] = pooled
            tick(len(part))
        return vectors

    def network(self) -> torch.nn.Module:
        return self._network

    @cached_property
    def _network(self) -> torch.nn.Module:
        from speciate_3d.views_network import OfViews

        return OfViews(cast(Any, self.image).network(), self.options.views, self.options.pool)

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        pictures = [{"pixels": picture} for sample in samples for picture in self.pictures(sample)]
        found: Mapping[str, torch.Tensor] = cast(Any, self.image).batch(pictures)
        return found

    def pictures(self, sample: Sample) -> list[NDArray[np.uint8]]:
        points, normals = sample["points"].astype(np.float64), sample["normals"].astype(np.float64)
        points = points - (points.min(axis=0) + points.max(axis=0)) / 2
        dot = max(2, round(self.options.size * 1.6 / max(1, len(points)) ** 0.5))
        return [splat(points, normals, eye, self.options.size, dot) for eye in self._eyes]

    @cached_property
    def _eyes(self) -> NDArray[np.float64]:
        return directions(self.options.views)


def _image(name: str) -> Encoder:
    """The image base, through the same door as everybody's."""
    catalog = installed()
    fitting = {base.name: base for base in catalog.all(Base) if base.modality.agrees(IMAGE)}
    if name not in fitting:
        exists = f"bases of images here: {', '.join(fitting) or 'none'}"
        do = 'type `pip install "speciate[image]"`, or base.image=NAME'
        raise SpeciateError(f"base 'depth-views' looks through the image base {name!r}", exists, do)
    encoder: Encoder = catalog.use(fitting[name], "loader")(options_of(fitting[name], {}))
    return encoder


def _silent(_: int) -> None:
    return None
