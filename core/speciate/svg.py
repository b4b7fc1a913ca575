"""Small pictures written by hand as SVG: panels with axes, lines and dots, readable in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Axis", "Panel", "page", "spanning"]

MOST_POINTS = 1000  # of a line; more cannot be seen
SMALL, LARGE = 1e-200, 1e200  # nothing that is learnt, and out of the way of overflows
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 30, 40  # of a panel, around its plot
STYLE = """
  .paper { fill: #ffffff } .axis { stroke: #768390; fill: none } .grid { stroke: #d0d7de; stroke-width: .6 }
  .word { fill: #1f2328; font-size: 13px; font-weight: 600 } .tick { fill: #57606a; font-size: 11px }
  .line { fill: none; stroke: #4a86c5; stroke-width: 1.6 } .best { fill: none; stroke: #bf6d1b; stroke-width: 1.4 }
  .dot { fill: #4a86c5 } .ring { fill: none; stroke: #768390; stroke-width: 1.3 } .star { fill: #bf6d1b }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1c2128 } .grid { stroke: #373e47 } .word { fill: #dde4ea } .tick { fill: #9aa6b2 }
    .line { stroke: #6cb0f5 } .best { stroke: #e8a04c } .dot { fill: #6cb0f5 } .star { fill: #e8a04c }
  }"""


@dataclass(frozen=True)
class Axis:
    """From low to high, in a line, by powers, or the names of things one beside the other (0, 1, 2 …)."""

    name: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return (at - low) / (high - low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        if self.names:
            each = -(-len(self.names) // most)
            return [(i, name[:12]) for i, name in enumerate(self.names) if i % each == 0]
        found = self._powers(most) if self.log else self._round(most)
        return [(value, f"{value:.4g}") for value in found]

    def _powers(self, most: int) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5)):
            found = [s * 10.0**e for e in exponents for s in steps if self.low <= s * 10.0**e <= self.high]
            if len(found) > 1:
                return found[:: -(-len(found) // most)]
        return [self.low, self.high]

    def _round(self, most: int) -> list[float]:
        """Round numbers, so many as fit."""
        size = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        step = next(s * size for s in (1, 2, 5, 10, 20) if (self.high - self.low) / (s * size) <= most)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def spanning(name: str, values: Iterable[float], log: bool = False, names: Sequence[str] = ()) -> Axis:
    """The axis on which all of these values have a place, with some room around them."""
    if names:
        return Axis(name, -0.5, len(names) - 0.5, names=tuple(names))
    there = [value for value in values if _drawable(value) and (value > 0 or not log)] or [1.0]
    low, high = min(there), max(there)
    if log:
        room = max(high**0.05 / low**0.05, 1.05)
        return Axis(name, low / room, high * room, log=True)
    apart = high - low > 1e-9 * max(abs(low), abs(high))
    room = (high - low) * 0.05 if apart else abs(high) * 0.1 or 1.0
    return Axis(name, low - room, high + room)


@dataclass
class Panel:
    """One plot; what is drawn on it is given as points in the units of its axes."""

    x: Axis
    y: Axis
    width: int
    height: int
    marks: list[str] = field(default_factory=list)

    def line(self, points: Sequence[tuple[float, float]], kind: str = "line") -> None:
        there = [self._at(*point) for point in points[:: -(-len(points) // MOST_POINTS) or 1] if self._has(point)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in there)
        self.marks.append(f'<polyline class="{kind}" points="{path}"/>')

    def dot(self, point: tuple[float, float], kind: str = "dot", about: str = "") -> None:
        if self._has(point):
            x, y = self._at(*point)
            said = f"<title>{escape(about)}</title>" if about else ""
            self.marks.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{said}</circle>')

    def _has(self, point: tuple[float, float]) -> bool:
        """Whether it is a number that has a place here."""
        return all(_drawable(v) and (v > 0 or not axis.log) for v, axis in zip(point, (self.x, self.y), strict=True))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return LEFT + self.x.place(x) * across, self.height - BOTTOM - self.y.place(y) * up

    def lines(self, left: int, top: int) -> list[str]:
        """The panel as SVG, its corner at (left, top)."""
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        found = [f'<g transform="translate({left} {top})">']
        for value, label in self.y.ticks(5):
            y = self._at(self.x.low, value)[1]
            found.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
            found.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        for value, label in self.x.ticks(max(2, (right - LEFT) // 60)):
            x = self._at(value, self.y.low)[0]
            found.append(f'<path class="axis" d="M{x:.1f} {bottom}v4"/>')
            found.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(label)}</text>'
            )
        found.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
        found.append(f'<text class="word" x="{LEFT}" y="{TOP - 10}">{escape(self.y.name)}</text>')
        found.append(f'<text class="tick" x="{right}" y="{bottom + 32}" text-anchor="end">{escape(self.x.name)}</text>')
        return [*found, *self.marks, "</g>"]


def page(title: str, rows: Sequence[Sequence[Panel]]) -> str:
    """Panels, row by row; a row is as high as its highest panel."""
    drawn: list[str] = []
    top = wide = 0
    for row in rows:
        left = 0
        for panel in row:
            drawn += panel.lines(left, top)
            left += panel.width
        top, wide = top + max(panel.height for panel in row), max(wide, left)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {top}" width="{wide}" height="{top}" role="img"'
    )
    font = 'font-family="ui-sans-serif, system-ui, Segoe UI, Helvetica, Arial, sans-serif"'
    body = [f"{head} {font}>", f"<title>{escape(title)}</title>", f"<style>{STYLE}\n</style>"]
    body.append(f'<rect class="paper" width="{wide}" height="{top}"/>')
    return "\n".join([*body, *drawn, "</svg>", ""])


def _drawable(value: float) -> bool:
    return value == 0 or SMALL < abs(value) < LARGE
