"""What a plugin declares, and what the code it names must do.

A declaration is frozen, made of strings and one options dataclass, and costs nothing to make: the class it names
("package.module:Class") is imported when a run first needs it. The Protocols below are those classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from speciate.modality import Modality

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from speciate.catalog import Catalog
    from speciate.model import Model
    from speciate.task import Examples, Predictions, Task

__all__ = [
    "COLUMN_TYPES",
    "STORE_COLUMNS",
    "Added",
    "Base",
    "Dataset",
    "Declaration",
    "Demo",
    "Encoder",
    "Engine",
    "Evaluator",
    "Format",
    "Job",
    "Journal",
    "Judge",
    "LanguageEncoder",
    "Loader",
    "Method",
    "Near",
    "NoOptions",
    "PlaceEncoder",
    "Predictor",
    "Preview",
    "Progress",
    "Pseudonyms",
    "Quarantined",
    "Reader",
    "Reporter",
    "Row",
    "Rows",
    "Said",
    "Sample",
    "Server",
    "ServerApp",
    "Source",
    "Store",
    "TaskKind",
    "TogetherReader",
    "TrainableEncoder",
    "Trainer",
]

Row = dict[str, Any]
"""How one thing to learn from is stored: the format's columns, and `label`, `split`, `group` where they are known."""

Rows = list[Row]

Sample = Mapping[str, Any]
"""One decoded thing: the arrays of a Modality, by name."""


@dataclass
class NoOptions:
    """For a declaration with nothing to choose."""


COLUMN_TYPES = {
    **{"string": str, "int64": int, "float64": float, "bool": bool, "bytes": bytes},
    "blob": bytes,
    "file": Path,
}
"""What a Reader's schema may say, and the Python values that go with it.

`blob` is for large bytes that fit into memory. `file` is for content of any size, or that several rows share: `read`
gives a Path (the file it reads, or one it made in `speciate.files.scratch()`), the store keeps the file once by its
content, and `decode` is given a Path again. A format has one `file` column at most.
"""

STORE_COLUMNS = ("id", "digest", "source", "row", "label", "group", "split")
"""The columns that every dataset has; a Reader gives `label`, `group` and `split` where it knows them."""


@dataclass(frozen=True)
class Quarantined:
    """A file that was refused, and why; the rest went on."""

    path: str
    reason: str


# --- declarations -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Near:
    """When two rows of a Format are nearly the same, so that they must not part into train and test.

    `signature` names a function of rows that returns uint8 [n, width]: the share of equal bytes says how alike two
    rows are. Rows are compared when some run of `band` bytes is equal, and are near-duplicates from `threshold` on.
    """

    signature: str
    threshold: float = 0.6
    band: int = 4


@dataclass(frozen=True)
class Format:
    """A kind of file, how to recognise it, and the Reader that reads it.

    >>> Format("fasta", "protein sequences", TEXT, patterns=("*.fasta",), reader="speciate_fasta.reader:FastaReader")
    """

    kind = "format"
    name: str
    summary: str
    modality: Modality
    patterns: tuple[str, ...]
    reader: str  # import string of a Reader
    magic: tuple[bytes, ...] = ()  # first bytes, asked only when no pattern knows the file
    options: type = NoOptions
    near: Near | None = None  # without it only equal content counts as the same
    example: str = ""  # import string of f(folder) -> [paths]: small good files, for the conformance kit
    demo: str = ""  # import string of f(folder) -> Demo: real labelled files, for `speciate demo`
    requires: tuple[str, ...] = ()  # modules that must be importable
    install: str = ""  # what to `pip install` when they are not
    sandbox: bool = True  # read files in limited processes: False only for a parser that cannot crash or hang
    together: str = ""  # import string of f(path) -> key: files of one key are one thing, for `Reader.read_all`
    companions: tuple[str, ...] = ()  # patterns of files that a Reader looks up beside its own
    preview: str = ""  # import string of f(row, sample) -> Preview
    augment: str = ""  # import string of f(sample, rng) -> Sample: the same thing, seen another way, to train on
    magic_at: int = 0  # how many bytes stand before the magic
    pseudonym: str = ""  # import string of f(options) -> f(kind, name) -> str, where names tell who somebody is; below


