"""Bad files through the whole of `add`: each is refused with its reason, and costs no neighbour."""

import gzip

import bad_structures as hostile
import made
import numpy as np
import pytest

import speciate
from speciate import SpeciateError
from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

LARGE = {"one-line.pdb", "bomb.pdb.gz"}  # test_through_add reads them, in a limited process


def good_files():
    """Files as the Protein Data Bank writes them, and others."""
    first, second = made.structure(11, residues=20), made.structure(12, residues=20)
    text = made.pdb(first)
    count = sum(line.startswith(("ATOM", "HETATM")) for line in text.splitlines())
    whole = text.replace("\n", "\nSEQRES   1 A   20  ALA\n", 1)
    return {
        "bank.pdb": whole.replace("END\n", f"MASTER{' ' * 40}{count:9d}{2:5d}\nEND\n").encode(),
        "plain.pdb": made.pdb(second).encode(),
        "models.ent": made.pdb(made.structure(13, chains="A"), models=3).encode(),
        "bank.cif": made.mmcif(made.structure(14)).encode(),
        "packed.cif.gz": gzip.compress(made.mmcif(made.structure(15)).encode(), mtime=0),
        "packed.bcif": made.bcif(made.structure(16)),
        "some.faa": b">a\nMKVLAAGIVGLLLAQWERTY\n>b\nGGSGGSGGS\n",
    }


@pytest.mark.parametrize("name", sorted(set(hostile.REFUSED) - LARGE))
def test_refused_by_the_reader(name, tmp_path):
    [path] = hostile.write(tmp_path, {name: hostile.REFUSED[name]()})
    for engine in ("auto", "biopython"):
        with pytest.raises(SpeciateError) as caught:
            list(StructureReader(StructureOptions(engine=engine)).read(path))
        assert caught.value.asked.startswith(name)
        assert caught.value.exists
        assert not caught.value.exists.startswith(("IndexError", "TypeError", "KeyError")), caught.value.exists


def test_a_file_without_atoms_is_not_only_called_cut_off(tmp_path):
    [path] = hostile.write(tmp_path, {"component.cif": hostile.REFUSED["component.cif"]()})
    with pytest.raises(SpeciateError, match="no table of atoms"):
        list(StructureReader(StructureOptions()).read(path))


def test_strange_and_yet_whole(tmp_path):
    files = hostile.write(tmp_path, hostile.taken())
    rows = {path.name: list(StructureReader(StructureOptions()).read(path)) for path in files}
    assert {name: len(some) for name, some in rows.items()} == dict.fromkeys(rows, 1)
    assert rows["models.pdb"][0]["models"] == 200_000
    assert rows["frames.pdb"][0]["models"] == 3
    with pytest.raises(SpeciateError, match="200,000 models"):
        list(StructureReader(StructureOptions(model=0)).read(tmp_path / "models.pdb"))


def test_through_add(tmp_path):
    bad = hostile.write(tmp_path / "bad", {name: make() for name, make in hostile.REFUSED.items()})
    good = hostile.write(tmp_path / "good", good_files())
    added = speciate.open(tmp_path / "ws", quiet=True).add("all", *bad, *good, format="pdb")
    assert {one.path for one in added.quarantined} == {str(path) for path in bad}
    assert all(len(one.reason) > 20 for one in added.quarantined)
    assert added.added == len(good) + 1


def mutated(folder, count, seed):
    """How many mutants were refused, how many taken, and how many taken with another number of atoms."""
    good = good_files()
    neighbours = hostile.write(folder / "good", good)
    reader = StructureReader(StructureOptions())
    atoms = {path.name: sorted(row["atoms"] for row in reader.read(path)) for path in neighbours}
    files = hostile.write(folder / "bad", dict(hostile.mutations(count, seed, good)))
    workspace = speciate.open(folder / "ws", quiet=True)
    added = workspace.add("all", *neighbours, *files)
    aside = {one.path for one in added.quarantined}
    assert not aside & {str(path) for path in neighbours}
    rows: dict[str, list[int]] = {}
    for row in workspace.dataset("all").select("source", "atoms").rows():
        rows.setdefault(row["source"].rpartition("/")[2], []).append(row["atoms"])
    assert all(sorted(rows[name]) == many for name, many in atoms.items())
    changed = {name: many for name, many in rows.items() if "-" in name}
    changed = {n: many for n, many in changed.items() if not n.endswith(".faa")}  # nothing in FASTA can be checked
    wrong = [n for n, many in changed.items() if not set(many) <= set(atoms[n.partition("-")[2]])]
    return len(aside), count - len(aside), wrong


def test_a_thousand_mutations(tmp_path):
    refused, taken, wrong = mutated(tmp_path, 1000, seed=1)
    assert refused > 400
    assert taken > 100
    assert len(wrong) < 10, wrong


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_ten_thousand_mutations(seed, tmp_path):
    _, _, wrong = mutated(tmp_path, 1000, seed)
    assert len(wrong) < 10, wrong


def test_engines_agree_on_mutations(tmp_path):
    """Where both libraries read a damaged file, they read the same."""
    pytest.importorskip("gemmi")
    both = 0
    texts = {name: data for name, data in good_files().items() if not name.endswith((".faa", ".bcif"))}
    for name, data in hostile.mutations(250, 77, texts):
        [path] = hostile.write(tmp_path, {name: data})
        one, two = (outcome(path, engine) for engine in ("gemmi", "biopython"))
        if one is not None and two is not None:
            assert np.array_equal(one, two), name
            both += 1
    assert both > 30


def outcome(path, engine):
    try:
        return [row["structure"] for row in StructureReader(StructureOptions(engine=engine)).read(path)]
    except SpeciateError:
        return None
