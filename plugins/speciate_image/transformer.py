"""The network of an image encoder of transformers."""

from __future__ import annotations

import inspect
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from speciate.hub import load_model
from speciate_image.encoder import LENGTH
from speciate_image.hf import Recipe

__all__ = ["load"]


class TransformerNetwork(nn.Module):
    """uint8 [n, 3, size, size] -> float32 [n, width] of one length."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, recipe: Recipe, pooling: str) -> None:
        super().__init__()
        self.model, self.pooling = model, pooling
        self.register_buffer("mean", torch.tensor(recipe.mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(recipe.std).reshape(1, -1, 1, 1), persistent=False)
        # ViT refuses another size than it was made for unless it is asked; DINOv2 and others never do
        takes = inspect.signature(model.forward).parameters
        self.asked = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.float() / 255 - self.mean.float()) / self.std.float()
        found = self.model(pixel_values=x.to(next(self.model.parameters()).dtype), **self.asked)
        hidden = found.last_hidden_state.float()
        if hidden.dim() == 4:  # [n, channel, height, width]: there is no first token
            return LENGTH * normalize(hidden.mean(dim=(2, 3)))
        return LENGTH * normalize(hidden[:, 0] if self.pooling == "cls" else hidden.mean(dim=1))


def load(folder: Path, recipe: Recipe, pooling: str) -> nn.Module:
    return TransformerNetwork(load_model(folder), recipe, pooling).eval()
