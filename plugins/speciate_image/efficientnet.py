"""EfficientNet-Lite0 without its last layer, after the paper, with TensorFlow's padding, for the packaged weights.

No squeeze-and-excitation and ReLU6 throughout: that is what makes it Lite. A package with this network's
code exists (efficientnet-lite-pytorch) and is not kept up; a test holds numbers that it gives.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import normalize, pad, relu6
from torch.nn.utils.fusion import fuse_conv_bn_eval

from speciate_image.encoder import LENGTH

__all__ = ["WIDTH", "EfficientNetLite0Network", "levels", "named", "quick"]

WIDTH = 1280
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
LAST = (1, 3, 1, 6, 320)  # how many blocks, kernel, stride of the first, how much wider inside, channels
WHOLE = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
BLOCK = {"_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "depth.conv", "_bn1": "depth.norm"}
BLOCK |= {"_project_conv": "project.conv", "_bn2": "project.norm"}


class Layer(nn.Module):
    """Convolution, normalisation and, unless it is linear, ReLU6."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        around = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(channels, out, kernel, stride, around, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)
        self.linear = False
        self.kernel, self.stride = kernel, stride  # a method may put another layer in the place of the convolution

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = pad(x, self._missing(x))
        x = self.norm(self.conv(x))
        return x if self.linear else relu6(x)

    def _missing(self, x: Tensor) -> list[int]:
        """TensorFlow's SAME: what is odd goes to the right and below."""
        kernel, stride = self.kernel, self.stride
        around = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            around += [total // 2, total - total // 2]
        return around


class Block(nn.Module):
    """Wider, filtered channel by channel, narrower again; added to its input where both have one shape."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, wider: int) -> None:
        super().__init__()
        inside = channels * wider
        if wider > 1:
            self.expand = Layer(channels, inside)
        self.depth = Layer(inside, inside, kernel, stride, groups=inside)
        self.project = Layer(inside, out)
        self.project.linear = True
        self.wider, self.skip = wider > 1, stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depth(self.expand(x) if self.wider else x))
        return x + y if self.skip else y


class EfficientNetLite0Network(nn.Module):
    """uint8 [n, 3, size, size] -> float32 [n, 1280] of one length: the mean over all places of the last channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(3, 32, 3, 2)
        blocks, channels = [], 32
        for number, kernel, stride, wider, out in (*STAGES, LAST):
            for i in range(number):
                blocks.append(Block(channels, out, kernel, stride if i == 0 else 1, wider))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = Layer(channels, WIDTH)

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.float() / 127.5 - 1).to(self.stem.conv.weight.dtype)  # mean = std = 0.5
        x = self.head(self.blocks(self.stem(x)))
        pooled: Tensor = x.float().mean(dim=(2, 3))
        return LENGTH * normalize(pooled)


def levels(network: EfficientNetLite0Network) -> tuple[list[nn.Module], list[int]]:
    """The network cut where its pictures halve, and the channels of each part: 1/2 to 1/32 of the size."""
    blocks = list(network.blocks)
    parts: list[nn.Module] = [nn.Sequential(network.stem, blocks[0])]
    parts += [nn.Sequential(*blocks[a:b]) for a, b in pairwise((1, 3, 5, 11, 16))]
    return parts, [16, 24, 40, 112, 320]


def named(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's weights under our names, without its classifier."""
    ours = {}
    for name, tensor in theirs.items():
        first, _, rest = name.partition(".")
        if first == "_blocks":
            number, part, rest = rest.split(".")
            ours[f"blocks.{number}.{BLOCK[part]}.{rest}"] = tensor
        elif first != "_fc":
            ours[f"{WHOLE[first]}.{rest}"] = tensor
    return ours


def quick(network: nn.Module) -> nn.Module:
    """A copy that only answers: normalisation folded into the convolutions before it."""
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for layer in [module for module in twin.modules() if isinstance(module, Layer)]:
        if isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv, layer.norm = fuse_conv_bn_eval(layer.conv, layer.norm), nn.Identity()
    return twin
