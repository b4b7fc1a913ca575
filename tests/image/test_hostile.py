"""Whatever a file does, its neighbours are kept, the process lives, and what was refused says why."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speciate import SpeciateError, UsageError
from speciate_image.example import write
from speciate_image.options import ImageOptions
from speciate_image.pixels import decoded, glanced
from speciate_image.reader import ImageReader

COUNT, SOAK = 1000, 10_000


@pytest.fixture(scope="module")
def refusals(tmp_path_factory, pictures):
    """{name: why} of the bad files, each tried alone."""
    found = {}
    for name, path in pictures.bad(tmp_path_factory.mktemp("bad")).items():
        try:
            list(ImageReader(ImageOptions()).read(path))
            found[name] = None
        except SpeciateError as error:
            found[name] = error
    return found


def test_every_bad_file_is_refused_in_three_parts(refusals):
    accepted = sorted(name for name, error in refusals.items() if error is None)
    assert accepted == []
    for name, error in refusals.items():
        assert name in error.asked
        assert error.exists
        assert error.do
        assert not isinstance(error, UsageError)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty.png", "it is empty"),
        ("text.png", "first bytes are 74 68"),
        ("memory.png", "the chunk at offset 33 says it has 4,294,967,295 bytes"),
        ("bomb.png", "the limit is 80,000,000 pixels|exceeds limit"),
        ("bomb.jpg", "exceeds limit"),
        ("no-end.jpg", "Premature end"),
        ("hole.jpg", "Corrupt JPEG data"),
        ("taller.jpg", "Premature end|premature end"),
        ("half.webp", "damaged"),
    ],
)
def test_the_reason_is_given(refusals, name, says):
    assert any(part in str(refusals[name]) for part in says.split("|")), str(refusals[name])


def test_mutated_files_take_little_memory(tmp_path, pictures):
    """A chunk of a 16-bit PNG that says it has 4 GB made OpenCV take them."""
    path = pictures.bad(tmp_path)["memory.png"]
    code = "import sys; from pathlib import Path; from speciate_image.reader import ImageReader\n"
    code += "from speciate_image.options import ImageOptions\n"
    code += "try: list(ImageReader(ImageOptions()).read(Path(sys.argv[1])))\n"
    code += "except Exception: print(next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1])\n"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # not ru_maxrss, which begins with what its parent had


def test_strange_files_are_good(tmp_path, pictures):
    for name, path in pictures.strange(tmp_path).items():
        (row,) = ImageReader(ImageOptions()).read(path)
        assert row["width"] * row["height"] > 0, name


def test_bad_files_in_an_add_cost_no_neighbour(tmp_path, workspace, pictures):
    for folder in ("bad", "good"):
        (tmp_path / folder).mkdir()
    harmful, good = pictures.bad(tmp_path / "bad"), write(tmp_path / "good")
    added = workspace.add("mixed", *harmful.values(), *good, format="image")
    assert {one.path for one in added.quarantined} == {str(path) for path in harmful.values()}
    assert added.rows == len(good)


def harm(pictures, folder, seed, count):
    """(accepted, of these of another size, of these other pixels) among so many mutations; only SpeciateErrors."""
    whole = [path.read_bytes() for path in write(folder)]
    known = [decoded(data, ImageOptions())[1] for data in whole]
    rng, accepted, size, pixels = random.Random(seed), 0, 0, 0
    for _ in range(count):
        which = rng.randrange(len(whole))
        data = pictures.mutated(rng, whole[which])
        try:
            found = decoded(data, ImageOptions())[1]
        except SpeciateError:
            with pytest.raises(SpeciateError):  # what an add takes is what can be learnt from
                glanced(data, ImageOptions(), "it")
            continue
        glanced(data, ImageOptions(), "it")
        accepted += 1
        size += found.shape != known[which].shape
        pixels += found.shape == known[which].shape and not np.array_equal(found, known[which])
    return accepted, size, pixels


def test_mutations_are_read_or_refused(tmp_path, pictures):
    """A picture of another size than the original's is what can be told; uncompressed pixels have no checksum."""
    _, size, _ = harm(pictures, tmp_path, 1, COUNT)
    assert size < COUNT / 100


@pytest.mark.soak
def test_many_mutations(tmp_path, pictures):
    """Most that have another size are JPEGs whose EXIF lost its turn."""
    seeds, wrong = range(2, 2 + SOAK // COUNT), 0
    for seed in seeds:
        (tmp_path / str(seed)).mkdir()
        wrong += harm(pictures, tmp_path / str(seed), seed, COUNT)[1]
    assert wrong < len(seeds) * COUNT / 100


def test_mutations_in_an_add(tmp_path, workspace, pictures):
    """Through the reading processes: nothing ends them, and every good neighbour is there."""
    (tmp_path / "good").mkdir()
    good = write(tmp_path / "good")
    rng, paths = random.Random(7), []
    for i in range(200):
        path = good[rng.randrange(len(good))]
        paths.append(tmp_path / f"{i}{path.suffix}")
        paths[-1].write_bytes(pictures.mutated(rng, path.read_bytes()))
    added = workspace.add("mutated", *paths, *good, format="image")
    aside = {one.path for one in added.quarantined}
    assert not aside & {str(path) for path in good}
    assert [one for one in added.quarantined if Path(one.path).name not in one.reason] == []  # each by the reader
    assert added.rows + len(aside) + added.duplicates == len(paths) + len(good)
