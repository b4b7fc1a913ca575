"""The network of an image encoder of transformers. The one file of this room that imports transformers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoModel
from transformers.utils import logging

from speciate import SpeciateError
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
    """From safetensors only, without transformers' bars and notes."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    try:
        model, info = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **local)
    except (OSError, ValueError, KeyError) as error:
        exists = str(error).splitlines()[0] if str(error) else type(error).__name__
        do = "give a folder with config.json and *.safetensors"
        raise SpeciateError(f"{folder} cannot be loaded as an encoder", exists, do) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        exists = f"{len(missing)} of its weights are not in the files, such as {missing[0]}"
        raise SpeciateError(f"{folder} is not a whole encoder", exists, "download it again, or give another model")
    return TransformerNetwork(model, recipe, pooling).eval()