Pseudonyms = Callable[[str, str], str]
"""What is stored instead of a name: `f("file", "below/what/was/added.dcm")`, `f("group", "as the label file says")`.

A Format's `pseudonym` is a function of its options that gives one, or None where names may be stored. Equal names get
equal pseudonyms, different names different ones. Labels are joined by the real names, and a person is told of a file
that was refused by its real name; neither is stored.
"""


@dataclass(frozen=True)
class Preview:
    """What a person looks at: a PNG (or nothing, for text), and a short piece of HTML that needs no script."""

    png: bytes
    html: str


@dataclass(frozen=True)
class Demo:
    """Real labelled files, and what `speciate demo` does with them."""

    title: str
    licence: str
    add: Sequence[Mapping[str, Any]]  # one `add` each: paths, target, split …
    recipe: str
    question: Path  # a file to ask the endpoint about
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Base:
    """The weights a run starts from, for one modality."""

    kind = "base"
    name: str
    summary: str
    modality: Modality
    loader: str  # import string of an Encoder
    options: type = NoOptions
    requires: tuple[str, ...] = ()
    install: str = ""
    gives: tuple[str, ...] = ("vector",)  # what a Task may need of it: see TaskKind.needs


@dataclass(frozen=True)
class TaskKind:
    """A kind of thing to learn: how labels are read, what answers look like, and the head and loss that learn it.

    `needs` says what of a base it is learnt from: `vector` (one a sample, every base gives it), `places` (one for each
    pixel, voxel or residue) or `language` (the words that go on from a text).
    """

    kind = "task"
    name: str
    summary: str
    task: str  # import string of a Task
    primary: str  # the evaluator that decides between two models
    needs: str = "vector"
    watched: str = ""  # the evaluator that is asked while it is learnt, where the primary one would take long
    options: type = NoOptions
    requires: tuple[str, ...] = ()
    install: str = ""

    def judge(self) -> str:
        """The evaluator of dev rows: what `dev` means in a run's numbers, and what a search makes better."""
        return self.watched or self.primary


@dataclass(frozen=True)
class Method:
    """A way to specialise a base: the Trainer makes tensors, the Predictor answers with them."""

    kind = "method"
    name: str
    summary: str
    trainer: str  # import string of a Trainer
    predictor: str  # import string of a Predictor
    tasks: tuple[str, ...]  # by name; "*" is every task, also those of plugins it has never heard of
    options: type = NoOptions
    requires: tuple[str, ...] = ()
    install: str = ""
    features: bool = True  # it learns from the base's vectors, which are computed once and kept

    def does(self, task: str) -> bool:
        return task in self.tasks or "*" in self.tasks


@dataclass(frozen=True)
class Evaluator:
    """One number about predictions.

    The scorer is a function of Predictions that returns a float; Speciate adds the bootstrap interval. A `weighted`
    scorer also takes `weights` [resamples, n] and returns one value a resample, which is hundreds of times faster.
    """

    kind = "evaluator"
    name: str
    summary: str
    scorer: str  # import string of f(predictions) -> float, or f(predictions, weights) -> array
    tasks: tuple[str, ...]
    higher_is_better: bool = True
    weighted: bool = False
    needs: str = ""  # what of an answer it looks at that only some of these tasks give: see Task.gives
    options: type = NoOptions
    requires: tuple[str, ...] = ()
    install: str = ""


@dataclass(frozen=True)
class Server:
    """A way to serve Models."""

    kind = "server"
    name: str
    summary: str
    app: str  # import string of a ServerApp
    options: type = NoOptions
    requires: tuple[str, ...] = ()
    install: str = ""


@dataclass(frozen=True)
class Store:
    """Where rows live. The one first-party store is LanceDB."""

    kind = "store"
    name: str
    summary: str
    engine: str  # import string of an Engine
    options: type = NoOptions
    requires: tuple[str, ...] = ()
    install: str = ""


