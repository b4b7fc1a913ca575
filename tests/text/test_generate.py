"""The task generate through the whole walk: learnt by full and lora, scored, proven, said, streamed."""

import http.client
import json
import math
import os
import re
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from tiny_lm import taught_lm, tiny_lm

from speciate import SpeciateError, TaskKind, UsageError
from speciate.catalog import installed, load
from speciate.task import Examples
from speciate.testing import MethodContract

KIND = installed().get(TaskKind, "generate")
SAYS = {"good day": "runs smooth and quiet all day", "bad smoke": "broke down again with smoke"}
QUICK = {"epochs": 5, "batch_size": 8, "lr": 3e-3}


def sayings(n=60):
    answers = list(SAYS)
    return [{"text": f"number {i} {SAYS[answers[i % 2]]}", "label": answers[i % 2]} for i in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_lm(tmp_path_factory.mktemp("lm") / "tiny")


@pytest.fixture(scope="module")
def walked(tmp_path_factory, folder):
    """A workspace with a model that learnt two answers by heart."""
    import speciate

    ws = speciate.open(tmp_path_factory.mktemp("walk") / "workspace", quiet=True)
    lines = "\n".join(map(json.dumps, sayings()))
    path = ws.root.parent / "sayings.jsonl"
    path.write_text(lines, encoding="utf-8")
    ws.add("sayings", path)
    words = ["base=hf-language", f"base.id={folder}", "task=generate", "task.max_tokens=8"]
    return ws, ws.run("", *words, "method=full", dataset="sayings", method=QUICK), words


class Speaks(MethodContract):
    """On a base that gives language."""

    base, tasks = "hf-language", ("generate",)

    @pytest.fixture(autouse=True)
    def chosen_folder(self, folder):
        type(self).base_options = {"id": str(folder)}


class TestFull(Speaks):
    name, options = "full", {"epochs": 8, "batch_size": 8, "lr": 3e-3}


class TestLora(Speaks):
    """Which has to be on a base that speaks: additions to random layers have nothing to add to."""

    name, options = "lora", {"epochs": 6, "batch_size": 8, "lr": 1e-2, "keep": "adapter"}
    task_options = {"max_tokens": 4}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def chosen_folder(self, tmp_path_factory):
        if not type(self).base_options:
            type(self).base_options = {"id": str(taught_lm(tmp_path_factory.mktemp("lm") / "taught"))}


def posed(**options):
    return load(KIND.task).pose(sayings(4), "made-up rows", options)


def test_it_learns_and_trained_saved_and_served_say_the_same(walked):
    ws, ran, _ = walked
    assert ran.scores["exact_match"]["value"] == 1.0
    assert ran.scores["token_f1"]["value"] == 1.0
    assert ran.baseline["exact_match"]["value"] == pytest.approx(0.5, abs=0.2)
    assert 1.0 < ran.scores["perplexity"]["value"] < 3.0
    assert ran.baseline["perplexity"]["value"] is None  # who only counts answers is not surprised by tokens
    assert ran.parity["holds"]
    assert ran.parity["max_difference"] == {"saved": 0.0, "served": 0.0}
    assert "text-generation" in (ws.model(ran.model).folder / "README.md").read_text(encoding="utf-8")


def test_the_gate_and_the_scores_take_it(walked):
    ws, ran, _ = walked
    assert ws.promote(ran.model, "talks")["passed"]
    again = ws.score(ran.model, "sayings:test")["scores"]
    assert again == ran.scores


def test_lora_merged_and_as_an_adapter_say_the_same(walked):
    """On top of what was learnt nothing is there to learn from here; that both keep the same is what counts."""
    ws, _, words = walked
    method = {"epochs": 2, "batch_size": 8, "lr": 1e-2, "layers": "_proj"}
    merged, adapter = (
        ws.run("", *words, "method=lora", dataset="sayings", method={**method, "keep": keep})
        for keep in ("merged", "adapter")
    )
    assert merged.parity["holds"]
    assert adapter.parity["holds"]
    perplexities = [one.scores["perplexity"]["value"] for one in (merged, adapter)]
    assert perplexities[0] == pytest.approx(perplexities[1], rel=1e-4)
    assert perplexities[0] < 100  # 512 words are all as likely to who knows nothing
    sizes = [(ws.model(one.model).folder / "weights.safetensors").stat().st_size for one in (merged, adapter)]
    assert sizes[1] < sizes[0] / 2


def test_dev_is_judged_by_surprise_and_tokens_are_counted(walked):
    ws, _, words = walked
    method = {**QUICK, "eval_every": 2}
    ran = ws.run("", *words, "method=full", "budget=1500tokens", dataset="sayings", method=method)
    folder = ws.root / "artifacts" / "runs" / ran.run
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    dev = [float(row[3]) for row in rows if row[2] == "dev"]
    assert len(dev) >= 2
    assert dev[-1] < dev[0] < 1000  # perplexities, and lower is better
    notes = json.loads((folder / "notes.json").read_text())
    assert (notes["score"], notes["higher_is_better"]) == ("perplexity", False)
    stopped = notes["stopped"]
    assert "1500tokens" in stopped
    steps = int(re.search(r"step (\d+)", stopped)[1])
    assert 5 <= steps <= 9  # of 8 rows with some 28 tokens each


def test_a_search_looks_for_the_least_surprise(walked):
    ws, _, words = walked
    pytest.importorskip("optuna")
    method = {**QUICK, "epochs": 1}
    space = {"method.lr": [1e-6, 3e-3]}
    found = ws.tune("", *words, "method=full", dataset="sayings", method=method, space=space, trials=2, seed=1)
    assert (found["score"], found["higher_is_better"]) == ("perplexity", False)
    assert found["best"]["dev"] == min(trial["dev"] for trial in found["trials"])


def test_predict_prints_texts(walked, capsys):
    from speciate import pages

    ws, ran, _ = walked
    path = ws.root.parent / "ask.txt"
    path.write_text("number 7 broke down again with smoke", encoding="utf-8")
    said = ws.predict(ran.model, path)
    assert said["predictions"][0]["output"] == {"text": "bad smoke"}
    pages.predicted(said)
    assert "bad smoke" in capsys.readouterr().out


def test_a_real_server_streams_what_it_answers_without_lightning(walked):
    ws, ran, _ = walked
    code = (
        "import atexit, sys; from speciate.cli import main; "
        "atexit.register(lambda: print(sorted({'lightning', 'peft'} & set(sys.modules)), flush=True)); main()"
    )
    words = ["serve", ran.model, "--port", "0", "--json", "-w", str(ws.root)]
    command, environment = [sys.executable, "-c", code, *words], {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        try:
            address = json.loads(run.stdout.readline())["url"].removeprefix("http://")
            row = json.dumps({"text": "number 7 broke down again with smoke"})
            whole = json.loads(post(address, f"/v1/predict/{ran.model}", row))
            body = post(address, f"/v1/predict/{ran.model}/stream", row).decode()
        finally:
            run.terminate()
        assert run.stdout.read() == "[]\n"  # answering needs neither what trains nor what adapts
    pieces = [json.loads(data) for data in re.findall(r"^data: (.*)$", body, re.M)]
    assert whole["output"] == pieces[-1]["output"] == {"text": "bad smoke"}
    assert "".join(piece["text"] for piece in pieces[:-1]) == "bad smoke"
    assert len(pieces) > 2


def post(address, path, row):
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("POST", path, row, {"content-type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200
        return response.read()


def test_a_model_of_another_kind_does_not_stream(trained):
    model = trained.model("news-probe-1")
    with pytest.raises(UsageError, match="does not stream"):
        list(model.stream({"text": "crude"}))


def test_without_training_a_predictor_is_the_base(folder):
    """What a comparison with the untouched model asks."""
    from speciate_text.language import HFLanguage
    from speciate_text.options import HFLanguageOptions

    task, base = posed(max_tokens=4), HFLanguage(HFLanguageOptions(id=str(folder)))
    predictor = load("speciate_trainers.tuned:TunedPredictor")({}, task, lambda: base)
    rows = sayings(4)
    known = predictor.predict(Examples(rows, task, lambda row: {"text": row["text"]}, None))
    unknown = predictor.predict(Examples([{"text": r["text"]} for r in rows], task, dict, None))
    assert known["text"].tolist() == unknown["text"].tolist()
    assert np.isfinite(known["nll"]).all()
    assert np.isnan(unknown["nll"]).all()
    assert len(predictor.predict(Examples([], task, dict, None))) == 0


def test_a_student_learns_what_a_teacher_says(walked, tmp_path, make):
    """From texts that nobody has answered but it: a model of this workspace, then a server."""
    ws, ran, words = walked
    rows = [{**row, "label": row["label"] if i % 8 < 2 else ""} for i, row in enumerate(sayings(90)[60:])]
    held = [{"text": f"again {i} {SAYS[label]}", "label": label} for i in range(6) for label in SAYS]
    for split, some in (("train", rows), ("dev", held[:4]), ("test", held[4:])):
        ws.add("heard", make.jsonl(tmp_path / f"{split}.jsonl", some), split=split)
    told = {**QUICK, "epochs": 20, "write": "missing", "plain": False}
    one = ws.run("", *words, "method=distill", dataset="heard", method={**told, "teacher": [ran.model]})
    rules = {"words": {word: label for label in SAYS for word in SAYS[label].split()[:1]}, "short": True}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    server = [sys.executable, str(make.root / "trainers" / "chat_server.py"), str(tmp_path / "rules.json")]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as remote:
        url = f"http://127.0.0.1:{remote.stdout.readline().strip()}/v1"
        asked = {**told, "teacher": ["openai:small"], "url": url}
        two = ws.run("", *words, "method=distill", dataset="heard", method=asked)
        remote.kill()
    for made in (one, two):
        report = json.loads((ws.root / "artifacts" / "runs" / made.run / "report.json").read_text())
        assert report["heard"] == {"labelled": 8, "unlabelled": 22, "dropped": 0}
        assert [row["token_f1"]["n"] for row in report["table"]] == [8, 8]
        assert made.scores["exact_match"]["value"] > 0.7, made.scores


def test_what_cannot_be_learnt_is_told(walked):
    ws, _, words = walked
    with pytest.raises(SpeciateError, match="learnt from language"):
        ws.run("", "base=ngram-net", "method=full", "task=generate", dataset="sayings")
    with pytest.raises(UsageError, match="smoothing"):
        ws.run("", *words, "method=full", dataset="sayings", method={**QUICK, "smoothing": 0.1})
    with pytest.raises(SpeciateError, match="at least one word"):
        load(KIND.task).pose([{"id": "a", "label": " "}], "rows", {})


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}])
def test_impossible_manners(options):
    with pytest.raises(UsageError, match=r"task\."):
        posed(**options)


def test_long_answers_count_by_their_tokens():
    import torch

    task = posed()
    losses = task.loss(torch.tensor([[2.0, 1.0], [12.0, 3.0]]), torch.zeros(2))
    assert float(losses.mean()) == pytest.approx(14 / 4)  # the mean over all tokens
    answers = task.answered(torch.tensor([[2.0, 1.0], [12.0, 3.0]]), [])
    assert answers["nll"].tolist() == [2.0, 12.0]
    assert math.isclose(task.gap(answers, answers), 0.0)


def test_chats_are_rows(tmp_path, workspace):
    chat = [
        {"messages": [{"role": "user", "content": f"hi {i}"}, {"role": "assistant", "content": f"ho {i % 3}"}]}
        for i in range(12)
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, chat)), encoding="utf-8")
    added = workspace.add("chats", path)
    assert added.labels == {"ho 0": 4, "ho 1": 4, "ho 2": 4}
    row = workspace.engine.dataset("chats").rows()[0]
    assert json.loads(row["text"])[0]["role"] == "user"
