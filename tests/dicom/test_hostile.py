"""Damaged and hostile files: nothing crashes, hangs or grows; what is taken in is what was there."""

import importlib.util
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import speciate
from speciate_dicom.example import body, picture, save, write
from speciate_dicom.options import DicomOptions, SliceOptions
from speciate_dicom.slices import SliceReader
from speciate_dicom.volumes import DicomReader

FILE = Path(__file__).with_name("bad_dicom.py")
SPEC = importlib.util.spec_from_file_location("dicom_hostile", FILE)
hostile = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hostile)

CODE = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from bad_dicom import mutated
from speciate import UsageError
from speciate_dicom.options import DicomOptions, SliceOptions
from speciate_dicom.slices import SliceReader
from speciate_dicom.volumes import DicomReader
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
folder = Path(sys.argv[2])
seeds = range(*map(int, sys.argv[3:5]))
small = {"frame_megabytes": 64}
readers = [SliceReader(SliceOptions(**small)), DicomReader(DicomOptions(shape="8,16,16", **small))]
goods = sorted(folder.glob("good/*"))
names = ("pixels", "voxels")
shapes = {p: [[r.decode(row)[n].shape for row in r.read(p)] for r, n in zip(readers, names)] for p in goods}
counts = {"read": 0, "refused": 0, "wrong": 0, "slowest": 0.0}
for seed in seeds:
    path = goods[seed % len(goods)]
    bad = folder / "bad.dcm"
    bad.write_bytes(mutated(path.read_bytes(), seed))
    for reader, name, wanted in zip(readers, names, shapes[path]):
        start = time.monotonic()
        try:
            found = [reader.decode(row)[name].shape for row in reader.read(bad)]
            counts["read"] += 1
            counts["wrong"] += found != wanted
        except UsageError:
            raise
        except Exception as error:
            counts["refused"] += 1
        counts["slowest"] = max(counts["slowest"], time.monotonic() - start)
counts["megabytes"] = int(next(line for line in open("/proc/self/status") if "VmHWM" in line).split()[1]) >> 10
print(json.dumps(counts))
"""


def run(tmp_path, start, end):
    (tmp_path / "good").mkdir()
    write(tmp_path / "good")
    here = __file__.rpartition("/")[0]
    command = [sys.executable, "-c", CODE, here, str(tmp_path), str(start), str(end)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def check(counts):
    assert counts["wrong"] < 0.01 * (counts["read"] + counts["refused"]), counts
    assert counts["slowest"] < 10, counts
    assert counts["megabytes"] < 1024, counts
    assert min(counts["read"], counts["refused"]) > 100, counts


def test_mutations(tmp_path):
    check(run(tmp_path, 0, 1000))


@pytest.mark.soak
def test_many_mutations(tmp_path):
    check(run(tmp_path, 1000, 11000))


def test_bombs_do_not_go_off(tmp_path):
    """Each is refused in little memory, and its neighbour is added."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    paths = hostile.bombs(tmp_path / "in")
    for path in paths:
        for reader in (SliceReader(SliceOptions()), DicomReader(DicomOptions())):
            with pytest.raises(speciate.SpeciateError):
                list(reader.read(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10
    good = save(tmp_path / "in" / "good.dcm", picture(body(1, "n")[0], "n"))
    added = speciate.open(tmp_path / "ws", quiet=True).add("d", *paths, good, format="dicom-slices")
    assert added.added == 1
    assert len(added.quarantined) == len(paths)
