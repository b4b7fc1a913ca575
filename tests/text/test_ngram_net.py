"""The base that starts from nothing."""

import numpy as np
import pytest
import torch

from speciate import UsageError
from speciate.testing import BaseContract
from speciate_text.ngram_net import NgramNet
from speciate_text.options import NgramNetOptions


class TestContract(BaseContract):
    name = "ngram-net"


def test_encode_is_the_network_in_eval_mode():
    encoder = NgramNet(NgramNetOptions(dropout=0.5))
    samples = [{"text": text} for text in ("the pump leaks", "", "x", "quarterly earnings rose sharply")]
    encoder.network().train()
    vectors = encoder.encode(samples, lambda k: None)
    assert encoder.network().training
    encoder.network().eval()
    with torch.inference_mode():
        assert np.abs(encoder.network()(**encoder.batch(samples)).numpy() - vectors).max() < 1e-6


def test_the_seed_decides_the_weights_and_the_fingerprint():
    made = [NgramNet(NgramNetOptions(seed=seed)) for seed in (0, 0, 1)]
    first = [next(one.network().parameters()) for one in made]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert made[0].fingerprint() == made[1].fingerprint() != made[2].fingerprint()


@pytest.mark.parametrize("options", [{"low": 0}, {"width": 2}, {"buckets": 3}])
def test_impossible_options(options):
    with pytest.raises(UsageError):
        NgramNet(NgramNetOptions(**options))


def test_it_is_learnt_in_seconds(workspace, news):
    workspace.add("news", news)
    ran = workspace.run("", "base=ngram-net", "method=full", dataset="news", method={"epochs": 6, "lr": 3e-3})
    assert ran.scores["accuracy"]["value"] > 0.9
    assert ran.parity["holds"]
