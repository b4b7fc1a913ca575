"""Our methods and tasks pass the kit, as anybody's would: each method on each task, on a small base that it can train.

The probe's contract is in tests/core/test_contracts.py.
"""

from speciate.testing import MethodContract, TaskContract

QUICK = {"epochs": 2, "lr": 1e-3}


class TestClassify(TaskContract):
    name = "classify"


class TestMultilabel(TaskContract):
    name = "multilabel"


class TestRegress(TaskContract):
    name = "regress"


class TestEmbed(TaskContract):
    name = "embed"


class TestFull(MethodContract):
    name, options = "full", QUICK


class TestLora(MethodContract):
    name, options = "lora", QUICK | {"keep": "adapter"}
