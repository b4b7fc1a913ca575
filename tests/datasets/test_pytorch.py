"""torch's own DataLoader over the rows, and real processes that are killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from speciate import UsageError
from speciate_datasets.loader import RowLoader
from speciate_datasets.store import KEY, Store

ROWS = 103
RANK = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace
from speciate_datasets.loader import RowLoader
from speciate_datasets.store import Store

folder, turn, world, rank, size, pause = Path(sys.argv[1]), *map(int, sys.argv[2:6]), float(sys.argv[6])
store = Store(folder / "rows")
dataset = SimpleNamespace(store=store, name="d", version=store.version("dataset.d"))
loader = RowLoader(dataset, "train", size, seed=5, columns=["text"], world_size=world, rank=rank)
place = folder / "place"
if place.exists():
    loader.load_state_dict(json.loads(place.read_text()))
with (folder / f"{turn}-{rank}").open("w") as log:
    for batch in loader:
        print(json.dumps([loader.state_dict(), batch["text"].to_pylist()]), file=log, flush=True)
        time.sleep(pause)
"""


@pytest.fixture
def dataset(tmp_path):
    store = Store(tmp_path / "rows")
    text = [f"text {i}" for i in range(ROWS)]
    fields = [KEY, pa.field("split", pa.string()), pa.field("text", pa.string())]
    store.append("dataset.d", pa.table([text, ["train"] * ROWS, text], schema=pa.schema(fields)))
    return SimpleNamespace(store=store, name="d", version=store.version("dataset.d"))


def flat(batches):
    return [text for batch in batches for text in batch["text"].to_pylist()]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataloader_gives_each_row_once_in_the_same_order(dataset, workers):
    options = {"batch_size": 10, "seed": 1, "columns": ["text"]}
    wanted = RowLoader(dataset, **options)
    first = flat(wanted)
    loader = RowLoader(dataset, **options).torch(num_workers=workers)
    assert isinstance(loader, DataLoader)
    batches = iter(loader)
    seen = flat(next(batches) for _ in range(4))
    state = loader.state_dict()
    assert state["consumed"] == 40  # whatever the workers have made ahead
    batches.close()
    for rank in range(3):
        other = RowLoader(dataset, **options, world_size=3, rank=rank).torch()
        other.load_state_dict(state)
        seen += flat(other)
    assert sorted(seen) == sorted(first)
    assert state["epoch"] == 0
    loader.load_state_dict(state | {"consumed": 100, "steps": 10})
    assert flat(loader) == first[100:]
    assert len(loader) == 11
    assert loader.state_dict()["epoch"] == 1


def test_a_finished_epoch_goes_on_to_the_next(dataset):
    options = {"batch_size": 10, "seed": 1, "columns": ["text"]}
    wanted, loader = RowLoader(dataset, **options), RowLoader(dataset, **options).torch()
    assert [flat(loader) for _ in range(3)] == [flat(wanted) for _ in range(3)]


def test_workers_do_not_outlive_their_epoch(dataset):
    with pytest.raises(UsageError, match="persist"):
        RowLoader(dataset).torch(num_workers=1, persistent_workers=True)


def test_a_dataloader_of_ones_own(dataset):
    rows = RowLoader(dataset, batch_size=10, columns=["text"], decode=dict, collate=len).torch().dataset
    assert sum(DataLoader(rows, batch_size=None)) == ROWS
    assert isinstance(rows, torch.utils.data.IterableDataset)


def started(folder, turn, world, size, pause):
    words = [[folder, turn, world, rank, size, pause] for rank in range(world)]
    return [subprocess.Popen([sys.executable, "-c", RANK, *map(str, each)]) for each in words]


def logged(folder, turn, world):
    """The whole lines that each rank wrote: a state and the rows of a step."""
    files = [folder / f"{turn}-{rank}" for rank in range(world)]
    texts = [file.read_text() if file.exists() else "" for file in files]
    return [[json.loads(line) for line in text.splitlines(True) if line.endswith("\n")] for text in texts]


def trial(folder, seed):
    """Four processes killed at some step, three that go on from a checkpoint that all of the four had reached."""
    choose = random.Random(seed)
    size = choose.randint(1, 4)
    wanted = choose.randint(1, ROWS // (4 * size) - 2)
    running = started(folder, 0, 4, size, 0.05)
    end = time.monotonic() + 120
    while min(map(len, logged(folder, 0, 4))) < wanted:
        assert time.monotonic() < end
        time.sleep(0.005)
    for process in running:
        process.send_signal(signal.SIGKILL)
    assert {process.wait() for process in running} <= {-signal.SIGKILL, 0}
    logs = logged(folder, 0, 4)
    states = [log[wanted - 1][0] for log in logs]
    assert all(state == states[0] for state in states)
    (folder / "place").write_text(json.dumps(states[0]))
    seen = [text for log in logs for _, texts in log[:wanted] for text in texts]
    after = started(folder, 1, 3, choose.randint(1, 9), 0)
    assert [process.wait(120) for process in after] == [0, 0, 0]
    rest = [text for log in logged(folder, 1, 3) for _, texts in log for text in texts]
    assert sorted(seen + rest) == sorted(f"text {i}" for i in range(ROWS))
    for file in [*folder.glob("[01]-*"), folder / "place"]:
        file.unlink()


@pytest.mark.usefixtures("dataset")
def test_killed_processes_are_followed_by_others_that_take_what_remains(tmp_path):
    trial(tmp_path, 0)


@pytest.mark.soak
@pytest.mark.usefixtures("dataset")
def test_fifty_kills(tmp_path):
    for seed in range(1, 1 + max(2, round(50 * float(os.environ.get("SPECIATE_SOAK", "1"))))):
        trial(tmp_path, seed)
