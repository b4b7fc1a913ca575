"""The Catalog: every declaration installed here and who declared it.

It loops over the entry points itself, because pluggy's own loader stops at the first broken plugin; here a plugin
that is broken, clashing or made for another version is reported by name, origin and cause, and the rest go on.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, cast, get_type_hints

import pluggy

from speciate import hookspecs
from speciate.contracts import Base, Declaration, Evaluator, Format, Method, Server, Store, TaskKind
from speciate.errors import SpeciateError, UsageError, unknown
from speciate.modality import Modality

__all__ = ["GROUP", "Catalog", "Plugin", "Problem", "installed", "load", "options_of"]

GROUP = "speciate"
HOOKS = {  # the declaring hooks, and what each must return
    "speciate_formats": Format,
    "speciate_bases": Base,
    "speciate_tasks": TaskKind,
    "speciate_methods": Method,
    "speciate_evaluators": Evaluator,
    "speciate_servers": Server,
    "speciate_stores": Store,
    "speciate_recipes": str,
}
D = TypeVar("D", bound=Declaration)


@dataclass(frozen=True)
class Plugin:
    """A module that declares things, and where it came from."""

    name: str
    module: ModuleType
    origin: str = "given"
    version: str = ""


@dataclass(frozen=True)
class Problem:
    """A plugin, or one declaration of it, that cannot be used."""

    plugin: str
    origin: str
    cause: str


class Catalog:
    """Declarations by kind and name. Built from the installed plugins, or from given ones in a test."""

    def __init__(self, plugins: Iterable[Plugin], problems: Iterable[Problem] = ()) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.problems = list(problems)
        self.recipes: dict[str, str] = {}  # pkg:// source -> plugin
        self._declared: dict[tuple[str, str], tuple[Declaration, Plugin]] = {}
        self._modalities: dict[str, tuple[Modality, Plugin]] = {}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        for plugin in plugins:
            try:
                self._register(plugin)
            except Exception as error:
                self._problem(plugin, f"{type(error).__name__}: {error}")

    @property
    def hook(self) -> Any:
        """For the hooks that say what happened: `catalog.hook.speciate_run_started(...)`."""
        return self._manager.hook

    def all(self, kind: type[D]) -> list[D]:
        """Every declaration of a kind, by name."""
        return [cast("D", d) for (k, _), (d, _) in sorted(self._declared.items(), key=lambda i: i[0]) if k == kind.kind]

    def get(self, kind: type[D], name: str) -> D:
        found = self._declared.get((kind.kind, name))
        if found is None:
            names = [declaration.name for declaration in self.all(kind)]
            raise unknown(kind.kind, name, names, "type `speciate plugins` to see what is installed")
        return cast("D", found[0])

    def plugin_of(self, declaration: Declaration) -> Plugin:
        return self._declared[declaration.kind, declaration.name][1]

    def use(self, declaration: Declaration, what: str) -> Any:
        """Import what a declaration names, or say what to install."""
        missing = [name for name in declaration.requires if importlib.util.find_spec(name) is None]
        if missing:
            do = f'type `pip install "{declaration.install or missing[0]}"`'
            asked = f"{declaration.kind} {declaration.name!r} needs {', '.join(missing)}"
            raise SpeciateError(asked, "which this environment does not have", do)
        return load(cast("str", getattr(declaration, what)))

    def rows(self) -> list[dict[str, str]]:
        """Every declaration as plain data, for `speciate plugins`."""
        return [
            {
                "kind": declaration.kind,
                "name": declaration.name,
                "summary": declaration.summary,
                "plugin": plugin.name,
                "origin": plugin.origin,
                "version": plugin.version,
                "missing": ", ".join(m for m in declaration.requires if importlib.util.find_spec(m) is None),
                "install": declaration.install,
            }
            for declaration, plugin in (self._declared[key] for key in sorted(self._declared))
        ]

    def _problem(self, plugin: Plugin, cause: str) -> None:
        self.problems.append(Problem(plugin.name, plugin.origin, cause))

    def _register(self, plugin: Plugin) -> None:
        self._manager.register(plugin.module, name=plugin.name)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError:
            self._manager.unregister(plugin.module)
            raise
        for hook, returns in HOOKS.items():
            for impl in getattr(self._manager.hook, hook).get_hookimpls():
                if impl.plugin is plugin.module:
                    for declaration in impl.function():
                        self._declare(plugin, hook, declaration, returns)
        self.plugins[plugin.name] = plugin

    def _declare(self, plugin: Plugin, hook: str, declaration: Any, returns: type) -> None:
        if not isinstance(declaration, returns):
            self._problem(plugin, f"{hook} returned {declaration!r}, which is not a {returns.__name__}")
        elif isinstance(declaration, str):
            self.recipes[declaration] = plugin.name
        else:
            self._declare_one(plugin, cast("Declaration", declaration))

    def _declare_one(self, plugin: Plugin, declaration: Declaration) -> None:
        key = (declaration.kind, declaration.name)
        if key in self._declared:
            first = self._declared[key][1]
            self._problem(plugin, f"{key[0]} {key[1]!r} is already declared by {first.name} ({first.origin})")
            return
        modality = getattr(declaration, "modality", None)
        if modality is not None:
            known, who = self._modalities.setdefault(modality.name, (modality, plugin))
            if not known.agrees(modality):
                cause = f"{key[0]} {key[1]!r} has a modality {modality.name!r} with other arrays than {who.name}'s"
                self._problem(plugin, cause)
                return
        self._declared[key] = (declaration, plugin)


def load(what: str) -> Any:
    """The object an import string names: `load("package.module:Class")`."""
    module, _, name = what.partition(":")
    return getattr(importlib.import_module(module), name)


@functools.cache
def installed() -> Catalog:
    """The catalog of what is installed here. First-party plugins come first, so nobody takes their names."""
    plugins: list[Plugin] = []
    problems: list[Problem] = []
    points = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(points, key=lambda p: (p.dist is None or p.dist.name != "speciate", p.name, p.value)):
        origin = point.dist.name if point.dist else "unknown"
        try:
            _check_version(point.dist)
            module = importlib.import_module(point.value)
        except Exception as error:
            problems.append(Problem(point.name, origin, f"{type(error).__name__}: {error}"))
            continue
        plugins.append(Plugin(point.name, module, origin, point.dist.version if point.dist else ""))
    return Catalog(plugins, problems)


def _check_version(dist: importlib.metadata.Distribution | None) -> None:
    """Raise if a distribution asks for another version of Speciate than this one."""
    wanted = [r for r in (dist.requires or [] if dist else []) if r.lower().startswith("speciate")]
    if not wanted or (dist and dist.name == "speciate"):
        return
    from packaging.requirements import Requirement

    here = importlib.metadata.version("speciate")
    for requirement in map(Requirement, wanted):
        if requirement.name == "speciate" and not requirement.specifier.contains(here, prereleases=True):
            raise SpeciateError(f"made for speciate{requirement.specifier}", f"this is speciate {here}")


def options_of(declaration: Declaration, values: Mapping[str, Any]) -> Any:
    """A declaration's options, checked; words from a command line become what the field holds."""
    hints = get_type_hints(declaration.options)
    for name in values:
        if name not in hints:
            raise unknown(
                "option", name, hints, f"{declaration.kind} {declaration.name!r} takes its options as name=value"
            )
    return declaration.options(**{name: _coerce(name, value, hints[name]) for name, value in values.items()})


def _coerce(name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, str) and kind is bool and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            raise UsageError(f"{name}={value!r}", f"{name} is of type {kind.__name__}", "write a number") from None
    if isinstance(value, int) and kind is float and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and not isinstance(value, kind):
        raise UsageError(f"{name}={value!r}", f"{name} is of type {kind.__name__}", f"write a {kind.__name__}")
    return value
