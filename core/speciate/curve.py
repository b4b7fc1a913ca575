"""The learning curve of a run as a picture: the loss, the dev score and what else it wrote, by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speciate.svg import Panel, page, spanning

__all__ = ["draw"]

Series = Sequence[tuple[int, float]]
HIDDEN = ("lr",)  # decided before, not learnt
MOST = 4  # panels


def draw(metrics: Mapping[str, Series], title: str, score: str = "", best: tuple[int, float] | None = None) -> str:
    """An SVG, or nothing where there is nothing to draw. `score` is what dev is called, `best` is marked on it."""
    first = [name for name in ("loss", "dev") if name in metrics]
    others = [name for name in sorted(metrics) if name not in (*first, *HIDDEN)]
    names = [*first, *others][:MOST]
    if not names:
        return ""
    steps = spanning("step", [step for name in names for step, _ in metrics[name]])
    panels = []
    for name in names:
        series = [(float(step), value) for step, value in metrics[name]]
        called = f"dev {score}" if name == "dev" and score else name.replace("_", " ")
        panel = Panel(steps, spanning(called, [value for _, value in series]), 640, 220)
        panel.line(series)
        if len(series) <= 60:
            for step, value in series:
                panel.dot((step, value), about=f"step {step:.0f}: {value:.4g}")
        if name == "dev" and best:
            panel.dot(best, "star", f"the best: {best[1]:.4g} at step {best[0]}")
        panels.append([panel])
    return page(title, panels)
