"""I3D: Inception, inflated to 3D, with the weights learnt on Kinetics-400. The features before the last layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from speciate import UsageError
from speciate_video import weights
from speciate_video.encoding import NetworkEncoder, digest
from speciate_video.options import I3DOptions

__all__ = ["I3D", "Inception"]

VERSION = "i3d 1"  # raise it when the same weights would give other vectors
MIXED = {  # the outputs of the six convolutions of each module
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
EPSILON = 1e-3
POOLED = {"Mixed_3b": ((1, 3, 3), (1, 2, 2)), "Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}
Size = tuple[int, int, int]


class I3D(NetworkEncoder):
    """1,024 numbers a clip: the mean over time and space of the last module."""

    width = 1024

    def __init__(self, options: I3DOptions) -> None:
        super().__init__(options.batch)
        if options.size and not 32 <= options.size <= 512:
            raise UsageError(f"base.size={options.size}", "it is from 32 to 512, or 0", "type base.size=112")
        self.size = options.size
        self._file = weights.fetch(lambda question: True) if options.download else weights.find()

    def fingerprint(self) -> str:
        return digest(VERSION, self.size, weights.fingerprint(self._file))

    def make(self) -> nn.Module:
        from safetensors.torch import load_file

        network = Inception()
        network.load_state_dict(
            {name: tensor for name, tensor in load_file(self._file).items() if not name.startswith("Logits")}
        )
        return network.eval()


class Inception(nn.Module):
    """Inception-v1 in 3D, with TensorFlow's SAME padding."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, (7, 7, 7), (2, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, (1, 1, 1))
        self.Conv3d_2c_3x3 = Unit(64, 192, (3, 3, 3))
        inside = 192
        for name, sizes in MIXED.items():
            self.add_module(name, Mixed(inside, sizes))
            inside = sizes[0] + sizes[2] + sizes[4] + sizes[5]

    def forward(self, clips: Tensor) -> Tensor:
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
        found = _pool(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2))
        found = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(found))
        for name in MIXED:
            found = self.get_submodule(name)(_pool(found, *POOLED[name]) if name in POOLED else found)
        vectors: Tensor = found.mean(dim=(2, 3, 4))
        return vectors


class Unit(nn.Module):
    """Convolution, normalisation by the statistics it was learnt with, and ReLU. Both steps are one convolution."""

    def __init__(self, inside: int, out: int, kernel: Size, stride: Size = (1, 1, 1)) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv3d(inside, out, kernel, stride, bias=False)
        self.norm = Norm(out)

    def forward(self, clips: Tensor) -> Tensor:
        scale = torch.rsqrt(self.norm.running_var + EPSILON)
        weight = self.conv.weight * scale.view(-1, 1, 1, 1, 1)
        bias = self.norm.bias - self.norm.running_mean * scale
        clips, padding = _same(clips, self.kernel, self.stride)
        return functional.conv3d(clips, weight, bias, self.stride, padding).relu_()


class Norm(nn.Module):
    """The numbers of a batch normalisation without a scale."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, inside: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        one, three = (1, 1, 1), (3, 3, 3)
        self.Branch_0_Conv3d_0a_1x1 = Unit(inside, sizes[0], one)
        self.Branch_1_Conv3d_0a_1x1 = Unit(inside, sizes[1], one)
        self.Branch_1_Conv3d_0b_3x3 = Unit(sizes[1], sizes[2], three)
        self.Branch_2_Conv3d_0a_1x1 = Unit(inside, sizes[3], one)
        self.Branch_2_Conv3d_0b_3x3 = Unit(sizes[3], sizes[4], three)
        self.Branch_3_Conv3d_0b_1x1 = Unit(inside, sizes[5], one)

    def forward(self, clips: Tensor) -> Tensor:
        branches = [
            self.Branch_0_Conv3d_0a_1x1(clips),
            self.Branch_1_Conv3d_0b_3x3(self.Branch_1_Conv3d_0a_1x1(clips)),
            self.Branch_2_Conv3d_0b_3x3(self.Branch_2_Conv3d_0a_1x1(clips)),
            self.Branch_3_Conv3d_0b_1x1(_pool(clips, (3, 3, 3), (1, 1, 1))),
        ]
        return torch.cat(branches, dim=1)


def _pool(clips: Tensor, kernel: Size, stride: Size) -> Tensor:
    """What is padded is 0, the least that comes out of a ReLU."""
    clips, padding = _same(clips, kernel, stride)
    return functional.max_pool3d(clips, kernel, stride, padding)


def _same(clips: Tensor, kernel: Size, stride: Size) -> tuple[Tensor, Size]:
    """TensorFlow's padding: as many places come out as the stride leaves, and what is odd is added behind. Where it is
    the same on both sides, the operation does it."""
    missing = [
        max(0, (-(-size // s) - 1) * s + k - size) for size, k, s in zip(clips.shape[2:], kernel, stride, strict=True)
    ]
    if not any(many % 2 for many in missing):
        return clips, (missing[0] // 2, missing[1] // 2, missing[2] // 2)
    padding = [side for many in reversed(missing) for side in (many // 2, many - many // 2)]
    return functional.pad(clips, padding), (0, 0, 0)
