"""Config: a recipe, the options plugins declare and what the person typed, composed by Hydra into one checked thing.

Names select and config holds no code: no `_target_`, no environment lookups. Hydra is initialised once a process.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, make_dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from speciate.catalog import Catalog
from speciate.contracts import Base, Declaration, Method, TaskKind
from speciate.errors import SpeciateError, UsageError, did_you_mean, unknown

__all__ = ["Config", "compose", "overrides_of", "recipes"]

GROUPS: tuple[type[Base] | type[Method] | type[TaskKind], ...] = (Base, Method, TaskKind)
_lock = threading.Lock()
_stored: dict[tuple[str, str], type] = {}  # what Hydra knows already
MAX_RECIPE_BYTES, MAX_ALIASES = 65_536, 20


@dataclass
class RunSchema:
    """The settings of a run beside those of its base and its method."""

    dataset: str = "???"
    name: str = ""  # of the run and its model; by default dataset-method-number
    seed: int = 0
    evaluators: list[str] = field(default_factory=list)  # empty: every one that fits the task
    budget: str = ""  # 10m, 2h, 500steps or 1000000tokens; then training ends, with the best model so far
    trackers: list[str] = field(default_factory=list)  # tensorboard, wandb, mlflow, trackio: they hear the numbers too
    trainer: dict[str, Any] = field(default_factory=dict)  # Lightning Trainer settings, passed through
    base: Any = None
    method: Any = None
    task: Any = None


@dataclass(frozen=True)
class Config:
    """One composed and checked run configuration, and where it came from."""

    recipe: str
    dataset: str
    name: str
    seed: int
    evaluators: tuple[str, ...]
    budget: str
    trainer: Mapping[str, Any]
    base: Mapping[str, Any]
    method: Mapping[str, Any]
    task: Mapping[str, Any]
    trackers: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        lists = {key: tuple(values.get(key, ())) for key in ("evaluators", "trackers", "overrides", "sources")}
        return cls(**{**values, **lists})

    def options(self, declaration: Declaration, section: Mapping[str, Any]) -> Any:
        """The declaration's options dataclass, filled from a section of this config."""
        return declaration.options(**{key: value for key, value in section.items() if key != "name"})


def compose(catalog: Catalog, words: Sequence[str], folder: Path | None = None) -> Config:
    """`key=value` words to a Config; `folder` may hold a person's own `recipe/NAME.yaml` files."""
    choices = _choices(catalog, words, folder)
    with _lock:
        raw = _hydra(catalog, list(words), folder)
    _refuse_code(raw)
    if raw["dataset"] == "???":
        raise UsageError("a run needs a dataset", "none was named", "type dataset=NAME; `speciate list` shows them")
    sources = ("pkg://speciate.conf", *catalog.recipes)
    return Config.from_dict({"recipe": choices.get("recipe", ""), "overrides": words, "sources": sources, **raw})


