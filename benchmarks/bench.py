"""What the benchmarks share: timing whole processes, and writing a dated section of RESULTS.md."""

from __future__ import annotations

import json
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


def machine():
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, load {load:.1f} at the end"


def record(title, lines):
    """Replace the section of this title, or add it."""
    head = "# Results\n\nWritten by the scripts beside this file; ratios hold, absolute times drift with the machine.\n"
    text = RESULTS.read_text() if RESULTS.exists() else head
    sections = text.split("\n## ")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    section = f"{title}\n\n{when}; {machine()}; `{' '.join(['python', *sys.argv])}`\n\n" + "\n".join(lines) + "\n"
    kept = [s for s in sections[1:] if not s.startswith(f"{title}\n")]
    RESULTS.write_text("\n## ".join([sections[0], *kept, section]))
    print("\n".join(lines))
