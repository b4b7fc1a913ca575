"""A base for images over the frames of a clip. It is found in the catalog, whoever declares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from speciate import IMAGE, Base, Sample, SpeciateError, UsageError
from speciate.catalog import installed, options_of
from speciate.contracts import Encoder
from speciate_video.options import FrameMeanOptions

if TYPE_CHECKING:
    import torch

__all__ = ["FrameMean"]

VERSION = "frame-mean 1"
FRAMES = 256  # at once
LOOKED = 8  # frames of a clip whose places are looked at; those between are interpolated


class FrameMean:
    """The mean over time of an image base's vectors; their spread and maximum beside it."""

    def __init__(self, options: FrameMeanOptions) -> None:
        self.options, self._image = options, _image(options.image)
        self.place_width = int(getattr(self._image, "place_width", 0))
        self.width = self._image.width * (3 if options.spread else 1)
        self.tolerance = self._image.tolerance

    def fingerprint(self) -> str:
        from speciate_video.encoding import digest

        return digest(VERSION, self.options.spread, self._image.fingerprint())

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), np.float32)
        start = 0
        while start < len(samples):
            end, count = start, 0
            while end < len(samples) and (end == start or count + len(samples[end]["frames"]) <= FRAMES):
                count += len(samples[end]["frames"])
                end += 1
            vectors[start:end] = self._vectors([sample["frames"] for sample in samples[start:end]])
            tick(end - start)
            start = end
        return vectors

    def network(self) -> torch.nn.Module:
        return self._network

    @cached_property
    def _network(self) -> torch.nn.Module:
        from speciate_video.pooled_network import OverTime

        return OverTime(cast(Any, self._image).network(), self.options.spread)

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        import torch

        pictures = [{"pixels": frame} for sample in samples for frame in sample["frames"]]
        lengths = torch.tensor([len(sample["frames"]) for sample in samples])
        return {"lengths": lengths, **cast(Any, self._image).batch(pictures)}

    def places(self) -> torch.nn.Module:
        if not self.place_width:
            asked = f"image base {self.options.image!r} gives no places"
            raise UsageError(asked, "masks are learnt from them", "type base.image=efficientnet-lite0")
        return self._places

    @cached_property
    def _places(self) -> torch.nn.Module:
        from speciate_video.pooled_network import FramePlaces

        return FramePlaces(cast(Any, self._image).places(), LOOKED)

    def sizes(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        return [sample["frames"].shape[:3] for sample in samples]

    def _vectors(self, clips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pictures = [{"pixels": frame} for clip in clips for frame in clip]
        found = self._image.encode(pictures, lambda _: None)
        parts = np.split(found, np.cumsum([len(clip) for clip in clips])[:-1])
        return np.stack([self._over_time(part) for part in parts])

    def _over_time(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        mean = part.mean(axis=0)
        return np.concatenate([mean, part.std(axis=0), part.max(axis=0)]) if self.options.spread else mean


def _image(name: str) -> Encoder:
    catalog = installed()
    fitting = [base for base in catalog.all(Base) if base.modality.agrees(IMAGE)]
    chosen = next((base for base in fitting if base.name == name), None)
    if chosen is None:
        exists = f"bases for images here: {', '.join(base.name for base in fitting) or 'none'}"
        do = 'type base.image=NAME with one of them, or install one: `pip install "speciate[image]"`'
        raise SpeciateError(f"base 'frame-mean' needs the image base {name!r}", exists, do)
    found: Any = catalog.use(chosen, "loader")(options_of(chosen, {}))
    encoder: Encoder = found
    return encoder
