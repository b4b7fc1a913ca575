"""The doctor: what is installed here, what is missing and how to get it, and where the room is tight."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
from typing import Any
from urllib.parse import urlsplit

from speciate.model import versions
from speciate.workspace import Workspace

__all__ = ["examine"]

TIGHT_GB = 5


def examine(workspace: Workspace) -> dict[str, Any]:
    """One flat dict, with a list of advice."""
    catalog = workspace.catalog
    missing = [row for row in catalog.rows() if row["missing"]]
    place = next(p for p in [workspace.root.absolute(), *workspace.root.absolute().parents] if p.exists())
    free = shutil.disk_usage(place).free / 1e9
    hub = _hub()
    writable = os.access(place, os.W_OK)
    advice = [f'{r["kind"]} {r["name"]} needs {r["missing"]}: pip install "{r["install"]}"' for r in missing]
    advice += [f"plugin {p.plugin} ({p.origin}) is broken: {p.cause}" for p in catalog.problems]
    advice += [] if free > TIGHT_GB else [f"only {free:.1f} GB are free on the disk of {place}"]
    advice += [] if writable else [f"{place} is not writable: choose another folder with --workspace"]
    return {
        "python": platform.python_version(),
        **versions(),
        "cpus": os.cpu_count() or 1,
        "gpu": _gpu(),
        "free_disk_gb": round(free, 1),
        "workspace": str(workspace.root),
        "workspace_exists": (workspace.root / "workspace.json").exists(),
        "model_hub": hub,
        "plugins": len(catalog.plugins),
        "declarations": len(catalog.rows()),
        "advice": advice,
    }


def _gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown: torch is not installed"
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else "none: runs on the CPU"


def _hub() -> str:
    """Whether weights could be downloaded by id now."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return "not used: transformers is not installed"
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "offline by HF_HUB_OFFLINE"
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=2).close()
    except OSError:
        return "not reachable: use bases from packages, or a local folder"
    return "reachable"
