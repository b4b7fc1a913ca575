"""Who a student learns from: models of the workspace, whose answers are kept in the dataset, or an endpoint."""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speciate import Job, Row, Sample, SpeciateError, UsageError
from speciate.contracts import Encoder, Predictor
from speciate.model import WEIGHTS, Model, hashes
from speciate.task import Examples, Task
from speciate_trainers.endpoint import Endpoint
from speciate_trainers.fixed import with_network
from speciate_trainers.keep import Kept
from speciate_trainers.options import DistillOptions
from speciate_trainers.parts import part

__all__ = ["Models", "Remote", "Teacher", "teacher_of", "timed", "weight"]

REMOTE = "openai:"
TOGETHER = 16  # rows that a teacher writes an answer for, before what it said is kept
PATIENCE, FEWEST = 5.0, 3  # seconds to time one model; answers at least


class Teacher(Protocol):
    """Answers for rows, in their order; a row that it has none for is NaN, or None."""

    name: str
    key: str  # a hash of all that decides its answers

    def answers(self, examples: Examples) -> NDArray[np.float64]: ...

    def labels(self, examples: Examples) -> list[str | None]: ...

    def judged(self, examples: Examples) -> NDArray[Any]:
        """Answers to be scored: one for every row."""
        ...

    def vectors(self, examples: Examples) -> NDArray[np.float32]: ...

    def size(self) -> tuple[int | None, float | None]:
        """Parameters and megabytes."""
        ...

    def seconds(self, samples: Sequence[Sample]) -> float | None:
        """The middle of the times that it takes for one sample after the other."""
        ...


def teacher_of(job: Job, options: DistillOptions) -> Teacher:
    """The teacher that the options name, checked against the task."""
    names = options.teacher
    if not names:
        do = "type method.teacher=[MODEL]; `speciate list models` shows them"
        raise UsageError("distill needs a teacher", "method.teacher is empty", do)
    if len(names) > 1 and any(name.startswith(REMOTE) for name in names):
        exists = "the answers of several models are averaged, what an endpoint writes cannot be"
        raise UsageError(f"method.teacher={names}", exists, "name models, or one endpoint alone")
    if names[0].startswith(REMOTE):
        return Remote(job, names[0], options)
    if job.model is None or job.seen is None:
        raise SpeciateError("a teacher is a model of a workspace", "this job stands in none", "")
    return Models(job, [job.model(name) for name in names])


class Models:
    """One model, or several whose answers are averaged."""

    def __init__(self, job: Job, models: Sequence[Model]) -> None:
        self.task, self._seen, self._cache, self.models = job.task, job.seen, job.cache, models
        for model in models:
            _check(job.task, model)
        if len(models) > 1 and job.task.shape() is None:
            exists = f"answers of {job.task.name} cannot be averaged"
            raise UsageError(f"{len(models)} teachers for {job.task.name}", exists, "name one model")
        self.name = " + ".join(model.name for model in models)
        self.key = " ".join(_key(model) for model in models)

    def answers(self, examples: Examples) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.mean([self._answers(model, examples) for model in self.models], axis=0)
        return found

    def labels(self, examples: Examples) -> list[str | None]:
        """Of answers without one shape each is kept as what it says, in the workspace."""
        if self.task.shape() is not None:
            return list(self.task.written(self.answers(examples)))
        view, found = self._view(self.models[0], examples), []
        with Kept(self._cache) as kept:
            for start in range(0, len(view), TOGETHER):
                some = view.of(view.rows[start : start + TOGETHER])
                keys = [f"{self.key} {row['id']}" for row in some.rows]
                if any(kept.get(key) is None for key in keys):
                    said = self.task.written(self.models[0].predictor.predict(some))
                    kept.put([(key, label, 0, 0.0) for key, label in zip(keys, said, strict=True)])
                found += [kept.get(key) for key in keys]
        return found

    def judged(self, examples: Examples) -> NDArray[Any]:
        if self.task.shape() is not None:
            return self.answers(examples)
        return self.models[0].predictor.predict(self._view(self.models[0], examples))

    def vectors(self, examples: Examples) -> NDArray[np.float32]:
        return np.concatenate([self._view(model, examples).features for model in self.models], axis=1)

    def size(self) -> tuple[int, float]:
        sizes = [_size(model) for model in self.models]
        return sum(count for count, _ in sizes), sum(size for _, size in sizes)

    def seconds(self, samples: Sequence[Sample]) -> float | None:
        return sum(timed(model.predictor, model.task, samples, model.encoder) or 0.0 for model in self.models) or None

    def _view(self, model: Model, examples: Examples) -> Examples:
        assert self._seen is not None
        return self._seen(model, examples)

    def _answers(self, model: Model, examples: Examples) -> NDArray[np.float64]:
        """Computed once for each row of the dataset, and kept as a column of it."""
        shape = model.task.shape()
        if shape is None:
            exists = f"answers of task {model.task.name!r} have no one shape to be compared in"
            do = "type method.write=all, or method.write=missing"
            raise UsageError(f"a student of {model.task.name} learns what its teacher writes", exists, do)
        flat = self._view(model, examples).kept(
            _key(model), math.prod(shape), lambda part: model.predictor.predict(part).reshape(len(part), -1)
        )
        answers = flat.reshape(-1, *shape).astype(np.float64)
        if model.task.labels != self.task.labels:  # the same ones, in another order
            answers = answers[:, [model.task.labels.index(label) for label in self.task.labels]]
        return answers


