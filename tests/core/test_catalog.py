"""The catalog: broken, duplicate and incompatible plugins are reported by name, origin and cause; the rest go on."""

import importlib.metadata
import types
from pathlib import Path

import pytest

import speciate
from speciate import Base, Format, SpeciateError, UsageError, hookimpl
from speciate.catalog import Catalog, Plugin, installed, options_of
from speciate.modality import TEXT, Array, Modality
from speciate.sources import recognise


def plugin(name, **hooks):
    module = types.ModuleType(f"module_{name}")
    for hook, result in hooks.items():
        setattr(module, hook, hookimpl(result))
    return Plugin(name, module, f"speciate-{name}", "1.0")


def a_format(name="a", modality=TEXT, **more):
    return Format(name, "a format", modality, ("*.a",), "nowhere:Reader", **more)


def test_what_is_installed_is_whole():
    assert installed().problems == []
    names = {(row["kind"], row["name"]) for row in installed().rows()}
    assert {
        ("format", "text"),
        ("base", "minilm"),
        ("method", "probe"),
        ("server", "http"),
        ("store", "lance"),
    } <= names


def test_a_broken_plugin_does_not_stop_the_others():
    def breaks():
        raise RuntimeError("no such disk")

    catalog = Catalog([plugin("bad", speciate_formats=breaks), plugin("good", speciate_formats=lambda: [a_format()])])
    assert [f.name for f in catalog.all(Format)] == ["a"]
    assert [(p.plugin, p.origin, p.cause) for p in catalog.problems] == [
        ("bad", "speciate-bad", "RuntimeError: no such disk")
    ]


def test_the_first_of_two_with_one_name_stays():
    one, two = (plugin(name, speciate_formats=lambda: [a_format()]) for name in ("one", "two"))
    catalog = Catalog([one, two])
    assert catalog.plugin_of(catalog.get(Format, "a")).name == "one"
    assert "already declared by one" in catalog.problems[0].cause


def test_an_unknown_hook_is_a_problem():
    catalog = Catalog([plugin("odd", speciate_formatz=lambda: [])])
    assert "speciate_formatz" in catalog.problems[0].cause


def test_a_hook_that_returns_something_else_is_a_problem():
    catalog = Catalog([plugin("odd", speciate_formats=lambda: ["text"])])
    assert "not a Format" in catalog.problems[0].cause


def test_modalities_of_one_name_must_agree():
    mine = Modality("text", (Array("text", "bytes"),))
    catalog = Catalog(
        [
            plugin("one", speciate_formats=lambda: [a_format()]),
            plugin("two", speciate_formats=lambda: [a_format("b", mine)]),
        ]
    )
    assert "other arrays" in catalog.problems[0].cause


def test_a_third_party_may_bring_a_modality():
    points = Modality("points", (Array("points", "float32", ("point", "axis")),))
    base = Base("net", "a net", points, "nowhere:Net")
    catalog = Catalog([plugin("p", speciate_formats=lambda: [a_format("ply", points)], speciate_bases=lambda: [base])])
    assert catalog.problems == []
    assert catalog.get(Format, "ply").modality.agrees(catalog.get(Base, "net").modality)


def test_an_unknown_name_lists_what_exists_and_guesses():
    with pytest.raises(UsageError) as error:
        installed().get(Base, "minilmm")
    assert "hash-ngrams" in error.value.exists
    assert "did you mean 'minilm'?" in error.value.do


def test_missing_weight_says_what_to_install():
    base = Base("big", "needs a lot", TEXT, "nowhere:Net", requires=("no_such_module",), install="speciate[big]")
    catalog = Catalog([plugin("big", speciate_bases=lambda: [base])])
    with pytest.raises(SpeciateError, match=r"pip install \"speciate\[big\]\""):
        catalog.use(base, "loader")
    assert catalog.rows()[0]["missing"] == "no_such_module"


def test_a_plugin_made_for_another_version_is_reported(monkeypatch):
    class Dist:
        name, version, requires = "speciate-old", "1", ["speciate>=99"]

    class Point:
        name, value, dist = "old", "speciate_text", Dist()

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Point()])
    catalog = installed.__wrapped__()
    assert catalog.problems[0].plugin == "old"
    assert ">=99" in catalog.problems[0].cause


def test_options_are_checked_and_words_become_values():
    declared = installed().get(Base, "hash-ngrams")
    assert options_of(declared, {"width": "512"}).width == 512
    with pytest.raises(UsageError, match="no option named 'widht'"):
        options_of(declared, {"widht": 1})
    with pytest.raises(UsageError, match="write a number"):
        options_of(declared, {"width": "many"})


def test_the_public_names_are_these():
    assert len(set(speciate.__all__)) == len(speciate.__all__)
    assert all(hasattr(speciate, name) for name in speciate.__all__)


def test_what_lies_beside_a_file_is_no_row(tmp_path):
    """Textures beside a mesh belong to it, though another format may know pictures."""
    mesh = Format("mesh", "m", TEXT, ("*.obj",), "x:Y", companions=("*.mtl", "*.png"))
    picture = Format("picture", "p", TEXT, ("*.png", "*.jpg"), "x:Y")
    catalog = Catalog([plugin("both", speciate_formats=lambda: [mesh, picture])])
    paths = {name: tmp_path / name for name in ("a.obj", "a.mtl", "a.png", "b.jpg", "notes.xyz")}
    for path in paths.values():
        path.write_text("x")

    def found(*names, format=""):
        chosen, files, aside = recognise(catalog, [paths[name] for name in names], (), format)
        return chosen.name, [path.name for path in files], [Path(one.path).name for one in aside]

    assert found("a.obj", "a.mtl", "a.png", "notes.xyz") == ("mesh", ["a.obj"], ["notes.xyz"])
    assert found("a.png", "b.jpg") == ("picture", ["a.png", "b.jpg"], [])
    assert found("a.obj", "a.mtl", format="mesh") == ("mesh", ["a.obj"], [])
    with pytest.raises(UsageError, match="several formats"):
        found("a.obj", "a.png", "b.jpg")


def test_a_name_says_more_than_the_first_bytes(tmp_path):
    """Names are patterns as a shell has them, blind to case; only a file that no name fits is looked into."""
    notes = Format("notes", "n", TEXT, ("*.txt", "page?.n[0-9]", "NOTES"), "x:Y")
    mesh = Format("mesh", "m", TEXT, ("*.obj",), "x:Y", magic=(b"MESH",), magic_at=2)
    catalog = Catalog([plugin("both", speciate_formats=lambda: [mesh, notes])])

    def found(name, data=b"..MESH"):
        path = tmp_path / name
        path.write_bytes(data)
        return recognise(catalog, [path], (), "")[0].name

    assert [found(name) for name in ("a.txt", "A.TXT", "page7.n3", "notes", "a.txt.obj")] == ["notes"] * 4 + ["mesh"]
    assert [found(name) for name in ("a", "page10.n3", "xtxt", "mynotes", "a.txt~")] == ["mesh"] * 5
    with pytest.raises(UsageError, match="no installed format knows"):
        found("a", b"MESH..")
