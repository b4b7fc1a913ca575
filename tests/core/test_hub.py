"""Models of transformers: their folder, their files and their width, without loading any."""

import json
import subprocess
import sys

import pytest

from speciate import SpeciateError, UsageError, hub


def folder(path, **files):
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("_json", ".json")).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_folder_here_is_taken_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    here = folder(tmp_path / "model")
    assert hub.locate("hf", str(here), "", "a/b") == here
    with pytest.raises(UsageError, match=r"type base\.id=a/b"):
        hub.locate("hf", "", "", "a/b")
    with pytest.raises(SpeciateError, match="owner/name"):
        hub.locate("hf", "a/b/c", "", "a/b")
    with pytest.raises(SpeciateError, match="HF_HUB_OFFLINE") as caught:
        hub.locate("hf", "nobody/nothing", "", "a/b")
    assert "hf download nobody/nothing" in caught.value.do


@pytest.mark.parametrize("said", [{"hidden_size": 12}, {"d_model": 12, "vocab": 3}, {"dim": 12}, {"n_embd": 12}])
def test_the_width_is_what_its_config_says(said, tmp_path):
    assert hub.width(folder(tmp_path / "model", config_json=said)) == 12


@pytest.mark.parametrize("said", [{}, {"hidden_size": "12"}, [12], "12", "{", ""])
def test_a_config_that_says_nothing(said, tmp_path):
    with pytest.raises(SpeciateError, match="is no encoder of transformers") as caught:
        hub.width(folder(tmp_path / "model", config_json=said))
    assert "config.json" in caught.value.exists


def test_hashes_are_of_what_decides_the_vectors(tmp_path):
    made = folder(tmp_path / "model", config_json={}, tokenizer_json={}, preprocessor_config_json={}, notes="x")
    with pytest.raises(SpeciateError, match="has no weights"):
        hub.hashes(made, hub.TOKENIZER)
    (made / "pytorch_model.bin").write_bytes(b"never loaded")
    with pytest.raises(SpeciateError, match="safetensors"):
        hub.hashes(made, hub.TOKENIZER)
    (made / "model.safetensors").write_bytes(b"one")
    names = [name for name, _ in hub.hashes(made, hub.TOKENIZER)]
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]
    assert [name for name, _ in hub.hashes(made, hub.PICTURES)] == [*names[:2], "preprocessor_config.json"]
    before = hub.hashes(made, ())
    (made / "notes").write_text("y")
    assert hub.hashes(made, ()) == before
    (made / "model.safetensors").write_bytes(b"others")
    assert hub.hashes(made, ()) != before


def test_precisions():
    assert [hub.resolve(one) for one in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert hub.resolve("auto") in ("fp32", "bf16")
    with pytest.raises(UsageError, match="no precision named 'fp8'"):
        hub.resolve("fp8")


def test_it_imports_nothing_heavy():
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'numpy'}"
    code = f"import sys, speciate.hub, speciate.packages; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
