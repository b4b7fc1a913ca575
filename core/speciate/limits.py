"""Limits for a process that reads strangers' bytes: memory, no network, and an end with the process that started it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

__all__ = ["OUT_OF_MEMORY", "die_with_parent", "ended", "environment", "limit_memory", "no_network"]

OUT_OF_MEMORY = 86  # exit code
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def die_with_parent() -> None:
    """Linux ends this process with the one that started it, whatever it is doing then."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def no_network() -> bool:
    """Leave the network, where the system lets a process do so; to be called before any thread is started."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    return unshare(CLONE_NEWNET) == 0 or (os.getuid() != 0 and unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)


def limit_memory(memory: int) -> None:
    """So much memory beyond what is in use now."""
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = used + memory if hard == resource.RLIM_INFINITY else min(used + memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def environment() -> dict[str, str]:
    """This process's, with its import path; and allocators that do not reserve far more than they use."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    frugal = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **frugal, "PYTHONPATH": path}


def ended(code: int, memory: int) -> str:
    """How such a process ended, in words."""
    if code == OUT_OF_MEMORY:
        return f"reading it took over {memory / (1 << 30):.1f} GiB of memory; the limit of one file"
    how = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended its process with code {code}"
    return f"its reader {how}; it ran in a process of its own"
