"""A checkpoint is whole or absent, and the one before it stays until it is."""

import errno
import itertools
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch

from speciate import SpeciateError
from speciate_trainers.checkpoint import KEPT, Durable, newest, write

NOBODY = 65534


def state(step):
    return {"step": step, "weights": torch.arange(20_000.0) + step, "random": [1, (2, 3)]}


def at(folder, step):
    return folder / f"step-{step:08d}.ckpt"


def test_the_newest_is_read_back_and_older_ones_go(tmp_path):
    for step in range(1, 6):
        write(state(step), at(tmp_path, step))
    read = Durable().load_checkpoint(newest(tmp_path))
    assert read["step"] == 5
    assert torch.equal(read["weights"], state(5)["weights"])
    assert len(list(tmp_path.iterdir())) == KEPT


def test_nothing_is_unpickled(tmp_path):
    path = write({"step": 1, "bad": Path("x")}, at(tmp_path, 1))
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        Durable().load_checkpoint(path)


@pytest.fixture
def small():
    """A disk of one megabyte."""
    place = Path(tempfile.mkdtemp())
    words = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", place]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip("only root may mount")
    yield place
    subprocess.run(["umount", place], check=True)
    place.rmdir()


@pytest.mark.parametrize("left", range(0, 76_000, 4096))  # a checkpoint has 80,000
def test_a_full_disk_leaves_the_one_before(small, left):
    write(state(1), at(small, 1))
    with (small / "filler").open("wb", buffering=0) as file:
        while os.statvfs(small).f_bavail * 4096 > left:
            file.write(bytes(4096))
    with pytest.raises(SpeciateError) as caught:
        write(state(2), at(small, 2))
    assert os.strerror(errno.ENOSPC) in caught.value.exists
    assert "bytes to write" in caught.value.exists
    assert str(small) in caught.value.asked
    assert Durable().load_checkpoint(newest(small))["step"] == 1
    assert sorted(path.suffix for path in small.iterdir()) == ["", ".ckpt"], "nothing half written stays"
    (small / "filler").unlink()
    write(state(2), at(small, 2))
    assert Durable().load_checkpoint(newest(small))["step"] == 2


def test_a_folder_that_may_not_be_written_leaves_the_one_before(small):
    write(state(1), at(small, 1))
    small.chmod(0o555)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(SpeciateError, match="Permission denied") as caught:
            write(state(2), at(small, 2))
        assert Durable().load_checkpoint(newest(small))["step"] == 1
    finally:
        os.seteuid(0)
        small.chmod(0o777)
    assert "mend the permissions" in caught.value.do


@pytest.mark.parametrize("nth", [1, 2])
def test_a_disk_that_fails_while_syncing(tmp_path, monkeypatch, nth):
    write(state(1), at(tmp_path, 1))
    calls, real = itertools.count(1), os.fsync

    def fsync(handle):
        if next(calls) == nth:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SpeciateError, match="Input/output error"):
        write(state(2), at(tmp_path, 2))
    assert Durable().load_checkpoint(newest(tmp_path))["step"] in (1, 2)
