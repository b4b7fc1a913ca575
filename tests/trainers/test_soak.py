"""Kills from outside, at moments nobody chose: whatever the method, what is resumed ends with the same weights."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import speciate
from speciate.journal import metrics

pytestmark = pytest.mark.soak

BASE = ["base=conv-image", "base.size=16"]
LOOP = ["method.epochs=12", "method.batch_size=4", "method.lr=1e-3", "method.save_every=3", "method.start=zero"]
METHODS = {
    "probe": ["method=probe"],
    "full": [*LOOP, "method=full", "method.ema=0.9"],
    "lora": [*LOOP, "method=lora", "method.dropout=0.2", "method.balance=rows"],
    "distill": [*LOOP, "method=distill", "method.teacher=[shapes-full-1]", "method.features=0.1"],
}
KILLS = 8  # of each


def command(words, root):
    return [sys.executable, "-m", "speciate", "run", *BASE, *words, "dataset=shapes", "-w", str(root)]


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    """whole(method): a workspace where it ran once, the seconds that took, and the model."""
    folder, known = tmp_path_factory.mktemp("whole"), {}
    ws = speciate.open(folder / "ws", quiet=True)
    ws.add("shapes", shapes, labels="folders")
    ws.run("", *BASE, "method=full", "method.epochs=3", "method.lr=1e-3", dataset="shapes")  # a teacher

    def of(method):
        if method not in known:
            began = time.monotonic()
            subprocess.run(command(METHODS[method], ws.root), check=True, capture_output=True)
            model = ws.list("models")["models"][-1]["name"]
            known[method] = time.monotonic() - began, model
            dev = metrics(ws.root / "artifacts" / "runs" / model).get("dev", [])
            assert method == "probe" or max(dev, key=lambda row: row[1])[0] > 0, "nothing was learnt that could be lost"
        return ws.root, *known[method]

    return of


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("method", METHODS)
def test_a_kill_changes_no_weight(whole, sha, tmp_path, method, seed):
    root, seconds, model = whole(method)
    shutil.copytree(root, tmp_path / "ws")
    ws = speciate.open(tmp_path / "ws", quiet=True)
    before = {row["run"] for row in ws.list("runs")["runs"]}
    started = time.monotonic()
    with subprocess.Popen(command(METHODS[method], ws.root), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        while not (begun := {path.name for path in (ws.root / "artifacts" / "runs").glob("[!.]*")} - before):
            time.sleep(0.01)
            assert one.poll() is None
        left = max(0.0, seconds - (time.monotonic() - started))
        time.sleep(random.Random(f"{method} {seed}").random() * left)
        one.kill()
    ws = speciate.open(tmp_path / "ws", quiet=True)
    [run] = begun
    status = next((row["status"] for row in ws.list("runs")["runs"] if row["run"] == run), "planned")
    print(f"{method}: killed while {status}")
    if status == "planned":
        run = ws.run("", *BASE, *METHODS[method], dataset="shapes").run
    elif status != "done":
        assert ws.resume(run).status == "done"
    assert sha(ws, run) == sha(ws, model)


def test_sharded_weights_survive_a_kill(drawn, sha):
    """fsdp2 over two processes: one run to its end, another killed after its first checkpoint and gone on with."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "speciate"]
    words = [*BASE, *METHODS["full"], "trainer.strategy=fsdp2", "dataset=shapes"]
    at = ["-w", str(drawn.root)]
    subprocess.run([*launch, "run", *words, *at], env=env, check=True, capture_output=True)
    folder = drawn.root / "artifacts" / "runs" / "shapes-full-2" / "checkpoints"
    with subprocess.Popen([*launch, "run", *words, *at], env=env) as both:
        while not list(folder.glob("*.ckpt")):
            time.sleep(0.05)
            assert both.poll() is None
        for pid in [both.pid, *map(int, Path(f"/proc/{both.pid}/task/{both.pid}/children").read_text().split())]:
            os.kill(pid, signal.SIGKILL)
    subprocess.run([*launch, "resume", "shapes-full-2", *at], env=env, check=True, capture_output=True)
    dev = metrics(folder.parent)["dev"]
    assert max(dev, key=lambda row: row[1])[0] > 0, "nothing was learnt that could be lost"
    assert sha(drawn, "shapes-full-1") == sha(drawn, "shapes-full-2")
