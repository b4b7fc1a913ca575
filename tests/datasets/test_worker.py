"""Reading in other processes: a file that does harm is lost, and nothing else is."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import speciate
from speciate import SpeciateError, UsageError, hookimpl
from speciate.catalog import Catalog, Plugin, installed
from speciate_datasets import ingest, pool, reading, references
from speciate_datasets.loader import RowLoader
from speciate_datasets.reading import Chunk, chunks_of
from speciate_datasets.stored import File

HERE = str(Path(__file__).parent)


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A workspace whose catalog has the hostile format."""
    monkeypatch.syspath_prepend(HERE)
    module = importlib.import_module("hostile")
    catalog = Catalog([*installed().plugins.values(), Plugin("hostile", module)])
    return speciate.open(tmp_path / "ws", catalog=catalog, quiet=True)


@pytest.fixture
def files(tmp_path):
    """files(name=text, …) -> the folder they are in."""

    def files(**texts):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / f"{name}.hst").write_text(text)
        return folder

    return files


def names_of(ws, name="d"):
    return sorted(row["name"] for row in ws.engine.dataset(name).rows())


def test_each_harm_loses_its_file_alone(hostile, files, monkeypatch, capfd):
    monkeypatch.setattr(pool, "SECONDS", 2.0)
    harms = ("exit", "crash", "killed", "hang", "eat", "raise", "types", "norow")
    texts = {f"b{i}": f"{harm} {i}" for i, harm in enumerate(harms)}
    folder = files(a="ok 1", **texts, c="print 2", z="ok 3")
    added = hostile.add("d", folder, jobs=2)
    assert names_of(hostile) == ["a.hst", "c.hst", "half", "z.hst"]  # the half is of c, which is whole
    reasons = {harms[int(Path(q.path).stem[1:])]: q.reason for q in added.quarantined}
    words = {
        "exit": "ended its process with code 3",
        "crash": "SIGSEGV",
        "killed": "SIGKILL",
        "hang": "took over 2 s",
        "eat": "GiB of memory",
        "raise": "this one is bad; it says so; leave it",
        "types": "the reader gives a dict",
        "norow": "the reader gives a int",
    }
    assert set(reasons) == set(words)
    for harm, word in words.items():
        assert word in reasons[harm], reasons[harm]
        assert "\n" not in reasons[harm]
        assert reasons[harm].count(";") == 2, reasons[harm]
    assert capfd.readouterr() == ("", "")


