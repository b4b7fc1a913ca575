"""The training loader: every row once an epoch, whatever the world size, the interruptions and the way it is read."""

import copy
import importlib
import inspect
import random
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from speciate import SpeciateError, UsageError
from speciate_datasets.loader import RowLoader
from speciate_datasets.store import BLOB, KEY, Store
from speciate_datasets.stored import row_hash


def build(root, n=103, size=2000):
    """A dataset of n rows with text and a blob."""
    rng = np.random.default_rng(0)
    contents = [rng.bytes(int(rng.integers(0, size))) for _ in range(n)]
    texts = [f"text {i}" for i in range(n)]
    ids = [row_hash({"content": content, "text": text}) for content, text in zip(contents, texts, strict=True)]
    fields = [KEY, pa.field("split", pa.string()), pa.field("text", pa.string()), pa.field("source", pa.string())]
    fields.append(pa.field("row", pa.int64()))
    schema = pa.schema([*fields, pa.field("content", pa.large_binary(), metadata=BLOB)])
    columns = [ids, ["train"] * n, texts, ["file"] * n, list(range(n)), contents]
    store = Store(root)
    store.merge("dataset.d", pa.table(columns, schema=schema).slice(0, n // 2), insert=True)
    store.merge("dataset.d", pa.table(columns, schema=schema).slice(n // 2), insert=True)
    truth = dict(zip(texts, contents, strict=True))
    return SimpleNamespace(store=store, name="d", version=store.version("dataset.d"), truth=truth)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return build(tmp_path_factory.mktemp("loader"))


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "speciate-ahead"]


def texts(batch):
    return batch["text"].to_pylist()


def flat(batches):
    return [text for batch in batches for text in texts(batch)]


def lengths(row):
    return len(row["content"])


def nothing(row):
    return row["text"]


def noise(row, rng):
    return row["text"], rng.random()


def careless(row):
    return row["text"], random.random()


def failing(row):
    if row["text"] == "text 7":
        raise ValueError("text 7 cannot be decoded")
    return row["text"]


@pytest.mark.parametrize(("fast", "memory"), [(True, 1 << 30), (False, 1 << 30), (True, 0), (False, 0)])
def test_every_row_once_with_its_own_content(dataset, fast, memory):
    loader = RowLoader(dataset, batch_size=8, fast=fast, memory=memory)
    found = {}
    for batch in loader:
        found.update(zip(texts(batch), map(bytes, batch["content"]), strict=True))
    assert found == dataset.truth
    assert len(loader) == 13


def test_the_order_hangs_on_seed_and_epoch_alone(dataset):
    loader = RowLoader(dataset, batch_size=8, seed=3, columns=["text"])
    first, second = flat(loader), flat(loader)
    assert first != second
    assert sorted(first) == sorted(second)
    other = RowLoader(dataset, batch_size=5, seed=3, columns=["text"], memory=0)
    other.set_epoch(1)
    assert flat(other) == second
    assert flat(RowLoader(dataset, seed=4, columns=["text"])) != first
    still = RowLoader(dataset, shuffle=False, columns=["text"])
    assert flat(still) == flat(still)


def test_only_these_rows(dataset):
    ids = RowLoader(dataset, batch_size=200, columns=["id", "text"]).rows.take(np.arange(103))["id"].to_pylist()
    some = RowLoader(dataset, ids=ids[:9], columns=["text"])
    assert len(flat(some)) == 9
    assert flat(RowLoader(dataset, "dev", columns=["text"])) == []


def ranks(dataset, world, state=None, **options):
    made = [RowLoader(dataset, columns=["text"], world_size=world, rank=r, prefetch=0, **options) for r in range(world)]
    for loader in made:
        if state:
            loader.load_state_dict(state)
    return made


def steps(loaders, count):
    """Let every rank take some steps and be killed; what they got, and the state each of them would have written."""
    got = []
    for loader in loaders:
        batches = iter(loader)
        for _ in range(count):
            got += texts(next(batches))
        batches.close()
    states = [loader.state_dict() for loader in loaders]
    assert all(state == states[0] for state in states)
    return got, states[0]


@pytest.mark.parametrize("trial", range(50))
def test_a_killed_epoch_goes_on_with_the_rows_that_remain_at_any_world_size(dataset, trial):
    choose = random.Random(trial)
    seed, seen, state = choose.randrange(9), [], None
    for _ in range(choose.choice([1, 1, 2, 3])):  # killed once, or again after it resumed
        loaders = ranks(dataset, choose.randint(1, 4), state, batch_size=choose.randint(1, 9), seed=seed)
        total = len(loaders[0]) - loaders[0]._steps_before
        if total < 2:
            break
        got, state = steps(loaders, choose.randrange(1, total))
        seen += got
    for loader in ranks(dataset, choose.randint(1, 4), state, batch_size=choose.randint(1, 9), seed=seed):
        seen += flat(loader)
        assert loader.epoch == 1
    assert len(seen) == len(set(seen)) == 103


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 5, 13, 60])
def test_every_rank_takes_as_many_steps(dataset, world, size):
    loaders = ranks(dataset, world, batch_size=size)
    counts = [len(list(loader)) for loader in loaders]
    assert counts == [len(loaders[0])] * world
    dropping = ranks(dataset, world, batch_size=size, drop_last=True)
    sizes = {len(texts(batch)) for loader in dropping for batch in loader}
    assert sizes <= {size}


def test_a_state_is_of_the_batch_given_last_not_of_those_ahead(dataset):
    loader = RowLoader(dataset, batch_size=10, columns=["text"], prefetch=4)
    batches = iter(loader)
    next(batches), next(batches)
    assert loader.state_dict()["consumed"] == 20
    batches.close()


def test_the_same_world_resumes_with_the_same_batches(dataset):
    whole = [texts(batch) for batch in RowLoader(dataset, batch_size=7, columns=["text"])]
    first = RowLoader(dataset, batch_size=7, columns=["text"])
    batches = iter(first)
    for _ in range(4):
        next(batches)
    state = first.state_dict()
    batches.close()
    again = RowLoader(dataset, batch_size=7, columns=["text"])
    again.load_state_dict(state)
    again.set_epoch(0)
    assert [texts(batch) for batch in again] == whole[4:]
    assert len(RowLoader(dataset, batch_size=7)) == 15


def test_a_finished_epoch_resumes_with_the_next(dataset):
    first = RowLoader(dataset, columns=["text"])
    flat(first)
    second = RowLoader(dataset, columns=["text"])
    second.load_state_dict(first.state_dict())
    assert flat(first) == flat(second)


def test_another_order_is_refused(dataset):
    state = RowLoader(dataset, seed=1).state_dict()
    with pytest.raises(SpeciateError, match="not those of the checkpoint"):
        RowLoader(dataset, seed=2).load_state_dict(state)


def test_randomness_hangs_on_the_row_not_on_the_interruption(dataset):
    whole = [sample for batch in RowLoader(dataset, batch_size=10, decode=noise) for sample in batch]
    first = RowLoader(dataset, batch_size=10, decode=noise)
    batches = iter(first)
    next(batches)
    state = first.state_dict()
    batches.close()
    again = RowLoader(dataset, batch_size=3, decode=noise)
    again.load_state_dict(state)
    assert [sample for batch in again for sample in batch] == whole[10:]


@pytest.mark.parametrize(
    ("decode", "level", "why"),
    [
        (None, "bit-exact", "as they are stored"),
        (lengths, "bit-exact", "the same values twice"),
        (noise, "bit-exact", "f(seed, epoch, row)"),
        (careless, "cursor-exact", "other values"),
        (lambda row: random.random() * 0, "cursor-exact", "global random generator"),
    ],
)
def test_the_guarantee_is_found_out(dataset, decode, level, why):
    found = RowLoader(dataset, decode=decode).resume_guarantee()
    assert found.level == level
    assert why in found.why


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """The decoders above, in a module that another process can import."""
    source = "import random\n" + "\n".join(inspect.getsource(decode) for decode in (noise, failing))
    (tmp_path / "decoders_of_a_test.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("decoders_of_a_test")
    del sys.modules["decoders_of_a_test"]


@pytest.mark.parametrize(("prefetch", "workers"), [(0, 0), (2, 0), (2, 1)])
def test_an_error_arrives_where_the_batch_would(dataset, importable, prefetch, workers):
    loader = RowLoader(dataset, batch_size=5, decode=importable.failing, prefetch=prefetch, workers=workers)
    with pytest.raises(ValueError, match="text 7 cannot be decoded"):
        list(loader)


def test_other_processes_give_the_same(dataset, importable):
    here = list(RowLoader(dataset, batch_size=20, decode=noise, collate=tuple))
    there = list(RowLoader(dataset, batch_size=20, decode=importable.noise, collate=tuple, workers=2))
    assert there == here
    raw = RowLoader(dataset, batch_size=60, workers=1)
    assert {text: content for b in raw for text, content in zip(texts(b), b["content"], strict=True)} == dataset.truth


def test_leaving_early_ends_the_thread(dataset):
    for batch in RowLoader(dataset, batch_size=2, prefetch=2):
        assert texts(batch)
        break


def test_a_batch_that_is_kept_stays_as_it_was(dataset):
    kept = list(RowLoader(dataset, batch_size=3, prefetch=2))
    found = {text: bytes(content) for b in kept for text, content in zip(texts(b), b["content"], strict=True)}
    assert found == dataset.truth


def test_a_thread_is_for_what_takes_time(dataset):
    assert RowLoader(dataset)._depth() == 0
    assert RowLoader(dataset, decode=nothing)._depth() == RowLoader(dataset, fast=False)._depth() == 2


def test_it_travels_to_another_process(dataset):
    loader = RowLoader(dataset, batch_size=10, columns=["text"])
    assert len(loader) == 11
    there = copy.copy(loader)  # by way of __getstate__, as pickle does
    assert there._rows is None
    assert flat(there) == flat(loader)


def test_a_damaged_row_is_named_before_it_is_trained_on(tmp_path):
    dataset = build(tmp_path, n=20, size=150_000)
    content = ("content", "text")
    assert len(list(RowLoader(dataset, batch_size=5, verify=content))) == 4
    path = max(tmp_path.rglob("*.blob"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpeciateError, match=r"file row \d+"):
        list(RowLoader(dataset, batch_size=5, verify=content, columns=["text", "content"]))


def test_what_cannot_be_is_said_at_once(dataset):
    with pytest.raises(UsageError, match="batch"):
        RowLoader(dataset, batch_size=0)
    with pytest.raises(UsageError, match="no column named 'txt'"):
        list(RowLoader(dataset, columns=["txt"]))
