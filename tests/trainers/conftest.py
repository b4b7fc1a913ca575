"""A workspace with small pictures that the loop learns from in seconds."""

import hashlib
import itertools

import cv2
import numpy as np
import pytest

import speciate


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """60 small pictures of discs and squares, labelled by their folders."""
    folder, rng = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    for i, kind in zip(range(60), itertools.cycle(("disc", "square"))):
        pixels = rng.integers(90, 160, (24, 24, 3)).astype(np.uint8)
        x, y = (int(v) for v in rng.integers(8, 16, 2))
        if kind == "disc":
            cv2.circle(pixels, (x, y), 5, (250, 250, 250), -1)
        else:
            cv2.rectangle(pixels, (x - 5, y - 5), (x + 5, y + 5), (250, 250, 250), -1)
        (folder / kind).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / kind / f"{i}.png"), pixels)
    return folder


@pytest.fixture
def drawn(shapes, tmp_path):
    """A workspace with them."""
    ws = speciate.open(tmp_path / "ws", quiet=True)
    ws.add("shapes", shapes, labels="folders")
    return ws


@pytest.fixture(scope="session")
def sha():
    """sha(workspace, model): of its weights."""

    def of(workspace, model):
        path = workspace.root / "artifacts" / "models" / model / "weights.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return of
