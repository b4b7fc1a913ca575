"""The conformance kit: subclass a contract in a test file of yours and pytest checks your plugin as it does ours.

    from speciate.testing import FormatContract

    class TestFasta(FormatContract):
        name = "fasta"  # the declared name; the plugin has to be installed

Only the contracts need pytest (`pip install "speciate[testing]"`), so they are imported when one is asked for.
`speciate plugin check NAME` runs them all on an installed plugin.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speciate.testing.bases import BaseContract
    from speciate.testing.evaluators import EvaluatorContract
    from speciate.testing.formats import FormatContract
    from speciate.testing.methods import MethodContract
    from speciate.testing.servers import ServerContract
    from speciate.testing.tasks import TaskContract

__all__ = ["BaseContract", "EvaluatorContract", "FormatContract", "MethodContract", "ServerContract", "TaskContract"]

MODULES = {name: f"speciate.testing.{name.removesuffix('Contract').lower()}s" for name in __all__}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(name)
    import pytest

    for module in ("speciate.testing.contract", MODULES[name]):
        if module not in sys.modules:
            pytest.register_assert_rewrite(module)  # so that a failure shows both sides
    return getattr(importlib.import_module(MODULES[name]), name)
