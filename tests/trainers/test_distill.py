"""distill: what a teacher knows reaches the student, once, whatever happens in between; and bad teachers are told."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from speciate import Base, SpeciateError, UsageError
from speciate.catalog import installed
from speciate.task import Examples
from speciate.testing import MethodContract
from speciate_trainers.distill import DistillTrainer
from speciate_trainers.endpoint import Endpoint
from speciate_trainers.keep import Kept
from speciate_trainers.options import DistillOptions
from speciate_trainers.tasks.classify import Classify
from speciate_trainers.tasks.multilabel import Multilabel
from speciate_trainers.tasks.regress import Regress
from speciate_trainers.tuned import TunedPredictor

QUICK = ["base=hash-ngrams", "base.width=256", "method=distill", "method.train=head", "method.lr=0.05"]
QUICK += ["method.epochs=3", "method.start=zero", "method.batch_size=32"]
SAID = {"good": "smooth quiet fine strong nice calm clean", "bad": "broken smoke noise leak crack hot weak"}
COMMON = ["machine", "pump", "valve", "line", "shift", "morning", "report", "part", "number", "plant", "day", "week"]


class TestDistill(MethodContract):
    """A network learns from another that was trained before."""

    name, tasks = "distill", ("multilabel", "embed")
    first = {"full": {"epochs": 1, "lr": 1e-3}}  # noqa: RUF012
    options = {"teacher": ["easy-full-1"], "epochs": 1, "plain": False}  # noqa: RUF012


class TestDistillHead(MethodContract):
    """A head on counts learns from a probe, and to look like its base."""

    name, base, tasks = "distill", "hash-ngrams", ("classify", "regress")
    first = {"probe": {}}  # noqa: RUF012
    options = {  # noqa: RUF012
        **{"teacher": ["easy-probe-1"], "train": "head", "lr": 0.05, "epochs": 8, "start": "zero"},
        **{"features": 0.1, "temperature": 1.0},
    }


def sayings(labelled, free, test=120, seed=0):
    """Reports in which two words say whether all is well; of the training rows some have a label."""
    random = np.random.default_rng(seed)
    for i in range(labelled + free + 40 + test):
        label = ("good", "bad")[i % 2]
        words = [*random.choice(COMMON, 6), *random.choice(SAID[label].split(), 2)]
        split = "train" if i < labelled + free else "dev" if i < labelled + free + 40 else "test"
        known = i < labelled or split != "train"
        yield {"text": f"{' '.join(random.permutation(words))} {i}", "label": label if known else "", "split": split}


def written(path, rows):
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, ["text", "label", "split"])
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.fixture
def reports(tmp_path, workspace):
    """A workspace with a teacher that had every label, and a dataset with few."""
    few = list(sayings(16, 300))
    workspace.add("few", written(tmp_path / "few.csv", few))
    taught = [row for row in sayings(400, 0, test=0, seed=5) if row["split"] == "train"]
    workspace.add("many", written(tmp_path / "many.csv", taught))
    workspace.run("text/probe-hash", dataset="many", name="teacher")
    return workspace


def report(workspace, ran):
    return json.loads((workspace.root / "artifacts" / "runs" / ran.run / "report.json").read_text())


def distill(workspace, *words, dataset="few", teacher="teacher-1"):
    return workspace.run("", *QUICK, f"method.teacher=[{teacher}]", *words, dataset=dataset)


def weights(workspace, model):
    return load_file(workspace.root / "artifacts" / "models" / model / "weights.safetensors")


def test_rows_without_a_label_carry_what_the_teacher_knows(reports):
    ran = distill(reports, "method.epochs=6")
    found = report(reports, ran)
    teacher, student, plain = found["table"]
    assert found["heard"] == {"labelled": 16, "unlabelled": 300, "dropped": 0}
    assert [row["accuracy"]["n"] for row in found["table"]] == [120] * 3
    assert found["difference"]["low"] > 0, "the same student without a teacher is as good"
    assert teacher["model"] == "teacher teacher-1"
    gap = student["accuracy"]["value"] - plain["accuracy"]["value"]
    assert student["more than without"]["value"] == pytest.approx(gap)
    assert (student["parameters"], student["MB"]) == (256 * 2 + 2, pytest.approx(514 * 4 / 1e6))
    assert all(row["ms a row"] > 0 for row in found["table"])
    card = (reports.root / "artifacts" / "models" / ran.model / "README.md").read_text()
    assert "## What the teacher was worth" in card
    assert "| student without a teacher |" in card
    assert ran.scores["accuracy"]["value"] == student["accuracy"]["value"], "the report is about another student"


def test_the_teacher_answers_each_row_once(reports, monkeypatch):
    from speciate_trainers.predictor import ProbePredictor

    asked = []
    predict = ProbePredictor.predict
    monkeypatch.setattr(ProbePredictor, "predict", lambda self, part: asked.append(len(part)) or predict(self, part))
    distill(reports, "method.plain=false")
    assert sum(n for n in asked if n > 1) == 316 + 120, "train once, test once for the report"
    asked.clear()
    distill(reports, "method.plain=false", "method.lr=0.01")
    assert sum(n for n in asked if n > 1) == 0, "what is kept in the dataset is computed again"


def test_a_new_teacher_of_the_same_name_is_asked_again(reports, tmp_path):
    """The column is known by the weights, not by the name."""
    one, two = tmp_path / "a" / "teacher", tmp_path / "b" / "teacher"
    shutil.copytree(reports.root / "artifacts" / "models" / "teacher-1", one)
    other = reports.run("text/probe-hash", "method.c=[0.1]", dataset="many")
    shutil.copytree(reports.root / "artifacts" / "models" / other.model, two)
    found = [weights(reports, distill(reports, "method.plain=false", teacher=f"'{at}'").model) for at in (one, two)]
    assert not np.array_equal(found[0]["head.weight"], found[1]["head.weight"])


def test_without_unlabelled_rows_alpha_and_temperature_still_teach(reports):
    told = [report(reports, distill(reports, "method.unlabelled=false", f"method.alpha={a}")) for a in (0, 1)]
    assert [found["heard"]["unlabelled"] for found in told] == [0, 0]
    assert told[0]["difference"] == {**told[0]["difference"], "value": 0, "low": 0, "high": 0}, "alpha=0 is no teacher"
    losses = [weights(reports, f"few-distill-{i}")["head.weight"] for i in (1, 2)]
    assert not np.array_equal(*losses)


def test_an_ensemble_is_the_mean_of_its_answers(reports):
    """Two teachers count alike, whoever is named first; one that is named twice counts twice."""
    other = reports.run("text/probe-hash", "method.c=[0.01]", "method.refit=false", dataset="many").model
    names = {"one": "teacher-1", "twice": "teacher-1,teacher-1", "both": f"teacher-1,{other}"}
    names["turned"] = f"{other},teacher-1"
    made = {name: distill(reports, "method.plain=false", teacher=who) for name, who in names.items()}
    learnt = {name: weights(reports, ran.model)["head.weight"] for name, ran in made.items()}
    assert report(reports, made["both"])["table"][0]["model"] == f"teacher teacher-1 + {other}"
    assert np.allclose(learnt["both"], learnt["turned"], atol=1e-6)
    assert np.allclose(learnt["one"], learnt["twice"], atol=1e-6)
    assert not np.allclose(learnt["one"], learnt["both"], atol=1e-3)


@pytest.mark.parametrize("write", ["missing", "all"])
def test_what_the_teacher_writes_are_labels(reports, write):
    """The loss is that of labels then, so the student is the one that `full` would make of them."""
    ran = distill(reports, f"method.write={write}")
    assert report(reports, ran)["heard"] == {"labelled": 16, "unlabelled": 300, "dropped": 0}
    assert report(reports, ran)["difference"]["low"] > 0


@pytest.mark.parametrize("train", ["full", "lora"])
def test_the_whole_student_or_additions_to_it_learn(reports, tmp_path, workspace, train):
    """On a base with a network, with its vectors pulled to the teacher's; the projection is not kept."""
    pictures(tmp_path / "in")
    workspace.add("shapes", tmp_path / "in", labels="folders")
    workspace.run("image/probe-shape", dataset="shapes", name="drawn")
    words = ["base=conv-image", "base.size=16", "method=distill", f"method.train={train}", "method.features=0.5"]
    more = ["method.epochs=1", "method.teacher=[drawn-1]", "method.start=zero"]
    ran = workspace.run("", *words, *more, dataset="shapes")
    kept = weights(workspace, ran.model)
    assert ran.parity["holds"]
    assert {name.split(".")[0] for name in kept} == {"network", "head"}
    found = report(workspace, ran)["table"]
    assert found[1]["parameters"] == found[2]["parameters"] > 1_000_000


