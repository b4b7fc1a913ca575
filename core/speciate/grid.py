"""A grid: words with commas, `seed=1,2,3 method.c=[1],[10]`, and a run for every combination of them."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from speciate.config import Config
from speciate.contracts import TaskKind
from speciate.errors import SpeciateError, Stopped, UsageError

if TYPE_CHECKING:
    from speciate.workspace import Workspace

__all__ = ["Grid", "points"]


def points(words: Sequence[str]) -> list[dict[str, str]]:
    """{key: word} of what differs, for each point; Hydra's own grammar: commas, choice(…), range(…)."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
        swept = [one for one in parsed if one.is_sweep_override()]
        for one in swept:
            if not one.is_discrete_sweep():
                exists = "a grid is made of single values; a range is searched"
                raise UsageError(f"cannot go through {one.input_line!r}", exists, "type it with `speciate tune`")
        axes = [[(str(one.key_or_group), str(value)) for value in one.sweep_string_iterator()] for one in swept]
    except HydraException as error:
        said = (str(error).splitlines() or [""])[0]
        do = "values are written one,two,three, lists [1],[2]"
        raise UsageError(f"cannot read {' '.join(words)!r}", said, do) from error
    return [dict(point) for point in itertools.product(*axes)]


class Grid:
    """All points are read before the first is run, so that a typing mistake in the last one costs nothing."""

    def __init__(self, workspace: Workspace, words: Sequence[str]) -> None:
        self.ws, self.points = workspace, points(words)
        keys = set(self.points[0])
        self.words = [word for word in words if word.partition("=")[0] not in keys]
        self.configs = [
            workspace.config("", *self.words, *(f"{key}={value}" for key, value in point.items()))
            for point in self.points
        ]

    def run(self) -> dict[str, Any]:
        """One row a point; a run that fails is a row with its error, and the others go on."""
        start = time.monotonic()
        rows = []
        for point, config in zip(self.points, self.configs, strict=True):
            score = self.ws.catalog.get(TaskKind, config.task["name"]).primary
            rows.append({"point": point, "score": score, **self._row(config)})
            if not self.ws.quiet:
                said = " ".join(f"{key}={value}" for key, value in point.items())
                status = rows[-1]["status"]
                print(f"{len(rows)} of {len(self.points)}: {said} is {status}", file=sys.stderr)  # noqa: T201
        return {"runs": rows, "seconds": round(time.monotonic() - start, 3)}

    def _row(self, config: Config) -> dict[str, Any]:
        folder = self.ws.begin(config)
        try:
            return dataclasses.asdict(self.ws.carry(folder))
        except Stopped:
            raise
        except SpeciateError as error:
            return {"run": folder.name, "status": "failed", "error": error.as_dict()}
