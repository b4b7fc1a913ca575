"""What the server counts, in the text that Prometheus reads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

__all__ = ["Metrics"]

BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class Metrics:
    """Requests by model and status, and how long the models took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, float] = {}
        self._buckets: dict[str, list[int]] = {}

    def count(self, name: str, code: int) -> None:
        self._requests[name, code] += 1

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Times one computation, failed or not."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            counts = self._buckets.setdefault(name, [0] * (len(BUCKETS) + 1))
            counts[sum(seconds > bound for bound in BUCKETS)] += 1

    def text(self, waiting: int) -> str:
        lines = [
            "# HELP speciate_requests_total Requests by model and status.",
            "# TYPE speciate_requests_total counter",
        ]
        for (name, code), n in sorted(self._requests.items()):
            lines.append(f'speciate_requests_total{{name="{_escape(name)}",code="{code}"}} {n}')
        lines += ["# HELP speciate_predict_seconds Time in the model.", "# TYPE speciate_predict_seconds histogram"]
        for name in sorted(self._buckets):
            lines += self._histogram(name)
        lines += ["# HELP speciate_waiting Requests in line for a model.", "# TYPE speciate_waiting gauge"]
        return "\n".join([*lines, f"speciate_waiting {waiting}", ""])

    def _histogram(self, name: str) -> Iterator[str]:
        label, totals = f'name="{_escape(name)}"', list(accumulate(self._buckets[name]))
        for bound, total in zip((*BUCKETS, "+Inf"), totals, strict=True):
            yield f'speciate_predict_seconds_bucket{{{label},le="{bound}"}} {total}'
        yield f"speciate_predict_seconds_sum{{{label}}} {self._seconds[name]}"
        yield f"speciate_predict_seconds_count{{{label}}} {totals[-1]}"


def _escape(name: str) -> str:
    return name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
