"""A search: every trial is a run, only dev scores steer it, and killed at any moment it goes on where it was."""

import importlib
import importlib.util
import json
import shlex
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from filelock import FileLock

import speciate
from speciate import SpeciateError, UsageError
from speciate.catalog import Catalog, Plugin, installed
from speciate.errors import Pruned
from speciate.files import read_json

pytestmark = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="no optuna here")

WORDS = ["base=hash-ngrams", "base.width=64", "method=climb", "dataset=news"]
HEIGHTS = [0.1, 0.9, 0.3, 0.5, 0.7]


@pytest.fixture
def ws(trained, tmp_path, monkeypatch):
    """A workspace with texts in three topics, and the method of climbing.py: its dev scores are what it is told."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    catalog = Catalog([*installed().plugins.values(), Plugin("climbing", importlib.import_module("climbing"))])
    return speciate.open(shutil.copytree(trained.root, tmp_path / "workspace"), catalog=catalog, quiet=True)


def rows_of(ws, name):
    return [row for row in ws.list("runs")["runs"] if row["run"].startswith(f"{name}-")]


# --- what it finds ------------------------------------------------------------------------------------------------


def test_a_search_finds_the_best_and_says_how_to_have_it_again(ws):
    found = ws.tune("", *WORDS, space={"method.height": HEIGHTS}, trials=20, name="hill")
    assert (found["score"], found["higher_is_better"]) == ("accuracy", True)
    assert found["stopped"] == "every point of the space was tried"
    assert sorted(row["values"]["method.height"] for row in found["trials"]) == sorted(HEIGHTS)
    assert found["best"]["values"] == {"method.height": 0.9}
    assert found["best"]["dev"] == pytest.approx(0.9)
    assert found["words"][-1] == "method.height=0.9"
    again = ws.run("", *found["words"])
    assert again.dev == pytest.approx(0.9)
    assert {row["run"] for row in rows_of(ws, "hill")} == {row["run"] for row in found["trials"]}
    assert not list(ws.root.glob("artifacts/runs/hill-*/checkpoints")), "nobody goes on from there"


def test_what_lies_in_its_folder(ws):
    found = ws.tune(
        "", *WORDS, "space.method.height=uniform(0.1,0.9)", "space.method.steps=[2,3]", "trials=3", "name=h"
    )
    folder = ws.root / "artifacts" / "tunes" / "h"
    assert read_json(folder / "result.json") == json.loads(json.dumps(found))
    text = (folder / "summary.md").read_text(encoding="utf-8")
    assert f"    {shlex.join(['speciate', 'run', *found['words']])}" in text
    assert all(row["run"] in text for row in found["trials"])
    root = ET.parse(folder / "tune.svg").getroot()
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"dev accuracy", "trial", "method.height", "method.steps"} <= words
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3 * 3, "three trials on three panels"


def test_python_and_the_command_line_give_the_same(ws, cli):
    words = ["text/probe-hash", "dataset=news", "base.width=64", "space.method.c=[[0.01],[10]]", "trials=5"]
    done = cli("tune", *words, "name=one", "--json", "-w", ws.root)
    assert (done.returncode, done.stderr) == (0, "")
    one, two = json.loads(done.stdout), ws.tune(*words, name="two")
    assert one.keys() == two.keys()
    assert [(row["values"], row["dev"]) for row in one["trials"]] == [
        (row["values"], row["dev"]) for row in two["trials"]
    ]
    page = cli("tune", *words, "name=one", "-w", ws.root)
    assert "every point of the space was tried; the best is trial" in page.stdout
    assert shlex.join(["speciate", "run", *one["words"]]) in page.stdout, "on one line, to be copied"
    assert len(rows_of(ws, "one")) == 2, "nothing was run again"


def test_the_settings_without_a_search_are_tried_first(ws):
    found = ws.tune("", *WORDS, "method.height=0.4", "space.method.height=uniform(0,1)", "trials=2")
    assert found["trials"][0]["values"] == {"method.height": 0.4}
    assert found["trials"][1]["values"] != {"method.height": 0.4}


def test_test_rows_steer_nothing(workspace, make, tmp_path):
    """What is best on dev is worst on test here, as the labels of the test rows are turned round."""
    topics = {"oil": "crude barrel opec refinery", "grain": "wheat corn harvest bushel"}
    other = {"oil": "grain", "grain": "oil"}
    rows = make.rows(160, topics=topics)
    for i, row in enumerate(rows):
        row["text"] = " ".join(sorted(row["text"].split(), key=lambda word: word in topics[row["label"]])[:8])
        row["split"] = ("train", "train", "dev", "test")[i // 2 % 4]
        row["label"] = other[row["label"]] if row["split"] == "test" else row["label"]
    workspace.add("turned", make.jsonl(tmp_path / "turned.jsonl", rows))
    space = {"base.width": [16, 4096]}
    found = workspace.tune("text/probe-hash", dataset="turned", space=space, trials=2)
    by_width = {row["values"]["base.width"]: row for row in found["trials"]}
    scores = {w: workspace.model(row["run"]).info["scores"]["accuracy"]["value"] for w, row in by_width.items()}
    assert scores[4096] < scores[16], "the set would not tell"
    assert found["best"]["values"] == {"base.width": 4096}
    assert found["best"]["dev"] == max(row["dev"] for row in found["trials"]) > 0.9
    assert "scores" not in json.dumps(found)


# --- pruning, failing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_runs_that_will_not_be_the_best_are_ended(ws, pruner):
    """After some good ones the bad ones end early, as rows of the ledger that have no model."""
    space = {"method.height": [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.02, 0.03]}
    found = ws.tune("", *WORDS, "method.steps=9", space=space, trials=8, pruner=pruner, name="cut")
    pruned = [row for row in found["trials"] if row["status"] == "pruned"]
    assert pruned
    assert found["best"]["values"]["method.height"] == 0.95
    rows = {row["run"]: row for row in rows_of(ws, "cut")}
    for row in pruned:
        assert (rows[row["run"]]["status"], rows[row["run"]]["model"]) == ("pruned", "")
        assert row["dev"] < row["values"]["method.height"], "it did not go all the way"
        folder = ws.root / "artifacts" / "runs" / row["run"]
        assert "**pruned**: pruned: dev accuracy is" in (folder / "summary.md").read_text(encoding="utf-8")
        assert not (ws.root / "artifacts" / "models" / row["run"]).exists()


def test_one_number_ends_no_run(ws):
    """A probe says its one dev score when it has learnt all: nothing would be saved."""
    space = {"method.height": [0.9, 0.91, 0.92, 0.93, 0.94, 0.02]}
    found = ws.tune("", *WORDS, "method.steps=1", space=space, trials=6)
    assert {row["status"] for row in found["trials"]} == {"done"}


def test_a_trial_that_fails_is_a_row_and_the_others_go_on(ws):
    found = ws.tune("", *WORDS, space={"method.height": [-1, 0.2, 0.4]}, trials=3)
    (failed,) = [row for row in found["trials"] if row["status"] == "failed"]
    assert failed["values"] == {"method.height": -1}
    assert failed["error"].startswith("it fell")
    assert found["best"]["dev"] == pytest.approx(0.4)


def test_a_mistake_of_every_trial_is_said_soon(ws):
    with pytest.raises(SpeciateError, match="it fell"):
        ws.tune("", *WORDS, space={"method.height": [-1, -2, -3, -4, -5]}, trials=5, name="down")
    assert len(rows_of(ws, "down")) == 3


def test_a_method_without_dev_scores_cannot_be_tuned(ws):
    with pytest.raises(UsageError, match="has no dev score") as caught:
        ws.tune("", *WORDS, space={"method.height": [2, 3]}, trials=2)
    assert "climb" in caught.value.exists


# --- going on -----------------------------------------------------------------------------------------------------


def test_the_same_again_with_more_trials_goes_on(ws):
    words = [*WORDS, "space.method.height=uniform(0,1)"]
    first = ws.tune("", *words, trials=1)
    more = ws.tune("", *words, trials=3)
    assert more["tune"] == first["tune"]
    assert more["trials"][:1] == first["trials"]
    assert len(more["trials"]) == len(rows_of(ws, more["tune"])) == 3
    at_once = ws.tune("", *words, trials=3, name="other")
    assert [row["values"] for row in at_once["trials"]] == [row["values"] for row in more["trials"]]


def test_a_budget_that_is_used_up(ws):
    """The trial that goes on then is interrupted, and is the same run once there is more time."""
    words = [*WORDS, "method.wait=0.2", "space.method.height=[0.8]", "trials=1", "name=slow"]
    with pytest.raises(SpeciateError, match=r"budget of 0\.3s was used up") as caught:
        ws.tune("", *words, budget="0.3s")
    assert "larger budget" in caught.value.do
    (row,) = rows_of(ws, "slow")
    assert row["status"] == "interrupted"
    found = ws.tune("", *words, budget="1h")
    assert [(row["run"], row["status"]) for row in found["trials"]] == [(row["run"], "done")]
    assert found["best"]["seconds"] > 0.8, "the time before counts"


def test_what_was_done_fits_into_the_budget_of_later(ws):
    words = [*WORDS, "space.method.height=uniform(0,1)", "trials=2"]
    whole = ws.tune("", *words)
    assert ws.tune("", *words, budget="0.001s")["trials"] == whole["trials"], "there was nothing left to do"


DIES = """
import importlib, os, signal, sys
here, root, owner, name, *words = sys.argv[1:]
sys.path.insert(0, here)
import speciate
from speciate.catalog import Catalog, Plugin, installed
module, _, kind = owner.partition(":")
owner, calls = getattr(importlib.import_module(module), kind), []
real = getattr(owner, name)

