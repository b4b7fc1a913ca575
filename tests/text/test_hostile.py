"""A thousand mutated texts are read or refused with a reason, within limits; and none costs a neighbour."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from bad_texts import SEEDS  # noqa: E402
from mutated import ACCEPTED, REFUSED, mutated, outcomes  # noqa: E402


def check(first, count):
    """Plain text has no count and no sum: what of it is still text is read."""
    found = outcomes(HERE / "bad_texts.py", first, count)
    assert found["said"][REFUSED] > count / 2
    assert found["said"][ACCEPTED] > count / 100
    assert found["wrong"] == []


def test_a_thousand_mutated_texts():
    check(0, 1000)


@pytest.mark.soak
def test_ten_thousand_mutated_texts():
    check(1_000_000, 10_000)


def test_neighbours_of_mutated_texts_are_added(tmp_path, workspace):
    """In this process, where texts are read; the good come between the bad."""
    good = {name: data for name, data in SEEDS.items() if not name.startswith(("sums", "delta"))}
    for i in range(200):
        name, data = mutated(good, 7_000_000 + i)
        (tmp_path / f"{i:03}").mkdir()
        (tmp_path / f"{i:03}" / f"bad-{name}").write_bytes(data)
    paths = [tmp_path / "0.txt", tmp_path / "zz.txt", tmp_path / "100" / "good.txt"]
    for i, path in enumerate(paths):
        path.write_text(f"A good neighbour, number {i}.")
    bad = sorted(tmp_path.glob("*/bad-*"))
    added = workspace.add("mixed", *bad, *paths, format="text")
    aside = {one.path: one.reason for one in added.quarantined}
    assert not [path for path in aside if "bad-" not in path]
    assert all(Path(path).name in reason or "column" in reason for path, reason in aside.items())
    sources = {row["source"].rpartition("/")[2] for row in workspace.engine.dataset("mixed").rows()}
    assert {path.name for path in paths} <= sources
    assert len(aside) > 100
