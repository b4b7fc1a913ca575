"""What a person looks at: the page of a run, its curve, and its numbers as they come."""

import csv
import json
import math
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET

import pytest
from filelock import FileLock
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speciate import SpeciateError, UsageError
from speciate.curve import draw
from speciate.follow import follow
from speciate.journal import METRICS, RunJournal, best, metrics
from speciate.svg import Panel, page, spanning

SVG = "{http://www.w3.org/2000/svg}"
RUN = "news-probe-1"


# --- pictures -----------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=150, deadline=None)
@example([(0, 1e171), (0, 7e-138)], True)
@given(st.lists(st.tuples(st.integers(0, 10**7), numbers), min_size=1, max_size=40), st.booleans())
def test_any_numbers_are_a_picture_with_its_dots_inside(rows, log):
    x = spanning("step", [step for step, _ in rows])
    y = spanning("value", [value for _, value in rows], log=log)
    panel = Panel(x, y, 400, 200)
    shown = [(s, v) for s, v in rows if (v == 0 or 1e-200 < abs(v) < 1e200) and (v > 0 or not log)]
    for row in rows:
        panel.dot(row)
    panel.line(rows)
    root = ET.fromstring(page("a & b <c>", [[panel]]))
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter(f"{SVG}circle")]
    assert len(dots) == len(shown)
    assert all(0 <= cx <= 400 and 0 <= cy <= 200 for cx, cy in dots)
    assert len(list(root.iter(f"{SVG}text"))) < 30
    assert root.find(f"{SVG}title").text == "a & b <c>"


@pytest.mark.parametrize(
    ("low", "high", "log", "wanted"),
    [
        (0, 1, False, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-30, 470, False, ["0", "100", "200", "300", "400"]),
        (1e-5, 1e-3, True, ["1e-05", "0.0001", "0.001"]),
        (0.2, 0.9, True, ["0.2", "0.5"]),
    ],
)
def test_ticks_are_round_numbers(low, high, log, wanted):
    axis = type(spanning("x", [1]))("x", low, high, log=log)
    assert [label for _, label in axis.ticks(5)] == wanted


def test_the_curve():
    found = {"loss": [(1, 2.0), (2, 1.0)], "lr": [(1, 0.1)], "dev": [(2, 0.5), (4, 0.7)], "dev_loss": [(1, math.nan)]}
    root = ET.fromstring(draw(found, "news-lora-1", "accuracy", (4, 0.7)))
    words = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "word"]
    assert words == ["loss", "dev accuracy", "dev loss"]
    (star,) = [dot for dot in root.iter(f"{SVG}circle") if dot.get("class") == "star"]
    assert star.find(f"{SVG}title").text == "the best: 0.7 at step 4"
    style = root.find(f"{SVG}style").text
    assert "prefers-color-scheme: dark" in style
    assert draw({}, "x") == draw({"lr": [(1, 0.1)]}, "x") == ""


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_of_a_run(trained, cli):
    folder = trained.root / "artifacts" / "runs" / RUN
    text = (folder / "summary.md").read_text(encoding="utf-8")
    row = trained.ledger.latest("runs", "run")[RUN]
    score = row["scores"]["accuracy"]
    said = f"| accuracy | {score['value']:.4f} | {score['low']:.4f} to {score['high']:.4f} | {score['n']} |"
    assert said in text
    for word in ("**done**", "`recipe=text/probe-hash dataset='news'`", "`news` version 1", "`hash-ngrams`: width"):
        assert word in text
    assert f"| best dev score | accuracy {row['dev']:.4f} at step" in text
    for path in re.findall(r"^- `(.+?)`", text, re.M):
        assert (trained.root.parent / path).exists(), path
    shown = cli("show", RUN, "-w", trained.root)
    assert shown.stdout.startswith(f"# {RUN}\n\n**done**")
    found = json.loads(cli("show", RUN, "--json", "-w", trained.root).stdout)["runs"]
    assert found["summary"].splitlines()[-3:] == text.splitlines()[-3:]
    assert found["metrics"]["dev"] == [[step, value] for step, value in metrics(folder)["dev"]]
    assert found["notes"]["score"] == "accuracy"


