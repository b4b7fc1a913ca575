"""A Model: a folder with weights and all it takes to answer with them, on any machine that has the same plugins.

model.json           what it is: format, base and its hash, method, config, data, labels, scores, versions
weights.safetensors  what was learnt
parity.json          the receipt: trained, saved and served answers agree
README.md            the card
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate.catalog import Catalog, load, options_of
from speciate.contracts import Base, Encoder, Format, Method, Predictor, Reader, Row, Sample, TaskKind
from speciate.errors import SpeciateError, UsageError
from speciate.files import read_json, write_json
from speciate.sandbox import Sandbox
from speciate.task import Examples, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LIBRARIES", "Model"]

LIBRARIES = ("speciate", "numpy", "lancedb", "torch", "lightning", "transformers", "safetensors", "hydra-core")
SAMPLE_BYTES = 256 << 20
NEEDED = ("name", "task", "labels", "format", "base", "method")
WEIGHTS, INFO, RECEIPT = "weights.safetensors", "model.json", "parity.json"


class Model:
    """What a run made. Everything heavy is loaded when the first answer is asked for."""

    def __init__(self, folder: Path, catalog: Catalog, name: str = "") -> None:
        self.folder, self.catalog = folder, catalog
        if not (folder / INFO).is_file():
            raise UsageError(f"{folder} is not a model", f"it has no {INFO}", "name a model, or the folder of one")
        self.info: dict[str, Any] = read_json(folder / INFO)
        missing = [key for key in NEEDED if not isinstance(self.info, dict) or key not in self.info]
        if missing:
            raise SpeciateError(f"{folder / INFO} has no {', '.join(missing)}", "it is damaged", "copy the model again")
        self.name = name or str(self.info["name"])

    @cached_property
    def task(self) -> Task:
        kind = self.catalog.get(TaskKind, self.info["task"])
        task: Task = self.catalog.use(kind, "task")(tuple(self.info["labels"]), self.info.get("task_options", {}))
        return task

    @property
    def receipt(self) -> dict[str, Any]:
        path = self.folder / RECEIPT
        receipt = read_json(path) if path.exists() else {"holds": False, "why": "there is no receipt"}
        return receipt if isinstance(receipt, dict) else {"holds": False, "why": f"{path} is not a receipt"}

    @cached_property
    def format(self) -> Format:
        return self.catalog.get(Format, self.info["format"]["name"])

    @cached_property
    def reader(self) -> Reader:
        reader: Reader = self.catalog.use(self.format, "reader")(
            options_of(self.format, self.info["format"]["options"])
        )
        return reader

    @cached_property
    def encoder(self) -> Encoder:
        """The base as it was before the run."""
        return self.new_encoder()

    def new_encoder(self) -> Encoder:
        """The base in memory of its own, for somebody who changes its weights."""
        base = self.catalog.get(Base, self.info["base"]["name"])
        encoder: Encoder = self.catalog.use(base, "loader")(options_of(base, self.info["base"]["options"]))
        found, wanted = encoder.fingerprint(), self.info["base"]["hash"]
        if found != wanted:
            exists = f"here it has {found[:12]}, the model was made with {wanted[:12]}"
            raise SpeciateError(f"base {base.name!r} is not the one of this model", exists, "install the same weights")
        return encoder

    @cached_property
    def predictor(self) -> Predictor:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        method = self.catalog.get(Method, self.info["method"]["name"])
        try:
            tensors = load_file(self.folder / WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise SpeciateError(f"cannot read {self.folder / WEIGHTS}", str(error), "copy the model again") from error
        predictor: Predictor = load(method.predictor)(tensors, self.task, self.new_encoder)  # needs less than training
        return predictor

    @cached_property
    def sandbox(self) -> Sandbox:
        """Where strangers' bytes are read and decoded."""
        return Sandbox(self.format.reader, options_of(self.format, self.info["format"]["options"]))

    def load(self) -> Model:
        """Load everything now, so that the first request does not wait for it."""
        _ = self.reader
        if self.format.sandbox:
            self.sandbox.start()
        self._some([])
        return self

    def answers(self, rows: Sequence[Row]) -> NDArray[Any]:
        """The Predictor's array for rows whose content is known to be good."""
        import numpy as np

        return np.concatenate([self._some(batch) for batch in batches(map(self._decode, rows))])

    def _some(self, samples: Sequence[Sample]) -> NDArray[Any]:
        examples = Examples(
            list(map(dict, samples)), self.task, _same, lambda _: self.encoder.encode(samples, _no_tick)
        )
        answers = self.predictor.predict(examples)
        shape = self.task.shape()
        if shape is not None and answers.shape[1:] != shape:
            exists = f"its weights answer {answers.shape[1:]}, the task and labels of {INFO} say {shape}"
            raise SpeciateError(f"{self.folder} does not fit together", exists, "copy the model again")
        return answers

    def predict_rows(self, rows: Sequence[Row]) -> list[Row]:
        """One output a row."""
        if not rows:
            return []
        with tempfile.TemporaryDirectory(prefix="speciate-") as folder:
            rows = [self._complete(row, Path(folder) / str(i)) for i, row in enumerate(rows)]
            samples = self.sandbox.rows(rows) if self.format.sandbox else map(self.reader.decode, rows)
            return self._outputs(samples)

    def stream(self, row: Row) -> Iterator[str]:
        """The answer to a row in pieces, as they come, where the task has such."""
        if not hasattr(self.predictor, "stream"):
            exists = f"the method {self.info['method']['name']} answers whole"
            raise UsageError(f"{self.name!r} does not stream", exists, "ask for the answer itself")
        with tempfile.TemporaryDirectory(prefix="speciate-") as folder:
            whole = self._complete(row, Path(folder) / "0")
            (sample,) = self.sandbox.rows([whole]) if self.format.sandbox else [self.reader.decode(whole)]
            yield from self.predictor.stream(self._checked(sample))

    def predict_file(self, *paths: Path) -> list[Row]:
        """One output for each row of a file, or of several that are one thing."""
        together = bool(self.format.together)
        if len(paths) > 1 and not together:
            exists = f"a file of format {self.format.name!r} is a thing of its own"
            raise SpeciateError(f"cannot read {len(paths)} files at once", exists, "send one file at a time")
        with tempfile.TemporaryDirectory(prefix="speciate-") as folder:
            samples = self.sandbox.files(sorted(paths), together, Path(folder))
            found = samples if self.format.sandbox else self._read(paths[0])
            return self._outputs(found)

    def things(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Files as `predict_file` takes them: each alone, or those that are one thing together."""
        if not self.format.together:
            return [(path,) for path in paths]
        groups: dict[str, list[Path]] = {}
        for path, key in zip(paths, self.sandbox.keys(self.format.together, paths), strict=True):
            groups.setdefault(key, []).append(path)
        return [tuple(sorted(group)) for group in groups.values()]

    def _outputs(self, samples: Iterable[Sample]) -> list[Row]:
        checked = map(self._checked, samples)
        return [output for batch in batches(checked) for output in self.task.outputs(self._some(batch))]

    def _read(self, path: Path) -> Iterator[Sample]:
        try:
            yield from map(self.reader.decode, self.reader.read(path))
        except SpeciateError:
            raise
        except Exception as error:
            raise SpeciateError(f"cannot read {path.name}", f"{type(error).__name__}: {error}", "") from error

    def _complete(self, row: Row, place: Path) -> Row:
        """A row with all its content; the bytes of a file as a file."""
        schema = self.reader.schema()
        missing = [name for name in schema if name not in row]
        if missing:
            exists = f"it has: {', '.join(map(str, row)) or 'nothing'}"
            raise SpeciateError(f"a row needs {', '.join(missing)}", exists, "name the columns as the model does")
        for name in (name for name, kind in schema.items() if kind == "file"):
            if isinstance(row[name], bytes):
                place.write_bytes(row[name])
                row = {**row, name: place}
            elif not isinstance(row[name], Path):
                do = 'send {"base64": "..."}, or the file itself'
                raise SpeciateError(f"{name!r} is a file", "its bytes are wanted", do)
        return row

    def _decode(self, row: Row) -> Sample:
        return self._checked(self.reader.decode(row))

    def _checked(self, sample: Sample) -> Sample:
        if problems := self.format.modality.problems(sample):
            raise SpeciateError(f"a row is not {self.format.modality.name}", "; ".join(problems), "")
        return sample


def batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Samples as lists: small ones all together, of large ones so many as fit into memory."""
    some: list[Sample] = []
    size = 0
    for sample in samples:
        some.append(sample)
        size += sum(getattr(value, "nbytes", 0) for value in sample.values())
        if size > SAMPLE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def save(folder: Path, info: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write weights and description; the receipt and the card follow once they are known."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / WEIGHTS)
    write_json(folder / INFO, info)


def hashes(folder: Path) -> dict[str, str]:
    """What the receipt is about: a model whose weights or description changed since is another one."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, INFO)}


def versions() -> dict[str, str]:
    """The libraries a model was made with."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _no_tick(_: int) -> None:
    return None


def _same(sample: Row) -> Sample:
    return sample
