"""What takes minutes: kills, power cuts, flipped bits and many at once. SPECIATE_SOAK=0.1 makes them a tenth."""

import json
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
from speciate import SpeciateError

pytestmark = pytest.mark.soak
SIZE = float(os.environ.get("SPECIATE_SOAK", "1"))
WORK = """
import sys, os, json, time, random
from pathlib import Path
import pyarrow as pa
import speciate
root, what, turn, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
ws = speciate.open(root, quiet=True)
ws.engine.store.names()
end = time.time() + seconds
def add():
    path = root.parent / f"{what}{turn}.jsonl"
    text = "".join(json.dumps({"text": f"{what} {turn} {i}", "label": "ab"[i % 2]}) + "\\n" for i in range(50))
    path.write_text(text)
    return ws.add("d", path).added
def relabel():
    ids = [row["id"] for row in ws.engine.dataset("d").rows()]
    some = random.Random(turn).sample(sorted(ids), min(20, len(ids)))
    table = pa.table({"id": some, "label": pa.array([f"l{turn}"] * len(some))})
    return ws.engine.edit("d", "relabel", table, why=str(turn))
def gc():
    return len(ws.engine.gc("d", older_than_days=3 / 86400)["tables"])
def read():
    rows = ws.engine.dataset("d").rows()
    assert len(rows) == len({row["id"] for row in rows})
    return len(rows)
print("ready", flush=True)
while True:
    done = {"add": add, "relabel": relabel, "gc": gc, "read": read}[what.rstrip("0123456789")]()
    print(f"done {done}", flush=True)
    turn += 1
    if time.time() >= end:
        break
"""


