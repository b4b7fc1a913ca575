"""A model's folder from the hub: the local cache first, the network only if it is not there."""

from __future__ import annotations

from pathlib import Path

from speciate import SpeciateError

__all__ = ["fetch"]

WANTED = ["*.json", "*.txt", "*.model", "model*.safetensors", "*.jinja"]


def fetch(name: str, revision: str = "") -> Path:
    """The folder of a hub id; what is in the cache is taken as it is, so a run does not change by itself."""
    import huggingface_hub
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = revision or None
    try:
        folder = Path(snapshot_download(name, revision=wanted, allow_patterns=WANTED, local_files_only=True))
        if any(folder.glob("*.safetensors")):
            return folder
    except HFValidationError:
        raise _missing(name, "that is neither a folder here nor a hub id like owner/name") from None
    except LocalEntryNotFoundError:
        pass
    where = f"not a folder here, not in the local cache {constants.HF_HUB_CACHE}"
    if huggingface_hub.is_offline_mode():
        raise _missing(name, f"{where}, and the hub is switched off (HF_HUB_OFFLINE)")
    try:
        return Path(snapshot_download(name, revision=wanted, allow_patterns=WANTED))
    except HfHubHTTPError as error:
        raise _missing(name, f"{where}; the hub answers: {str(error).splitlines()[0]}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(name, f"{where}, and the hub cannot be reached ({type(error).__name__})") from None


def _missing(name: str, exists: str) -> SpeciateError:
    do = f"give a folder as base.id=FOLDER, or run `hf download {name}` on a machine with network and copy its cache"
    return SpeciateError(f"no model {name!r}", exists, do)
