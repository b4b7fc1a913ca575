"""The conformance kit catches what is broken: each plugin below has one fault, and the check that is for it fails."""

import os
import re
import subprocess
import sys

import pytest

from speciate import SpeciateError, UsageError
from speciate.testing import check as kit

SOUND = """
from dataclasses import dataclass
import os, sys
from random import random
from speciate import TEXT, Base, Evaluator, Format, Method, NoOptions, Server, TaskKind, UsageError, hookimpl
from speciate.task import Task

Options = NoOptions
PROCESS = os.getpid()

@hookimpl
def speciate_formats():
    return [Format("toy", "lines", TEXT, ("*.toy",), NAME + ":Reader", options=Options, example=NAME + ":example")]

@hookimpl
def speciate_bases():
    return [Base("toy", "length and vowels", TEXT, NAME + ":Encoder")]

@hookimpl
def speciate_methods():
    return [Method("toy", "learns nothing", NAME + ":Trainer", NAME + ":Predictor", ("classify",))]

@hookimpl
def speciate_evaluators():
    return [Evaluator("toy", "share of right answers", NAME + ":score", ("classify", "toy"), weighted=True)]

@hookimpl
def speciate_tasks():
    return [TaskKind("toy", "one of two", NAME + ":Toy", "toy")]

@hookimpl
def speciate_servers():
    return [Server("toy", "asks the model", NAME + ":App")]

class Reader:
    def __init__(self, options): ...
    def schema(self): return {"text": "string"}
    def read(self, path):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield {"text": line, "label": line[:1]}
    def decode(self, row): return {"text": row["text"]}

def example(folder):
    (folder / "small.toy").write_text("a cat\\nbee\\nsome more of it\\n")
    return [folder / "small.toy"]

class Encoder:
    width, tolerance = 2, 0.0
    def __init__(self, options): self.calls = 0
    def fingerprint(self): return "toy"
    def encode(self, samples, tick):
        import numpy as np
        self.calls += 1
        tick(len(samples))
        rows = [[len(s["text"]), sum(map(s["text"].count, "aeiou"))] for s in samples]
        return np.array(rows, dtype="float32").reshape(-1, 2)

def score(predictions, weights):
    right = predictions.answers.argmax(axis=1) == predictions.targets
    return (weights @ right) / weights.sum(axis=1)

class Trainer:
    def __init__(self, options): ...
    def fit(self, job):
        import numpy as np
        sums = np.stack([job.train.features[job.train.targets == i].mean(axis=0) for i in range(2)])
        return {"centres": sums}

class Predictor:
    def __init__(self, tensors, task, encoder): self.centres = tensors["centres"]
    def predict(self, examples):
        import numpy as np
        near = -np.square(examples.features[:, None] - self.centres[None]).sum(axis=2).astype("float64")
        odds = np.exp(near - near.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

class Toy(Task):
    name, primary = "toy", "toy"
    @classmethod
    def examples(cls): return [({}, ["x", "y"])]
    @classmethod
    def pose(cls, rows, where, options): return cls(("x", "y"), options)
    def targets(self, rows):
        import numpy as np
        # an option whose keys are numbers, which JSON does not keep
        first = self.options.get("labels", {1: 0}).get(1) is None
        return np.array([self.labels.index(row["label"]) + first for row in rows], dtype=float)
    def certain(self, targets):
        import numpy as np
        return np.eye(2)[targets.astype(int)]
    def outputs(self, answers): return [{"of": row.tolist()} for row in answers]
    def answers(self, outputs):
        import numpy as np
        return np.array([row["of"] for row in outputs])
    def prior(self, targets, n):
        import numpy as np
        return np.full((n, 2), 0.5)
    def shape(self): return (2,)
    def head(self, width, targets):
        from torch import nn
        return nn.Linear(width, 2)
    def loss(self, scores, targets, smoothing=0.0):
        from torch.nn.functional import cross_entropy
        return cross_entropy(scores, targets.long(), reduction="none")
    def decide(self, scores): return scores.double().softmax(dim=1)
    def distance(self, scores, teacher, temperature):
        return (scores.softmax(dim=1) - teacher).square().sum(dim=1)

class App:
    def __init__(self, models, options): self.models = models
    def ask(self, name, rows):
        from speciate import SpeciateError
        if name not in self.models:
            raise SpeciateError("no such model")
        return self.models[name].predict_rows(rows)
    def run(self, host, port, ready):
        import json
        from http.server import BaseHTTPRequestHandler, HTTPServer
        ask = self.ask
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
                body = json.dumps({"outputs": ask(self.path.rsplit("/")[-1], rows)}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)
        with HTTPServer((host, port), Handler) as server:
            ready(f"http://{host}:{server.server_port}")
            server.serve_forever()
"""

