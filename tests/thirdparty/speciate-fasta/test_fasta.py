"""The kit is all a plugin needs to test."""

from speciate.testing import BaseContract, FormatContract


class TestFasta(FormatContract):
    name = "fasta"


class TestKMers(BaseContract):
    name = "kmers"
