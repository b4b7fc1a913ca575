"""Video encoders of transformers: VideoMAE, ViViT, TimeSformer, V-JEPA 2 and what has their shape."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speciate import Sample, SpeciateError, UsageError
from speciate_video.encoding import NetworkEncoder, digest
from speciate_video.options import HFOptions

__all__ = ["HFVideo"]

VERSION = "hf-video 1"
WANTED = ["config.json", "preprocessor_config.json", "video_preprocessor_config.json", "model*.safetensors*"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # where a model does not say


class HFVideo(NetworkEncoder):
    """The mean of a model's tokens. Clips are given the frames and the size that it was made for."""

    def __init__(self, options: HFOptions) -> None:
        super().__init__(options.batch)
        if not options.id:
            do = "type base.id=MCG-NJU/videomae-base or base.id=FOLDER"
            raise UsageError("base 'hf-video' needs to know which model", "base.id is empty", do)
        folder = Path(options.id).expanduser()
        self.folder = folder if folder.is_dir() else _fetched(options.id, options.revision)
        config = _json(self.folder / "config.json")
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
        return digest(VERSION, _hashes(self.folder))

    def make(self) -> nn.Module:
        return Tokens(_loaded(self.folder))

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        """[clip, time, channel, height, width], normalised as the model was."""
        said = [_json(self.folder / name) for name in WANTED[1:3] if (self.folder / name).is_file()]
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


def _loaded(folder: Path) -> Any:
    """From safetensors only, without transformers' bars and notes."""
    from transformers import AutoModel
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, info = AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        exists = str(error).splitlines()[0] if str(error) else type(error).__name__
        do = "give a folder with config.json and *.safetensors"
        raise SpeciateError(f"{folder} cannot be loaded as an encoder", exists, do) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    if info["missing_keys"]:
        exists = f"{len(info['missing_keys'])} of its weights are not in the files"
        raise SpeciateError(f"{folder} is not a whole encoder", exists, "download it again, or give another model")
    return model.eval()


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        do = "give the folder that holds config.json and *.safetensors"
        raise SpeciateError(f"{path.parent} is no encoder of transformers", str(error), do) from None
    return found


@functools.cache
def _hashes(folder: Path) -> tuple[tuple[str, str], ...]:
    """(name, sha256) of every file that decides the vectors."""
    names = sorted({path for pattern in WANTED for path in folder.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in names):
        do = "convert the weights to safetensors; pickled ones are never loaded"
        raise SpeciateError(f"{folder} has no weights", "there is no *.safetensors in it", do)
    return tuple((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in names)


def _fetched(name: str, revision: str) -> Path:
    """The folder of a hub id: what is in the local cache, else the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    chosen: dict[str, Any] = {"revision": revision or None, "allow_patterns": WANTED}
    try:
        try:
            return Path(snapshot_download(name, local_files_only=True, **chosen))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name, **chosen))
    except (HFValidationError, HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        exists = f"not a folder here, not in the local cache, and the hub does not give it ({type(error).__name__})"
        do = f"give a folder as base.id=FOLDER, or run `hf download {name}` where there is a network and copy its cache"
        raise SpeciateError(f"no model {name!r}", exists, do) from None
