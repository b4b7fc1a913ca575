"""`speciate plugin check NAME`: the whole kit on everything an installed plugin declares, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speciate.catalog import Catalog, Plugin, installed
from speciate.contracts import Base, Declaration, Evaluator, Format, Method, Server, TaskKind
from speciate.errors import SpeciateError, unknown

__all__ = ["check"]

KINDS: tuple[type[Declaration], ...] = (Format, Base, TaskKind, Method, Evaluator, Server)
ISOLATED = ("-q", "-rfEs", "--tb=no", "-p", "no:cacheprovider", "--import-mode=importlib", "--noconftest")
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")
OURS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")


def check(plugin: str) -> dict[str, Any]:
    """{plugin, passed, report, counts}: what failed or was skipped, and how many of each."""
    catalog = installed()
    chosen = _find(catalog, plugin)
    broken = [f"{p.plugin}: {p.cause}" for p in catalog.problems if p.plugin in {one.name for one in chosen}]
    declared = [d for kind in KINDS for d in catalog.all(kind) if catalog.plugin_of(d) in chosen]
    if not declared:
        lines = [*broken, f"{plugin} declares nothing that has a contract"]
        return {"plugin": plugin, "passed": not broken, "report": "\n".join(lines), "counts": {}}
    if importlib.util.find_spec("pytest") is None:
        asked = "checking a plugin needs pytest"
        raise SpeciateError(asked, "which this environment does not have", 'type `pip install "speciate[testing]"`')
    code, report = _run(declared)
    counts = {word: int(number) for number, word in COUNT.findall(report.rpartition("\n")[2])}
    named = [f"{declaration.kind} {declaration.name}" for declaration in declared]
    lines = [f"checked {', '.join(named)}", *broken, report]
    return {"plugin": plugin, "passed": code == 0 and not broken, "report": "\n".join(lines), "counts": counts}


def _find(catalog: Catalog, name: str) -> list[Plugin]:
    """The plugin of this name, or all that a distribution of this name brought."""
    found = [p for p in catalog.plugins.values() if p.name == name] or [
        p for p in catalog.plugins.values() if p.origin == name
    ]
    if found:
        return found
    causes = [problem.cause for problem in catalog.problems if name in (problem.plugin, problem.origin)]
    if causes:
        raise SpeciateError(f"plugin {name!r} is broken", "; ".join(causes), "mend it and install it again")
    raise unknown("plugin", name, catalog.plugins, "type `speciate plugins` to see what is installed")


def _run(declared: Sequence[Declaration]) -> tuple[int, str]:
    """pytest's exit code and its summary; nothing of the folder or the environment it runs in has a say."""
    with tempfile.TemporaryDirectory(prefix="speciate-check-") as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_plugin.py").write_text(_tests(declared), encoding="utf-8")
        argv = [sys.executable, "-m", "pytest", *ISOLATED, "-c", "pytest.ini", f"--basetemp={folder / 'temp'}"]
        env = {key: value for key, value in os.environ.items() if key not in OURS}
        env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "300"}
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    lines = [line.replace("test_plugin.py::", "") for line in done.stdout.splitlines()]
    at = next((i for i, line in enumerate(lines) if "short test summary" in line), len(lines) - 2)
    report = "\n".join(dict.fromkeys(_plain(line) for line in lines[at + 1 :] if line.strip()))
    return done.returncode, report or done.stderr.strip()


def _plain(line: str) -> str:
    """A skipped check without the place in the kit, so that the same reason is said once."""
    return re.sub(r"^SKIPPED \[\d+\] .*?:\d+: ", "SKIPPED ", line)


def _tests(declared: Sequence[Declaration]) -> str:
    """A test file with one contract for each declaration."""
    kinds = sorted({_contract(declaration) for declaration in declared})
    lines = [f"from speciate.testing import {', '.join(kinds)}"]
    for declaration in declared:
        contract, words = _contract(declaration), re.split(r"\W+|_", declaration.name)
        title = "".join(word[:1].upper() + word[1:] for word in words)
        lines += ["", "", f"class Test{title}{contract.removesuffix('Contract')}({contract}):"]
        lines += [f"    name = {declaration.name!r}"]
    return "\n".join(lines) + "\n"


def _contract(declaration: Declaration) -> str:
    return f"{declaration.kind.title()}Contract"