def dies(*given, **settings):
    calls.append(given)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **settings)

setattr(owner, name, dies)
catalog = Catalog([*installed().plugins.values(), Plugin("climbing", importlib.import_module("climbing"))])
speciate.open(root, catalog=catalog, quiet=True).tune("", *words)
"""


@pytest.mark.parametrize(
    ("owner", "name", "before"),
    [
        ("climbing:Climber", "fit", "unfinished"),  # while the second trial's run learns
        ("speciate.workspace:Workspace", "begin", ""),  # the trial was asked for, its run has not begun
        ("speciate.tune.study:Study", "tell", "done"),  # its run is done, the study does not know
    ],
    ids=["learning", "asked", "done"],
)
def test_a_killed_search_goes_on(ws, owner, name, before):
    words = [*WORDS, "space.method.height=uniform(0,1)", "trials=3", "name=k"]
    command = [sys.executable, "-c", DIES, str(Path(__file__).parent), str(ws.root), owner, name, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    rows = {row["run"]: row["status"] for row in rows_of(ws, "k")}
    assert rows == {"k-1": "done"} | ({"k-2": before} if before else {})
    found = ws.tune("", *words)
    wanted = ["done", "done" if before else "failed", "done"]
    assert [row["status"] for row in found["trials"]] == wanted
    assert {row["run"] for row in rows_of(ws, "k")} == {row["run"] for row in found["trials"] if row["run"]}
    if before:
        whole = ws.tune("", *words[:-1], "name=whole")
        assert [(row["values"], row["dev"]) for row in found["trials"]] == [
            (row["values"], row["dev"]) for row in whole["trials"]
        ]


def test_a_line_that_a_kill_cut_short_is_no_matter(ws):
    words = [*WORDS, "space.method.height=uniform(0,1)", "name=torn"]
    first = ws.tune("", *words, trials=1)
    log = ws.root / "artifacts" / "tunes" / "torn" / "study.log"
    log.write_bytes(log.read_bytes() + b'{"op_code":4,"work')
    assert ws.tune("", *words, trials=2)["trials"][:1] == first["trials"]


def test_two_at_once_and_two_under_one_name(ws):
    words = [*WORDS, "space.method.height=[0.1,0.2]", "name=mine", "trials=1"]
    ws.tune("", *words)
    with (
        FileLock(ws.root / "artifacts" / "tunes" / "mine" / "tune.lock"),
        pytest.raises(UsageError, match="is running"),
    ):
        ws.tune("", *words)
    with pytest.raises(UsageError, match="is another one") as caught:
        ws.tune("", *words, "method.steps=3")
    assert "words" in caught.value.exists


def test_later_rows_are_another_search(ws, make, tmp_path):
    """Scores on other dev rows cannot be compared."""
    words = [*WORDS, "space.method.height=[0.1,0.2]", "trials=1"]
    first = ws.tune("", *words)
    ws.add("news", make.jsonl(tmp_path / "more.jsonl", make.rows(30, seed=9)))
    second = ws.tune("", *words)
    assert first["tune"] != second["tune"]
    assert first["dataset"] != second["dataset"]


# --- what cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("space.method.height=log(1)", "log(low,high)"),
        ("space.method.height=exp(1,2)", "log(low,high)"),
        ("space.method.height=0.1", "log(low,high)"),
        ("space.method.height=[", "log(low,high)"),
        ("space.method.height=[]", "log(low,high)"),
        ("space.method.height=log(a,b)", "log(low,high)"),
        ("space.method.height=uniform(1,0)", "lower number"),
        ("space.method.height=uniform(0,inf)", "lower number"),
        ("space.method.height=log(0,1)", "above zero"),
        ("space.method.steps=int(1.5,3)", "whole numbers"),
        ("space.method.hight=uniform(0,1)", "did you mean 'method.height'?"),
        ("space.method.height=[a,b]", "height"),
        ("space.dataset=[news,olds]", "cannot be compared"),
        ("space.task=[classify,regress]", "cannot be compared"),
        ("seed=1", "space"),
        ("space.method.height=[0.1] trials=0", "from 1 on"),
        ("space.method.height=[0.1] trials=many", "from 1 on"),
        ("space.method.height=[0.1] budget=5steps", "trial.budget=5steps"),
        ("space.method.height=[0.1] budget=soon", "budget"),
        ("space.method.height=[0.1] pruner=axe", "median"),
        ("space.method.height=[0.1] space.method.height=[0.2]", "twice"),
        ("space.method.height=[0.1] name=../x", "another name"),
        ("space.method.height=[0.1] dataset=nws", "did you mean 'news'"),
    ],
)
def test_words_that_cannot_be(ws, word, says):
    with pytest.raises(UsageError) as caught:
        ws.tune("", *WORDS, *word.split())
    assert says in str(caught.value)
    assert all((caught.value.asked, caught.value.exists, caught.value.do))
    assert not list(ws.root.glob("artifacts/tunes/*/study.log")), "nothing was begun"


def test_without_dev_rows(ws, make, tmp_path):
    rows = [{**row, "split": ("train", "test")[i % 2]} for i, row in enumerate(make.rows(18))]
    ws.add("few", make.jsonl(tmp_path / "few.jsonl", rows))
    with pytest.raises(UsageError, match="no dev rows") as caught:
        ws.tune("", *WORDS, dataset="few", space={"method.height": [0.1, 0.2]})
    assert caught.value.exists == "it has 9 labelled train rows and 9 test rows"
    assert "--split dev" in caught.value.do


def test_each_run_may_have_a_budget_of_its_own(ws):
    found = ws.tune("", *WORDS, "space.method.height=[0.1]", "trial.budget=500steps", "trials=1")
    plan = read_json(ws.root / "artifacts" / "runs" / found["best"]["run"] / "run.json")
    assert plan["config"]["budget"] == "500steps"


def test_what_a_listener_raises_ends_the_run(ws):
    """The one way by which a search, or anybody, ends a run early."""

    def hear(step, numbers):
        if step == 2:
            raise Pruned("enough", "at step 2", "")

    folder = ws.begin(ws.config("", *WORDS))
    with pytest.raises(Pruned):
        ws.carry(folder, hear)
    assert ws.ledger.latest("runs", "run")[folder.name]["status"] == "pruned"
    assert ws.resume(folder.name).status == "done"
