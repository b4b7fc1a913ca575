"""What the image encoders share: squares in batches through a network, each core with batches of its own.

On a CPU every thread takes whole batches with one thread inside: no core waits for another after each layer, and the
vectors do not depend on the number of cores. Pictures are laid out channels last, which oneDNN is fastest with.
Making an encoder and asking for its fingerprint does not import torch; the first `encode` does.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate.errors import unknown
from speciate.hub import resolve
from speciate_image.prepare import FITS, squares

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["LENGTH", "ImageEncoder"]

# How far an answer may move. On one machine no vector moves in bf16, and by 1e-6 of its length in fp32; between fp32
# and bf16, which `auto` may choose on another machine, it turns by up to 8 degrees (26 photographs and scans).
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}
LENGTH = 4.0  # of a vector: the strengths that the probe tries then suit 50 pictures as well as 50,000
BATCH, BATCH_GPU = 8, 128  # 8 pictures stay in a processor's cache: 32 at a time are a quarter slower


class Choices(Protocol):
    """The options that every image encoder has."""

    size: int
    fit: str
    precision: str
    batch: int


class ImageEncoder(ABC):
    """A TrainableEncoder; a subclass makes the network, and says what decides its vectors."""

    width: int

    def __init__(self, options: Choices, smallest: int = 32) -> None:
        if options.fit not in FITS:
            raise unknown("fit", options.fit, FITS, "type base.fit=stretch")
        if not smallest <= options.size <= 2048 or options.batch < 0:
            asked = f"base.size={options.size} base.batch={options.batch}"
            raise UsageError(asked, f"size is from {smallest} to 2048, batch not negative", "leave them out")
        self.size, self.fit, self.count = options.size, options.fit, options.batch
        self.precision = resolve(options.precision)
        self.tolerance = TOLERANCE[self.precision]
        self._lock, self._lent = threading.Lock(), False

    @abstractmethod
    def make(self) -> nn.Module:
        """The network, on the CPU in float32: uint8 [n, 3, size, size] -> float32 [n, width]."""

    @abstractmethod
    def fingerprint(self) -> str: ...

    def fast(self, network: nn.Module) -> nn.Module:
        """A copy of the network that answers alike, faster."""
        import copy

        return copy.deepcopy(network).eval().requires_grad_(False)

    def network(self) -> nn.Module:
        """From now on somebody may train it, so `encode` looks at it afresh."""
        with self._lock:
            self._lent = True
            return self._made

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        import torch

        return {"pixels": torch.from_numpy(squares(samples, self.size, self.fit)).permute(0, 3, 1, 2)}

    place_width = 0  # of a base that gives places

    def make_places(self, network: nn.Module) -> nn.Module:
        """The network that gives places, over the parts of the one that gives a vector."""
        raise UsageError(f"{type(self).__name__} gives no places", "", "choose another base")

    def places(self) -> nn.Module:
        if self.fit != "stretch":
            exists = "a mask is stretched over the square that the network sees"
            raise UsageError(f"base.fit={self.fit} does not go with masks", exists, "type base.fit=stretch")
        with self._lock:
            self._lent = True
            return self._placing

    def sizes(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        return [sample["pixels"].shape[:2] for sample in samples]

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        if not samples:
            return vectors
        import torch

        with self._lock:
            network = self._ready(self._made) if self._lent else self._quick
        device = next(network.parameters()).device
        cpu = device.type == "cpu"
        size = self.count or (BATCH if cpu else BATCH_GPU)

        def forward(start: int) -> NDArray[np.float32]:
            with torch.inference_mode():
                pixels = self.batch(samples[start : start + size])["pixels"].to(device)
                found: NDArray[np.float32] = network(pixels=pixels).cpu().numpy()
            return found

        one_thread = (lambda: torch.set_num_threads(1)) if cpu else None  # holds for the calling thread
        pool = ThreadPoolExecutor(torch.get_num_threads(), initializer=one_thread)
        try:
            starts = range(0, len(samples), size)
            for start, found in zip(starts, pool.map(forward, starts), strict=True):
                vectors[start : start + size] = found
                tick(len(found))
        finally:
            pool.shutdown(cancel_futures=True)
        return vectors

    @cached_property
    def _made(self) -> nn.Module:
        return self.make()

    @cached_property
    def _placing(self) -> nn.Module:
        return self.make_places(self._made)

    @cached_property
    def _quick(self) -> nn.Module:
        return self._ready(self._made)

    def _ready(self, network: nn.Module) -> nn.Module:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        ready = self.fast(network).to(device, dtype)
        for parameter in ready.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return ready