class Remote:
    """A model behind a protocol: it reads texts and writes texts, of which those that say a label teach."""

    def __init__(self, job: Job, name: str, options: DistillOptions) -> None:
        self.task, self.name, self._progress = job.task, name, job.progress
        self.endpoint = Endpoint(name.removeprefix(REMOTE), options.url, options.key, options.parallel, job.cache)
        self.told = "\n\n".join(part for part in (options.prompt, job.task.wanted()) if part)
        self.key = f"{options.url} {name} {self.told}"

    def labels(self, examples: Examples) -> list[str | None]:
        texts = [self._messages(sample) for sample in examples.each()]
        with self._progress.track(f"ask {self.name}", len(texts)) as tick:
            return [self._label(answer) for answer in self.endpoint.ask(texts, tick)]

    def answers(self, examples: Examples) -> NDArray[np.float64]:
        labels = self.labels(examples)
        said = [i for i, label in enumerate(labels) if label is not None]
        if not said:
            raise SpeciateError(f"{self.name} gave no answer that is a label", _some(self.task), "try method.prompt=…")
        certain = self.task.certain(self.task.targets([{"label": labels[i]} for i in said]))
        answers = np.full((len(labels), *certain.shape[1:]), np.nan)
        answers[said] = certain
        return answers

    def judged(self, examples: Examples) -> NDArray[Any]:
        """A row for which it says no label is answered with the label that it says most."""
        labels = self.labels(examples)
        often = Counter(label for label in labels if label is not None).most_common(1)
        if not often:
            raise SpeciateError(f"{self.name} gave no answer that is a label", _some(self.task), "try method.prompt=…")
        said = [{"label": often[0][0] if label is None else label} for label in labels]
        return self.task.certain(self.task.targets(said))

    def vectors(self, examples: Examples) -> NDArray[np.float32]:
        raise UsageError(f"{self.name} gives no vectors", "an endpoint writes words", "type method.features=0")

    def size(self) -> tuple[None, None]:
        return None, None

    def seconds(self, samples: Sequence[Sample]) -> float | None:
        """As they were when it was asked: nobody pays for this."""
        found = self.endpoint.seconds([self._messages(sample) for sample in samples])
        return statistics.median(found) if found else None

    def _messages(self, sample: Sample) -> list[dict[str, str]]:
        text = sample.get("text")
        if not isinstance(text, str):
            exists = f"a sample has {', '.join(sample)}"
            raise UsageError(f"{self.name} reads texts", exists, "take a model of the workspace as teacher")
        system = [{"role": "system", "content": self.told}] if self.told else []
        return [*system, *(_chat(text) or [{"role": "user", "content": text}])]

    def _label(self, answer: str) -> str | None:
        label = self.task.read(answer)
        try:
            self.task.targets([{"label": label}] if label is not None else [])
        except SpeciateError:
            return None
        return label


def timed(predictor: Predictor, task: Task, samples: Sequence[Sample], encoder: Encoder) -> float | None:
    """Seconds for one answer, as it is served: the sample decoded, and nothing of it in a cache. The middle of those
    after the first, which loads things; few of them where each takes long."""
    taken: list[float] = []
    for sample in samples:
        alone = Examples([dict(sample)], task, _same, lambda part: encoder.encode(part.samples, lambda _: None))
        start = time.perf_counter()
        predictor.predict(alone)
        taken.append(time.perf_counter() - start)
        if sum(taken) > PATIENCE and len(taken) > FEWEST:
            break
    return statistics.median(taken[1:] or taken) if taken else None


def _same(row: Row) -> Sample:
    return row


def weight(encoder: Encoder, tensors: Any, task: Task) -> tuple[int, float]:
    """Parameters and megabytes of a base's network with what was learnt beside it."""
    network = part(with_network(encoder), task)[0]
    parts = [(p.numel(), p.numel() * p.element_size()) for p in network.parameters()]
    parts += [(t.size, t.nbytes) for name, t in tensors.items() if not name.startswith("network.")]
    return sum(count for count, _ in parts), sum(size for _, size in parts) / 1e6


def _size(model: Model) -> tuple[int, float]:
    from safetensors.numpy import load_file

    return weight(model.new_encoder(), load_file(model.folder / WEIGHTS), model.task)


def _check(task: Task, model: Model) -> None:
    """A teacher of another task, or with other labels, teaches something else."""
    if model.task.name != task.name:
        asked = f"model {model.name!r} cannot teach {task.name}"
        raise SpeciateError(asked, f"it does {model.task.name}", f"name a model that does {task.name}")
    if task.name == "regress" and model.task.shape() != task.shape():
        exists = f"its answers are of shape {model.task.shape()}, those of the student of {task.shape()}"
        raise SpeciateError(f"model {model.name!r} answers otherwise", exists, "give both the same task options")
    if set(model.task.labels) != set(task.labels):
        strange, missing = (
            ", ".join(sorted(set(a) - set(b))[:5]) or "none"
            for a, b in ((model.task.labels, task.labels), (task.labels, model.task.labels))
        )
        exists = f"only the teacher knows: {strange}; only the dataset has: {missing}"
        do = "train the teacher on rows with these labels, or relabel them"
        raise SpeciateError(f"model {model.name!r} is a teacher with other labels", exists, do)


def _key(model: Model) -> str:
    """Of the column that its answers are kept in."""
    found = hashes(model.folder)
    digest = hashlib.sha256(" ".join(found[name] for name in sorted(found)).encode()).hexdigest()
    return f"answers_{re.sub(r'[^A-Za-z0-9]', '_', model.name)}_{digest[:12]}"


def _chat(text: str) -> list[dict[str, str]]:
    """The messages that a text is JSON of."""
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else []
        return [{"role": str(one["role"]), "content": str(one["content"])} for one in found]
    except (ValueError, LookupError, TypeError):
        return []


def _some(task: Task) -> str:
    return f"labels are: {', '.join(task.labels[:8])}" if task.labels else ""
