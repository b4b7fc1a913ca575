"""The image encoders: the packaged weights give what their makers' code gives, and any transformers folder loads."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import ConvNextConfig, ConvNextModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from speciate import SpeciateError, UsageError
from speciate.testing import BaseContract
from speciate_image.bases import EfficientNetLite0
from speciate_image.conv import ConvImage
from speciate_image.encoder import LENGTH
from speciate_image.example import scene
from speciate_image.hf import HFImage
from speciate_image.options import ConvOptions, EfficientNetOptions, HFImageOptions
from speciate_image.prepare import FITS, squares

SAMPLES = [{"pixels": scene(seed, 60 + 7 * seed, 90)} for seed in range(11)]
# the first of the first sample's pooled features, scaled to length 1, as efficientnet-lite-pytorch 0.1.0 gives them
GOLDEN = [0.0, 0.0, 0.0081253, 0.0026787, 0.0, 0.0045877, 0.0, 0.0127392]


def encode(encoder, samples=SAMPLES):
    return encoder.encode(samples, lambda _: None)


@pytest.fixture(scope="module")
def exact():
    return EfficientNetLite0(EfficientNetOptions(precision="fp32"))


@pytest.fixture(scope="module")
def vectors(exact):
    return encode(exact)


def test_equals_the_makers_code(vectors):
    assert np.abs(vectors[0, :8] / LENGTH - GOLDEN).max() < 1e-5
    assert np.allclose(np.linalg.norm(vectors, axis=1), LENGTH, atol=1e-4)


def test_folded_layers_equal_plain_ones(exact, vectors):
    with torch.inference_mode():
        plain = exact.make()(**exact.batch(SAMPLES)).numpy()
    assert np.abs(plain - vectors).max() < 1e-5


def test_bf16_is_near_and_company_does_not_move_it(vectors):
    encoder = EfficientNetLite0(EfficientNetOptions(precision="bf16"))
    found = encode(encoder)
    assert (found * vectors).sum(axis=1).min() > 0.98 * LENGTH**2
    assert np.abs(encode(encoder, SAMPLES[3:4]) - found[3:4]).max() <= 1e-3


@pytest.mark.parametrize("kind", ["efficientnet-lite0", "conv-image"])
def test_encode_follows_a_network_that_is_trained(kind):
    """The same module whenever it is asked for; what a method does to it shows in the next vectors."""
    small = EfficientNetOptions(size=64, precision="fp32")
    encoder = EfficientNetLite0(small) if kind == "efficientnet-lite0" else ConvImage(ConvOptions())
    before, network = encode(encoder), encoder.network()
    assert encoder.network() is network
    assert not network.training
    last = [parameter for parameter in network.parameters() if parameter.dim() == 4][-1]
    network.train()
    loss = network(**encoder.batch(SAMPLES))[:, :3].square().sum()
    loss.backward()
    assert last.grad is not None
    assert float(last.grad.abs().sum()) > 0
    with torch.no_grad():
        last += 0.1 * torch.randn(last.shape, generator=torch.Generator().manual_seed(0))
    network.eval()
    after = encode(encoder)
    assert np.abs(after - before).max() > 1e-3
    with torch.inference_mode():
        assert np.abs(network(**encoder.batch(SAMPLES)).numpy() - after).max() <= max(encoder.tolerance, 1e-4)


def test_batches_do_not_matter():
    """Of any size, in any square, whatever stands beside a picture."""
    small = {"precision": "fp32", "size": 64, "fit": "pad"}
    together = encode(EfficientNetLite0(EfficientNetOptions(**small, batch=3)))
    alone = encode(EfficientNetLite0(EfficientNetOptions(**small, batch=1)))
    assert np.abs(together - alone).max() <= 1e-4


def test_the_fingerprint_follows_what_decides_the_vectors(exact):
    others = [{"size": 160}, {"fit": "crop"}, {"precision": "bf16"}, {"precision": "auto"}]
    made = [EfficientNetLite0(EfficientNetOptions(**{"precision": "fp32", **other})) for other in others]
    assert len({encoder.fingerprint() for encoder in [exact, *made]}) == 5
    assert EfficientNetLite0(EfficientNetOptions(precision="fp32", batch=3)).fingerprint() == exact.fingerprint()
    assert ConvImage(ConvOptions(seed=1)).fingerprint() != ConvImage(ConvOptions()).fingerprint()


def test_a_network_from_scratch_is_its_seed():
    one, two, other = (encode(ConvImage(ConvOptions(seed=seed))) for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert np.abs(one - other).max() > 0.01


def test_fits():
    wide = np.zeros((20, 80, 3), np.uint8)
    wide[:, 30:50] = 255
    found = {fit: squares([{"pixels": wide}], 40, fit)[0, :, :, 0] for fit in FITS}
    assert found["stretch"][:, 15:25].min() == 255
    assert found["stretch"][:, :15].max() == 0
    assert found["crop"].mean() > 250
    assert found["pad"][:15].max() == 0
    assert found["pad"][16:24, 16:24].min() == 255


@pytest.mark.parametrize(
    "options", [{"precision": "fp8"}, {"size": 8}, {"size": 4096}, {"fit": "squeeze"}, {"batch": -1}]
)
def test_impossible_options(options):
    with pytest.raises(UsageError):
        EfficientNetLite0(EfficientNetOptions(**options))


# --- any encoder of transformers ----------------------------------------------------------------------------------

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


def folder(path, kind):
    torch.manual_seed(0)
    if kind == "vit":
        model = ViTModel(ViTConfig(**TINY, intermediate_size=32))
    elif kind == "dinov2":
        model = Dinov2Model(Dinov2Config(**TINY, mlp_ratio=2))
    else:
        model = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], image_size=32))
    model.save_pretrained(path)
    said = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
    said |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (path / "preprocessor_config.json").write_text(json.dumps(said))
    return model.eval()


@pytest.mark.parametrize("kind", ["vit", "dinov2", "convnext"])
def test_hf_equals_plain_transformers(kind, tmp_path):
    model = folder(tmp_path, kind)
    encoder = HFImage(HFImageOptions(id=str(tmp_path), precision="fp32"))
    assert (encoder.width, encoder.size, encoder.fit) == (16, 32, "crop")
    given = torch.from_numpy(squares(SAMPLES, 32, "crop")).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        hidden = model(pixel_values=(given - mean) / std).last_hidden_state
    plain = hidden[:, 0] if kind != "convnext" else hidden.mean(dim=(2, 3))
    assert np.abs(LENGTH * torch.nn.functional.normalize(plain).numpy() - encode(encoder)).max() < 1e-5
    larger = HFImage(HFImageOptions(id=str(tmp_path), precision="fp32", size=64, pooling="mean", fit="stretch"))
    assert encode(larger).shape == (len(SAMPLES), 16)
    assert larger.fingerprint() != encoder.fingerprint()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("vit")
    folder(path, "vit")
    return {"id": str(path), "precision": "fp32"}


class TestHFImage(BaseContract):
    name = "hf-image"

    @pytest.fixture(autouse=True)
    def given(self, tiny):
        type(self).options = tiny


@pytest.mark.parametrize(
    ("options", "says"), [({"id": ""}, "base.id"), ({"id": "."}, "config.json"), ({"id": "a/b/c"}, "owner/name")]
)
def test_hf_refusals(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpeciateError, match=says) as caught:
        HFImage(HFImageOptions(**options))
    assert caught.value.do


def test_half_the_weights_are_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder(tmp_path, "vit")
    half = HFImage(HFImageOptions(id=str(tmp_path), precision="fp32"))
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layer.1" not in name and "layers.1" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SpeciateError, match="not a whole model"):
        encode(half)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SpeciateError, match="safetensors"):
        HFImage(HFImageOptions(id=str(tmp_path))).fingerprint()


def test_nothing_heavy_is_imported_before_the_first_encode():
    code = """
import json, sys
import speciate_image
speciate_image.speciate_formats(), speciate_image.speciate_bases(), speciate_image.speciate_recipes()
light = sorted({"numpy", "cv2", "PIL", "torch"} & set(sys.modules))
from speciate_image.bases import EfficientNetLite0
from speciate_image.options import EfficientNetOptions
EfficientNetLite0(EfficientNetOptions()).fingerprint()
heavy = sorted({"torch", "transformers", "pyarrow"} & set(sys.modules))
print(json.dumps([light, heavy]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]
