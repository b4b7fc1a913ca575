"""Video encoders of transformers: VideoMAE, ViViT, TimeSformer, V-JEPA 2 and what has their shape."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speciate import Sample, SpeciateError, hub
from speciate_video.encoding import NetworkEncoder, digest
from speciate_video.options import HFOptions

__all__ = ["HFVideo"]

VERSION = "hf-video 1"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # where a model does not say


class HFVideo(NetworkEncoder):
    """The mean of a model's tokens. Clips are given the frames and the size that it was made for."""

    def __init__(self, options: HFOptions) -> None:
        super().__init__(options.batch)
        self.folder = hub.locate("hf-video", options.id, options.revision, "MCG-NJU/videomae-base")
        config = hub.config(self.folder)
        try:
            self.width = int(config["hidden_size"])
            self.size = int(config.get("image_size") or config["crop_size"])
            self.frames = int(config.get("num_frames") or config["frames_per_clip"])
        except (KeyError, TypeError, ValueError) as error:
            exists = f"its config.json does not say its {error}"
            raise SpeciateError(
                f"{self.folder} is no video encoder", exists, "give a VideoMAE or one like it"
            ) from None

    def fingerprint(self) -> str:
        return digest(VERSION, hub.hashes(self.folder, hub.PICTURES))

    def make(self) -> nn.Module:
        return Tokens(hub.load_model(self.folder))

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        """[clip, time, channel, height, width], normalised as the model was."""
        said = [hub.config(self.folder, name) for name in hub.PICTURES if (self.folder / name).is_file()]
        mean, std = (
            next((s[key] for s in said if key in s), usual) for key, usual in (("image_mean", MEAN), ("image_std", STD))
        )
        chosen = []
        for sample in samples:
            frames = sample["frames"]
            chosen.append(frames[((np.arange(self.frames) + 0.5) * len(frames) / self.frames).astype(int)])
        given = super().batch([{"frames": frames} for frames in chosen])["clips"]
        shape = (1, 3, 1, 1, 1)
        given = ((given + 1) / 2 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
        return {"clips": given.permute(0, 2, 1, 3, 4)}


class Tokens(nn.Module):
    """Mean of the tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        names = inspect.signature(model.forward).parameters
        self._name = "pixel_values_videos" if "pixel_values_videos" in names else "pixel_values"

    def forward(self, clips: Tensor) -> Tensor:
        found: Tensor = self.model(**{self._name: clips}).last_hidden_state.float().mean(dim=1)
        return found