def test_the_number_of_processes_changes_nothing(hostile, files, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_FILES", 3)
    folder = files(**{f"f{i:02d}": f"{'crash' if i in (4, 11) else 'ok'} {i % 17}" for i in range(20)})
    kept = []
    for jobs in (1, 3):
        added = hostile.add(f"d{jobs}", folder, jobs=jobs)
        assert (added.added, added.duplicates, len(added.quarantined)) == (18, 0, 2)
        kept.append((hostile.engine.dataset(f"d{jobs}").rows(), [q.path for q in added.quarantined]))
    assert kept[0] == kept[1]


def test_files_that_do_not_go_together_are_read_apart(hostile, files):
    """A type that the dataset does not hold costs its file alone, beside one that ends its process."""
    first = files(a="ok 1")
    hostile.add("d", first)
    added = hostile.add("d", files(b="exit 1", c="number 1", d="ok 2"))
    assert [Path(q.path).name for q in added.quarantined] == ["b.hst", "c.hst"]
    assert "holds int64" in added.quarantined[1].reason
    assert names_of(hostile) == ["a.hst", "d.hst"]


def test_a_reader_that_cannot_start(hostile, files, monkeypatch):
    module = importlib.import_module("hostile")
    monkeypatch.setattr(module.HostileReader, "__module__", "hostile")
    folder = files(a="ok 1")
    monkeypatch.setattr(pool, "environment", lambda: {**os.environ, "PYTHONPATH": ""})
    with pytest.raises(SpeciateError, match="does not start") as caught:
        hostile.add("d", folder)
    assert "hostile" in caught.value.exists


@pytest.fixture
def safe(hostile, monkeypatch):
    """The same format as one that needs no other process, and as if it had many files."""
    module = importlib.import_module("hostile")
    (form,) = module.speciate_formats()
    plugin = type("Safe", (), {"speciate_formats": staticmethod(hookimpl(lambda: [replace(form, sandbox=False)]))})
    monkeypatch.setattr(ingest, "ALONE_BYTES", 0)
    monkeypatch.setattr(reading, "CHUNK_FILES", 20)
    catalog = Catalog([*installed().plugins.values(), Plugin("safe", plugin)])
    return speciate.open(hostile.root.parent / "safe", catalog=catalog, quiet=True)


def test_many_small_files_are_read_here_and_elsewhere(safe, files):
    folder = files(**{f"f{i:03d}": f"{'raise' if i in (7, 200) else 'meet'} {i % 290}" for i in range(300)})
    added = safe.add("shared", folder, jobs=2)
    pids = {int(path.name) for path in (folder / ".met").iterdir()}
    assert len(pids) == 2
    assert os.getpid() in pids
    alone = safe.add("alone", folder, jobs=1)
    assert [q.path for q in added.quarantined] == [q.path for q in alone.quarantined]
    assert (added.added, len(added.quarantined)) == (alone.added, 2)
    assert safe.engine.dataset("shared").rows() == safe.engine.dataset("alone").rows()


def test_a_reader_that_starts_only_here(safe, files, monkeypatch):
    """Whoever reads here meanwhile, it is said."""
    monkeypatch.setattr(pool, "environment", lambda: {**os.environ, "PYTHONPATH": ""})
    with pytest.raises(SpeciateError, match="does not start"):
        safe.add("d", files(**{f"f{i:03d}": f"meet {i}" for i in range(600)}), jobs=2)


def test_chunks_do_not_depend_on_the_number_of_processes():
    sizes = [1] * 300 + [9 << 20] + [1] * 10
    chunks = chunks_of([File(Path(str(i)), str(i), size) for i, size in enumerate(sizes)])
    assert [len(chunk.files) for chunk in chunks] == [256, 44, 1, 10]
    assert sum(chunk.size for chunk in chunks) == sum(sizes)


def test_a_chunk_without_the_file_that_did_harm():
    chunk = Chunk([File(Path(str(i)), str(i), 1) for i in range(3)])
    chunk.without(1, "why")
    assert [file.source for file in chunk.files] == ["0", "2"]
    assert [(file.source, why) for file, why in chunk.refused] == [("1", "why")]


STUCK = """
import importlib, sys
import speciate
from speciate.catalog import Catalog, Plugin
sys.path.insert(0, sys.argv[3])
from speciate.catalog import installed
catalog = Catalog([*installed().plugins.values(), Plugin("hostile", importlib.import_module("hostile"))])
speciate.open(sys.argv[1], catalog=catalog, quiet=True).add("d", sys.argv[2])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_behind(tmp_path, files, how):
    folder = files(a="hang 1")
    command = [sys.executable, "-c", STUCK, tmp_path / "ws", folder, HERE]
    adder = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (workers := _children(adder.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    while adder.poll() is None and time.monotonic() < deadline:  # a first Ctrl-C may fall where Python drops it
        adder.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            adder.wait(timeout=3)
    assert adder.poll() is not None
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def _children(pid):
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in found if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


# --- references ---------------------------------------------------------------------------------------------------


def test_references_notice_a_changed_or_missing_file(hostile, files):
    folder = files(a="ok 1", b="ok 2")
    hostile.add("d", folder, reference=True)
    dataset = hostile.engine.dataset("d")
    rows = {row["name"]: row for row in dataset.rows()}
    assert rows["a.hst"]["data"] == references.content(rows["a.hst"], hostile.root) == b"ok 1"
    dataset.verify(dataset.rows(content=False))
    assert hostile.engine.fsck("d")["damaged"] == []
    loaded = [row for batch in RowLoader(dataset, split="", batch_size=1) for row in map(bytes, batch["data"])]
    assert sorted(loaded) == [b"ok 1", b"ok 2"]
    assert not list((hostile.root / "lance" / "content.d.lance" / "data").glob("*")), "the bytes are not stored"
    assert not Path(rows["a.hst"]["uri"]).is_absolute()
    (folder / "a.hst").write_text("ok 9")
    with pytest.raises(SpeciateError, match="changed since it was added"):
        references.content(rows["a.hst"], hostile.root)
    with pytest.raises(SpeciateError, match="changed since it was added"):
        dataset.verify(dataset.rows(content=False))
    assert "changed since" in hostile.engine.fsck("d")["damaged"][0]["what"]
    (folder / "b.hst").unlink()
    with pytest.raises(SpeciateError, match=r"cannot read .*b\.hst"):
        references.content(rows["b.hst"], hostile.root)


def test_a_reference_has_the_id_of_the_content(hostile, files):
    folder = files(a="ok 1")
    hostile.add("whole", folder)
    hostile.add("pointer", folder, reference=True)
    ids = [[row["id"] for row in hostile.engine.dataset(name).rows()] for name in ("whole", "pointer")]
    assert ids[0] == ids[1]


def test_what_is_not_the_file_itself_cannot_be_referenced(hostile, files):
    added = hostile.add("d", files(a="print 1", b="ok 2"), reference=True)
    assert "cannot be stored as a reference" in added.quarantined[0].reason


def test_nothing_to_reference(workspace, news):
    with pytest.raises(UsageError, match="nothing to reference"):
        workspace.add("d", news, reference=True)
