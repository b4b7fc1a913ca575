"""Models of transformers as bases: the folder or hub id, what it hashes to, how wide its vectors are, and loading it.

huggingface_hub, torch and transformers are imported by what needs them, not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speciate.errors import SpeciateError, UsageError, unknown
from speciate.files import read_json, sha256

__all__ = [
    "PICTURES",
    "TOKENIZER",
    "config",
    "fetch",
    "hashes",
    "load_model",
    "load_tokenizer",
    "locate",
    "quietly",
    "resolve",
    "width",
]

PRECISIONS = ("auto", "bf16", "fp32")
WANTED = ["*.json", "*.txt", "*.model", "*.jinja", "model*.safetensors"]  # what is downloaded: no pickles, no code
TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model", "*.jinja")
PICTURES = ("preprocessor_config.json", "video_preprocessor_config.json")
WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")
UNUSED = ("pooler", "contact_head")  # parts of a network that its last hidden states do not come from
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
WHOLE = "give the folder of a model: config.json, *.safetensors, and the files of its tokenizer if it has one"


def locate(base: str, name: str, revision: str, like: str) -> Path:
    """The folder of a model: `name` is a folder here, or a hub id such as `like`."""
    if not name:
        raise UsageError(
            f"base {base!r} needs to know which model", "base.id is empty", f"type base.id={like} or base.id=FOLDER"
        )
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else fetch(name, revision)


def fetch(name: str, revision: str = "") -> Path:
    """The folder of a hub id: the local cache first, the network only if it is not there.

    What is in the cache is taken as it is, so a run does not change by itself.
    """
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
        raise _missing(name, f"{where}; the hub answers: {_first_line(error)}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(name, f"{where}, and the hub cannot be reached ({type(error).__name__})") from None


def resolve(precision: str) -> str:
    """auto: bf16 where there are instructions for it. Asks the system, because asking torch would import it."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS, "type base.precision=auto")
    if precision != "auto":
        return precision
    if Path("/dev/nvidia0").exists():
        return "bf16"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "fp32"
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """One of a model's own files of settings."""
    try:
        said = read_json(folder / name)
        if isinstance(said, dict):
            return said
        exists = f"{name} holds no settings"
    except SpeciateError as error:
        exists = f"{error.asked} {error.exists}".strip()
    raise SpeciateError(f"{folder} is no encoder of transformers", exists, WHOLE)


def width(folder: Path) -> int:
    """The length of a vector, from the model's own config."""
    said = config(folder)
    found = next((said[name] for name in WIDTHS if isinstance(said.get(name), int)), None)
    if found is None:
        raise SpeciateError(f"{folder} is no encoder of transformers", "its config.json says no width", WHOLE)
    return int(found)


def hashes(folder: Path, also: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(name, sha256) of every file that decides the vectors: the weights, the config, and what prepares the input."""
    patterns = ("*.safetensors", "config.json", *also)
    names = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in names):
        do = "convert the weights to safetensors; pickled ones are never loaded"
        raise SpeciateError(f"{folder} has no weights", "there is no *.safetensors in it", do)
    return tuple((path.name, sha256(path)) for path in names)


def load_model(folder: Path, precision: str = "fp32", kind: str = "AutoModel") -> Any:
    """The network, from safetensors only, and only if all of it is there; `kind` is transformers' word for it."""
    import torch
    import transformers

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    known: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
    with quietly(folder):
        model, info = getattr(transformers, kind).from_pretrained(folder, dtype=dtype, **known, **LOCAL)
    missing = sorted(key for key in info["missing_keys"] if not any(part in key for part in UNUSED))
    if missing:
        exists = f"{len(missing)} of its weights are not in the files, such as {missing[0]}"
        raise SpeciateError(f"{folder} is not a whole model", exists, "download it again, or give another model")
    return model.eval()


def load_tokenizer(folder: Path) -> Any:
    """What makes tokens of text for it."""
    from transformers import AutoTokenizer

    with quietly(folder):
        return AutoTokenizer.from_pretrained(folder, **LOCAL)


@contextmanager
def quietly(folder: Path) -> Iterator[None]:
    """Without transformers' bars and notes; what it finds wrong is said in our words."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise SpeciateError(f"{folder} cannot be loaded", _first_line(error), WHOLE) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _missing(name: str, exists: str) -> SpeciateError:
    do = f"give a folder as base.id=FOLDER, or run `hf download {name}` on a machine with network and copy its cache"
    return SpeciateError(f"no model {name!r}", exists, do)