def overrides_of(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Python keywords as the words the CLI takes: `method={"l2": [1]}` is `method.l2=[1]`."""
    words = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            words += overrides_of(value, f"{prefix}{key}.")
        elif prefix + key in ("recipe", *(kind.kind for kind in GROUPS)):
            words.append(f"{key}={value}")
        else:
            words.append(f"{prefix}{key}={_literal(value)}")
    return words


def recipes(catalog: Catalog, folder: Path | None = None) -> dict[str, Traversable | Path]:
    """Every recipe that can be named, and its file."""
    found: dict[str, Traversable | Path] = {}
    roots: list[Traversable | Path] = [files(source.removeprefix("pkg://")) / "recipe" for source in catalog.recipes]
    roots += [folder / "recipe"] if folder else []
    for root in roots:
        if root.is_dir():
            found |= dict(_yaml_files(root))
    return found


def _yaml_files(root: Traversable | Path, prefix: str = "") -> Iterator[tuple[str, Traversable | Path]]:
    for entry in sorted(root.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _yaml_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml"), entry


def _choices(catalog: Catalog, words: Sequence[str], folder: Path | None) -> dict[str, str]:
    """The group choices among the words, each checked to exist."""
    for word in words:
        if "=" not in word or word.startswith("="):
            raise UsageError(f"cannot read {word!r}", "settings are words like seed=1", "write key=value")
    given = dict(word.split("=", 1) for word in words)
    known = recipes(catalog, folder)
    if "recipe" in given:
        if given["recipe"] not in known:
            raise unknown("recipe", given["recipe"], known, "type recipe=NAME")
        _refuse_bombs(given["recipe"], known[given["recipe"]].read_text(encoding="utf-8"))
    for kind in GROUPS:
        if kind.kind in given:
            catalog.get(kind, given[kind.kind])
    if "recipe" not in given and not {"base", "method"} <= given.keys():
        there = f"there is: {', '.join(known)}" if known else "no recipe is installed"
        raise UsageError("a run needs a recipe", there, "type recipe=NAME (or base=NAME method=NAME)")
    return given


def _hydra(catalog: Catalog, words: list[str], folder: Path | None) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _initialise()
    _store_options(catalog)
    sources = [*catalog.recipes, *([f"file://{folder}"] if folder and (folder / "recipe").is_dir() else [])]
    path = [f"hydra.searchpath=[{','.join(_literal(source) for source in sources)}]"] if sources else []
    try:
        config = hydra_compose("config", overrides=[*map(_open, words), *path])
        return OmegaConf.to_container(config, resolve=False)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(catalog, words, error) from error


def _open(word: str) -> str:
    """Lightning's own settings are not in our schema: they may be added."""
    return f"++{word}" if word.startswith("trainer.") else word


@functools.cache
def _initialise() -> None:
    from hydra import initialize_config_module

    initialize_config_module("speciate.conf", version_base="1.3")


def _store_options(catalog: Catalog) -> None:
    """Every declaration's options become the schema of `base=NAME`, `method=NAME` and `task=NAME`."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    if not _stored:
        store.store("schema", RunSchema, provider="speciate")
    for kind in GROUPS:
        for declaration in catalog.all(kind):
            key, options = (kind.kind, declaration.name), declaration.options
            if _stored.get(key) is not options:  # it takes a tenth of a second for all of them
                named = make_dataclass("Options", [("name", str, field(default=declaration.name))], bases=(options,))
                provider = catalog.plugin_of(declaration).name
                store.store(declaration.name, named, group=kind.kind, provider=provider)
                _stored[key] = options


def _explain(catalog: Catalog, words: list[str], error: Exception) -> SpeciateError:
    """Hydra's error in three parts: the word at fault, what exists, the cause OmegaConf hides."""
    groups = [word for word in words if word.split("=")[0] in ("recipe", *(kind.kind for kind in GROUPS))]
    known = _keys(catalog, groups)
    for word in words:
        key = word.split("=", 1)[0].lstrip("+~")
        if known and word not in groups and key not in known and not key.startswith("trainer."):
            exists = f"there is: {', '.join(known)}"
            hint = did_you_mean(key, known) or "type `speciate config` with your recipe to see them"
            return UsageError(f"no setting named {key!r}", exists, hint)
    cause = error.__cause__ or error
    if "--multirun" in str(error):
        do = "type `speciate run -m …` for all of them, or [1,2] for a list"
        raise UsageError("a setting has several values", str(error).splitlines()[0], do)
    unread = getattr(error, "override", None)
    said = str(error).splitlines() or [type(error).__name__]
    asked = f"cannot read {unread!r}: {said[0]}" if unread else said[0]
    because = [line.strip() for line in str(cause).splitlines() if line.strip() and line.strip() != said[0]]
    return UsageError(asked, because[0] if because else "", "settings are written key=value, lists as [1,2]")


def _keys(catalog: Catalog, groups: list[str]) -> list[str]:
    """Every dotted setting that exists once these groups are chosen, or nothing where that fails too."""
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException

    path = [f"hydra.searchpath=[{','.join(_literal(source) for source in catalog.recipes)}]"]
    try:
        config = hydra_compose("config", overrides=[*groups, *path])
    except HydraException:
        return []
    keys: list[str] = []
    for key, value in config.items_ex(resolve=False):
        nested = (
            sorted(f"{key}.{inner}" for inner in value if inner != "name")
            if key in {kind.kind for kind in GROUPS}
            else []
        )
        keys += [str(key), *nested]
    return keys


def _refuse_code(raw: Any) -> None:
    """Config selects by name: a recipe that carries code or reads the environment is refused."""
    if isinstance(raw, dict):
        if "_target_" in raw:
            raise UsageError(
                "this config has a `_target_`", "config holds no code here", "name a plugin's part instead"
            )
        for value in raw.values():
            _refuse_code(value)
    elif isinstance(raw, list):
        for value in raw:
            _refuse_code(value)
    elif isinstance(raw, str) and "${" in raw:
        raise UsageError(
            f"this config has an interpolation: {raw}", "config holds plain values here", "write the value"
        )


def _refuse_bombs(name: str, text: str) -> None:
    """A few hundred bytes of YAML aliases can take minutes to expand."""
    import yaml

    aliases = 0
    if len(text) <= MAX_RECIPE_BYTES:
        try:
            aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        except yaml.YAMLError as error:
            raise UsageError(f"recipe {name!r} is not YAML", " ".join(str(error).split()), "mend the file") from error
    if len(text) > MAX_RECIPE_BYTES or aliases > MAX_ALIASES:
        raise UsageError(
            f"recipe {name!r} is too large to be a recipe",
            f"over {MAX_RECIPE_BYTES} bytes or {MAX_ALIASES} aliases",
            "write it as one page of YAML",
        )


def _literal(value: Any) -> str:
    """A Python value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(inner) for inner in value) + "]"
    text = re.sub(r"(\\*)'", r"\1\1\\'", str(value))  # in Hydra's quotes a backslash counts only before a quote
    return "'" + re.sub(r"(\\+)$", r"\1\1", text) + "'"
