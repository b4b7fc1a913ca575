"""Several processes that train one run: who this one is, and how the first of them leads the others.

torchrun and SLURM say in the environment how many there are. The first writes everything; the others take part in the
training, read the same workspace, and write nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["first", "rank", "shared", "size"]


def size() -> int:
    return int(os.environ.get("WORLD_SIZE") or _slurm("SLURM_NTASKS", 1))


def rank() -> int:
    return int(os.environ.get("RANK") or _slurm("SLURM_PROCID", 0))


def shared(value: Any) -> Any:
    """What the first process says, in all of them."""
    if size() == 1:
        return value
    said = [value]
    _group().broadcast_object_list(said, src=0)
    return said[0]


@contextmanager
def first() -> Iterator[None]:
    """The first process goes ahead; the others follow when it is through, and find what it has kept."""
    if size() == 1:
        yield
        return
    group = _group()
    if rank():
        group.barrier()
    yield
    if not rank():
        group.barrier()


def _slurm(name: str, alone: int) -> int:
    """Processes that srun started; a shell inside an allocation is one process."""
    inside = "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
    return int(os.environ.get(name, alone)) if inside else alone


def _group() -> Any:
    """torch's process group, which Lightning then takes as it is."""
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if "RANK" not in os.environ:  # under srun Lightning's own environment says where to meet
            _from_slurm()
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return distributed


def _from_slurm() -> None:
    """What torchrun would have said: the first host of the job's list, and a port made of the job's number."""
    hosts = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "localhost")
    found = re.match(r"([^,\[]+)(?:\[([0-9]+))?", hosts)
    host = "".join(part or "" for part in found.groups()) if found else "localhost"
    port = 15_000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:])
    os.environ.setdefault("MASTER_ADDR", host)
    os.environ.setdefault("MASTER_PORT", str(port))
    local, here = os.environ.get("SLURM_LOCALID", "0"), os.environ.get("SLURM_NTASKS_PER_NODE", str(size()))
    os.environ |= {"RANK": str(rank()), "WORLD_SIZE": str(size()), "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": here}
