"""The kit is all a task and a method need to test."""

from speciate.testing import EvaluatorContract, MethodContract, TaskContract


class TestOrdinal(TaskContract):
    name = "ordinal"


class TestStepsOff(EvaluatorContract):
    name = "steps_off"


class TestBitfit(MethodContract):
    name, options = "bitfit", {"epochs": 2, "hard": 1.0}
