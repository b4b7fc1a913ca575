"""FASTA files, `>id label=x` and lines of letters, and a base that counts pairs of letters."""

from speciate import Array, Base, Format, Modality, hookimpl

SEQUENCE = Modality("sequence", (Array("sequence", "str"),), "letters of a protein or a nucleic acid")


@hookimpl
def speciate_formats():
    here = "speciate_fasta:"
    return [Format("fasta", "sequences", SEQUENCE, ("*.fasta", "*.fa"), f"{here}Reader", example=f"{here}example")]


@hookimpl
def speciate_bases():
    return [Base("kmers", "counts of pairs of letters", SEQUENCE, "speciate_fasta:KMers")]


class Reader:
    def __init__(self, options): ...

    def schema(self):
        return {"sequence": "string"}

    def read(self, path):
        for record in path.read_text(encoding="ascii").split(">")[1:]:
            header, _, lines = record.partition("\n")
            yield {"sequence": "".join(lines.split()), "label": header.partition("label=")[2].split(" ")[0]}

    def decode(self, row):
        return {"sequence": row["sequence"]}


class KMers:
    width, tolerance = 1024, 0.0

    def __init__(self, options): ...

    def fingerprint(self):
        return "pairs of letters, each modulo 32"

    def encode(self, samples, tick):
        import numpy as np  # here, so that `speciate plugins` need not wait for it

        codes = [[ord(letter) % 32 for letter in sample["sequence"]] for sample in samples]
        pairs = [[32 * row[i] + row[i + 1] for i in range(len(row) - 1)] for row in codes]
        tick(len(samples))
        return np.array([np.bincount(row, minlength=1024) for row in pairs], np.float32).reshape(-1, 1024)


def example(folder):
    (folder / "two.fasta").write_text(">a label=x\nMKVA\nLLT\n>b label=y\nGGSG\n")
    return [folder / "two.fasta"]