Declaration = Format | Base | TaskKind | Method | Evaluator | Server | Store


# --- the classes they name --------------------------------------------------------------------------------------


class Progress(Protocol):
    """Tells a person how far a stage is. Silent under two seconds and where nobody looks."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Times a stage; the times end up in the result."""
        ...

    def track(self, what: str, total: int) -> AbstractContextManager[Callable[..., None]]:
        """A bar; call what it gives with the number of things just done, and a note to show beside them."""
        ...


class Reader(Protocol):
    """The code of a Format. `decode` is all that training and serving share, so they cannot differ."""

    def __init__(self, options: Any) -> None: ...

    def schema(self) -> Mapping[str, str]:
        """The content columns and their types, each one of COLUMN_TYPES."""
        ...

    def read(self, path: Path) -> Iterator[Row]:
        """The rows of one file. Raise SpeciateError (or any exception) for a file that cannot be read.

        A row has the schema's columns; other keys are kept beside them (label, split, group, or the file's own).
        """
        ...

    def decode(self, row: Mapping[str, Any]) -> Sample:
        """A row as the arrays of the Format's modality."""
        ...


class TogetherReader(Reader, Protocol):
    """The Reader of a Format in which several files may be one thing: a series, a folder of frames."""

    def read_all(self, paths: Sequence[Path]) -> Iterator[Row | Quarantined]:
        """The rows of files that have one key, sorted by path; a Quarantined for a file that has no part in them."""
        ...


class Encoder(Protocol):
    """A Base in memory: samples in, one vector each out."""

    width: int
    tolerance: float  # how far an answer (a probability; a value, in its spread) may move in another batch or process

    def __init__(self, options: Any) -> None: ...

    def fingerprint(self) -> str:
        """A hash of all that decides the vectors: weights, tokenizer, pooling, precision."""
        ...

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        """[n, width]; call `tick(k)` after each k samples."""
        ...


class TrainableEncoder(Encoder, Protocol):
    """An Encoder whose weights a Method may train: `encode` is `network` over `batch`, in eval mode."""

    def network(self) -> torch.nn.Module:
        """Takes what `batch` gives, by name, and gives [n, width]; the same module whenever it is asked for."""
        ...

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        """Samples as the tensors that the network takes."""
        ...