def pictures(folder):
    import cv2

    for label, side in (("dark", 0), ("light", 160)):
        (folder / label).mkdir(parents=True)
        for i in range(15):
            grey = np.random.default_rng([side, i]).integers(side, side + 90, (24, 24, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{i}.png"), grey)


def test_a_head_on_counts_answers_to_the_last_bit_whatever_else_is_asked():
    """The receipt allows such a base no difference at all, so float32 would be too little."""
    base = installed().get(Base, "hash-ngrams")
    random = np.random.default_rng(0)
    tensors = {"head.weight": random.normal(size=(3, 2048)).astype(np.float32), "head.bias": np.zeros(3, np.float32)}
    task = Classify(("a", "b", "c"))
    predictor = TunedPredictor(tensors, task, lambda: installed().use(base, "loader")(base.options()))
    samples = [{"text": f"{row['text']} {row['text']}"} for row in sayings(8, 0, test=0)][:8]
    together = predictor.predict(Examples(samples, task, dict, None))
    alone = np.concatenate([predictor.predict(Examples([sample], task, dict, None)) for sample in samples])
    assert np.abs(together - alone).max() < 1e-12


# --- answers as labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Classify, Multilabel, Regress])
def test_a_sure_answer_written_down_is_the_label(kind):
    for options, labels in kind.examples():
        rows = [{"label": label} for label in labels]
        task = kind.pose(rows, "here", options)
        targets = task.targets(rows)
        written = [{"label": label} for label in task.written(task.certain(targets))]
        assert np.array_equal(task.targets(written), targets), (options, written)


@pytest.mark.parametrize(
    ("task", "text", "label"),
    [
        (Classify(("oil", "crude oil", "gas")), "Crude Oil.", "crude oil"),
        (Classify(("oil", "gas")), "I would say **gas**, I think.", "gas"),
        (Classify(("oil", "gas")), "oil or gas", None),
        (Classify(("oil", "gas")), "oils", None),
        (Classify(("oil", "gas")), "", None),
        (Classify(("c++", "c#")), "It is C++ indeed", "c++"),
        (Multilabel(("oil", "gas")), "gas, oil", '["oil", "gas"]'),
        (Multilabel(("oil", "gas")), "None.", "[]"),
        (Multilabel(("oil", "gas")), "whatever", None),
        (Regress(), "about -2.5e1 degrees", "-2.5e1"),
        (Regress(), "3 or 4", None),
        (Regress(("mass", "size")), "mass 3, size .5", "[3.0, 0.5]"),
        (Regress(("mass", "size")), "3", None),
    ],
)
def test_what_an_answer_in_words_means(task, text, label):
    assert task.read(text) == label


# --- resume -------------------------------------------------------------------------------------------------------

CHILD = """
import sys, speciate
ws = speciate.open(sys.argv[1], quiet=True)
print("go", flush=True)
ws.run("", *sys.argv[2:], dataset="few", name="killed")
"""


@pytest.mark.parametrize("after", ["run.json", "checkpoints", "plain/checkpoints"])
def test_killed_anywhere_the_resumed_run_is_the_same(reports, after):
    """While it asks the teacher, while the student learns, while the student without a teacher does."""
    words = [*QUICK, "method.teacher=[teacher-1]", "method.epochs=12", "method.save_every=7"]
    whole = reports.run("", *words, dataset="few")
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(reports.root), *words], stdout=subprocess.PIPE
    )
    folder = reports.root / "artifacts" / "runs" / "killed-1"
    wanted = folder / after
    end = time.monotonic() + 60
    while not wanted.exists() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    ran = reports.resume("killed-1")
    one, two = (weights(reports, name) for name in (whole.model, ran.model))
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
    assert report(reports, ran)["difference"] == report(reports, whole)["difference"]


