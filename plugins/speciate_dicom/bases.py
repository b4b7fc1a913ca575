"""Bases of volumes: an image base over slices, small 3D networks from scratch, and histograms without weights.

None of them knows DICOM: they take any volume, whichever plugin's format it comes from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speciate import IMAGE, Base, Sample, SpeciateError, UsageError
from speciate.catalog import installed, options_of
from speciate_dicom.encoding import NetworkEncoder
from speciate_dicom.options import ConvOptions, HistogramOptions, SliceMeanOptions, UNetOptions
from speciate_dicom.pictures import automatic, window_of, windowed

if TYPE_CHECKING:
    import torch

__all__ = ["ConvVolume", "SliceMean", "UNetVolume", "VolumeHistograms", "digest", "levels"]

Floats = NDArray[np.float32]
Tick = Callable[[int], None]
BATCH = 8  # volumes


class VolumeHistograms:
    """How bright and how steep each block of a volume is; a bar that learnt features have to clear."""

    tolerance = 0.0

    def __init__(self, options: HistogramOptions) -> None:
        if not 2 <= options.bins <= 256 or not 1 <= options.blocks <= 8:
            asked = f"base.bins={options.bins} base.blocks={options.blocks}"
            raise UsageError(asked, "bins are 2 to 256, blocks 1 to 8", "type base.bins=16 base.blocks=2")
        self.options = options
        self.width = 2 * options.bins * options.blocks**3

    def fingerprint(self) -> str:
        return digest("volume-histograms 1", self.options.bins, self.options.blocks)

    def encode(self, samples: Sequence[Sample], tick: Tick) -> Floats:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        for i, sample in enumerate(samples):
            vectors[i] = self._vector(levels(sample["voxels"], "auto"))
            tick(1)
        return vectors

    def _vector(self, voxels: Floats) -> Floats:
        bins, blocks = self.options.bins, self.options.blocks
        steep = np.zeros_like(voxels)
        for axis in range(3):
            if voxels.shape[axis] > 1:
                steep += np.abs(np.gradient(voxels, axis=axis))
        where = np.zeros(voxels.shape, dtype=np.int64)
        for axis, size in enumerate(voxels.shape):
            block = np.arange(size) * blocks // size
            where = where * blocks + block.reshape([-1 if axis == dim else 1 for dim in range(3)])
        counts = []
        for values in (voxels, np.sqrt(np.minimum(steep, 1))):
            bin_of = np.minimum((values * bins).astype(np.int64), bins - 1)
            found = np.bincount((where * bins + bin_of).ravel(), minlength=bins * blocks**3).reshape(-1, bins)
            counts.append(np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1)))
        return np.concatenate(counts, axis=1).astype(np.float32).ravel()


class SliceMean:
    """An image base over slices that are spread over the depth; the mean of their vectors."""

    def __init__(self, options: SliceMeanOptions) -> None:
        if options.slices < 1:
            raise UsageError(f"base.slices={options.slices}", "it takes at least 1", "type base.slices=8")
        window_of(options.window)
        self.options = options
        self.inner = _image_base(options)
        self.width, self.tolerance = int(self.inner.width), float(self.inner.tolerance)
        self.place_width = int(getattr(self.inner, "place_width", 0))

    def fingerprint(self) -> str:
        return digest("slice-mean 1", self.options.slices, self.options.window, self.inner.fingerprint())

    def encode(self, samples: Sequence[Sample], tick: Tick) -> Floats:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        for start in range(0, len(samples), BATCH):
            some = samples[start : start + BATCH]
            found = self.inner.encode(self._pictures(some), lambda _: None)
            vectors[start : start + len(some)] = found.reshape(len(some), self.options.slices, -1).mean(axis=1)
            tick(len(some))
        return vectors

    def network(self) -> torch.nn.Module:
        from speciate_dicom.networks import MeanOf

        if not hasattr(self, "_network"):
            self._network = MeanOf(self.inner.network(), self.options.slices)
        return self._network

    def places(self) -> torch.nn.Module:
        from speciate_dicom.unet import SlicePlaces

        if not self.place_width:
            asked = f"image base {self.options.base!r} gives no places"
            raise UsageError(asked, "masks are learnt from them", "type base.base=efficientnet-lite0")
        if not hasattr(self, "_places"):
            self._places = SlicePlaces(self.inner.places(), self.options.slices)
        return self._places

    def sizes(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        return [sample["voxels"].shape for sample in samples]

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        found: Mapping[str, torch.Tensor] = self.inner.batch(self._pictures(samples))
        return found

    def _pictures(self, samples: Sequence[Sample]) -> list[Sample]:
        pictures: list[Sample] = []
        for sample in samples:
            voxels, window = sample["voxels"], window_of(self.options.window)
            chosen = window or automatic(voxels)
            for i in range(self.options.slices):
                plane = voxels[int((i + 0.5) * len(voxels) / self.options.slices)]
                grey = windowed(plane, chosen)
                pictures.append({"pixels": np.repeat(grey[:, :, None], 3, axis=2)})
        return pictures


class ConvVolume(NetworkEncoder):
    """A small 3D network from scratch; what a Method trains."""

    version = "conv-volume 1"

    def __init__(self, options: ConvOptions) -> None:
        super().__init__()
        if options.width < 8 or not 16 <= options.size <= 256:
            asked = f"base.width={options.width} base.size={options.size}"
            exists = "the width is 8 or more, the size 16 to 256"
            raise UsageError(asked, exists, "type base.width=128 base.size=64")
        window_of(options.window)
        self.options, self.width = options, options.width

    def fingerprint(self) -> str:
        state = self.network().state_dict()
        weights = hashlib.sha256(b"".join(state[name].cpu().numpy().tobytes() for name in sorted(state))).hexdigest()
        return digest(self.version, self.options.width, self.options.size, self.options.window, weights)

    def make(self) -> torch.nn.Module:
        from speciate_dicom.networks import conv

        return conv(self.options.width, self.options.seed)

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        import torch

        side, window = (self.options.size,) * 3, self.options.window
        cubes = []
        for sample in samples:
            cube = torch.from_numpy(levels(sample["voxels"], window))[None, None]
            cubes.append(torch.nn.functional.adaptive_avg_pool3d(cube, side)[0])
        return {"volume": torch.stack(cubes) if cubes else torch.zeros(0, 1, *side)}


class UNetVolume(ConvVolume):
    """A small 3D U-Net from scratch, for masks of volumes."""

    version = "unet-volume 1"

    def __init__(self, options: UNetOptions) -> None:
        if options.channels < 4 or options.channels % 4:
            exists = "it is a multiple of 4"
            raise UsageError(f"base.channels={options.channels}", exists, "type base.channels=8")
        super().__init__(ConvOptions(8 * options.channels, options.size, options.window, options.seed))
        self.place_width = options.channels

    def places(self) -> torch.nn.Module:
        inner: torch.nn.Module = self.network().get_submodule("inner")
        return inner

    def sizes(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        return [sample["voxels"].shape for sample in samples]

    def make(self) -> torch.nn.Module:
        from speciate_dicom.unet import unet

        return unet(self.place_width, self.options.seed)


def levels(voxels: Floats, window: str) -> Floats:
    """Values as 0 to 1."""
    centre, width = window_of(window) or automatic(voxels)
    found: Floats = np.clip((voxels - np.float32(centre - width / 2)) / np.float32(width), 0, 1)
    return found.astype(np.float32, copy=False)


def _image_base(options: SliceMeanOptions) -> Any:
    """The image base of that name, whichever plugin declares it."""
    catalog = installed()
    known = {base.name: base for base in catalog.all(Base) if base.modality.agrees(IMAGE)}
    if options.base not in known:
        exists = f"installed image bases: {', '.join(sorted(known)) or 'none'}"
        do = "install a plugin with one, or type base.base=NAME"
        raise SpeciateError(f"base 'slice-mean' needs the image base {options.base!r}", exists, do)
    base = known[options.base]
    pairs = [pair.partition("=") for pair in options.settings.split(",") if pair]
    return catalog.use(base, "loader")(options_of(base, {name.strip(): value for name, _, value in pairs}))


def digest(*chosen: object) -> str:
    """A fingerprint of what is chosen."""
    return hashlib.sha256(repr(chosen).encode()).hexdigest()
