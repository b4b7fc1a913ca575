"""Every hook is documented, typed, and named in the docs."""

import inspect
from pathlib import Path

import pytest

from speciate import hookspecs
from speciate.catalog import HOOKS

SPECS = [f for name, f in vars(hookspecs).items() if name.startswith("speciate_")]
DOCS = Path(__file__).parents[2] / "docs" / "add-a-format.md"


@pytest.mark.parametrize("spec", SPECS, ids=lambda f: f.__name__)
def test_a_hook_is_documented_and_typed(spec):
    assert inspect.getdoc(spec)
    assert "return" in spec.__annotations__
    assert spec.__name__ in DOCS.read_text()


def test_the_catalog_asks_every_declaring_hook():
    declaring = {spec.__name__ for spec in SPECS if spec.__annotations__["return"] != "None"}
    assert declaring == set(HOOKS)