HEADER = """
import importlib
from speciate.catalog import Catalog, Plugin, installed
from speciate.testing import BaseContract, EvaluatorContract, FormatContract, MethodContract
from speciate.testing import ServerContract, TaskContract

def given(module):
    return Catalog([*installed().plugins.values(), Plugin(module, importlib.import_module(module))])
"""
WIDE = {**os.environ, "COLUMNS": "400", "PYTEST_ADDOPTS": ""}

# What the faults below put in the place of sound lines.
FROZEN = "@dataclass(frozen=True)\nclass Options:\n    a: int = 0"
REQUIRED = "@dataclass\nclass Options:\n    a: int"
READ = """for line in path.read_text(encoding="utf-8").splitlines():
            yield {"text": line,"""
HALF = """for line in path.read_text(encoding="latin-1").splitlines():
            yield {"text": line if line.isascii() else None,"""
EXITS = f"""if b"\\xff" in path.read_bytes(): raise SystemExit
        {READ}"""
STOPS = f"""if not path.stat().st_size: raise UsageError("empty")
        {READ}"""
DECODE = '{"text": row["text"]}'
LIGHTNING = "if 'pytest' not in sys.modules: sys.modules['lightning'] = sys\nclass Predictor"
UPSIDE_DOWN = "weighted=True, higher_is_better=False"

