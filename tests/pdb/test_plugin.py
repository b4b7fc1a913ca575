"""What goes with the reader: near-duplicates, pictures, recipes, the demo, and the walk from files to an answer."""

import json
import random
import struct
import zlib

import made
import numpy as np
import pytest
from hydra.plugins.config_source import ConfigSource

import speciate
from speciate import Format
from speciate.catalog import installed
from speciate_pdb import demo, scope, speciate_bases, speciate_recipes
from speciate_pdb.example import backbone, mmcif_text, pdb_text
from speciate_pdb.fasta import sequence_only
from speciate_pdb.near import WIDTH, signatures
from speciate_pdb.options import StructureOptions
from speciate_pdb.preview import preview
from speciate_pdb.reader import StructureReader
from speciate_pdb.structure import pack

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
USUAL = [8.3, 1.4, 5.5, 6.7, 3.9, 7.1, 2.3, 5.9, 5.8, 9.7, 2.4, 4.1, 4.7, 3.9, 5.5, 6.6, 5.3, 6.9, 1.1, 2.9]
ALIKE = ("AG", "DE", "NQ", "FWY", "ILMV", "KR", "ST")


def drawn(rng, many):
    return "".join(rng.choices(LETTERS, USUAL, k=many))


def related(rng, sequence, identity, conserving=0.4):
    """A relative: so many residues are the same, and of the others some have kept their kind."""
    changed = []
    for letter in sequence:
        kin = next((kind for kind in ALIKE if letter in kind), "")
        if rng.random() < identity:
            changed.append(letter)
        elif kin and rng.random() < conserving:
            changed.append(rng.choice([one for one in kin if one != letter]))
        else:
            changed.append(rng.choice([one for one in LETTERS if one != letter]))
    return "".join(changed)


def shares(one, two):
    rows = [{"structure": pack(sequence_only(sequence))} for sequence in [*one, *two]]
    both = signatures(rows)
    assert both.shape == (len(rows), WIDTH)
    return (both[: len(one)] == both[len(one) :]).mean(axis=1)


@pytest.mark.parametrize(("identity", "found"), [(0.9, 0.999), (0.75, 0.99), (0.65, 0.8), (0.3, 0.0)])
def test_relatives_are_near(identity, found):
    rng = random.Random(1)
    one = [drawn(rng, rng.randint(80, 400)) for _ in range(400)]
    near = shares(one, [related(rng, sequence, identity) for sequence in one]) >= threshold()
    assert near.mean() >= found
    assert identity > 0.5 or near.mean() < 0.05


@pytest.mark.parametrize("length", [12, 60, 300, 1500])
def test_strangers_are_far(length):
    rng = random.Random(2)
    one, two = ([drawn(rng, length) for _ in range(300)] for _ in range(2))
    assert (shares(one, two) >= threshold()).mean() < 0.004


def threshold():
    return installed().get(Format, "pdb").near.threshold


def test_short_sequences_and_whole_copies():
    rng = random.Random(3)
    one = drawn(rng, 200)
    assert shares(["M", "MK", one], ["M", "MK", one]).tolist() == [1, 1, 1]
    assert shares([one], [f"MGSSHHHHHHSSG{one}"])[0] > 0.8
    assert shares([one[:150]], [one])[0] > 0.6


def test_relatives_stay_on_one_side(tmp_path):
    rng = random.Random(4)
    records = []
    for family in range(40):
        parent = drawn(rng, 150)
        records += [f">{family}-{i} kin={family}\n{related(rng, parent, 0.85)}\n" for i in range(5)]
    rng.shuffle(records)
    (tmp_path / "all.faa").write_text("".join(records))
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("all", tmp_path / "all.faa")
    sides: dict[str, set[str]] = {}
    for row in workspace.dataset("all").select("kin", "split").rows():
        sides.setdefault(row["kin"], set()).add(row["split"])
    assert {frozenset(side) for side in sides.values()} >= {frozenset({"train"}), frozenset({"test"})}
    assert sum(len(side) > 1 for side in sides.values()) == 0


