"""What the benchmarks share: timing, a format's Reader beside a bare library, and a dated section of RESULTS.md."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"


def timed(command, **kwargs):
    """Run a process; its stdout, wall seconds and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, wall, cpu


def speciate(*words, workspace):
    """One `speciate … --json` command."""
    out, wall, cpu = timed([sys.executable, "-m", "speciate", *map(str, words), "--json", "-w", str(workspace)])
    return json.loads(out), wall, cpu


def options(doc, files):
    """What every benchmark of a format can be asked: how many files it draws, and not to record (for a look)."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--files", type=int, default=files, help=f"of each kind, drawn here; by default {files}")
    parser.add_argument("--dry", action="store_true", help="print, do not record")
    return parser


def cpu(work, *given, times=3):
    """The fewest CPU seconds it took this process."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work(*given)
        taken.append(time.process_time() - start)
    return min(taken)


LEAST = 0.5  # CPU seconds, or a quarter of starting up: what more files must cost to be told from noise
BESIDE = ["| | bare library | our reader | `speciate add` | reader / bare | add / bare |", "|" + " --- |" * 6]


def beside(kind, files, bare, reader, folder, *words):
    """Files a CPU second of a bare library in a loop, of our Reader, and of `speciate add` with one worker.

    A line of the table, and how fast the reader and `add` are, where the bare library is 1. What it costs to start
    `add` is left out: that is what adding the first file takes.
    """
    plain, ours = cpu(bare, files), cpu(lambda: [list(reader.read(path)) for path in files])
    costs = []
    for some in (files[:1], files):
        *_, cost = speciate(
            "add", "d", *some, "--jobs", 1, *words, workspace=folder / f"{kind}-{len(some)}".replace("/", "")
        )
        costs.append(cost)
    more = costs[1] - costs[0]
    add = more * len(files) / (len(files) - 1) if more > max(LEAST, costs[0] / 4) else math.nan
    rates = " | ".join(f"{len(files) / seconds:.1f}" for seconds in (plain, ours, add))
    return f"| {kind} | {rates} | {plain / ours:.2f} | {plain / add:.2f} |", plain / ours, plain / add


def bar(what, ratios, least):
    """A line that says what the least of some ratios is, and whether it clears the bar that was set."""
    few = [kind for kind, ratio in ratios.items() if math.isnan(ratio)]
    known = {kind: ratio for kind, ratio in ratios.items() if kind not in few}
    untold = f" Too few files to tell: {', '.join(few)}." if few else ""
    if not known:
        return f"- {what}: the bar is {least}x.{untold}"
    worst = min(known, key=known.get)
    said = "**missed**" if known[worst] < least else "held" if not few else "held where it was measured"
    return f"- {what}: {known[worst]:.2f}x at worst ({worst}); the bar is {least}x: {said}.{untold}"


def machine():
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, load {load:.1f} at the end"


def record(title, lines, dry=False):
    """Replace the section of this title, or add it; dry only prints it."""
    print("\n".join(lines))
    if dry:
        return
    head = "# Results\n\nWritten by the scripts beside this file; ratios hold, absolute times drift with the machine.\n"
    text = RESULTS.read_text() if RESULTS.exists() else head
    sections = text.split("\n## ")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    section = f"{title}\n\n{when}; {machine()}; `{' '.join(['python', *sys.argv])}`\n\n" + "\n".join(lines) + "\n"
    kept = [s for s in sections[1:] if not s.startswith(f"{title}\n")]
    RESULTS.write_text("\n## ".join([sections[0], *kept, section]))
