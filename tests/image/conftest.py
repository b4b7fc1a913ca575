"""The maker of bad files lies beside the tests."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pictures():
    """The module that makes bad, strange and mutated files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        return importlib.import_module("bad_pictures")