def start(root, what, turn=0, seconds=0.0):
    command = [sys.executable, "-c", WORK, str(root), what, str(turn), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return [int(line.split()[1]) for line in out.splitlines() if line.startswith("done")]


def test_a_hundred_kills(tmp_path):
    """Whenever it comes: the workspace is a committed version, and the command, repeated, completes."""
    root, chance = tmp_path / "workspace", random.Random(0)
    finished(start(root, "add", 0))
    log_before = 1
    for turn in range(1, 1 + max(3, round(100 * SIZE))):
        what = ("add", "relabel", "gc")[turn % 3]
        before = speciate.open(root, quiet=True).engine.dataset("d").rows()
        process = start(root, what, turn)
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        engine = speciate.open(root, quiet=True).engine
        rows, log = engine.dataset("d").rows(), engine.log("d")
        assert len(rows) == log[-1]["rows"] == len({row["id"] for row in rows})
        assert log_before <= len(log) <= log_before + 1
        assert len(log) > log_before or rows == before, "a version nobody recorded"
        assert finished(start(root, what, turn)) or what == "gc"
        log_before = len(speciate.open(root, quiet=True).engine.log("d"))
        if what == "add":
            assert sum(row["text"].startswith(f"add {turn} ") for row in engine.dataset("d").rows()) == 50
    assert speciate.open(root, quiet=True).engine.fsck()["damaged"] == []


class Disk:
    """What a disk would hold if the power went: the bytes of a file when it was fsynced, the names of a folder."""

    def __init__(self, root):
        self.root, self.bytes, self.names = root, {}, {}

    def fsync(self, handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_dir():
            self.names[path] = {entry.name: entry.stat(follow_symlinks=False).st_ino for entry in os.scandir(path)}
        else:
            self.bytes[path.stat().st_ino] = path.read_bytes()

    def after_a_cut(self, place, chance, keep):
        """Only what was fsynced, and by chance some of what was not: whole, empty, or zeros."""
        self._rebuild(self.root, place, chance, keep)
        return place

    def _rebuild(self, folder, place, chance, keep):
        place.mkdir(parents=True, exist_ok=True)
        durable = self.names.get(folder, {})
        for entry in os.scandir(folder):
            inode, mine = entry.stat().st_ino, place / entry.name
            sure = durable.get(entry.name) == inode
            if entry.is_dir():
                if sure or chance.random() < keep:
                    self._rebuild(Path(entry.path), mine, chance, keep)
            elif sure or chance.random() < keep:
                data = Path(entry.path).read_bytes()
                mine.write_bytes(self.bytes.get(inode, chance.choice([b"", bytes(len(data)), data])))
        for name, inode in durable.items():  # replaced by a name that never got to the disk, or taken away
            if not (place / name).exists() and inode in self.bytes:
                (place / name).write_bytes(self.bytes[inode])


@pytest.mark.filterwarnings("ignore")
def test_fifty_power_cuts(tmp_path, monkeypatch):
    """At every cut every acknowledged add is there, the table opens, and adding goes on."""
    root, chance = tmp_path / "workspace", random.Random(1)
    disk, real, cuts, acknowledged = Disk(root), os.fsync, [], 0
    wanted = max(5, round(50 * SIZE))

    def fsync(handle):
        real(handle)
        disk.fsync(handle)
        if len(cuts) < wanted and acknowledged and chance.random() < 0.08:
            place = tmp_path / f"cut{len(cuts)}"
            cuts.append((disk.after_a_cut(place, chance, chance.choice([0.0, 0.5, 0.9])), acknowledged))

    monkeypatch.setattr(os, "fsync", fsync)
    ws, turn = speciate.open(root, quiet=True), 0
    while len(cuts) < wanted:
        path = tmp_path / f"{turn}.jsonl"
        path.write_text("".join(json.dumps({"text": f"{turn} {i}", "label": "ab"[i % 2]}) + "\n" for i in range(30)))
        ws.add("d", path)
        acknowledged = turn = turn + 1
    monkeypatch.undo()
    for place, turns in cuts:
        again = speciate.open(place, quiet=True)
        texts = {row["text"] for row in again.engine.dataset("d").rows()}
        assert {f"{turn} {i}" for turn in range(turns) for i in range(30)} <= texts, place
        again.add("d", tmp_path / f"{turns}.jsonl" if (tmp_path / f"{turns}.jsonl").exists() else tmp_path / "0.jsonl")
        assert speciate.open(place, quiet=True).engine.fsck()["damaged"] == [], place


def test_a_thousand_flipped_bits(tmp_path, make):
    """Each is noticed by fsck, or before training, or what is read is what was written. Nobody dies."""
    root, chance = tmp_path / "workspace", random.Random(2)
    ws = speciate.open(root, quiet=True)
    ws.add("d", make.jsonl(tmp_path / "a.jsonl", make.rows(200)))
    some = [row["id"] for row in ws.engine.dataset("d").rows()[:5]]
    ws.engine.edit("d", "drop", drop=some)
    dataset = ws.engine.dataset("d")
    dataset.features("k", dataset.rows(), 8, lambda rows: [[float(len(row["text"]))] * 8 for row in rows])
    truth, missed, copy = read(ws), [], tmp_path / "copy"
    files = [p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.stat().st_size and p.suffix != ".lock"]
    files = [p for p in files if p.parts[0] in ("lance", "sums", "index")]
    flips = max(20, round(1000 * SIZE))
    for _ in range(flips):
        path = chance.choice(files)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(root, copy)
        data = bytearray((copy / path).read_bytes())
        bit = chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        (copy / path).write_bytes(data)
        if not noticed(copy, truth):
            missed.append((str(path), bit))
    assert len(missed) <= 0.001 * flips, missed


def read(ws):
    dataset = ws.engine.dataset("d")
    rows = dataset.rows()
    dataset.verify(rows)
    vectors = dataset.features("k", rows, 8, lambda rows: [[0.0] * 8] * len(rows))
    return dataset.version, rows, vectors.tobytes(), ws.list()


def noticed(root, truth):
    try:
        if read(speciate.open(root, quiet=True)) == truth:
            return True
    except (SpeciateError, ValueError):
        return True
    found = speciate.open(root, quiet=True).engine.fsck()
    return bool(found["damaged"] or any(table["lost"] for table in found["tables"]))


def test_many_at_once(tmp_path):
    """Three add, one relabels, one cleans, one reads: what was acknowledged is there, once."""
    root, seconds = tmp_path / "workspace", 120 * SIZE
    finished(start(root, "add", 0))
    adders = [start(root, f"add{n}", n * 100_000 + 1, seconds) for n in (1, 2, 3)]
    others = [start(root, what, 1, seconds) for what in ("relabel", "gc", "read")]
    added = sum(sum(finished(process)) for process in adders)
    assert all(finished(process) for process in others)
    engine = speciate.open(root, quiet=True).engine
    rows = engine.dataset("d").rows()
    assert len(rows) == len({row["id"] for row in rows}) == 50 + added
    assert engine.fsck()["damaged"] == []
    print(f"{added} rows added, {len(engine.log('d'))} versions")
