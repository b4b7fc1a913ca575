"""Kills from outside, at moments nobody chose: whatever the method, what is resumed ends with the same weights."""

import random
import shutil
import subprocess
import sys
import time

import pytest

import speciate

pytestmark = pytest.mark.soak

BASE = ["base=conv-image", "base.size=16"]
LOOP = ["method.epochs=20", "method.batch_size=4", "method.lr=1e-3", "method.save_every=3"]
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
            known[method] = time.monotonic() - began, ws.list("models")["models"][-1]["name"]
        return ws.root, *known[method]

    return of


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("method", METHODS)
def test_a_kill_changes_no_weight(whole, sha, tmp_path, method, seed):
    root, seconds, model = whole(method)
    shutil.copytree(root, tmp_path / "ws")
    ws = speciate.open(tmp_path / "ws", quiet=True)
    before = {row["run"] for row in ws.list("runs")["runs"]}
    with subprocess.Popen(command(METHODS[method], ws.root), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        while not (begun := {path.name for path in (ws.root / "artifacts" / "runs").glob("[!.]*")} - before):
            time.sleep(0.01)
            assert one.poll() is None
        time.sleep(random.Random(f"{method} {seed}").random() * seconds * 0.7)  # the rest is starting up
        one.kill()
    ws = speciate.open(tmp_path / "ws", quiet=True)
    [run] = begun
    status = next((row["status"] for row in ws.list("runs")["runs"] if row["run"] == run), "no run yet")
    print(f"{method}: killed while {status}")
    if status == "no run yet":
        ran = ws.run("", *BASE, *METHODS[method], dataset="shapes")
    else:
        ran = ws.resume(run)
    assert ran.status == "done"
    assert sha(ws, ran.model) == sha(ws, model)
