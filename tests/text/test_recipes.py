"""The recipes are where Hydra looks for them, and headed so that it understands them."""

from importlib import resources

import pytest
from hydra.plugins.config_source import ConfigSource

from speciate_text import speciate_bases, speciate_recipes


@pytest.mark.parametrize(("name", "base"), [("probe", "minilm"), ("probe-hash", "hash-ngrams")])
def test_recipe(name, base):
    assert speciate_recipes() == ["pkg://speciate_text.conf"]
    text = (resources.files("speciate_text.conf") / "recipe" / "text" / f"{name}.yaml").read_text()
    assert ConfigSource._get_header_dict(text) == {"package": "_global_"}
    assert f"override /base: {base}\n" in text
    assert base in [known.name for known in speciate_bases()]