def test_a_run_that_failed_has_a_page(workspace, news):
    workspace.add("news", news)
    with pytest.raises(UsageError):
        workspace.run("text/probe-hash", dataset="news", method={"max_iter": 0})
    text = (workspace.root / "artifacts" / "runs" / RUN / "summary.md").read_text(encoding="utf-8")
    assert "**failed**: method.max_iter=0 it is at least 1" in text
    assert "speciate resume" in text
    assert "| seconds | " in text
    assert workspace.show(RUN)["runs"]["summary"] == text


def test_a_run_whose_page_cannot_be_written_is_done(workspace, news, monkeypatch):
    import speciate.summary

    def full(path, text):
        raise SpeciateError(f"cannot write {path}", "No space left on device", "")

    monkeypatch.setattr(speciate.summary, "write_text", full)
    workspace.add("news", news)
    assert workspace.run("text/probe-hash", dataset="news", base={"width": 64}).status == "done"
    assert workspace.show(RUN)["runs"]["summary"].startswith(f"# {RUN}")


def test_the_list_says_the_dev_score(trained, cli):
    dev = trained.ledger.latest("runs", "run")[RUN]["dev"]
    assert f" {dev:.4f} " in cli("list", "runs", "-w", trained.root).stdout


def test_the_best_of_a_journal(tmp_path):
    assert best(tmp_path, True) is None
    journal = RunJournal(tmp_path)
    for step, dev in enumerate((0.2, 0.9, math.nan, 0.9, 0.1), 1):
        journal.write(step, dev=dev)
    assert (best(tmp_path, True), best(tmp_path, False)) == ((2, 0.9), (5, 0.1))


def test_a_journal_goes_on_after_a_kill(tmp_path):
    """What was noted stays; half a line is not read together with the next."""
    journal = RunJournal(tmp_path)
    journal.write(1, loss=1.0)
    journal.note(steps=9)
    path = tmp_path / METRICS
    path.write_bytes(path.read_bytes() + b"1")
    again = RunJournal(tmp_path)
    again.write(2, loss=0.5)
    again.note(stopped="at step 2")
    assert metrics(tmp_path) == {"loss": [(1, 1.0), (2, 0.5)]}
    assert again.notes == {"steps": 9, "stopped": "at step 2"}


# --- following ----------------------------------------------------------------------------------------------------


def test_following_says_rows_as_they_come(tmp_path):
    """It begins before the first row, does not say half a line, and ends when the run's lock is free."""
    lines, lock = [], FileLock(tmp_path / "run.lock", thread_local=False)
    lock.acquire()
    watcher = threading.Thread(target=follow, args=(tmp_path, lines.append))
    watcher.start()

    def wait(n):
        while len(lines) < n:
            time.sleep(0.01)

    journal = RunJournal(tmp_path)
    journal.write(1, loss=0.5, lr=0.001)
    wait(1)
    journal.write(2, loss=0.25)
    wait(2)
    journal.write(2, dev=0.75)
    wait(3)
    with (tmp_path / METRICS).open("a", newline="") as file:
        csv.writer(file).writerow([3, "0.0", "loss"])
        file.write("4,1.0,lo")
    assert watcher.is_alive()
    lock.release()
    watcher.join(30)
    assert not watcher.is_alive()
    assert lines == ["step 1: loss 0.5, lr 0.001", "step 2: loss 0.25", "step 2: dev 0.75"]


def test_following_a_run_that_is_done(trained, cli):
    done = cli("show", RUN, "--follow", "-w", trained.root)
    first, *_ = done.stdout.splitlines()
    assert re.fullmatch(r"step 1: dev_loss [\d.]+, cv_loss [\d.]+", first)
    assert f"# {RUN}" in done.stdout
    as_json = cli("show", RUN, "--follow", "--json", "-w", trained.root)
    assert json.loads(as_json.stdout)["runs"]["status"] == "done"
    assert as_json.stderr.splitlines()[0] == first
    missing = cli("show", "news-prob-1", "--follow", "-w", trained.root)
    assert missing.returncode == 2
    assert f"did you mean '{RUN}'?" in missing.stderr


def test_control_c_ends_the_following_alone(trained, tmp_path):
    """130, and the run that was followed goes on."""
    import shutil

    root = shutil.copytree(trained.root, tmp_path / "ws")
    command = [sys.executable, "-m", "speciate", "show", RUN, "--follow", "-w", str(root)]
    lock = FileLock(root / "artifacts" / "runs" / RUN / "run.lock")
    with lock, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("step 1")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
