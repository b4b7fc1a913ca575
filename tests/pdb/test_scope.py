"""SCOPe's domains: joined with structures by their names, and as sequences with a label for each residue."""

import csv
import gzip
import json
import random

import pytest

import speciate
from speciate import UsageError
from speciate_pdb import scope
from speciate_pdb.example import backbone, mmcif_text, pdb_text
from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
PLACES = """# dir.des.scope.txt
# SCOPe release 2.07 (2017-12-27)  [File format version 1.02]
46456\tcl\ta\t-\tAll alpha proteins
46457\tcf\ta.1\t-\tGlobin-like
1\tpx\ta.1.1.1\td1abca1\t1abc A:1-20
2\tpx\tb.2.3.4\td1abca2\t1abc A:21-40
3\tpx\tb.2.3.4\td1abcb_\t1abc B:
4\tpx\tc.3.1.1\td2xyz.1\t2xyz A:1-9,B:3-8
5\tpx\ta.1.1.2\td2xyzc_\t2xyz C:
6\tpx\tg.9.1.2\td3one_\t3one -
7\tpx\tk.1.1.1\td4dsn_\t4dsn A:
# dir.des.scope.txt
# SCOPe release 2.06 (2016-01-19)  [File format version 1.02]
8\tpx\td.7.7.7\td1abcb_\t1abc B:
9\tpx\td.7.7.7\td5olda_\t5old A:
"""


def chains(rng, *kinds):
    return [("".join(rng.choices(LETTERS, k=40)), backbone(kind, 40)) for kind in kinds]


@pytest.fixture
def structures(tmp_path):
    """Files as people have them: named in any way, cut, some of entries that SCOPe does not know."""
    rng, folder = random.Random(0), tmp_path / "structures"
    folder.mkdir()
    (folder / "1ABC.pdb").write_text(pdb_text(chains(rng, "helix", "strand")))
    (folder / "2xyz.cif.gz").write_bytes(gzip.compress(mmcif_text(chains(rng, "helix", "strand")).encode()))
    (folder / "pdb3one.ent").write_text(pdb_text(chains(rng, "strand")))
    (folder / "pdb4dsn.ent").write_text(pdb_text(chains(rng, "helix")))
    (folder / "5old.pdb").write_text(pdb_text(chains(rng, "helix")))
    (folder / "1abc_truncated.pdb").write_text(pdb_text(chains(rng, "helix")))
    return folder


def test_structures_become_domains(structures, tmp_path, index, make, capsys):
    """From the command to rows with labels and coordinates; what SCOPe 2.07 does not place has no label."""
    make.wheel(index, "sidechainnet", "1.0.1", {scope.PLACES: PLACES})
    assert scope.main([str(structures), "--yes"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"files": 5, "with_domains": 3, "domains": 5}
    assert "sidechainnet" in shown.err
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("d", structures, target="class", group="superfamily", format="pdb")
    assert added.quarantined == ()
    columns = ("domain", "label", "group", "region", "residues", "entry", "source")
    rows = list(workspace.dataset("d").select(*columns).rows())
    assert {row["domain"]: (row["label"], row["group"], row["residues"]) for row in rows if row["domain"]} == {
        "d1abca1": ("alpha", "a.1.1", 20),
        "d1abca2": ("beta", "b.2.3", 20),
        "d1abcb_": ("beta", "b.2.3", 40),
        "d2xyz.1": ("alpha/beta", "c.3.1", 15),
        "d3one_": ("small", "g.9.1", 40),
    }
    others = {row["source"].rpartition("/")[2]: row["residues"] for row in rows if not row["domain"]}
    assert others == {"pdb4dsn.ent": 40, "5old.pdb": 40, "1abc_truncated.pdb": 40}
    assert all(row["label"] is None for row in rows if not row["domain"])


def test_what_cannot_be_joined(structures, tmp_path, index, capsys):
    (tmp_path / "empty").mkdir()
    for folder, says in ((tmp_path / "empty", "no structures"), (structures, "nothing was downloaded")):
        assert scope.main([str(folder)]) == UsageError.exit_code
        assert says in capsys.readouterr().err
    (structures / "domains.csv").write_text("file,region\n")
    assert scope.main([str(structures), "--yes"]) == UsageError.exit_code
    assert "there is a" in capsys.readouterr().err
    assert (structures / "domains.csv").read_text() == "file,region\n"


def test_a_file_that_the_table_does_not_name_has_its_columns(tmp_path):
    """So that a column that is asked for is in every file."""
    rng = random.Random(1)
    for name in ("a.pdb", "b.pdb"):
        (tmp_path / name).write_text(pdb_text(chains(rng, "helix", "strand")))
    (tmp_path / "domains.csv").write_text("file,region,fold\na.pdb,A:1-5,x\na.pdb,B:,\n")
    folds = {}
    for options in ({}, {"rows": "chain"}):
        reader = StructureReader(StructureOptions(**options))
        for name in ("a.pdb", "b.pdb"):
            folds[name] = [(row["fold"], row["residues"]) for row in reader.read(tmp_path / name)]
        assert folds["a.pdb"] == [("x", 5), (None, 40)]
        assert folds["b.pdb"] == ([(None, 40)] * 2 if options else [(None, 80)])


def test_a_letter_for_each_residue(tmp_path, index, make):
    """What a task that labels residues learns from: the column `dssp`, as long as the sequence."""
    rng, table = random.Random(2), {}
    for i in range(40):
        sequence = "".join(rng.choices(LETTERS, k=rng.randint(30, 90)))
        dssp = "".join(rng.choices("HELTSGBI", k=len(sequence)))
        table[f"1ABC_d1abc{i}"] = {"Sequence": sequence, "DSSP": dssp, "SCCS": f"{'abcd'[i % 4]}.{i % 8}.1.1"}
    table["1ABC_dlong"] = {"Sequence": "A" * 700, "DSSP": "H" * 700, "SCCS": "a.1.1.1"}
    table["1ABC_dodd"] = {"Sequence": "A" * 50, "DSSP": "H" * 49, "SCCS": "a.1.1.1"}
    make.wheel(index, "sidechainnet", "1.0.1", {scope.TABLE: json.dumps(table)})
    file = scope.secondary_structure(tmp_path / "data", lambda question: True, each=3)
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("residues", file, target="dssp", group="superfamily")
    assert added.rows == 24
    reader = StructureReader(StructureOptions())
    rows = list(workspace.dataset("residues").select("entry", "label", "residues").rows())
    assert all(row["label"] == table[row["entry"]]["DSSP"] and len(row["label"]) == row["residues"] for row in rows)
    samples = [reader.decode(row) for row in reader.read(file)]
    assert {sample["sequence"] for sample in samples} <= {known["Sequence"] for known in table.values()}


def test_the_table_of_regions_is_plain_csv(structures, index, make):
    make.wheel(index, "sidechainnet", "1.0.1", {scope.PLACES: PLACES})
    scope.join(structures, lambda question: True)
    with (structures / "domains.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["file"], line["region"]) for line in lines] == [
        ("1ABC.pdb", "A:1-20"),
        ("1ABC.pdb", "A:21-40"),
        ("1ABC.pdb", "B:"),
        ("2xyz.cif.gz", "A:1-9,B:3-8"),
        ("pdb3one.ent", ""),
    ]