# --- an endpoint as teacher ---------------------------------------------------------------------------------------


@pytest.fixture
def chat(tmp_path):
    """chat(**rules) -> the url of a server in a process of its own, and a look at what it was asked."""
    running = []

    def chat(**rules):
        words = {word: label for label in SAID for word in SAID[label].split()}
        path = tmp_path / f"rules-{len(running)}.json"
        path.write_text(json.dumps({"words": words, **rules}))
        command = [sys.executable, str(Path(__file__).with_name("chat_server.py")), str(path)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        url = f"http://127.0.0.1:{running[-1].stdout.readline().strip()}"
        return f"{url}/v1", lambda: json.load(urllib.request.urlopen(f"{url}/seen"))

    yield chat
    for server in running:
        server.kill()
        server.wait()
        server.stdout.close()


def test_an_endpoint_teaches_and_is_paid_once(workspace, tmp_path, chat, monkeypatch):
    monkeypatch.setenv("CHAT_KEY", "s3cret")
    url, seen = chat(busy=3, key="s3cret", strange=["leak"], meet=2)
    rows = list(sayings(16, 120, test=40))
    workspace.add("few", written(tmp_path / "few.csv", rows))
    words = [f"method.url={url}", "method.key=CHAT_KEY", "method.parallel=3", "method.prompt='How is the machine?'"]
    ran = distill(workspace, *words, teacher="openai:small")
    found, asked = report(workspace, ran), seen()
    split = Counter(row["split"] for row in rows if "leak" in row["text"].split())
    strange = split["train"]
    assert strange
    assert found["heard"] == {"labelled": 16, "unlabelled": 120, "dropped": strange}
    assert asked["told"] == "How is the machine?\n\nAnswer with one of these and nothing else: bad, good."
    texts = Counter(row["text"] for row in rows if row["split"] != "dev")
    assert Counter(asked["answered"]) == texts, "not each row once"
    assert 1 < asked["most"] <= 3
    assert (found["table"][0]["parameters"], found["table"][0]["MB"]) == (None, None)
    assert found["table"][0]["ms a row"] > 0
    distill(workspace, *words, "method.lr=0.01", "method.write=missing", teacher="openai:small")
    assert seen()["requests"] == asked["requests"], "somebody was asked again"
    secret = [path for path in workspace.root.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert secret == [], "the key is in the workspace"


def test_an_endpoint_that_fails_keeps_what_it_answered(workspace, tmp_path, chat):
    """What follows is only what is missing."""
    url, seen = chat(breaks=10, own=True)
    rows = [{"role": "user", "content": row["text"]} for row in sayings(16, 80, test=0)]
    asked, cache = [[row] for row in rows], tmp_path / "cache"
    endpoint = Endpoint("small", url, "NO_KEY", 3, cache)
    with pytest.raises(SpeciateError) as caught:  # with much that waits still to be asked
        endpoint.ask(asked, lambda _: None)
    assert all((caught.value.asked, caught.value.exists, caught.value.do))
    assert "403" in caught.value.exists
    first = seen()
    assert 10 <= len(first["answered"]) <= 12
    assert first["requests"] < 30, "it went on asking"
    with Kept(cache) as kept:
        known = [row for row in asked if kept.get(endpoint._key(row)) is not None]
    assert len(known) == len(first["answered"]), "an answer that was paid is lost"
    assert all(answer.startswith("Answer: **") for answer in endpoint.ask(known, lambda _: None))
    assert seen()["requests"] == first["requests"]


def test_an_address_where_nobody_speaks_the_protocol(workspace, tmp_path, chat):
    url, seen = chat()
    workspace.add("few", written(tmp_path / "few.csv", list(sayings(16, 10, test=10))))
    with pytest.raises(SpeciateError, match="does not answer") as caught:
        distill(workspace, f"method.url={url}/wrong", teacher="openai:small")
    assert "404" in caught.value.exists
    assert seen()["answered"] == []


def test_numbers_in_words(workspace, tmp_path, chat):
    """regress: an answer is the one number in it."""
    url, _ = chat(words={"cold": "1.5", "hot": "9"})
    rows = [
        {"text": f"it is {word} here {i}", "label": label if i < 12 or i >= 60 else "", "split": split}
        for i in range(80)
        for word, label in [("cold", "1.5") if i % 2 else ("hot", "9")]
        for split in ["train" if i < 60 else "dev" if i < 66 else "test"]
    ]
    workspace.add("few", written(tmp_path / "few.csv", rows))
    ran = distill(workspace, f"method.url={url}", "task=regress", "method.epochs=30", teacher="openai:small")
    found = report(workspace, ran)
    assert found["heard"] == {"labelled": 12, "unlabelled": 48, "dropped": 0}
    assert found["table"][0]["mae"]["value"] == 0
    assert not found["higher_is_better"]


# --- what cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method.teacher=[]"], "needs a teacher"),
        (["method.teacher=[nobody]"], "no model named 'nobody'"),
        (["method.teacher=[teacher-1,openai:small]"], "openai:small"),
        (["method.teacher=[openai:small]", "method.key=NO_SUCH_KEY"], "wants a key"),
        (["method.teacher=[openai:small]", "method.url=ftp://x"], "ftp://x"),
        (["method.teacher=[teacher-1]", "method.train=half"], "method.train=half"),
        (["method.teacher=[teacher-1]", "method.write=some"], "method.write=some"),
        (["method.teacher=[teacher-1]", "method.alpha=1.5"], "method.alpha=1.5"),
        (["method.teacher=[teacher-1]", "method.temperature=0"], "temperature=0"),
        (["method.teacher=[teacher-1]", "method.train=full"], "has no network to train"),
    ],
)
def test_what_cannot_be_is_told(reports, words, says):
    with pytest.raises(UsageError) as caught:
        reports.run("", *QUICK, *words, dataset="few")
    assert says in f"{caught.value.asked} {caught.value.exists}"
    assert all((caught.value.asked, caught.value.exists, caught.value.do))
    assert reports.list("runs")["runs"][-1]["status"] == "failed"


