"""What takes minutes: kills, power cuts, flipped bits, many at once, disks that fail. SPECIATE_SOAK=0.1 makes them a
tenth."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

import speciate
from speciate.catalog import Catalog, Plugin, installed
from speciate_datasets import ingest
from speciate_datasets.sums import Sums

pytestmark = pytest.mark.soak
WHAT = ("add", "relabel", "gc")
SIZE = float(os.environ.get("SPECIATE_SOAK", "1"))
CHILD = Path(__file__).parent / "soak_child.py"
sys.path.insert(0, str(CHILD.parent))
from soak_child import ROWS, Work  # noqa: E402


def start(root, *words):
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(root), *map(str, words)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def finished(process, timeout=600):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return [int(line.split()[1]) for line in out.splitlines() if line.startswith("done")]


# --- kills --------------------------------------------------------------------------------------------------------


class Truth:
    """What the dataset must say: the rows of the last committed version, and of each one before it."""

    def __init__(self, root):
        self.work = Work(root)
        self.work.add(0)
        self.rows, self.log = self.look(speciate.open(root, quiet=True).engine)
        self.versions = {self.log[-1]["version"]: self.rows}

    @staticmethod
    def look(engine, at=None):
        rows = engine.dataset("d", at).rows()
        assert len(rows) == len({row["id"] for row in rows})
        return {row["text"]: row["label"] for row in rows}, engine.log("d")

    def after(self, what, turn):
        """The rows, once this is done."""
        if what == "add":
            return {**self.rows, **self.work.texts(turn)}
        if what == "relabel":
            rows = self.work.ws.engine.dataset("d", self.log[-1]["version"]).rows()
            some = set(self.work.some(rows, turn))
            return {row["text"]: f"l{turn}" if row["id"] in some else row["label"] for row in rows}
        return self.rows

    def reopened(self, what, wanted, acknowledged):
        """After the kill: the version before or the one after, and no other."""
        rows, log = self.look(speciate.open(self.work.root, quiet=True).engine)
        done = len(log) > len(self.log)
        assert len(log) <= len(self.log) + (what != "gc")
        assert rows == (wanted if done else self.rows), "rows that no version has"
        assert done or not acknowledged or what == "gc", "acknowledged, and gone"
        assert log[-1]["rows"] == len(rows)
        return done

    def repeated(self, what, turn, wanted):
        """The same command in a process that was not killed: it completes, and the versions that are kept still say
        what they said."""
        self.work = Work(self.work.root)
        getattr(self.work, what)(turn)
        self.completed(wanted)
        kept = [row["version"] for row in self.log if row["kept"]]
        for version in {*kept[:2], random.Random(turn).choice(kept)}:
            assert self.look(self.work.ws.engine, str(version))[0] == self.versions[version]

    def completed(self, wanted):
        self.rows, self.log = self.look(speciate.open(self.work.root, quiet=True).engine)
        assert self.rows == wanted
        self.versions[self.log[-1]["version"]] = self.rows


class Victim:
    """A process that is told what to do, a line each, and killed in one of them."""

    lengths: ClassVar[dict] = {}  # seconds of each command, as the first of its process and later

    def __init__(self, root):
        self.root, self.process, self.cold = root, start(root, "work"), True

    def written(self):
        """Whether a file came into a table's folders."""
        return [path.stat().st_mtime_ns for path in self.root.glob("lance/*/*") if path.is_dir()]

    def asked(self, what, turn):
        """It has started."""
        if self.cold:
            assert self.process.stdout.readline() == "ready\n", self.process.communicate()
        self.process.stdin.write(f"{what} {turn}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "started\n"

    def does(self, what, turn):
        self.asked(what, turn)
        started = time.monotonic()
        assert self.process.stdout.readline().startswith("done "), self.process.communicate()
        self.lengths[what, self.cold], self.cold = time.monotonic() - started, False

    def dies_in(self, what, turn, chance):
        """At a random moment of the command's usual length, or, half of the times, soon after it began to write.
        Whether it was quicker, and said that it was done."""
        usual, before = self.lengths.get((what, self.cold), 0.2), self.written()
        self.asked(what, turn)
        if chance.random() < 0.5:
            time.sleep(chance.random() * usual)
        else:
            end = time.monotonic() + 2 * usual
            while self.written() == before and time.monotonic() < end:
                time.sleep(0.0005)
            time.sleep(chance.random() ** 2 * 0.3 * usual)
        self.process.send_signal(signal.SIGKILL)
        out, err = self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL, err
        return "done" in out


def test_a_hundred_kills(tmp_path, monkeypatch):
    """Whenever it comes: the workspace is a committed version, and the command, repeated, completes. A hundred of the
    kills came before the command was done; some come in the first command of a process, some in a later one."""
    monkeypatch.setattr(ingest, "COMMIT_ROWS", 20)
    root, chance, found = tmp_path / "workspace", random.Random(0), Counter()
    truth, wanted, turns = Truth(root), max(3, round(100 * SIZE)), count(1)
    victims = [Victim(root) for _ in range(3)]  # they import while others are looked at
    for what, turn in zip(WHAT * 3, turns, strict=False):
        after = truth.after(what, turn)
        victims[turn % 3].does(what, turn)
        truth.completed(after)
    while found["inside"] < wanted:
        victim = victims.pop(0)
        for what, turn in zip(chance.choices(WHAT, k=chance.randrange(3)), turns, strict=False):
            after = truth.after(what, turn)
            victim.does(what, turn)
            truth.completed(after)
        what, turn = WHAT[found["kills"] % 3], next(turns)
        if turn % 5 == 0:
            truth.work.ws.engine.tag("d", truth.log[-1]["version"], f"t{turn}")
        after = truth.after(what, turn)
        acknowledged = victim.dies_in(what, turn, chance)
        victims.append(Victim(root))
        within = any(unlisted(root, table) for table in ("dataset.d", "datasets"))
        done = truth.reopened(what, after, acknowledged)
        truth.repeated(what, turn, after)
        found.update(kills=1, inside=not acknowledged, committed=done and not acknowledged, within_a_commit=within)
        found[what] += not acknowledged
        assert found["kills"] < 3 * wanted, found
    for victim in victims:
        finished(victim.process)
    assert speciate.open(root, quiet=True).engine.fsck()["damaged"] == []
    print(f"{turn} commands: {dict(found)}")
    assert SIZE < 1 or (found["within_a_commit"] > 10 and min(found[what] for what in WHAT) > 20)


def unlisted(root, table):
    """Files that a writer had not yet acknowledged when it died."""
    sums = Sums(root, table)
    return set(sums.files()) - sums.known().keys()


# --- power cuts ---------------------------------------------------------------------------------------------------


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


# --- flipped bits -------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path):
    """A workspace whose catalog has a format with large content."""
    catalog = Catalog([*installed().plugins.values(), Plugin("hostile", importlib.import_module("hostile"))])
    return speciate.open(tmp_path / "workspace", catalog=catalog, quiet=True)


def flip_all(root, place, todo):
    """What became of each flip: a process that dies is counted, and another goes on behind that flip."""
    found = []
    while len(found) < len(todo):
        process = start(root, "flips", place)
        out, err = process.communicate("".join(f"{bit} {full} {path}\n" for bit, full, path in todo[len(found) :]))
        found += [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        if process.returncode:
            found.append({"died": process.returncode, "said": err[-300:], "training": "", "fsck": False})
    return found


def test_a_thousand_flipped_bits(tmp_path, hostile, make):
    """Each is noticed by fsck, and what is read to learn from is refused or is what was written. Nobody dies."""
    root, chance = tmp_path / "workspace", random.Random(2)
    hostile.add("d", make.jsonl(tmp_path / "a.jsonl", make.rows(200)))
    (tmp_path / "in").mkdir()
    for n, size in enumerate((10, 50, 90_000, 120_000, 5_000_000)):  # each kind that Lance stores apart
        (tmp_path / "in" / f"{n}.hst").write_bytes(b"ok " + random.Random(n).randbytes(size))
    hostile.add("large", tmp_path / "in")
    some = [row["id"] for row in hostile.engine.dataset("d").rows()[:5]]
    hostile.engine.edit("d", "drop", drop=some)
    hostile.engine.tag("d", hostile.engine.resolve("d"), "kept")
    dataset = hostile.engine.dataset("d")
    dataset.features("k", dataset.rows(), 8, lambda rows: [[float(len(row["text"]))] * 8 for row in rows])
    files = [path for path in root.rglob("*") if path.is_file() and path.stat().st_size]
    files = [path for path in files if path.relative_to(root).parts[0] in ("lance", "sums", "index")]
    todo = []
    for n in range(max(20, round(1000 * SIZE))):
        path = chance.choice(files)
        bit = chance.randrange(path.stat().st_size * 8)
        todo.append((bit, int(n % 50 == 0), path.relative_to(root)))
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(flip_all, [root] * 2, [tmp_path / "copy0", tmp_path / "copy1"], [todo[::2], todo[1::2]])
        found = list(zip(todo[::2] + todo[1::2], [one for half in halves for one in half], strict=True))
    print(Counter((str(part[2]).rsplit("/", 1)[0], one["training"][:7], one["fsck"]) for part, one in found))
    assert [pair for pair in found if "died" in pair[1]] == []
    assert [pair for pair in found if pair[1]["training"].startswith("bare")] == []
    missed = [pair for pair in found if not (pair[1]["fsck"] and pair[1]["training"] and pair[1].get("full", True))]
    assert len(missed) <= 0.001 * len(todo), missed


# --- many at once -------------------------------------------------------------------------------------------------


def test_many_at_once(tmp_path):
    """Three add, one relabels, one cleans, one reads: what was acknowledged is there, once."""
    root, seconds = tmp_path / "workspace", 120 * SIZE
    Work(root).add(0)
    adders = [start(root, "many", f"add{n}", seconds) for n in (1, 2, 3)]
    others = {what: start(root, "many", what, seconds) for what in ("relabel", "gc", "read")}
    added = sum(sum(finished(process)) for process in adders)
    times = {what: len(finished(process)) for what, process in others.items()}
    engine = speciate.open(root, quiet=True).engine
    rows = engine.dataset("d").rows()
    assert len(rows) == len({row["id"] for row in rows}) == ROWS + added
    assert engine.fsck()["damaged"] == []
    print(f"{added} rows added, {len(engine.log('d'))} versions, {times}")
