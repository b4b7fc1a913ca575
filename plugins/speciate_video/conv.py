"""A small 3D convolutional network from scratch: random until a Method trains it, and a base even so."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from speciate import UsageError
from speciate_video.encoding import NetworkEncoder, digest
from speciate_video.options import ConvOptions

__all__ = ["ConvVideo"]

VERSION = "conv-video 1"
BLOCKS = 4


class ConvVideo(NetworkEncoder):
    """Four blocks of a convolution over time and one over space, and their mean and maximum."""

    def __init__(self, options: ConvOptions) -> None:
        super().__init__(options.batch)
        if options.width < 8 or options.channels < 4:
            asked = f"base.width={options.width} base.channels={options.channels}"
            raise UsageError(asked, "width is at least 8, channels at least 4", "type base.width=128 base.channels=16")
        self.options, self.width = options, options.width

    def fingerprint(self) -> str:
        return digest(VERSION, self.width, self.options.channels, self.options.seed)

    def make(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            return Network(self.options.channels, self.width)


class Network(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = [3, *(channels << i for i in range(BLOCKS))]
        self.blocks = nn.Sequential(*(_block(a, b) for a, b in itertools.pairwise(sizes)))
        self.head = nn.Linear(2 * sizes[-1], width)

    def forward(self, clips: Tensor) -> Tensor:
        found = self.blocks(clips)
        pooled = torch.cat([found.mean(dim=(2, 3, 4)), found.amax(dim=(2, 3, 4))], dim=1)
        vectors: Tensor = self.head(pooled)
        return vectors


def _block(inside: int, out: int) -> nn.Module:
    """Halves height and width, and looks one frame back and ahead. GroupNorm: a clip does not depend on its batch."""
    return nn.Sequential(
        nn.Conv3d(inside, out, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
        nn.GroupNorm(4, out),
        nn.GELU(),
        nn.Conv3d(out, out, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.GroupNorm(4, out),
        nn.GELU(),
    )
