"""The loop: what a run learns does not depend on how often it was stopped, and what cannot go on says why."""

import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from speciate import SpeciateError
from speciate.errors import Pruned
from speciate.journal import metrics, notes
from speciate.progress import StageClock
from speciate_trainers.checkpoint import newest
from speciate_trainers.watch import Keep, Watch

WORDS = ["base=conv-image", "base.size=16", "method.epochs=3", "method.batch_size=8", "method.lr=1e-3"]


@pytest.fixture
def workspace(drawn):
    return drawn


class Crash(BaseException):
    """What nothing catches."""


@pytest.fixture
def crash(monkeypatch):
    """crash(step): the next training ends there as if the power went, before or after a checkpoint could be written."""

    def at(step, after=Keep):
        whole = after.on_train_batch_end

        def cut(self, trainer, *rest):
            whole(self, trainer, *rest)
            if trainer.global_step == step:
                monkeypatch.setattr(after, "on_train_batch_end", whole)
                raise Crash

        monkeypatch.setattr(after, "on_train_batch_end", cut)

    return at


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(workspace, crash, sha, method):
    """At each third step there is a checkpoint; an epoch has six."""
    more = {"full": ["balance=rows", "start=zero", "epochs=6"], "lora": ["ema=0.9", "dropout=0.2", "start=zero"]}[
        method
    ]
    words = [*WORDS, f"method={method}", "method.save_every=3", *(f"method.{word}" for word in more)]
    whole = workspace.run("", *words, dataset="shapes")
    dev = metrics(workspace.root / "artifacts" / "runs" / whole.run)["dev"]
    assert max(dev, key=lambda row: row[1])[0] > 0, "nothing was learnt that could be lost"
    for steps in ((1, 4), (6,), (18,)):
        number = f"shapes-{method}-{len(workspace.list('runs')['runs']) + 1}"
        crash(steps[0])
        with pytest.raises(Crash):
            workspace.run("", *words, dataset="shapes")
        for step in steps[1:]:
            crash(step, Watch)
            with pytest.raises(Crash):
                workspace.resume(number)
        resumed = workspace.resume(number)
        assert sha(workspace, resumed.model) == sha(workspace, whole.model), f"stopped at {steps}"
        assert resumed.scores == whole.scores


# --- real signals -------------------------------------------------------------------------------------------------


