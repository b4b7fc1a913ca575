"""MethodContract: it learns, the same way each time, and what it kept answers without the trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import Base, Evaluator, Format, Job, Method, SpeciateError, TaskKind
from speciate.catalog import load, options_of
from speciate.contracts import Encoder, Loader
from speciate.examples import Pairs
from speciate.features import seen
from speciate.progress import StageClock
from speciate.score import value
from speciate.task import Examples, Predictions, Task
from speciate.testing.contract import Contract, fresh
from speciate.testing.walk import easy
from speciate.workspace import Workspace

__all__ = ["MethodContract"]

LIGHTNING = ("lightning", "pytorch_lightning")
ANSWERING = """
from speciate.catalog import load
load(sys.argv[2])
print(json.dumps(sorted(set(sys.argv[3:]) & set(sys.modules))))
"""


class MethodContract(Contract):
    """Every declared task is learnt from `files`: by default texts that anybody can tell apart, on the base `base`."""

    kind = Method
    names = ("trainer", "predictor")
    base: ClassVar[str] = "hash-ngrams"
    base_options: ClassVar[Mapping[str, Any]] = {}
    tasks: ClassVar[tuple[str, ...]] = ()  # to try, of a method that does every task
    first: ClassVar[tuple[str, ...]] = ()  # methods to run before, where it learns from models: easy-METHOD-1
    deterministic: ClassVar[bool] = True  # the same seed gives the same tensors

    def files(self, folder: Path, task: str) -> list[Path]:
        """Labelled files that are easy to learn, of a format whose modality is the base's."""
        return [easy(folder, task)]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "task" in metafunc.fixturenames:
            declared = self.declaration.tasks
            metafunc.parametrize("task", self.tasks or [name for name in declared if name != "*"] or ["classify"])

    def test_it_learns(self, task: str, tmp_path: Path) -> None:
        """Tensors are arrays that survive a safetensors file, and their answers beat answering without a model."""
        from safetensors.numpy import load_file, save_file

        job, test = self.job(tmp_path, task)
        tensors = self.fit(job)
        assert tensors, "fit returned no tensors"
        strange = {
            name: type(tensor).__name__ for name, tensor in tensors.items() if not isinstance(tensor, np.ndarray)
        }
        assert not strange, f"these tensors are not numpy arrays: {strange}"
        answers = self.answers(tensors, job.task, test)
        check_shape(answers, job.task, len(test))
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, tmp_path / "w.safetensors")
        saved = self.answers(load_file(tmp_path / "w.safetensors"), job.task, test)
        assert np.array_equal(answers, saved), "the saved tensors answer something else"
        lost, prior = loss(answers, test), loss(job.task.prior(job.train.targets, len(test)), test)
        assert lost < prior, f"on easy data it is wrong by {lost:.3g}, without a model by {prior:.3g}"

    def test_a_row_is_answered_alone(self, task: str, tmp_path: Path) -> None:
        """An answer does not depend on what else is asked."""
        job, test = self.job(tmp_path, task)
        tensors = self.fit(job)
        together = self.answers(tensors, job.task, test)
        for number in range(len(test)):
            alone = self.answers(tensors, job.task, self.part(test, number))
            assert np.allclose(alone[0], together[number], atol=1e-6), f"row {number} alone has another answer"

    def test_the_seed_repeats(self, task: str, tmp_path: Path) -> None:
        if not self.deterministic:
            pytest.skip("declared as not deterministic")
        first, second = (self.fit(self.job(tmp_path / name, task)[0]) for name in ("first", "second"))
        assert first.keys() == second.keys(), "the same seed gives other tensors"
        changed = [name for name in first if not np.array_equal(first[name], second[name])]
        assert not changed, f"the same seed gives other values in {changed}"

    def test_a_whole_run_proves_parity(self, task: str, tmp_path: Path) -> None:
        """As a person would do it: the run is done, better than no model, and trained, saved and served agree."""
        workspace = self.workspace(tmp_path, task)
        ran = workspace.run("", *self.words(task), dataset="easy", **self.settings())
        assert ran.status == "done"
        assert ran.parity["holds"], f"trained, saved and served answers differ: {ran.parity}"
        assert ran.scores, "the run has no scores"

    def test_one_label_is_told(self, tmp_path: Path) -> None:
        """Data that cannot be learnt from is an error a person can act on."""
        if not self.declaration.does("classify"):
            pytest.skip("it does not classify")
        self.use("trainer")
        (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"text {i},same\n" for i in range(20)))
        workspace = Workspace(tmp_path / "workspace", catalog=self.catalog, quiet=True)
        workspace.add("one", tmp_path / "one.csv")
        with pytest.raises(SpeciateError):
            workspace.run("", f"base={self.base}", f"method={self.name}", dataset="one", **self.settings())

    def test_answering_needs_no_lightning(self) -> None:
        found = json.loads(fresh(self.catalog, ANSWERING, self.declaration.predictor, *LIGHTNING))
        assert not found, f"importing the predictor imports {', '.join(found)}"

    def words(self, task: str) -> list[str]:
        return [f"base={self.base}", f"method={self.name}", f"task={task}"]

    def settings(self) -> dict[str, Any]:
        return {key: dict(o) for key, o in (("method", self.options), ("base", self.base_options)) if o}

    def workspace(self, folder: Path, task: str) -> Workspace:
        self.use("trainer")
        folder.mkdir(parents=True, exist_ok=True)
        workspace = Workspace(folder / "workspace", catalog=self.catalog, quiet=True)
        workspace.add("easy", *self.files(folder, task))
        for method in self.first:
            workspace.run("", f"base={self.base}", f"method={method}", f"task={task}", dataset="easy")
        return workspace

    def job(self, folder: Path, name: str) -> tuple[Job, Examples]:
        """What a Trainer is given, and the test rows that are kept from it."""
        workspace = self.workspace(folder, name)
        dataset = workspace.engine.dataset("easy")
        format = self.catalog.get(Format, dataset.format)
        reader = self.catalog.use(format, "reader")(options_of(format, dataset.options))
        encoder = self.encoder()
        kind = self.catalog.get(TaskKind, name)
        task = self.catalog.use(kind, "task").pose(dataset.rows(), "easy", {})
        primary = self.catalog.get(Evaluator, kind.primary)

        def encode(examples: Examples) -> NDArray[np.float32]:
            vectors: NDArray[np.float32] = encoder.encode(examples.samples, lambda _: None)
            return vectors

        def load(ids: Sequence[str], **options: Any) -> Loader:
            return dataset.loader(ids, decode=Pairs(reader).decode, **options)

        def judge(answers: NDArray[Any], targets: NDArray[Any]) -> float:
            return value(self.catalog, primary, Predictions(task, answers, targets))

        train, dev, test = (
            Examples(dataset.rows(s), task, reader.decode, encode, load) for s in ("train", "dev", "test")
        )
        job = Job(
            train,
            dev,
            task,
            seed=0,
            folder=folder,
            progress=StageClock(quiet=True),
            encoder=self.encoder,
            augment=self.catalog.use(format, "augment") if format.augment else None,
            judge=judge,
            higher_is_better=primary.higher_is_better,
            model=workspace.model,
            seen=lambda model, part: seen(model, dataset, part.rows, format, reader, StageClock(quiet=True)),
        )
        return job, test

    def encoder(self) -> Encoder:
        """The base, in memory of its own."""
        base = self.catalog.get(Base, self.base)
        encoder: Encoder = self.catalog.use(base, "loader")(options_of(base, self.base_options))
        return encoder

    def part(self, examples: Examples, number: int) -> Examples:
        """One of the examples, by itself."""
        return Examples([examples.rows[number]], examples.task, examples._decode, examples._encode)

    def fit(self, job: Job) -> Mapping[str, NDArray[Any]]:
        tensors: Mapping[str, NDArray[Any]] = self.use("trainer")(self.chosen()).fit(job)
        return tensors

    def answers(self, tensors: Mapping[str, NDArray[Any]], task: Task, examples: Examples) -> NDArray[np.float64]:
        answers: NDArray[np.float64] = load(self.declaration.predictor)(tensors, task, self.encoder).predict(examples)
        return answers


def check_shape(answers: NDArray[np.float64], task: Task, n: int) -> None:
    """One finite number a row, or one probability a label that sum to 1."""
    wanted = (n, len(task.labels)) if task.name == "classify" else (n,)
    assert answers.shape == wanted, f"answers are {answers.shape}, not {wanted}"
    assert np.isfinite(answers).all(), "an answer is NaN or infinite"
    if task.name == "classify":
        assert (answers >= 0).all(), "a probability is negative"
        assert np.allclose(answers.sum(axis=1), 1, atol=1e-6), "the probabilities of a row do not sum to 1"


def loss(answers: NDArray[np.float64], examples: Examples) -> float:
    """The share of wrong labels, or the mean absolute error."""
    if examples.task.name == "classify":
        return float((answers.argmax(axis=1) != examples.targets).mean())
    return float(np.abs(answers - examples.targets).mean())
