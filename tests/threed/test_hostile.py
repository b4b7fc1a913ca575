"""Files that lie, bombs, and a thousand mutated files: refused with a reason, within limits, and never shortened."""

import resource
import sys
import time
from pathlib import Path

import pytest

import speciate
from speciate import SpeciateError
from speciate_3d.options import ThreeDOptions
from speciate_3d.reader import ThreeDReader

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from bad_meshes import SEEDS, crafted, zipped  # noqa: E402
from mutated import REFUSED, outcomes  # noqa: E402

CRAFTED = list(crafted())


@pytest.mark.parametrize(("name", "data", "says"), CRAFTED, ids=[name for name, _, _ in CRAFTED])
def test_refused_in_three_parts(name, data, says, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(SpeciateError) as caught:
        list(ThreeDReader(ThreeDOptions()).read(path))
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB: 1 GiB
    assert name in caught.value.asked
    assert says in caught.value.exists
    assert caught.value.do


def test_a_bomb_is_held_to_the_limit_that_was_asked_for(tmp_path):
    path = tmp_path / "bomb.3mf"
    path.write_bytes(zipped(a=bytes(1 << 23)))
    with pytest.raises(SpeciateError, match="limit"):
        list(ThreeDReader(ThreeDOptions(most=10_000)).read(path))


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_limits_hold_for_every_kind(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(SEEDS[name])
    assert len(list(ThreeDReader(ThreeDOptions()).read(path))) == 1
    with pytest.raises(SpeciateError, match="limit"):
        list(ThreeDReader(ThreeDOptions(most=5)).read(path))


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.stl"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SpeciateError, match="1,048,576 MB"):
        list(ThreeDReader(ThreeDOptions()).read(path))


def test_a_polygon_of_600_000_corners_is_read(tmp_path):
    import numpy as np

    turn = np.linspace(0, 2 * np.pi, 600_000, endpoint=False)
    lines = [f"v {x:.6f} {y:.6f} 0\n" for x, y in zip(np.cos(turn), np.sin(turn), strict=True)]
    path = tmp_path / "gon.obj"
    path.write_text("".join(lines) + "f " + " ".join(map(str, range(1, 600_001))) + "\n")
    start = time.process_time()
    (row,) = ThreeDReader(ThreeDOptions()).read(path)
    assert row["faces"] == 599_998
    assert time.process_time() - start < 10


def test_neighbours_of_hostile_files_are_added(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir(), bad.mkdir()
    for name, data in SEEDS.items():
        (good / name).write_bytes(data)
    for name, data, _ in CRAFTED:
        (bad / name).write_bytes(data)
    workspace = speciate.open(tmp_path / "workspace", quiet=True)
    added = workspace.add("things", good, bad)
    assert {Path(one.path).name for one in added.quarantined} >= {name for name, _, _ in CRAFTED}
    assert all(one.reason for one in added.quarantined)
    assert added.rows == len(SEEDS)


def test_a_thousand_mutated_files():
    assert outcomes(HERE / "bad_meshes.py", 0, 1000)["said"][REFUSED] > 500


@pytest.mark.soak
def test_ten_thousand_mutated_files():
    assert outcomes(HERE / "bad_meshes.py", 1_000_000, 10_000)["said"][REFUSED] > 5000
