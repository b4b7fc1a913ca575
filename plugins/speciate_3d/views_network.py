"""The views of a thing through the image base's network, to be trained."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["OfViews"]


class OfViews(nn.Module):
    """What `DepthViews.encode` gives, from the pictures of all views in a row."""

    def __init__(self, inner: nn.Module, views: int, pool: str) -> None:
        super().__init__()
        self.inner, self.views, self.pool = inner, views, pool

    def forward(self, **batch: Tensor) -> Tensor:
        vectors: Tensor = self.inner(**batch)
        vectors = vectors.reshape(-1, self.views, vectors.shape[-1])
        return vectors.amax(dim=1) if self.pool == "max" else vectors.flatten(1)
