"""The one way a Lightning Trainer is made here: quiet, local, and open to the config's `trainer` settings."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from speciate import UsageError

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def fit(module: pl.LightningModule, loader: Any, folder: Path, settings: Mapping[str, Any]) -> None:
    """Train a module; what the config's `trainer` section says goes straight to Lightning's Trainer."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", module="torch.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", module="lightning.*", category=FutureWarning)
        _trainer(folder, settings).fit(module, loader)


def _trainer(folder: Path, settings: Mapping[str, Any]) -> pl.Trainer:
    try:
        return pl.Trainer(default_root_dir=folder, **{**QUIET, **settings})
    except (TypeError, ValueError, pl.utilities.exceptions.MisconfigurationException) as error:
        raise UsageError(
            "Lightning refuses these trainer settings", str(error), "see `trainer.*` in the config"
        ) from error
