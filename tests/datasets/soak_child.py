"""The processes of the soak tests: `python soak_child.py ROOT work` does what its input says, and may be killed in the
middle of it; `... many WHAT SECONDS` does one thing again and again; `... flips PLACE` reads damaged copies of ROOT."""

import io
import json
import os
import random
import shutil
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path

import pyarrow as pa

import speciate
from speciate import SpeciateError
from speciate_datasets import fsck, ingest

ROWS, EDITED, YOUNG = 50, 20, 1 / 86400


class Work:
    """What is done to dataset `d` of a workspace; what it makes of the rows can be told beforehand."""

    def __init__(self, root, who="add"):
        self.root, self.who = Path(root), who
        self.ws = speciate.open(root, quiet=True)

    def texts(self, turn):
        return {f"{self.who} {turn} {i}": "ab"[i % 2] for i in range(ROWS)}

    def add(self, turn):
        path = self.root.parent / f"{self.who}{turn}.jsonl"
        lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in self.texts(turn).items())
        path.write_text("".join(lines))
        return self.ws.add("d", path).added

    def some(self, rows, turn):
        return random.Random(turn).sample(sorted(row["id"] for row in rows), EDITED)

    def relabel(self, turn):
        ids = self.some(self.ws.engine.dataset("d").rows(), turn)
        table = pa.table({"id": ids, "label": pa.array([f"l{turn}"] * len(ids))})
        return self.ws.engine.edit("d", "relabel", table, why=str(turn))

    def gc(self, turn):
        return len(self.ws.engine.gc("d", older_than_days=YOUNG)["tables"])

    def read(self, turn):
        rows = self.ws.engine.dataset("d").rows()
        assert len(rows) == len({row["id"] for row in rows})
        return len(rows)


def say(*words):
    print(*words, flush=True)


def work(root):
    """A line `WHAT TURN` is one thing to do."""
    ingest.COMMIT_ROWS = 20  # three commits an add
    todo = Work(root)
    todo.ws.engine.store.names()
    say("ready")
    for line in sys.stdin:
        what, turn = line.split()
        say("started")
        say("done", getattr(todo, what)(int(turn)))


def many(root, what, seconds):
    """One thing for so long."""
    todo, turn = Work(root, what), 0
    end = time.time() + float(seconds)
    while turn == 0 or time.time() < end:
        turn += 1
        say("done", getattr(todo, what.rstrip("0123456789"))(turn))


# --- flipped bits -------------------------------------------------------------------------------------------------


def flips(root, place):
    """A line `BIT FULL PATH` is a bit of a copy to flip; the answer is who noticed."""
    truth = learn(root)
    for line in sys.stdin:
        bit, full, path = line.rstrip("\n").split(" ", 2)
        copy = damaged(Path(root), Path(place), path, int(bit))
        found = {"training": refuses(copy, truth), "fsck": complains(copy)}
        if int(full):
            damage = speciate.open(copy, quiet=True).engine.fsck()["damaged"]
            found["full"] = bool(damage) or (copy / "lost+found").exists()  # moved aside, with a word, by who read it
        say(json.dumps(found))


def damaged(root, place, path, bit):
    """A copy with one bit flipped: data files, which are never changed, are links."""
    shutil.rmtree(place, ignore_errors=True)
    never = ("data", "_deletions")
    shutil.copytree(root, place, copy_function=lambda a, b: (os.link if never_changes(a, never) else shutil.copy)(a, b))
    data = bytearray((root / path).read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    (place / path).unlink()
    (place / path).write_bytes(data)
    return place


def never_changes(path, folders):
    return any(f"/{folder}/" in path for folder in folders)


def learn(root):
    """What a run reads before it learns."""
    engine = speciate.open(root, quiet=True).engine
    found = []
    for name in ("d", "large"):
        dataset = engine.dataset(name)
        rows = dataset.rows()
        dataset.verify(rows)
        vectors = dataset.features("k", rows, 8, lambda rows: [[0.0] * 8] * len(rows)) if name == "d" else rows
        found.append((dataset.version, rows, vectors.tobytes() if name == "d" else b""))
    return found


def refuses(root, truth):
    """Whether what is read to learn from is refused, or an older version with a word about it, or what was written."""
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            found = learn(root)
        fell_back = "is damaged" in told.getvalue() and all(a[0] <= b[0] for a, b in zip(found, truth, strict=True))
        return "same" if found == truth else "older" if fell_back else ""
    except SpeciateError:
        return "refused"
    except Exception as error:  # no word of ours: it is counted
        return f"bare {error!r}"[:200]


def complains(root):
    """Whether fsck says something of the files, or did when it was opened."""
    engine = speciate.open(root, quiet=True).engine
    names = sorted(folder.name.removesuffix(".lance") for folder in (root / "lance").glob("*.lance"))
    return bool([entry for name in names for entry in fsck.files(engine.store, name)] + engine._stale()) or (
        (root / "lost+found").exists()
    )


if __name__ == "__main__":
    {"work": work, "many": many, "flips": flips}[sys.argv[2]](sys.argv[1], *sys.argv[3:])
