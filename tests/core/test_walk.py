"""The whole walk: files in, a model out, asked in every way, promoted only through the gate, served."""

import contextlib
import http.client
import json
import random
import shutil
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import yaml

import speciate
from speciate import GateError, SpeciateError, UsageError, gate
from speciate.files import read_json

MODEL = "news-probe-1"


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the trained workspace, to write to."""
    return speciate.open(shutil.copytree(trained.root, tmp_path / "copied"), quiet=True)


@pytest.fixture
def few(tmp_path, make):
    return make.jsonl(tmp_path / "few.jsonl", make.rows(6, seed=5))


def edit(path, change):
    content = read_json(path)
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


# --- the same from Python and from the command line ---------------------------------------------------------------


def test_python_and_the_command_line_give_the_same(trained, cli, tmp_path, make, few):
    """Same keys, same numbers, in one JSON object on stdout."""
    news = make.jsonl(tmp_path / "news.jsonl", make.rows(240))
    ours = speciate.open(tmp_path / "python", quiet=True)
    pairs = [
        (cli("add", "news", news, "--json"), lambda: ours.add("news", news)),
        (cli("run", "text/probe-hash", "dataset=news", "--json"), lambda: ours.run("text/probe-hash", dataset="news")),
        (cli("predict", MODEL, few, "--json"), lambda: ours.predict(MODEL, few)),
        (cli("score", MODEL, "--on", "news", "--json"), lambda: ours.score(MODEL, "news")),
        (cli("promote", MODEL, "topics", "--json"), lambda: ours.promote(MODEL, "topics")),
        (cli("list", "--json"), ours.list),
        (cli("show", MODEL, "--json"), lambda: ours.show(MODEL)),
    ]
    for done, verb in pairs:
        assert (done.returncode, done.stderr) == (0, ""), done.args
        one, two = json.loads(done.stdout), verb()
        assert _shape(one) == _shape(json.loads(json.dumps(getattr(two, "__dict__", two), default=vars)))
    assert json.loads(pairs[2][0].stdout) == ours.predict(MODEL, few)
    assert json.loads(pairs[3][0].stdout) == ours.score(MODEL, "news")


def _shape(value):
    """The keys, at every depth, without the numbers and the times."""
    if isinstance(value, dict):
        return {key: None if key == "seconds" else _shape(inner) for key, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__


# --- the model folder ---------------------------------------------------------------------------------------------


def test_what_a_model_folder_holds(trained):
    folder = trained.root / "artifacts" / "models" / MODEL
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "model.json",
        "parity.json",
        "weights.safetensors",
    ]
    info = read_json(folder / "model.json")
    wanted = "name created format base method task labels dataset input scores baseline config libraries"
    assert info.keys() >= set(wanted.split())
    assert info["labels"] == ["grain", "money", "oil"]
    assert (info["dataset"]["version"], info["dataset"]["labelled"]) == (1, 240)
    assert {"value", "low", "high", "n"} <= info["scores"]["accuracy"].keys()
    assert (
        info["scores"]["accuracy"]["low"] <= info["scores"]["accuracy"]["value"] <= info["scores"]["accuracy"]["high"]
    )
    receipt = read_json(folder / "parity.json")
    assert receipt["holds"] is True
    assert receipt["rows"] == 16


def test_the_card_is_for_people_and_machines(trained):
    card = (trained.root / "artifacts" / "models" / MODEL / "README.md").read_text(encoding="utf-8")
    _, front, page = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["library_name"], head["base_model"], head["datasets"]) == ("speciate", "hash-ngrams", ["news"])
    assert f"# {MODEL}" in page
    assert "accuracy" in page


FRESH = """
import json, sys, speciate
print(json.dumps(speciate.open(sys.argv[1]).predict(sys.argv[2], sys.argv[3])))
assert not [name for name in ("torch", "lightning", "lancedb", "hydra") if name in sys.modules]
"""


def test_a_copied_model_answers_without_a_workspace(trained, few, tmp_path):
    folder = shutil.copytree(trained.root / "artifacts" / "models" / MODEL, tmp_path / "any where" / "m")
    command = [sys.executable, "-W", "error", "-c", FRESH, tmp_path / "no-workspace", folder, few]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == trained.predict(MODEL, few)
    assert not (tmp_path / "no-workspace").exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "weights.safetensors").write_bytes((f / "weights.safetensors").read_bytes()[:50]), "weights"),
        (lambda f: (f / "weights.safetensors").unlink(), "weights"),
        (lambda f: (f / "model.json").write_text("{"), "model.json"),
        (lambda f: (f / "model.json").unlink(), "model.json"),
        (lambda f: edit(f / "model.json", lambda i: i.pop("task")), "task"),
        (lambda f: edit(f / "model.json", lambda i: i["format"].update(name="fasta9")), "fasta9"),
        (lambda f: edit(f / "model.json", lambda i: i["base"].update(hash="0" * 64)), "hash-ngrams"),
        (lambda f: edit(f / "model.json", lambda i: i["base"]["options"].update(wdth=3)), "wdth"),
        (lambda f: edit(f / "model.json", lambda i: i.update(labels=["a", "b"])), "labels"),
    ],
    ids=["cut", "no-weights", "broken", "no-info", "no-task", "no-plugin", "other-base", "odd-option", "labels"],
)
def test_a_damaged_model_says_so(trained, few, tmp_path, change, says):
    folder = shutil.copytree(trained.root / "artifacts" / "models" / MODEL, tmp_path / "m")
    change(folder)
    try:
        result = trained.predict(folder, few)
    except SpeciateError as error:
        said = str(error)
    else:
        assert result["predictions"] == []
        said = result["failed"][0]["reason"]
    assert says in said


# --- other tasks and splits ---------------------------------------------------------------------------------------


def test_numbers(workspace, tmp_path, make):
    """More of a word is a higher number; most of the variance is explained."""
    random.seed(0)
    rows = []
    for _ in range(300):
        n = random.randint(0, 10)
        words = ["hot"] * n + ["cold"] * (10 - n) + [f"{random.getrandbits(32):x}" for _word in range(12)]
        rows.append({"text": " ".join(random.sample(words, len(words))), "label": n + random.random() / 10})
    workspace.add("heat", make.jsonl(tmp_path / "heat.jsonl", rows))
    ran = workspace.run("text/probe-hash", dataset="heat", task="regress")
    assert ran.scores["r2"]["value"] > 0.5
    assert ran.parity["holds"]
    test = make.jsonl(tmp_path / "test.jsonl", [{"text": "hot " * 9 + "cold"}, {"text": "cold " * 9 + "hot"}])
    high, low = (row["output"]["value"] for row in workspace.predict(ran.model, test)["predictions"])
    assert high > low + 3


def test_a_score_says_what_was_seen(copied):
    assert copied.score(MODEL, "news")["seen_in_training"] is False
    assert copied.score(MODEL, "news:test")["seen_in_training"] is False
    assert copied.score(MODEL, "news@1:train")["seen_in_training"] is True
    assert copied.score(MODEL, "news:dev")["seen_in_training"] is True
    assert len({row["split"] for row in copied.ledger.rows("scores")}) == 3


@pytest.mark.parametrize(
    ("on", "says"),
    [("nws", "did you mean 'news'"), ("news:tset", "tset"), ("news@99", "99"), ("news@x", "x"), ("", "dataset")],
)
def test_a_score_on_what_is_not_there(trained, on, says):
    with pytest.raises(UsageError) as caught:
        trained.score(MODEL, on)
    assert says in str(caught.value)


# --- the gate -----------------------------------------------------------------------------------------------------


def test_the_gate(copied, cli):
    first = copied.promote(MODEL, "topics")
    assert (first["passed"], first["was"]) == (True, "")
    worse = copied.run("text/probe-hash", dataset="news", base={"width": 16, "low": 1, "high": 1}).model
    done = cli("promote", worse, "topics", "--json", "-w", copied.root)
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "GateError"
    assert all(error[key] for key in ("asked", "exists", "do"))
    assert copied.model("topics").name == MODEL
    assert copied.list("endpoints")["endpoints"][0]["model"] == MODEL
    assert copied.promote(MODEL, "topics")["passed"], "the same again is not worse"


@pytest.mark.parametrize(("scores", "says"), [("baseline", "without a model"), (None, "never scored")])
def test_the_first_model_has_to_beat_no_model(trained, scores, says):
    model = trained.model(MODEL)
    model.info["scores"] = model.info[scores] if scores else {}
    verdict = gate.judge(trained.catalog, trained.engine, model, None)
    assert verdict["passed"] is False
    assert says in verdict["why"]


def test_a_receipt_that_was_tampered_with(copied):
    folder = copied.root / "artifacts" / "models" / MODEL
    receipt = folder / "parity.json"
    whole = receipt.read_text()
    for content in (json.dumps({**json.loads(whole), "holds": False}), "{}", "[]", "null", '{"holds": "yes"}', None):
        if content is None:
            receipt.unlink()
        else:
            receipt.write_text(content)
        with pytest.raises(SpeciateError):
            copied.promote(MODEL, "topics")
    receipt.write_text("{")
    with pytest.raises(SpeciateError, match="cannot read"):
        copied.promote(MODEL, "topics")
    assert copied.list("endpoints")["endpoints"] == []
    receipt.write_text(whole)
    assert copied.promote(MODEL, "topics")["passed"]


def test_a_description_that_is_not_that_of_the_receipt(copied):
    path = copied.root / "artifacts" / "models" / MODEL / "model.json"
    edit(path, lambda i: i["scores"]["accuracy"].update(value=0.999))
    with pytest.raises(GateError):
        copied.promote(MODEL, "topics")


def test_weights_that_are_not_those_of_the_receipt(copied):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    weights = copied.root / "artifacts" / "models" / MODEL / "weights.safetensors"
    save_file({name: np.ascontiguousarray(-tensor) for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(GateError):
        copied.promote(MODEL, "topics")


@pytest.mark.parametrize(
    "verb",
    [
        lambda ws: ws.run("text/probe-hash", dataset="news", name="../../evil"),
        lambda ws: ws.run("text/probe-hash", dataset="../news"),
        lambda ws: ws.resume("../../../etc"),
        lambda ws: ws.promote(MODEL, "../evil"),
        lambda ws: ws.add("../evil", ws.root.parent / "few.jsonl"),
    ],
    ids=["run name", "dataset", "resume", "endpoint", "add"],
)
def test_names_that_leave_the_workspace(copied, tmp_path, few, verb):
    before = {path for path in tmp_path.rglob("*") if path.suffix not in (".dirty", ".lock")}
    with pytest.raises(UsageError):
        verb(copied)
    assert {path for path in tmp_path.rglob("*") if path.suffix not in (".dirty", ".lock")} == before


# --- resume -------------------------------------------------------------------------------------------------------


def test_what_can_be_resumed(copied, monkeypatch):
    with pytest.raises(UsageError, match=f"run '{MODEL}' is done") as caught:
        copied.resume(MODEL)
    assert MODEL in caught.value.exists
    with pytest.raises(UsageError, match="no run named 'news-prob-1'") as caught:
        copied.resume("news-prob-1")
    assert f"did you mean '{MODEL}'?" in caught.value.do


def test_a_failed_run_is_resumed(copied, monkeypatch):
    from speciate_trainers.probe import ProbeTrainer

    def fails(self, job):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(ProbeTrainer, "fit", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            copied.run("text/probe-hash", dataset="news", seed=4)
    (row,) = [row for row in copied.list("runs")["runs"] if row["run"] == "news-probe-2"]
    assert (row["status"], row["error"]) == ("failed", "out of memory")
    assert not (copied.root / "artifacts" / "models" / "news-probe-2").exists()
    ran = copied.resume("news-probe-2")
    assert (ran.status, ran.model) == ("done", "news-probe-2")
    assert read_json(copied.root / "artifacts" / "models" / "news-probe-2" / "model.json")["config"]["seed"] == 4
    assert {row["run"]: row["status"] for row in copied.list("runs")["runs"]} == {
        MODEL: "done",
        "news-probe-2": "done",
    }


# --- serving ------------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(copied):
    """The URL of a real process that serves an endpoint."""
    copied.promote(MODEL, "topics")
    command = [sys.executable, "-m", "speciate", "serve", "topics", "--port", "0", "--json", "-w", str(copied.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = json.loads(process.stdout.readline())["url"]
            yield url
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=30)
            assert (process.returncode, output, errors) == (0, "", "")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def test_an_endpoint_answers_as_the_model_does(copied, endpoint, few):
    wanted = [row["output"] for row in copied.predict(MODEL, few)["predictions"]]
    rows = [{"text": json.loads(line)["text"]} for line in few.read_text().splitlines()]
    head, tail = '--b\r\ncontent-disposition: form-data; name="file"; filename="few.jsonl"\r\n\r\n', "\r\n--b--\r\n"
    asked = [
        (few.read_bytes(), {"content-type": "application/x-ndjson", "x-filename": "few.jsonl"}, "?filename=few.jsonl"),
        (head.encode() + few.read_bytes() + tail.encode(), {"content-type": "multipart/form-data; boundary=b"}, ""),
        (json.dumps({"rows": rows}).encode(), {"content-type": "application/json"}, ""),
    ]
    where, ids = urlsplit(endpoint), set()
    for body, headers, query in asked:
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        connection.request("POST", f"/v1/predict/topics{query}", body, headers)
        answer = connection.getresponse()
        content = json.load(answer)
        connection.close()
        assert answer.status == 200, content
        assert (content["model"], content["outputs"]) == (MODEL, wanted)
        ids.add(content["id"])
    assert len(ids) == 3
