"""MethodContract: it learns, the same way each time, and what it kept answers without the trainer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import IMAGE, TEXT, Base, Evaluator, Format, Job, Method, SpeciateError, TaskKind, UsageError
from speciate.catalog import load, options_of
from speciate.contracts import Encoder, Loader
from speciate.examples import Pairs
from speciate.features import seen
from speciate.progress import StageClock
from speciate.score import value
from speciate.task import Examples, Predictions, Task
from speciate.testing.contract import Contract, fresh
from speciate.testing.tasks import check_answers
from speciate.testing.walk import LABELS, easy, pictures
from speciate.workspace import Workspace

__all__ = ["MethodContract"]

Learnt = tuple[Job, Examples, "Mapping[str, NDArray[Any]]"]
LIGHTNING = ("lightning", "pytorch_lightning")
ANSWERING = """
from speciate.catalog import load
load(sys.argv[2])
print(json.dumps(sorted(set(sys.argv[3:]) & set(sys.modules))))
"""


class MethodContract(Contract):
    """Every declared task is learnt from `files`: by default texts or pictures that anybody can tell apart, whatever
    the base takes. Without a `base` it is hash-ngrams, or a small conv-image where the method trains its base."""

    kind = Method
    names = ("trainer", "predictor")
    base: ClassVar[str] = ""
    base_options: ClassVar[Mapping[str, Any]] = {}
    tasks: ClassVar[
        tuple[str, ...]
    ] = ()  # to try; without them all declared ones, of "*" all that the base is enough for
    task_options: ClassVar[Mapping[str, Any]] = {}  # one of the ways in which the task's examples pose it
    first: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # methods that make what it learns from: easy-METHOD-1
    deterministic: ClassVar[bool] = True  # the same seed gives the same tensors

    def files(self, folder: Path, task: str) -> list[Path]:
        """Labelled files that are easy to learn, of a format whose modality is the base's; their labels may stand in a
        file labels.csv beside them."""
        return self.labelled(folder, task, self.labels(task))

    def labelled(self, folder: Path, task: str, labels: Sequence[str]) -> list[Path]:
        takes = self.catalog.get(Base, self.on[0]).modality
        if takes.agrees(TEXT):
            return [easy(folder, task, labels=labels)]
        if takes.agrees(IMAGE):
            return pictures(folder, labels)
        pytest.skip(f"base {self.on[0]} takes {takes.name}: override files")

    def labels(self, task: str) -> Sequence[str]:
        """Of the example that has the options."""
        ways = self.catalog.use(self.catalog.get(TaskKind, task), "task").examples()
        chosen = [labels for options, labels in ways if dict(options) == dict(self.task_options)]
        found: Sequence[str] = (chosen or [labels for _, labels in ways])[0]
        return found

    @property
    def on(self) -> tuple[str, Mapping[str, Any]]:
        """The base and its options."""
        if self.base:
            return self.base, self.base_options
        return ("hash-ngrams", {}) if self.declaration.features else ("conv-image", {"size": 16})

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "task" in metafunc.fixturenames:
            gives, does = self.catalog.get(Base, self.on[0]).gives, self.declaration.does
            fitting = [kind for kind in self.catalog.all(TaskKind) if does(kind.name) and kind.needs in gives]
            known = [kind.name for kind in fitting if self.catalog.use(kind, "task").examples()]
            metafunc.parametrize("task", self.tasks or known)

    @pytest.fixture
    def learnt(self, task: str, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
        """A job, its test rows and what was learnt; once for all checks that only look at it."""
        if (type(self), task) not in LEARNT:
            for other in [key for key in LEARNT if key[0] is not type(self)]:  # they hold bases and samples
                del LEARNT[other]
            job, test = self.job(tmp_path_factory.mktemp("learnt"), task)
            LEARNT[type(self), task] = job, test, self.fit(job)
        return LEARNT[type(self), task]

    def test_it_learns(self, learnt: Learnt, tmp_path: Path) -> None:
        """Tensors are arrays that survive a safetensors file, and their answers beat answering without a model."""
        from safetensors.numpy import load_file, save_file

        job, test, tensors = learnt
        assert tensors, "fit returned no tensors"
        strange = {
            name: type(tensor).__name__ for name, tensor in tensors.items() if not isinstance(tensor, np.ndarray)
        }
        assert not strange, f"these tensors are not numpy arrays: {strange}"
        answers = self.answers(tensors, job.task, test)
        check_shape(answers, job.task, len(test))
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, tmp_path / "w.safetensors")
        saved = self.answers(load_file(tmp_path / "w.safetensors"), job.task, test)
        assert job.task.gap(answers, saved) == 0, "the saved tensors answer something else"
        primary = self.catalog.get(Evaluator, job.task.primary)
        given = (answers, job.task.prior(job.train.targets, len(test)))
        found, prior = (value(self.catalog, primary, Predictions(job.task, a, test.targets)) for a in given)
        better = found > prior if primary.higher_is_better else found < prior
        assert better, f"on easy data its {job.task.primary} is {found:.3g}, without a model {prior:.3g}"

    def test_a_row_is_answered_alone(self, learnt: Learnt) -> None:
        """An answer does not depend on what else is asked."""
        job, test, tensors = learnt
        together = self.answers(tensors, job.task, test)
        alone = np.concatenate([self.answers(tensors, job.task, self.part(test, i)) for i in range(len(test))])
        gap, allowed = job.task.gap(together, alone), max(1e-6, self.encoder().tolerance)
        assert gap <= allowed, f"a row alone has another answer: they differ by {gap:.2g}, more than {allowed:.2g}"

    def test_the_seed_repeats(self, task: str, learnt: Learnt, tmp_path: Path) -> None:
        if not self.deterministic:
            pytest.skip("declared as not deterministic")
        first, second = learnt[2], self.fit(self.job(tmp_path, task)[0])
        assert first.keys() == second.keys(), "the same seed gives other tensors"
        changed = [name for name in first if not np.array_equal(first[name], second[name])]
        assert not changed, f"the same seed gives other values in {changed}"

    def test_a_whole_run_proves_parity(self, task: str, tmp_path: Path) -> None:
        """As a person would do it: the run is done, better than no model, and trained, saved and served agree."""
        workspace = self.workspace(tmp_path, task)
        with self.able():
            ran = workspace.run("", *self.words(task), dataset="easy", **self.settings())
        assert ran.status == "done"
        assert ran.parity["holds"], f"trained, saved and served answers differ: {ran.parity}"
        assert ran.scores, "the run has no scores"

    def test_one_label_is_told(self, tmp_path: Path) -> None:
        """Data that cannot be learnt from is an error a person can act on."""
        if not self.declaration.does("classify"):
            pytest.skip("it does not classify")
        self.use("trainer")
        texts = self.catalog.get(Base, self.on[0]).modality.agrees(TEXT)
        files = [tmp_path / "one.csv"] if texts else self.labelled(tmp_path, "classify", ["same"])
        if texts:
            files[0].write_text("text,label\n" + "".join(f"text {i},same\n" for i in range(20)))
        with pytest.raises(SpeciateError):
            self.added(tmp_path, files).run("", *self.words("classify"), dataset="easy", **self.settings())

    def test_answering_needs_no_lightning(self) -> None:
        found = json.loads(fresh(self.catalog, ANSWERING, self.declaration.predictor, *LIGHTNING))
        assert not found, f"importing the predictor imports {', '.join(found)}"

    def words(self, task: str) -> list[str]:
        return [f"base={self.on[0]}", f"method={self.name}", f"task={task}"]

    def settings(self) -> dict[str, Any]:
        sections = (("method", self.options), ("base", self.on[1]), ("task", self.task_options))
        return {key: dict(options) for key, options in sections if options}

    def workspace(self, folder: Path, task: str) -> Workspace:
        self.use("trainer")
        folder.mkdir(parents=True, exist_ok=True)
        workspace = self.added(folder, self.files(folder, task))
        for method, options in self.first.items():
            words = [f"method={method}" if word.startswith("method=") else word for word in self.words(task)]
            workspace.run("", *words, dataset="easy", **{**self.settings(), "method": dict(options)})
        return workspace

    def added(self, folder: Path, files: Sequence[Path]) -> Workspace:
        labels = [str(path) for path in files if path.name == LABELS]
        workspace = Workspace(folder / "workspace", catalog=self.catalog, quiet=True)
        workspace.add("easy", *(path for path in files if path.name != LABELS), labels="".join(labels))
        return workspace

    def job(self, folder: Path, name: str) -> tuple[Job, Examples]:
        """What a Trainer is given, and the test rows that are kept from it."""
        workspace = self.workspace(folder, name)
        dataset = workspace.engine.dataset("easy")
        format = self.catalog.get(Format, dataset.format)
        reader = self.catalog.use(format, "reader")(options_of(format, dataset.options))
        encoder = self.encoder()
        kind = self.catalog.get(TaskKind, name)
        task = self.catalog.use(kind, "task").pose(dataset.rows(), "easy", dict(self.task_options))
        watched = self.catalog.get(Evaluator, kind.judge())

        def encode(examples: Examples) -> NDArray[np.float32]:
            vectors: NDArray[np.float32] = encoder.encode(examples.samples, lambda _: None)
            return vectors

        def load(ids: Sequence[str], **options: Any) -> Loader:
            return dataset.loader(ids, decode=Pairs(reader).decode, **options)

        def judge(answers: NDArray[Any], targets: NDArray[Any]) -> float:
            return value(self.catalog, watched, Predictions(task, answers, targets))

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
            higher_is_better=watched.higher_is_better,
            model=workspace.model,
            seen=lambda model, part: seen(model, dataset, part.rows, format, reader, StageClock(quiet=True)),
        )
        return job, test

    def encoder(self) -> Encoder:
        """The base, in memory of its own."""
        base = self.catalog.get(Base, self.on[0])
        encoder: Encoder = self.catalog.use(base, "loader")(options_of(base, self.on[1]))
        return encoder

    def part(self, examples: Examples, number: int) -> Examples:
        """One of the examples, by itself."""
        return Examples([examples.rows[number]], examples.task, examples._decode, examples._encode)

    def fit(self, job: Job) -> Mapping[str, NDArray[Any]]:
        with self.able():
            tensors: Mapping[str, NDArray[Any]] = self.use("trainer")(self.chosen()).fit(job)
        return tensors

    @contextmanager
    def able(self) -> Iterator[None]:
        """A method that cannot start without options, a teacher say, is skipped where the contract gives none."""
        try:
            yield
        except UsageError as error:
            if self.options:
                raise
            pytest.skip(f"it needs options: {' '.join(str(error).split())}")

    def answers(self, tensors: Mapping[str, NDArray[Any]], task: Task, examples: Examples) -> NDArray[np.float64]:
        answers: NDArray[np.float64] = load(self.declaration.predictor)(tensors, task, self.encoder).predict(examples)
        return answers


LEARNT: dict[tuple[type[MethodContract], str], Learnt] = {}


def check_shape(answers: NDArray[np.float64], task: Task, n: int) -> None:
    """One answer a row, as the task has them; probabilities of one of the labels sum to 1."""
    assert len(answers) == n, f"{n} rows have {len(answers)} answers"
    check_answers("predict", task, answers)
    if task.name == "classify":
        assert (answers >= 0).all(), "a probability is negative"
        assert np.allclose(answers.sum(axis=1), 1, atol=1e-6), "the probabilities of a row do not sum to 1"
