"""kill -9 at any moment: the workspace opens, what was acknowledged is there, the same command then succeeds."""

import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

import speciate

# Runs `speciate WORDS` and kills itself at the n-th call of a function: the moment is exact, the death is real.
DIES = """
import functools, importlib, os, signal, sys
from speciate_datasets import engine, ingest, spool
ingest.COMMIT_ROWS, spool.ROWS = 100, 50
for module in list(sys.modules.values()):
    if hasattr(module, "FEATURE_ROWS"):
        module.FEATURE_ROWS, module.KEPT_SECONDS = 64, 0.0
where, count = sys.argv.pop(1), int(sys.argv.pop(1))
module, _, names = where.partition(":")
owner = importlib.import_module(module)
*path, last = names.split(".")
owner, left = functools.reduce(getattr, path, owner), [count]
real = getattr(owner, last)

def dies(*words, **settings):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words, **settings)

setattr(owner, last, dies)
from speciate.cli import main
main()
"""


@pytest.fixture
def dies(tmp_path):
    """dies(where, nth, *words): the command is killed there."""

    def dies(where, nth, *words):
        command = [sys.executable, "-c", DIES, where, str(nth), *map(str, words), "-w", str(tmp_path / "workspace")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL, (done.returncode, done.stdout, done.stderr)
        return speciate.open(tmp_path / "workspace", quiet=True)

    return dies


def is_whole(ws):
    """It opens, and every model that can be seen is a whole one with its rows."""
    listed = ws.list()
    for row in listed["models"]:
        model = ws.model(row["name"])
        assert model.receipt["holds"]
        assert ws.predict(row["name"], ws.root.parent / "few.jsonl")["failed"] == []
    visible = {path.name for path in ws.root.glob("artifacts/models/*") if not path.name.startswith(".")}
    whole = ("model.json", "weights.safetensors", "parity.json", "README.md")
    assert all((ws.root / "artifacts" / "models" / name / part).exists() for name in visible for part in whole)
    for row in listed["datasets"]:
        there = ws.engine.dataset(row["name"]).rows()
        assert len(there) == len({r["id"] for r in there}) == row["rows"]
    return listed


def texts(ws):
    return {row["text"] for row in ws.engine.dataset("news").rows()}


@pytest.mark.parametrize(
    ("where", "nth"),
    [
        ("speciate_datasets.store:Store.insert", 2),  # between two commits
        ("os:fsync", 4),  # committed, not acknowledged
        ("speciate_datasets.engine:write_json", 1),  # the dataset's row is in, its index is not
    ],
)
def test_add(dies, tmp_path, make, where, nth):
    old = make.rows(240)
    news, more = make.jsonl(tmp_path / "a.jsonl", old), make.jsonl(tmp_path / "b.jsonl", make.rows(300, seed=3))
    speciate.open(tmp_path / "workspace", quiet=True).add("news", news)
    before = texts(speciate.open(tmp_path / "workspace", quiet=True))
    ws = dies(where, nth, "add", "news", more)
    is_whole(ws)
    assert texts(ws) >= before == {row["text"] for row in old}
    added = ws.add("news", more)
    assert added.rows == 540
    assert is_whole(ws)["datasets"][0]["rows"] == 540
    assert ws.add("news", news, more).version == added.version


@pytest.mark.parametrize(
    ("where", "nth", "kept"),
    [
        ("speciate_datasets.store:Store.merge", 3, 128),  # while it encodes: two batches are in
        ("speciate.run:Run._parity", 1, 240),  # the model's folder is half there, under a name nobody sees
        ("speciate_datasets.engine:LanceEngine.append", 3, 240),  # its scores and its model are rows, the run is not
    ],
    ids=["encode", "save", "commit"],
)
def test_run(dies, tmp_path, make, monkeypatch, where, nth, kept):
    make.jsonl(tmp_path / "few.jsonl", make.rows(3))
    speciate.open(tmp_path / "workspace", quiet=True).add("news", make.jsonl(tmp_path / "a.jsonl", make.rows(240)))
    ws = dies(where, nth, "run", "text/probe-hash", "dataset=news", "seed=5")
    listed = is_whole(ws)
    assert [(row["run"], row["status"]) for row in listed["runs"]] == [("news-probe-1", "unfinished")]
    encoded = []
    hashing = importlib.import_module("speciate_text.hashing")
    encode = hashing.HashNgrams.encode
    monkeypatch.setattr(hashing.HashNgrams, "encode", lambda *a: (encoded.append(len(a[1])), encode(*a))[1])
    ran = ws.resume("news-probe-1")
    assert (ran.status, ran.model, ran.parity["holds"]) == ("done", "news-probe-1", True)
    assert sum(encoded) == 240 - kept + 2 * 16, encoded  # and the receipt's rows, by the saved and the served model
    listed = is_whole(ws)
    assert [(row["run"], row["status"]) for row in listed["runs"]] == [("news-probe-1", "done")]
    assert [row["name"] for row in listed["models"]] == ["news-probe-1"]
    assert not list(ws.root.glob("artifacts/models/.*"))


STARTED = """
import sys
import speciate_datasets.engine, speciate_text.reader, speciate_text.hashing, speciate_trainers.probe
print("started", flush=True)
from speciate.cli import main
main()
"""


def started(words, root):
    """`speciate WORDS`, once all that takes long to import is there."""
    command = [sys.executable, "-c", STARTED, *words, "-w", str(root), "--json"]
    one = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert one.stdout.readline() == "started\n"
    return one


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """usual(words, workspace): the seconds that a command takes, measured once on a copy."""
    known = {}

    def usual(words, root):
        if words[0] not in known:
            copy = tmp_path_factory.mktemp(words[0]) / "workspace"
            if root.exists():
                shutil.copytree(root, copy)
            with started(words, copy) as one:
                began = time.monotonic()
                assert json.loads(one.communicate()[0])
            known[words[0]] = time.monotonic() - began
        return known[words[0]]

    return usual


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_at_random(tmp_path, make, usual, seed):
    """30 kills from outside, each at a moment nobody chose."""
    dice = random.Random(seed)
    make.jsonl(tmp_path / "few.jsonl", make.rows(3))
    news = make.jsonl(tmp_path / "a.jsonl", make.rows(4000, seed=seed))
    ws = speciate.open(tmp_path / "workspace", quiet=True)
    words = ["add", "news", str(news)]
    if seed % 2:
        ws.add("news", news)
        words = ["run", "text/probe-hash", "dataset=news"]
    seconds = usual(words, ws.root)
    with started(words, ws.root) as one:
        time.sleep(dice.random() * seconds)
        one.kill()
        acknowledged = one.communicate()[0]
    ws = speciate.open(ws.root, quiet=True)
    listed = is_whole(ws)
    if acknowledged:
        assert json.loads(acknowledged)
        assert listed["runs" if seed % 2 else "datasets"]
    assert ws.add("news", news).rows == 4000
    for row in listed["runs"]:
        if row["status"] != "done":
            assert ws.resume(row["run"]).status == "done"
    is_whole(ws)