FAULTS = {  # what is wrong: whose contract, the sound line, the line instead, the check that fails, what it says
    "imports numpy": (
        "Format",
        "\nfrom dataclasses",
        "\nimport numpy\nfrom dataclasses",
        "declaring_is_light",
        "numpy",
    ),
    "frozen options": ("Format", "Options = NoOptions", FROZEN, "declaration_is_complete", "frozen"),
    "no default": ("Format", "Options = NoOptions", REQUIRED, "declaration_is_complete", "no default: .'a'"),
    "another pattern": ("Format", '("*.toy",)', '("*.tay",)', "its_files_are_recognised", "no installed format"),
    "an odd type": ("Format", '"string"}', '"str"}', "the_schema_can_be_stored", "unknown types"),
    "a reserved column": ("Format", '"string"}', '"string", "label": "string"}', "the_schema_can_be_stored", "label"),
    "half-typed rows": ("Format", READ, HALF, "a_damaged_file_reads_or_raises", "NoneType in 'text'"),
    "a number as text": (
        "Format",
        '"text": line,',
        '"text": len(line),',
        "good_files_give_typed_rows",
        "int in 'text'",
    ),
    "reads at random": ("Format", '"text": line,', '"text": line + str(random()),', "reading_repeats", "twice"),
    "another modality": ("Format", DECODE, '{"words": row["text"]}', "rows_decode_to_the_modality", "missing"),
    "peeks at the label": (
        "Format",
        DECODE,
        '{"text": row["text"] + row["label"]}',
        "training_equals_serving",
        "label",
    ),
    "peeks if it can": ("Format", DECODE, '{"text": row.get("label", "")}', "training_equals_serving", "looks at more"),
    "peeks in the store": ("Format", DECODE, '{"text": row.get("split", "")}', "training_equals_serving", "stored row"),
    "ends the process": ("Format", READ, EXITS, "a_damaged_file_is_put_aside", "SystemExit"),
    "stops the whole add": ("Format", READ, STOPS, "a_damaged_file_is_put_aside", "no UsageError"),
    "depends on place": ("Base", 'len(s["text"])', "samples.index(s)", "order_does_not_matter", "in reverse"),
    "depends on company": ("Base", 'len(s["text"])', "len(samples)", "company_does_not_matter", "one by one"),
    "depends on the call": ("Base", 'len(s["text"])', "self.calls", "encoding_repeats", "twice"),
    "the same for all": (
        "Base",
        "for s in samples]",
        "for s in samples[:1] * len(samples)]",
        "samples_can_be_told_apart",
        "",
    ),
    "double precision": ("Base", '"float32"', '"float64"', "vectors_have_the_promised_shape", "float64"),
    "no shape for nothing": ("Base", ".reshape(-1, 2)", "", "nothing_gives_nothing", "no samples give"),
    "no progress": ("Base", "tick(len(samples))", "", "progress_adds_up", "tick"),
    "a counting name": ("Base", 'return "toy"', 'return f"{self.calls}"', "the_fingerprint_stays", "changed"),
    "a name of today": ("Base", 'return "toy"', "return str(PROCESS)", "another_process_agrees", "another process"),
    "learns nothing": ("Method", '"centres": sums', '"centres": sums * 0', "it_learns", "without a model"),
    "no seed": ("Method", '"centres": sums', '"centres": sums + random()', "the_seed_repeats", "other values"),
    "no arrays": ("Method", '"centres": sums', '"centres": sums.tolist()', "it_learns", "not numpy"),
    "no probabilities": ("Method", "return odds", "return 2 * odds", "it_learns", "sum to 1"),
    "answers together": (
        "Method",
        "odds = np",
        "near = near - near[0]; odds = np",
        "a_row_is_answered_alone",
        "another",
    ),
    "needs Lightning": ("Method", "class Predictor", LIGHTNING, "answering_needs_no_lightning", "lightning"),
    "upside down": ("Evaluator", "weighted=True", UPSIDE_DOWN, "right_beats_wrong", "higher_is_better"),
    "ignores weights": (
        "Evaluator",
        "weights @ right",
        "weights.sum(1) * right.mean()",
        "weights_count_as_rows",
        "rows",
    ),
    "depends on order": (
        "Evaluator",
        "weights @ right",
        "weights[:, :9] @ right[:9]",
        "order_does_not_matter",
        "order",
    ),
    "no examples": ("Task", '[({}, ["x", "y"])]', "[]", "it_has_examples", "examples"),
    "another primary": ("Task", '"toy", "toy"', '"toy", "accuracy"', "names_agree", "something else"),
    "counts rows": (
        "Task",
        "return np.array([self.labels.index(row",
        "return np.array([len(rows) + self.labels.index(row",
        "labels_are_targets",
        "beside it",
    ),
    "rounds its outputs": (
        "Task",
        "row.tolist()} for",
        "row.round().tolist()} for",
        "answers_become_outputs_and_back",
        "another",
    ),
    "a NaN in its outputs": (
        "Task",
        "row.tolist()} for",
        'float("nan")} for',
        "answers_become_outputs_and_back",
        "JSON",
    ),
    "keeps what JSON does not": (
        "Task",
        'return cls(("x", "y"), options)',
        'return cls(("x", "y"), {"labels": {1: "x"}})',
        "a_model_is_posed_the_same",
        "do not say all",
    ),
    "another shape": ("Task", "return (2,)", "return (3,)", "answers_have_the_shape", "shape"),
    "a prior that knows": (
        "Task",
        "return np.full((n, 2), 0.5)",
        "return self.certain(targets)",
        "knowing_beats_not_knowing",
        "prior",
    ),
    "no distance": (
        "Task",
        "def shape(self): return (2,)",
        "def shape(self): return (2,)\n    def gap(self, a, b): return 0.0",
        "a_gap_is_a_distance",
        "not apart",
    ),
    "learns the opposite": (
        "Task",
        "return cross_entropy(scores, targets",
        "return cross_entropy(scores, 1 - targets",
        "its_loss_leads_to_right_answers",
        "prior",
    ),
    "one loss for all": (
        "Task",
        'targets.long(), reduction="none")',
        "targets.long())",
        "its_loss_leads_to_right_answers",
        "loss of 48 rows",
    ),
    "decides together": (
        "Task",
        "softmax(dim=1)\n    def distance",
        "softmax(dim=0)\n    def distance",
        "a_row_is_decided_alone",
        "beside it",
    ),
    "a far teacher": (
        "Task",
        ".square().sum(dim=1)",
        ".square().sum(dim=1).neg()",
        "a_teacher_is_near_itself",
        "as near",
    ),
    "another answer": (
        "Server",
        "predict_rows(rows)",
        "predict_rows(rows[::-1])",
        "asking_gives_the_models_answers",
        "differ",
    ),
    "knows every model": ("Server", "if name not in", "if not name and", "an_unknown_model_is_told", "KeyError"),
    "never ready": ("Server", 'ready(f"', 'return; ready(f"', "a_real_request_is_answered", "before it was ready"),
}
SOUND_KINDS = ("Format", "Base", "Task", "Method", "Evaluator", "Server")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """pytest's word on each: one process for all of them."""
    folder = tmp_path_factory.mktemp("kit")
    lines = [HEADER]
    chosen = []
    for number, (kind, old, new, check, _) in enumerate(FAULTS.values()):
        assert SOUND.count(old) >= 1, old
        (folder / f"toy{number}.py").write_text(f"NAME = 'toy{number}'\n{SOUND.replace(old, new, 1)}")
        lines.append(f"class Test{number}({kind}Contract):\n    name, catalog = 'toy', given('toy{number}')\n")
        chosen.append(f"test_toys.py::Test{number}::test_{check}")
    (folder / "toy.py").write_text(f"NAME = 'toy'\n{SOUND}")
    for kind in SOUND_KINDS:
        lines.append(f"class TestSound{kind}({kind}Contract):\n    name, catalog = 'toy', given('toy')\n")
        chosen.append(f"test_toys.py::TestSound{kind}")
    (folder / "test_toys.py").write_text("\n".join(lines))
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider", *chosen]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=WIDE, check=False)
    return found.stdout + found.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, outcomes):
    check, says = FAULTS[fault][3:]
    where = f"test_toys.py::Test{list(FAULTS).index(fault)}::test_{check}"
    found = [line for line in outcomes.splitlines() if line.startswith((f"FAILED {where}", f"ERROR {where}"))]
    assert found, outcomes[-2000:]
    assert any(re.search(says, line) for line in found), found


@pytest.mark.parametrize("kind", SOUND_KINDS)
def test_a_sound_part_passes(kind, outcomes):
    lines = [line for line in outcomes.splitlines() if f"::TestSound{kind}::" in line]
    assert len(lines) > 5, outcomes[-2000:]
    assert [line for line in lines if not line.startswith("PASSED")] == []


def test_check_runs_the_kit():
    result = kit.check("evaluators")
    assert (result["plugin"], result["passed"]) == ("evaluators", True)
    assert result["counts"]["passed"] > 40
    assert result["report"].startswith("checked evaluator accuracy, ")


def test_check_of_something_without_contract():
    result = kit.check("datasets")
    assert (result["passed"], result["counts"]) == (True, {})


def test_check_of_an_unknown_plugin():
    with pytest.raises(UsageError) as caught:
        kit.check("evaluator")
    assert "did you mean 'evaluators'?" in caught.value.do


def test_check_without_pytest_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpeciateError) as caught:
        kit.check("evaluators")
    assert "speciate[testing]" in caught.value.do


def test_the_kit_imports_pytest_only_for_a_contract():
    code = "import sys; sys.modules['pytest'] = None; import speciate.testing.check; print('fine')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "fine\n"