def speciate_(*words):
    return [sys.executable, "-W", "error", "-m", "speciate", *map(str, words)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_loses_nothing(workspace, sha, number):
    """SIGTERM: a checkpoint, then 143. SIGKILL: the checkpoint before. Either way the same weights in the end."""
    words = [*WORDS, "method=full", "method.epochs=5", "method.save_every=5", "dataset=shapes"]
    whole = workspace.run("", *words)
    with subprocess.Popen(speciate_("run", *words, "-w", workspace.root), stderr=subprocess.PIPE) as process:
        folder = workspace.root / "artifacts" / "runs" / "shapes-full-2"
        while not metrics(folder).get("loss", [(0, 0)])[-1][0] > 7 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate()[1].decode()
    assert process.returncode == (143 if number == signal.SIGTERM else -number), said
    row = next(row for row in workspace.list("runs")["runs"] if row["run"] == "shapes-full-2")
    if number == signal.SIGTERM:
        assert "stopped by SIGTERM at step" in said
        assert "speciate resume" in said
        assert row["status"] == "interrupted"
    assert newest(folder / "checkpoints")
    resumed = workspace.resume("shapes-full-2")
    assert sha(workspace, resumed.model) == sha(workspace, whole.model)


def test_two_processes_train_one_model(workspace):
    """As torchrun starts them; two launchers that meet on the loopback stand for two machines."""
    words = ["run", *WORDS, "method=full", "method.epochs=1", "dataset=shapes", "-w", workspace.root, "--json"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    launch += ["--rdzv-backend=static", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    env, pipe = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}, subprocess.PIPE
    with ExitStack() as stack:
        both = []
        for n in range(2):
            command = [*launch, f"--node-rank={n}", "-m", "speciate", *map(str, words)]
            both.append(stack.enter_context(subprocess.Popen(command, stdout=pipe, env=env)))
            stack.callback(both[-1].kill)
        first, second = (process.communicate(timeout=400)[0].decode() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert json.loads(first)["parity"]["holds"]
    assert second == "", "only the first process tells"
    assert [row["status"] for row in workspace.list("runs")["runs"]] == ["done"]


def free_port():
    import socket

    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


# --- what cannot go on says why -----------------------------------------------------------------------------------


def failed(workspace, *words, **settings):
    """The error of a run, and what its row says."""
    with pytest.raises(SpeciateError) as caught:
        workspace.run("", *WORDS, "method=full", *words, **{"dataset": "shapes", **settings})
    rows = workspace.list("runs")["runs"]
    assert not rows or rows[-1]["status"] == "failed"
    return caught.value


def test_a_loss_that_is_no_number_names_step_and_rows(workspace, monkeypatch):
    from speciate_trainers.tasks.classify import Classify

    whole, calls = Classify.loss, itertools.count(1)

    def spoilt(self, scores, targets, smoothing=0.0):
        losses = whole(self, scores, targets, smoothing)
        return losses * np.nan if next(calls) == 4 else losses

    monkeypatch.setattr(Classify, "loss", spoilt)
    error = failed(workspace)
    ids = {row["id"] for row in workspace.dataset("shapes").rows()}
    assert "at step 4" in error.exists
    assert any(id in error.exists for id in ids)
    assert "method.lr" in error.do


def test_out_of_memory_says_what_to_lower(workspace, monkeypatch):
    """A real one: from the first step on this process may have little more than it has."""
    whole = Keep.on_train_batch_start
    before = resource.getrlimit(resource.RLIMIT_AS)

    def tight(self, *rest):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), before[1]))
        whole(self, *rest)

    monkeypatch.setattr(Keep, "on_train_batch_start", tight)
    try:
        error = failed(workspace, "base.size=512", "method.batch_size=40", "method.start=zero", "method.epochs=1")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert "out of memory" in error.asked
    assert "method.batch_size=20" in error.do


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["method.epochs=0"], "method.epochs=0"),
        (["method.lr=-1"], "method.lr=-1"),
        (["method.start=best"], "method.start=best"),
        (["method.balance=all"], "method.balance=all"),
        (["method.freeze=1"], "method.freeze=1"),
        (["budget=soon"], "budget='soon'"),
        (["trainer.precision=17"], "Lightning refuses"),
        (["base=shape-colour"], "has no network to train"),
        (["base=hash-ngrams"], "takes text"),
    ],
)
def test_what_makes_no_sense_is_said_before_training(workspace, words, asked):
    plain = [word for word in WORDS if not word.startswith("base.")] if words[0].startswith("base=") else WORDS
    with pytest.raises(SpeciateError) as caught:
        workspace.run(
            "",
            *[w for w in plain if w.split("=")[0] != words[0].split("=")[0]],
            "method=full",
            *words,
            dataset="shapes",
        )
    assert asked in caught.value.asked
    assert caught.value.do


def test_a_checkpoint_of_another_config_is_refused(workspace, crash):
    crash(5)
    with pytest.raises(Crash):
        workspace.run("", *WORDS, "method=full", "method.save_every=2", dataset="shapes")
    path = workspace.root / "artifacts" / "runs" / "shapes-full-1" / "run.json"
    plan = json.loads(path.read_text())
    plan["config"]["method"]["lr"] = 0.5
    path.write_text(json.dumps(plan))
    with pytest.raises(SpeciateError, match="checkpoint of another run"):
        workspace.resume("shapes-full-1")


