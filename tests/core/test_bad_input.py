"""What people get wrong: three parts on stderr, the right exit code, no traceback, one JSON object where asked."""

import json
import os
import resource
import shutil
import socket
import sys

import pytest

from speciate.cli import main

DONE, FAILED, USAGE, GATE = 0, 1, 2, 3
MODEL = "news-probe-1"


@pytest.fixture
def typed(tmp_path, monkeypatch, capfd):
    """typed(*words) -> exit code, stdout, stderr of `speciate` with these words, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECIATE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("SPECIATE_DEBUG", "")

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["speciate", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return end.value.code, out, err

    return typed


@pytest.fixture
def refused(typed):
    """refused(code, says, *words): the error object, once for people and once for programs, is as it has to be."""

    def refused(code, says, *words, parts=("asked", "exists", "do")):
        found, out, err = typed(*words)
        assert (found, out) == (code, ""), (found, out, err)
        assert "Traceback" not in err
        assert err.startswith("error: ")
        found, out, _ = typed(*words, "--json")
        assert found == code
        (line,) = out.splitlines()
        error = json.loads(line)["error"]
        assert error.keys() == {"kind", "asked", "exists", "do"}
        assert error["kind"] == {FAILED: "SpeciateError", USAGE: "UsageError", GATE: "GateError"}[code]
        assert [part for part in parts if not error[part]] == []
        assert "fault of Speciate" not in error["exists"]
        assert error["asked"] in err
        assert says.lower() in " ".join(error.values()).lower(), error
        return error

    return refused


@pytest.fixture
def file(tmp_path):
    """file(name, content) -> its path."""

    def file(name, content=b""):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


# --- files --------------------------------------------------------------------------------------------------------

FILES = {
    "empty": ("a.jsonl", b"", "empty"),
    "header only": ("a.csv", b"text,label\n", "empty"),
    "wrong encoding": ("a.csv", "text,label\ncafé,x\n".encode("latin-1"), "encoding=latin-1"),
    "utf-16": ("a.jsonl", '{"text": "a"}'.encode("utf-16"), "encoding=utf-16"),
    "binary as csv": ("a.csv", b"text,label\n" + bytes(range(256)) * 9, "a.csv"),
    "nul bytes": ("a.csv", b"text,label\na\0b,x\n", "NUL"),
    "no text column": ("a.csv", b"foo,bar\n1,2\n", "its columns are: bar, foo"),
    "json array": ("a.jsonl", b'[{"text": "a"}]', "jq"),
    "cut off": ("a.jsonl", b'{"text": "a"}\n{"te', "line 2"),
    "ragged": ("a.csv", b"text,label\na,b,c\n", "line 2"),
    "open quote": ("a.csv", b'text,label\n"a,b\n', "quote"),
    "fake parquet": ("a.parquet", b"PAR1 nothing", "parquet"),
    "cut gzip": ("a.jsonl.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*I", "gzip"),
    "blank text": ("a.jsonl", b'{"text": "  "}\n', "blank"),
    "deep json": ("a.jsonl", b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "nested"),
    "half a surrogate": ("a.jsonl", b'{"text": "\\ud800"}\n', "surrogate"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file_and_its_good_neighbour(refused, typed, file, kind):
    """Alone it is an error; beside a good file it is quarantined with its reason, and the good one is in."""
    name, content, says = FILES[kind]
    path = file(f"bad/{name}", content)
    refused(FAILED, says, "add", "d", path)
    code, out, _ = typed("add", "d", path, file("good.jsonl", jsonl([{"text": "fine", "label": "x"}])), "--json")
    added = json.loads(out)
    assert (code, added["rows"]) == (DONE, 1)
    assert says.lower() in added["quarantined"][0]["reason"].lower()


def test_a_huge_line(refused, file, monkeypatch):
    monkeypatch.setattr("speciate_text.files.LIMIT", 1000)
    refused(FAILED, "line 2", "add", "d", file("a.jsonl", jsonl([{"text": "a"}, {"text": "b" * 2000}])))


def test_two_thousand_columns(typed, file):
    names = [f"c{i}" for i in range(2_000)]
    path = file("a.csv", ",".join(["text", *names]) + "\n" + ",".join(["hello", *map(str, range(2_000))]) + "\n")
    code, out, err = typed("add", "d", path, "--json")
    assert code in (DONE, FAILED)
    assert "Traceback" not in err
    assert ("error" in json.loads(out)) == (code == FAILED)


def test_files_that_cannot_be_opened(refused, tmp_path, file):
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    refused(USAGE, "there is no", "add", "d", tmp_path / "dangling.jsonl")
    refused(USAGE, "there is no", "add", "d", tmp_path / "nothing.jsonl")
    (tmp_path / "empty").mkdir()
    refused(USAGE, "there are no files", "add", "d", tmp_path / "empty")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(USAGE, "loop", "add", "d", tmp_path / "loop")


def test_a_format_nobody_knows(refused, file):
    path = file("a.qqq", b"\x00\x01")
    refused(USAGE, "no installed format knows", "add", "d", path)
    refused(USAGE, "did you mean 'text'?", "add", "d", path, "--format", "txt")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-o", "txt=body"], "did you mean 'text'?"),
        (["-o", "text"], "name=value"),
        (["-o", "encoding=klingon"], "klingon"),
        (["-o", "delimiter=,,"], "one character"),
        (["--target", "lable"], "did you mean 'label'?"),
        (["--group", "patent"], "patent"),
        (["--split", "tset"], "tset"),
        (["--no-such-option"], "no-such-option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_add(refused, file, words, says):
    path = file("a.csv", "text,label\nhello,x\n")
    parts = ("asked", "do") if words[0] in ("--no-such-option",) or "klingon" in says else ("asked", "exists", "do")
    refused(USAGE, says, "add", "d", path, *words, parts=parts)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "x" * 65, "a b", "é", "-x"])
def test_names_that_cannot_be(typed, file, tmp_path, name):
    before = {path for path in tmp_path.rglob("*") if "workspace" not in path.parts}
    code, out, err = typed("add", "--json", "--", name, file("a.jsonl", jsonl([{"text": "a"}])))
    assert code == USAGE
    assert json.loads(out)["error"]["asked"]
    assert "Traceback" not in err
    assert {path for path in tmp_path.rglob("*") if "workspace" not in path.parts} - before == {tmp_path / "a.jsonl"}


def test_a_dataset_stays_what_it_is(refused, typed, file):
    path = file("a.csv", "text,label,body\nhello,x,y\n")
    assert typed("add", "d", path)[0] == DONE
    refused(USAGE, "other options", "add", "d", path, "-o", "text=body")


# --- data that cannot be learnt -----------------------------------------------------------------------------------

DATA = {
    "one class": ([{"text": f"t{i}", "label": "x"} for i in range(20)], [], FAILED, "two labels"),
    "no labels": ([{"text": f"t{i}"} for i in range(20)], [], FAILED, "--target"),
    "all different": ([{"text": f"t{i}", "label": f"l{i}"} for i in range(200)], [], FAILED, "task=regress"),
    "words for numbers": (
        [{"text": f"t{i}", "label": "x"} for i in range(20)],
        ["task=regress"],
        USAGE,
        "task=classify",
    ),
    "NaN for numbers": (
        [{"text": f"t{i}", "label": "nan" if i == 3 else i} for i in range(20)],
        ["task=regress"],
        USAGE,
        "'nan'",
    ),
    "infinite": (
        [{"text": f"t{i}", "label": float("inf") if i == 3 else i} for i in range(20)],
        ["task=regress"],
        USAGE,
        "number",
    ),
    "one row": ([{"text": "t", "label": "x"}], [], FAILED, "two labels"),
    "all test": (
        [{"text": f"t{i}", "label": str(i % 2), "split": "test"} for i in range(20)],
        [],
        FAILED,
        "no labelled row",
    ),
    "label only in test": (
        [{"text": f"t{i}", "label": str(i % 2), "split": "train"} for i in range(20)]
        + [{"text": "z", "label": "new", "split": "test"}],
        [],
        FAILED,
        "never seen in training: new",
    ),
}


def test_a_dataset_that_was_emptied(refused, typed, file):
    rows = [{"text": f"t{i}", "label": str(i % 2)} for i in range(20)]
    assert typed("add", "d", file("a.jsonl", jsonl(rows)))[0] == DONE
    assert typed("drop", "d", "--where", "label is not null")[0] == DONE
    refused(FAILED, "has no rows", "run", "text/probe-hash", "dataset=d")


@pytest.mark.parametrize("kind", DATA)
def test_data_that_cannot_be_learnt(refused, typed, file, kind):
    rows, words, code, says = DATA[kind]
    assert typed("add", "d", file("a.jsonl", jsonl(rows)))[0] == DONE
    refused(code, says, "run", "text/probe-hash", "dataset=d", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["text/probe-hash", "dataset=nope"], "no dataset named 'nope'"),
        (["text/probe-hash", "dataset=news@7"], "7"),
        (["text/probe-hash", "dataset=news@x"], "@NUMBER"),
        (["text/prob", "dataset=news"], "did you mean 'text/probe"),
        (["audio/probe", "dataset=news"], "no recipe named"),
        (["text/probe-hash", "dataset=news", "method.l2=1"], "no setting named 'method.l2'"),
        (["text/probe-hash", "dataset=news", "method.c=[0]"], "method.c"),
        (["text/probe-hash", "dataset=news", "method.c=[]"], "method.c"),
        (["text/probe-hash", "dataset=news", "base.width=3"], "base.width"),
        (["text/probe-hash", "dataset=news", "base.low=9"], "n-grams"),
        (["text/probe-hash", "dataset=news", "sed=3"], "did you mean 'seed'?"),
        (["text/probe-hash", "dataset=news", "seed=-1e99"], "seed"),
        (["text/probe-hash", "dataset=news", "evaluators=[acuracy]"], "did you mean 'accuracy'?"),
        (["text/probe-hash", "dataset=news", "trainer.max_epoch=3"], "trainer"),
        (["text/probe-hash", "dataset=news", "trainer.accelerator=abacus"], "trainer"),
        (["text/probe-hash", "dataset=news", "name=a/b"], "name"),
        (["text/probe-hash", "dataset=news", "=1"], "key=value"),
        (["text/probe-hash"], "needs a dataset"),
        ([], "needs a recipe"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_words_of_run(refused, trained, tmp_path, words, says):
    shutil.copytree(trained.root, tmp_path / "workspace")
    refused(USAGE, says, "run", *words)
    assert len(list((tmp_path / "workspace" / "artifacts" / "models").iterdir())) == 1


# --- models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["predict", "nope", "x.jsonl"], USAGE, "no model named 'nope'"),
        (["predict", "news-prob-1", "x.jsonl"], USAGE, f"did you mean '{MODEL}'?"),
        (["predict", MODEL, "nothing.jsonl"], USAGE, "there is no"),
        (["score", MODEL, "--on", "nope"], USAGE, "no dataset named 'nope'"),
        (["score", MODEL, "--on", "news:tets"], USAGE, "tets"),
        (["score", MODEL], USAGE, "--on"),
        (["promote", "nope", "e"], USAGE, "no model named"),
        (["promote", MODEL, "a/b"], USAGE, "a/b"),
        (["serve", "nope"], USAGE, "no model named"),
        (["serve", MODEL, "--port", "70000"], USAGE, "70000"),
        (["serve", MODEL, "--host", "0.0.0.0"], USAGE, "--token"),
        (["resume", "nope"], USAGE, "no run named"),
        (["resume", MODEL], USAGE, "is done"),
        (["show", "nope"], USAGE, "nope"),
        (["show", "news@gold"], USAGE, "gold"),
        (["list", "modles"], USAGE, "did you mean 'models'?"),
        (["nocommand"], USAGE, "nocommand"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_about_models(refused, trained, tmp_path, monkeypatch, words, code, says):
    monkeypatch.setenv("SPECIATE_WORKSPACE", str(trained.root))
    own = words[0] in ("nocommand",) or says == "--on"
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    where = [] if own else ["-w", trained.root]
    refused(code, says, *words, *where, parts=("asked", "do"))


def test_a_port_that_is_taken(refused, trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(FAILED, "--port 0", "serve", MODEL, "--port", port, "-w", trained.root)


def test_predict_tells_bad_files_apart(typed, trained, file):
    good, bad = file("in/a.jsonl", '{"text": "oil"}\n'), file("in/b.jsonl", "{")
    code, out, err = typed("predict", MODEL, good.parent, "-w", trained.root, "--json")
    result = json.loads(out)
    assert (code, len(result["predictions"]), len(result["failed"])) == (FAILED, 1, 1)
    assert result["failed"][0]["path"] == str(bad)
    assert "Traceback" not in err


@pytest.mark.parametrize("damage", ["cut weights", "no weights", "broken info", "no task", "no plugin", "receipt"])
def test_a_damaged_model(refused, trained, tmp_path, file, damage):
    shutil.copytree(trained.root, tmp_path / "workspace")
    folder = tmp_path / "workspace" / "artifacts" / "models" / MODEL
    weights, info = folder / "weights.safetensors", json.loads((folder / "model.json").read_text())
    words, code = ["predict", MODEL, file("a.jsonl", '{"text": "a"}\n')], FAILED
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:99])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "broken info":
        (folder / "model.json").write_text("{")
    elif damage == "no task":
        (folder / "model.json").write_text(json.dumps({k: v for k, v in info.items() if k != "task"}))
    elif damage == "no plugin":
        info["format"]["name"], code = "fasta9", USAGE
        (folder / "model.json").write_text(json.dumps(info))
    else:
        words, code = ["promote", MODEL, "topics"], GATE
        (folder / "parity.json").write_text('{"holds": false}')
    words = [*words] if damage in ("broken info", "no task", "receipt") else ["serve", MODEL, "--port", "0"]
    refused(code, "", *words, parts=("asked", "exists"))


# --- the workspace ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["add", "run"])
def test_a_workspace_that_cannot_be_made(refused, file, verb):
    place = file("place", "a file, not a folder")
    path = file("a.jsonl", jsonl([{"text": "a", "label": "x"}]))
    words = ["add", "d", path] if verb == "add" else ["run", "text/probe-hash", "dataset=d"]
    refused(FAILED, "--workspace", *words, "-w", place / "inside")
    refused(FAILED, "", *words, "-w", place)


def test_a_workspace_of_another_layout(refused, file):
    file("workspace/workspace.json", '{"format": 99}')
    path = file("a.jsonl", jsonl([{"text": "a"}]))
    refused(FAILED, "layout 99", "add", "d", path)


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "{}"])
def test_a_workspace_with_a_broken_note(refused, file, content):
    file("workspace/workspace.json", content)
    refused(FAILED, "", "add", "d", file("a.jsonl", jsonl([{"text": "a"}])))


def test_a_full_disk(refused, file, typed):
    """No file may grow past 30 kB: what `No space left` looks like, without a disk to fill."""
    assert typed("add", "d", file("a.jsonl", jsonl([{"text": "a"}])))[0] == DONE
    big = file("b.jsonl", jsonl([{"text": f"{i} {os.urandom(300).hex()}"} for i in range(300)]))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        refused(FAILED, "cannot write", "add", "d", big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert json.loads(typed("list", "datasets", "--json")[1])["datasets"][0]["rows"] == 1
    assert typed("add", "d", big)[0] == DONE


def test_as_real_processes(cli, tmp_path):
    """What the tests above do in this process holds at the command line too."""
    for words, code in ((["add", "d", "nothing.csv", "--json"], USAGE), (["nocommand", "--json"], USAGE)):
        done = cli(*words)
        assert done.returncode == code
        assert json.loads(done.stdout)["error"]["kind"] == "UsageError"
        assert done.stderr.startswith("error: ")
    (tmp_path / "a.jsonl").write_text("{")
    done = cli("add", "d", "a.jsonl")
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == ["error", "here", "do"]
    debugged = cli("--debug", "add", "d", "a.jsonl")
    assert "Traceback" in debugged.stderr


def test_links_in_folders(typed, tmp_path):
    """Those to a folder around them are not followed for ever; those to nothing, or to themselves, are told of."""
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a text")
    (tmp_path / "there.txt").write_text("another text")
    for name, target in {
        "round": "../../in",
        "self.txt": "self.txt",
        "dead.txt": "gone",
        "b.txt": "../../there.txt",
    }.items():
        (folder / name).symlink_to(target)
    code, out, _ = typed("add", "notes", tmp_path / "in", "--json")
    added = json.loads(out)
    assert (code, added["added"]) == (DONE, 2)
    aside = {one["path"].rpartition("/")[2]: one["reason"] for one in added["quarantined"]}
    assert aside == dict.fromkeys(["dead.txt", "self.txt"], "cannot be opened: it is a link to nothing")
