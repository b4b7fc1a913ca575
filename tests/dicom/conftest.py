"""A key of the tests' own, so that nothing is written into anybody's home."""

import pytest


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SPECIATE_DICOM_KEY", "a key that only the tests know")