class PlaceEncoder(Protocol):
    """An Encoder whose Base gives `places`: what each pixel, voxel or residue of a sample looks like."""

    place_width: int

    def places(self) -> torch.nn.Module:
        """Takes what `batch` gives, by name, and gives [n, place_width, *grid]: places on a grid of the network's own,
        stretched over the whole sample, or one for each residue and zeros behind the last. It may share weights with
        `network`. Modules that nothing is learnt in yet are named in its attribute `fresh`: ("decoder",)."""
        ...

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        """Samples as the tensors that the network takes."""
        ...

    def sizes(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        """How many places each sample has, along each dimension: what its label counts and its answer is given in."""
        ...


class Said(NamedTuple):
    """What a language model said, and how surprised it was at what should have been said, where that is known."""

    text: str
    nll: float  # in nats, over all tokens of the answer; NaN where it is not known
    tokens: int


class LanguageEncoder(TrainableEncoder, Protocol):
    """A Base that gives `language`: it goes on from a text.

    A sample may have an `answer` beside its text. Of such samples `batch` makes what `network` gives [n, 2] of: the
    surprise at each answer, in nats, and of how many tokens it is.
    """

    def speak(self, samples: Sequence[Sample], **manner: Any) -> list[Said]:
        """What follows each text: `max_tokens` at most, at a `temperature`, from `top_p` of what is likely, by chance
        from `seed`; with the surprise at its `answer` where it has one."""
        ...

    def stream(self, sample: Sample, **manner: Any) -> Iterator[str]:
        """The same of one text, in pieces as they come."""
        ...


class Loader(Protocol):
    """Batches of rows, epoch after epoch, from any place in the order that the seed and the epoch decide."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def set_world(self, world_size: int, rank: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Journal(Protocol):
    """What a training says of itself while it goes on: numbers by step, kept in the run's folder and shown."""

    def write(self, step: int, **numbers: float) -> None:
        """`loss`, `dev` (the score that decides; higher is better or not, as its evaluator says), `lr` and others."""
        ...

    def note(self, **facts: Any) -> None:
        """What belongs into the summary of the run: how it stopped, what it guarantees."""
        ...


@dataclass(frozen=True)
class Job:
    """What a Trainer is given."""

    train: Examples
    dev: Examples
    task: Task
    seed: int
    folder: Path  # the run's own folder, for checkpoints and logs
    progress: Progress
    trainer: Mapping[str, Any] = field(default_factory=dict)  # Lightning Trainer settings, passed through
    encoder: Callable[[], Encoder] | None = None  # makes the base, in memory of its own
    augment: Callable[..., Sample] | None = None  # f(sample, rng=...), where the format has one
    judge: Callable[[NDArray[Any], NDArray[Any]], float] | None = None  # answers, targets: the task's primary score
    higher_is_better: bool = True  # of that score
    journal: Journal | None = None
    budget: str = ""  # 10m, 2h, 500steps, 1000000tokens: then the best so far is kept
    identity: str = ""  # a hash of all that decides the result: a checkpoint of another is refused
    model: Callable[[str], Model] | None = None  # another one, to learn from; refused if it learnt from the test rows
    seen: Callable[[Model, Examples], Examples] | None = None  # these rows, as that model takes them
    unlabelled: Examples | None = None  # rows for training that have no label
    cache: Path | None = None  # the workspace's folder for what was costly to get and is kept beyond this run


class Trainer(Protocol):
    """The training half of a Method."""

    def __init__(self, options: Any) -> None: ...

    def fit(self, job: Job) -> Mapping[str, NDArray[Any]]:
        """The tensors to keep; they are written as safetensors and given to the Predictor."""
        ...


class Reporter(Trainer, Protocol):
    """A Trainer that has something to say of its model beside the scores: a comparison."""

    def report(self, job: Job, test: Examples, tensors: Mapping[str, NDArray[Any]], judge: Judge) -> Row:
        """After scoring: JSON for `report.json`, whose `title` and `table` (rows with the same keys) a person reads in
        the card. It may take as long as `fit`, and must go on as well where it was killed."""
        ...


class Judge(Protocol):
    """The task's primary score of answers to the test rows; with `against` how much better they are than these."""

    def __call__(self, answers: NDArray[Any], against: NDArray[Any] | None = None) -> Row:
        """name, value, low, high, n."""
        ...


class Predictor(Protocol):
    """The answering half of a Method. Never imports Lightning."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], task: Task, encoder: Callable[[], Encoder]) -> None:
        """`encoder` makes the base, in memory of the Predictor's own; one that answers from features never asks."""

    def predict(self, examples: Examples) -> NDArray[Any]:
        """An answer a row, as the Task has them: of classify probabilities [n, labels], of regress values [n]."""
        ...

    # One whose answers come in pieces also has `stream(sample) -> Iterator[str]`.


class Scorer(Protocol):
    def __call__(self, predictions: Predictions) -> float: ...


Source = Callable[[], Mapping[str, "Model"]]
"""The models to serve, by the name they are asked for."""


class ServerApp(Protocol):
    """The code of a Server."""

    def __init__(self, models: Mapping[str, Model], options: Any) -> None: ...

    def ask(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Outputs for rows, through the whole app but without a port: what the parity receipt compares."""
        ...

    def run(self, host: str, port: int, ready: Callable[[str], None]) -> None:
        """Serve until told to stop; call `ready(url)` once requests are answered. Port 0 is any free one."""
        ...


# --- storage ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """What `add` did."""

    dataset: str
    version: int
    added: int
    updated: int
    unchanged: int
    duplicates: int
    quarantined: tuple[Quarantined, ...]
    rows: int
    format: str
    target: str
    labels: Mapping[str, int]
    splits: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
    labels_unmatched: int = 0  # rows of the label file that no file goes with
    unlabelled: int = 0  # files that no label of the label file goes with
    label_gaps: Mapping[str, Sequence[str]] = field(default_factory=dict)  # a few of both


class Dataset(Protocol):
    """One versioned table of rows."""

    name: str
    version: int
    format: str
    options: Mapping[str, Any]
    target: str

    def count(self) -> int: ...

    def columns(self) -> list[str]:
        """The columns a person may name."""
        ...

    def rows(self, split: str = "", content: bool = True) -> list[Row]:
        """The rows of a split (of all splits), in an order that never changes; `content=False`: not what is large."""
        ...

    def filled(self, rows: Sequence[Row]) -> list[Row]:
        """Rows with the large content that they are without."""
        ...

    def added_since(self, version: int) -> list[str]:
        """The ids of rows that an older version did not have."""
        ...

    def loader(self, ids: Sequence[str], **options: Any) -> Loader:
        """Batches of these rows to train on: `batch_size`, `seed`, `decode`, `augment`, `collate`, `shuffle`,
        `prefetch`, `drop_last`, `balance` (how often each row is drawn, beside the others) and `together` (a key for
        each row, and how many rows of one key stand side by side)."""
        ...

    def verify(self, rows: Sequence[Row]) -> None:
        """Raise SpeciateError where the stored files, or these rows of them, are not what was written."""
        ...

    def features(
        self,
        key: str,
        rows: Sequence[Row],
        width: int,
        compute: Callable[[Sequence[Row]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Vectors of rows, in their order; the missing ones are computed in batches of rows with all their content,
        and kept as a column."""
        ...


class Engine(Protocol):
    """The code of a Store."""

    def __init__(self, root: Path) -> None: ...

    def add(
        self,
        name: str,
        files: Sequence[Path],
        format: Format,
        reader: Reader,
        *,
        options: Mapping[str, Any],
        target: str,
        group: str,
        split: str,
        progress: Progress,
        labels: str = "",
        reference: bool = False,
        jobs: int = 0,
    ) -> Added: ...

    def dataset(self, name: str, version: int | str | None = None) -> Dataset:
        """A version by number or tag; without one, the newest that is intact."""
        ...

    def tag(self, name: str, version: int, tag: str) -> None:
        """Keep a version of a dataset for good; a tag never moves."""
        ...

    def resolve(self, name: str, at: str = "") -> int:
        """The version that a number, a tag or nothing means."""
        ...

    def log(self, name: str) -> list[Row]:
        """A row for each version: when, who, why, how many rows, and its tags."""
        ...

    def diff(self, name: str, a: int | str, b: int | str = "") -> Mapping[str, Any]:
        """What is different in version b: rows added, removed, changed, and labels."""
        ...

    def edit(self, name: str, kind: str, rows: Any = None, drop: Sequence[str] = (), why: str = "") -> int:
        """A person's change: an Arrow table of new values by id, ids of rows to take out. Gives the new version."""
        ...

    def gc(self, name: str = "", older_than_days: float = 7.0) -> Mapping[str, Any]:
        """Compact tables and clean old versions; tagged ones and the newest stay."""
        ...

    def fsck(self, name: str = "", version: int | str | None = None) -> Mapping[str, Any]:
        """Compare every stored byte with its checksum and every row with the hash it is named by."""
        ...

    def curate(self, name: str, at: str = "", catalog: Catalog | None = None) -> Any:
        """A lazy Dataset to filter, search, relabel and export."""
        ...

    def audit(self, name: str, at: str = "", near: Near | None = None) -> Mapping[str, Any]:
        """Leakage, balance, missing and doubtful labels, outliers, and `findings` with what to do."""
        ...

    def import_folder(self, folder: str | Path, name: str = "") -> Mapping[str, Any]:
        """A dataset that a lazy Dataset's `export` wrote."""
        ...

    def append(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to one of the workspace's own tables; on disk when it returns."""
        ...

    def rows(self, table: str) -> Iterable[Row]: ...
