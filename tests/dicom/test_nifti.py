"""An outside plugin of the same modality uses the bases and recipes here; neither imports the other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "thirdparty" / "speciate-nifti"


@pytest.mark.soak
def test_nifti_is_learnt_from(tmp_path):
    pytest.importorskip("nibabel")
    shutil.copytree(PLUGIN, tmp_path / "plugin")
    info = tmp_path / "plugin" / "speciate_nifti-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: speciate-nifti\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[speciate]\nnifti = speciate_nifti\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "plugin")}
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-W", "error", "test_nifti.py"]
    done = subprocess.run(command, cwd=tmp_path / "plugin", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    lines = [line for line in (PLUGIN / "speciate_nifti.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 80
    assert not any("dicom" in line for line in lines)
