"""Our methods and tasks pass the kit, as anybody's would: each method on each task, on a small base that it can train."""

from speciate.testing import MethodContract, TaskContract

QUICK = {"epochs": 3, "batch_size": 16, "lr": 1e-3}


class TestClassify(TaskContract):
    name = "classify"


class TestMultilabel(TaskContract):
    name = "multilabel"


class TestRegress(TaskContract):
    name = "regress"


class TestEmbed(TaskContract):
    name = "embed"


class TestProbe(MethodContract):
    name = "probe"


class TestProbeWithSpread(MethodContract):
    name, tasks, task_options = "probe", ("regress",), {"uncertainty": True}


class TestFull(MethodContract):
    name, options = "full", QUICK


class TestFullOfSeveralWithSpread(MethodContract):
    name, options = "full", QUICK
    tasks, task_options = ("regress",), {"names": ["mass", "size"], "uncertainty": True}


class TestFullOfTriplets(MethodContract):
    name, options = "full", QUICK
    tasks, task_options = ("embed",), {"width": 4, "loss": "triplet"}


class TestLora(MethodContract):
    name, options = "lora", {**QUICK, "keep": "adapter"}