@pytest.mark.parametrize(
    "text", [pdb_text([("ACDE", backbone("helix", 4))]), made.pdb(made.structure(1)), ">a\nMKV\n", ">b\nM\n"]
)
def test_previews_are_pictures(text, tmp_path):
    path = tmp_path / ("a.faa" if text.startswith(">") else "a.pdb")
    path.write_text(text)
    reader = StructureReader(StructureOptions())
    for row in reader.read(path):
        shown = preview({**row, "entry": "<b>&"}, reader.decode(row))
        width, height, pixels = png(shown.png)
        assert 32 <= height <= width <= 640
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1
        assert "&lt;b&gt;&amp;" in shown.html
        assert "<b>" not in shown.html
        assert "script" not in shown.html


def png(data):
    """Width, height and pixels, with every checksum looked at."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(name + content) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        chunks[name] = content
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 2)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    return width, height, lines[:, 1:]


@pytest.mark.parametrize(
    ("name", "base"), [("probe", "proteinmpnn"), ("probe-kmers", "structure-kmers"), ("probe-antibody", "antiberty")]
)
def test_recipe(name, base):
    from importlib import resources

    assert speciate_recipes() == ["pkg://speciate_pdb.conf"]
    text = (resources.files("speciate_pdb.conf") / "recipe" / "pdb" / f"{name}.yaml").read_text()
    assert ConfigSource._get_header_dict(text) == {"package": "_global_"}
    assert f"override /base: {base}\n" in text
    assert base in [known.name for known in speciate_bases()]


def test_the_demo_asks_about_superfamilies_that_were_not_seen(tmp_path, index, make):
    """On a table like the package's, in the place of what pip would bring."""
    rng = random.Random(5)
    table = {}
    for family in range(30):
        for i in range(7):
            fold = f"{'abcdg'[family % 5]}.{family}.1.{i}"
            table[f"d{family}_{i}"] = {"Sequence": drawn(rng, 60), "DSSP": "H" * 60, "SCCS": fold}
    table["again"] = table["d0_0"]
    make.wheel(index, "sidechainnet", "1.0.1", {scope.TABLE: json.dumps(table)})
    made_of = demo.demo(tmp_path / "data", lambda question: True)
    [files] = made_of.add
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("demo", *files["paths"], **{k: v for k, v in files.items() if k != "paths"})
    assert added.rows == 24 * 4
    assert added.labels == {"alpha": 24, "beta": 24, "alpha/beta": 24, "alpha+beta": 24}
    sides: dict[str, set[str]] = {}
    for row in workspace.dataset("demo").select("superfamily", "split").rows():
        sides.setdefault(row["superfamily"], set()).add(row["split"])
    assert len(sides) == 24
    assert all(len(side) == 1 for side in sides.values())
    assert [row["residues"] for row in StructureReader(StructureOptions()).read(made_of.question)] == [164]


def test_from_files_to_an_answer(tmp_path):
    """Messy folders of structures, labelled by a table; a probe; and a structure in another format, asked about."""
    rng = random.Random(6)
    folder = tmp_path / "files"
    folder.mkdir()
    lines = ["file,label"]
    for i in range(60):
        kind = ("helix", "strand")[i % 2]
        chain = [(drawn(rng, 20 + i % 9), backbone(kind, 20 + i % 9))]
        name, text = (f"s{i}.pdb", pdb_text(chain)) if i % 3 else (f"s{i}.cif", mmcif_text(chain))
        (folder / name).write_text(text)
        lines.append(f"{name},{kind}")
    (folder / "broken.pdb").write_text("ATOM   no\n")
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines))
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("folds", folder, labels=labels)
    assert (added.rows, added.labels) == (60, {"helix": 30, "strand": 30})
    assert [one.path for one in added.quarantined] == [str(folder / "broken.pdb")]
    ran = workspace.run("pdb/probe-kmers", dataset="folds")
    assert ran.parity["holds"]
    assert ran.scores["accuracy"]["value"] > 0.8
    new = tmp_path / "new.cif"
    new.write_text(mmcif_text([(drawn(rng, 25), backbone("strand", 25))]))
    [answer] = workspace.predict(ran.model, new)["predictions"]
    assert answer["output"]["label"] == "strand"