def test_a_teacher_with_other_labels(reports, tmp_path):
    rows = [{**row, "label": row["label"] and f"very {row['label']}"} for row in sayings(60, 0, seed=3)]
    reports.add("other", written(tmp_path / "other.csv", rows))
    other = reports.run("text/probe-hash", dataset="other").model
    with pytest.raises(SpeciateError, match="teacher with other labels") as caught:
        distill(reports, teacher=other)
    assert "only the teacher knows: very bad, very good; only the dataset has: bad, good" in caught.value.exists
    assert caught.value.do


def test_a_teacher_of_another_task_or_modality(reports, tmp_path):
    rows = [{**row, "label": str(i % 7)} for i, row in enumerate(sayings(80, 0))]
    reports.add("numbers", written(tmp_path / "numbers.csv", rows))
    number = reports.run("text/probe-hash", "task=regress", dataset="numbers").model
    with pytest.raises(SpeciateError, match="cannot teach classify"):
        distill(reports, teacher=number)
    pictures(tmp_path / "in")
    reports.add("shapes", tmp_path / "in", labels="folders")
    drawn = reports.run("image/probe-shape", dataset="shapes").model
    with pytest.raises(SpeciateError):
        distill(reports, teacher=drawn)


def test_a_teacher_that_saw_the_test_rows(reports, tmp_path):
    """By the rows themselves: they came in under another name, into another split."""
    rows = [{**row, "split": "train"} for row in sayings(16, 300) if row["label"]]
    reports.add("leaked", written(tmp_path / "leaked.csv", rows))
    leaked = reports.run("text/probe-hash", dataset="leaked").model
    with pytest.raises(SpeciateError, match="cannot be a teacher here") as caught:
        distill(reports, teacher=leaked)
    assert "120 of the 120 rows" in caught.value.exists
    pupil = distill(reports, "method.plain=false").model
    assert distill(reports, "method.plain=false", teacher=pupil).status == "done", "a teacher may have had a teacher"


def test_options_that_cannot_be():
    for wrong in ({"epochs": 0}, {"features": -1.0}, {"alpha": -0.1}):
        with pytest.raises(UsageError) as caught:
            DistillTrainer(DistillOptions(teacher=["x"], **wrong))
        assert all((caught.value.asked, caught.value.exists, caught.value.do))