def test_a_damaged_checkpoint_is_passed_over(workspace, crash, sha):
    whole = workspace.run("", *WORDS, "method=full", "method.save_every=2", dataset="shapes")
    crash(9)
    with pytest.raises(Crash):
        workspace.run("", *WORDS, "method=full", "method.save_every=2", dataset="shapes")
    folder = workspace.root / "artifacts" / "runs" / "shapes-full-2" / "checkpoints"
    last = newest(folder)
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    assert newest(folder) not in (None, last)
    assert sha(workspace, workspace.resume("shapes-full-2").model) == sha(workspace, whole.model)


# --- how it ends --------------------------------------------------------------------------------------------------


def test_a_budget_ends_with_the_best_so_far(workspace):
    ran = workspace.run("", *WORDS, "method=full", "budget=7steps", dataset="shapes")
    folder = workspace.root / "artifacts" / "runs" / ran.run
    found = metrics(folder)
    assert found["dev"][-1][0] == 7, "judged where it ended, in the middle of an epoch"
    assert "budget of 7steps" in notes(folder)["stopped"]
    assert notes(folder)["guarantee"] == "bit-exact"


def test_patience_stops_early(workspace):
    words = ["method=full", "method.patience=2", "method.epochs=50", "method.lr=1e-9"]
    ran = workspace.run(
        "", *[w for w in WORDS if not w.startswith(("method.epochs", "method.lr"))], *words, dataset="shapes"
    )
    folder = workspace.root / "artifacts" / "runs" / ran.run
    assert "2 dev scores in a row were no better" in notes(folder)["stopped"]


def test_an_adapter_is_small_and_answers_as_the_merged(workspace, shapes):
    words = [*WORDS, "method=lora", "method.rank=2"]
    merged = workspace.run("", *words, dataset="shapes")
    adapter = workspace.run("", *words, "method.keep=adapter", dataset="shapes")
    size = [(workspace.model(r.model).folder / "weights.safetensors").stat().st_size for r in (merged, adapter)]
    assert size[1] < size[0] / 10
    some = sorted(shapes.rglob("*.png"))[:6]
    answers = [
        [p["output"]["score"] for p in workspace.predict(r.model, *some)["predictions"]] for r in (merged, adapter)
    ]
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


# --- who looks on -------------------------------------------------------------------------------------------------


def test_the_bar_knows_how_far_it_is(workspace, monkeypatch):
    """Its total is all steps, also of a run that goes on, so that there is a time to its end."""
    bars = []

    class Looked(StageClock):
        @contextmanager
        def track(self, what, total):
            bars.append((what, total, ticks := []))
            yield lambda done, note="": ticks.append((done, note))

    monkeypatch.setattr("speciate.workspace.StageClock", Looked)
    workspace.run("", *WORDS, "method=full", dataset="shapes")
    ((total, ticks),) = [bar[1:] for bar in bars if bar[0] == "train" and bar[1] > 10]
    assert total == sum(done for done, _ in ticks) > 15
    assert all(re.fullmatch(r"loss [\d.e-]+, dev [\d.]+", note) for _, note in ticks[1:])


def test_a_listener_ends_a_training(workspace):
    """Between two steps, as a search does; nothing of a model is left, and the row says so."""

    heard = []

    def hear(step, numbers):
        heard.append(step) if "dev" in numbers else None
        if len(heard) == 2:
            raise Pruned("others were better", "", "")

    folder = workspace.begin(workspace.config("", *WORDS, "method=full", dataset="shapes"))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Pruned):
        workspace.carry(folder, hear)
    assert signal.getsignal(signal.SIGTERM) is before
    assert workspace.list("runs")["runs"][0]["status"] == "pruned"
    assert [step for step, _ in metrics(folder)["dev"]] == heard
    assert heard[0] == 0, "where it starts"
    assert 3 * heard[1] == notes(folder)["steps"], "and after one of three epochs"
    assert not list(workspace.root.glob("artifacts/models/*"))
    assert {path.name for path in folder.iterdir()} >= {"summary.md", "curve.svg"}
