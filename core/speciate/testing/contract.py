"""What the contracts share: the declaration under test, what holds for every declaration, and a fresh process."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from speciate.catalog import Catalog, installed, options_of

__all__ = ["Contract", "command", "environment", "fresh"]

HEAVY = ("torch", "lightning", "pytorch_lightning", "lancedb", "pyarrow", "numpy", "transformers")

PREAMBLE = """
import importlib, json, sys
from speciate.catalog import Catalog, Plugin, options_of
catalog = Catalog([Plugin(name, importlib.import_module(module)) for name, module in json.loads(sys.argv[1]).items()])
"""

LIGHT = """
heavy = sorted(set(sys.argv[2:]) & set(sys.modules))
print(json.dumps({"heavy": heavy, "broken": [problem.cause for problem in catalog.problems]}))
"""


class Contract:
    """A subclass names one declaration; `options` are set as a person would set them."""

    kind: ClassVar[Any]
    names: ClassVar[tuple[str, ...]]  # the fields of the declaration that are import strings
    name: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}

    @property
    def catalog(self) -> Catalog:
        """Where the name is looked up: what is installed here, unless a test gives another."""
        return installed()

    @property
    def declaration(self) -> Any:
        return self.catalog.get(self.kind, self.name)

    def use(self, what: str) -> Any:
        """What the declaration names, or a skip that says what this environment lacks."""
        declaration = self.declaration
        missing = [name for name in declaration.requires if importlib.util.find_spec(name) is None]
        if missing:
            install = declaration.install or missing[0]
            pytest.skip(f'{declaration.kind} {self.name} needs {", ".join(missing)}: pip install "{install}"')
        return self.catalog.use(declaration, what)

    def chosen(self) -> Any:
        """The options, as an instance of the class the declaration names."""
        return options_of(self.declaration, self.options)

    def test_declaring_is_light(self) -> None:
        """Importing the plugin and asking its hooks imports nothing heavy, so that every command stays quick."""
        plugin = self.catalog.plugin_of(self.declaration)
        found = json.loads(fresh(Catalog([plugin]), LIGHT, *HEAVY))
        assert not found["heavy"], f"declaring imports {found['heavy']}: import it in the class that is named"
        assert not found["broken"], f"a declaration of {plugin.name} is refused: {found['broken']}"

    def test_declaration_is_complete(self) -> None:
        """It says what it is, its options are a plain dataclass with defaults, and what it names can be imported."""
        declaration = self.declaration
        options: Any = declaration.options
        assert declaration.summary.strip(), "the summary is empty"
        assert hasattr(options, "__dataclass_params__"), f"options should be a dataclass, not {options!r}"
        assert not options.__dataclass_params__.frozen, "options should not be frozen: they are a config's schema"
        required = [f.name for f in dataclasses.fields(options) if f.default is f.default_factory]
        assert not required, f"these options have no default: {required}"
        for name in self.names:
            self.use(name)

    def test_unknown_options_are_refused(self) -> None:
        """A misspelt option is the person's mistake and is told so."""
        with pytest.raises(Exception, match="no_such_option"):
            options_of(self.declaration, {"no_such_option": 1})


def command(catalog: Catalog, code: str, *arguments: str) -> list[str]:
    """Python, running code that finds a `catalog` of the same plugins."""
    modules = {name: plugin.module.__name__ for name, plugin in catalog.plugins.items()}
    return [sys.executable, "-c", PREAMBLE + code, json.dumps(modules), *arguments]


def environment() -> dict[str, str]:
    """This environment, where the same modules are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def fresh(catalog: Catalog, code: str, *arguments: str) -> str:
    """What the code prints in a new process."""
    argv = command(catalog, code, *arguments)
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, f"a new process failed:\n{done.stderr}"
    return done.stdout
