"""MethodContract: it learns, the same way each time, and what it kept answers without the trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import Base, Format, Job, Method, SpeciateError
from speciate.catalog import load, options_of
from speciate.progress import StageClock
from speciate.task import Examples, Task
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
    deterministic: ClassVar[bool] = True  # the same seed gives the same tensors

    def files(self, folder: Path, task: str) -> list[Path]:
        """Labelled files that are easy to learn, of a format whose modality is the base's."""
        return [easy(folder, task)]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "task" in metafunc.fixturenames:
            metafunc.parametrize("task", self.declaration.tasks)

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
        if "classify" not in self.declaration.tasks:
            pytest.skip("it does not classify")
        self.use("trainer")
        (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"text {i},same\n" for i in range(20)))
        workspace = Workspace(tmp_path / "workspace", catalog=self.catalog, quiet=True)
        workspace.add("one", tmp_path / "one.csv")
        with pytest.raises(SpeciateError):
            workspace.run("", "base=hash-ngrams", f"method={self.name}", dataset="one", **self.settings())

    def test_answering_needs_no_lightning(self) -> None:
        found = json.loads(fresh(self.catalog, ANSWERING, self.declaration.predictor, *LIGHTNING))
        assert not found, f"importing the predictor imports {', '.join(found)}"

    def words(self, task: str) -> list[str]:
        return [f"base={self.base}", f"method={self.name}", f"task={task}"]

    def settings(self) -> dict[str, Any]:
        return {"method": dict(self.options)} if self.options else {}

    def workspace(self, folder: Path, task: str) -> Workspace:
        self.use("trainer")
        folder.mkdir(parents=True, exist_ok=True)
        workspace = Workspace(folder / "workspace", catalog=self.catalog, quiet=True)
        workspace.add("easy", *self.files(folder, task))
        return workspace

    def job(self, folder: Path, name: str) -> tuple[Job, Examples]:
        """What a Trainer is given, and the test rows that are kept from it."""
        dataset = self.workspace(folder, name).engine.dataset("easy")
        format, base = self.catalog.get(Format, dataset.format), self.catalog.get(Base, self.base)
        reader = self.catalog.use(format, "reader")(options_of(format, dataset.options))
        encoder = self.catalog.use(base, "loader")(options_of(base, {}))
        task = Task.of(name, dataset.rows(), "easy")

        def encode(examples: Examples) -> NDArray[np.float32]:
            vectors: NDArray[np.float32] = encoder.encode(examples.samples, lambda _: None)
            return vectors

        train, dev, test = (Examples(dataset.rows(s), task, reader.decode, encode) for s in ("train", "dev", "test"))
        return Job(train, dev, task, seed=0, folder=folder, progress=StageClock(quiet=True)), test

    def part(self, examples: Examples, number: int) -> Examples:
        """One of the examples, by itself."""
        return Examples([examples.rows[number]], examples.task, examples._decode, examples._encode)

    def fit(self, job: Job) -> Mapping[str, NDArray[Any]]:
        tensors: Mapping[str, NDArray[Any]] = self.use("trainer")(self.chosen()).fit(job)
        return tensors

    def answers(self, tensors: Mapping[str, NDArray[Any]], task: Task, examples: Examples) -> NDArray[np.float64]:
        answers: NDArray[np.float64] = load(self.declaration.predictor)(tensors, task).predict(examples)
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
