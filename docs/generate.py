"""Writes docs/cli.md from the command line itself, and checks what every page says against what is there.

python docs/generate.py           writes docs/cli.md
python docs/generate.py --check   exits 1 if it is not current, a link is dead, a command is unknown, or a path is ours
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from speciate.cli import app

ROOT = Path(__file__).parent.parent
CLI = ROOT / "docs" / "cli.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<(?:img|source)[^>]*?(?:src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ +(.+)$", re.M)
COMMAND = re.compile(r"(?:`|^|\|\||&&|[(;]|bin/)\s*\$? ?speciate((?: +[^\s`|&;)]+)*)", re.M)
OURS = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work|tmp|mnt|opt|var|usr)/[\w.-]+|\b[A-Z]:\\\w+")

HEAD = """# The command line

Written by `python docs/generate.py` from the program itself: do not edit.

Every command takes `--json`: one object on stdout, messages and progress on stderr. Exit codes: 0 done, 1 failed,
2 usage, 3 a gate said no, 130 interrupted. `speciate --debug COMMAND ...` shows the traceback of an error,
`speciate --version` the version.
"""


def main(arguments: list[str]) -> int:
    page = HEAD + "".join(section(words, command) for words, command in commands())
    if "--check" not in arguments:
        CLI.write_text(page, encoding="utf-8")
        return 0
    problems = [] if CLI.exists() and CLI.read_text(encoding="utf-8") == page else [stale(CLI)]
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT).as_posix()
        found = [*dead_links(path, text), *unknown_commands(text), *machine_paths(text)]
        problems += [f"{where}: {problem}" for problem in found]
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


def stale(path: Path) -> str:
    return f"{path.relative_to(ROOT).as_posix()} is not current: type `python docs/generate.py`"


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that name it, in the order of `speciate --help`."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


def section(words: tuple[str, ...], command: Any) -> str:
    """One command: what it does, how it is typed, and what it takes. Told by the parameters, not by the terminal."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    needed = [spelled(p) for p in options if p.required]
    usage = " ".join(["speciate", *words, *map(placeholder, arguments), *needed, "[OPTIONS]"])
    rows = [f"| `{placeholder(p).strip('[]')}` | {said(p)} |" for p in arguments]
    rows += [f"| `{spelled(p)}` | {said(p)} |" for p in options]
    about = " ".join(command.help.split())
    table = "\n".join(["| word | is |", "|---|---|", *rows])
    return f"\n## speciate {' '.join(words)}\n\n{about}\n\n```text\n{usage}\n```\n\n{table}\n"


def placeholder(parameter: Any) -> str:
    name = parameter.name.rstrip("_").upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def spelled(option: Any) -> str:
    """`-w, --workspace PATH`."""
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag else f"{names} {option.type.name.upper()}"


def said(parameter: Any) -> str:
    """Its help, whether it is needed, its default and its variable."""
    notes = []
    if parameter.param_type_name == "option" and parameter.required:
        notes.append("needed")
    if parameter.default not in (None, "", False, [], ()) and not parameter.required:
        notes.append(f"default `{parameter.default}`")
    if parameter.envvar:
        notes.append(f"or `${parameter.envvar}`")
    about = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
    return " ".join(part for part in (about, f"({', '.join(notes)})" if notes else "") if part)


def dead_links(path: Path, text: str) -> Iterator[str]:
    """Relative links whose file, or whose heading in it, is not there."""
    for match in LINK.finditer(FENCE.sub("", text)):
        link = match[1] or match[2]
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists():
            yield f"links to {link}, which is not there"
        elif anchor and anchor not in anchors(target):
            yield f"links to {link}, but there is no such heading"


def anchors(path: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def unknown_commands(text: str) -> Iterator[str]:
    """`speciate X` in code, where X is no command."""
    known = {" ".join(words) for words, _ in commands()}
    groups = {name.split()[0] for name in known if " " in name}
    for match in COMMAND.finditer(text):
        words = [word for word in match[1].split() if not word.startswith("-")]
        if not words or "." in words[0] or not code_at(text, match.start()):
            continue
        name = " ".join(words[:2]) if words[0] in groups and len(words) > 1 else words[0]
        if name not in known | groups | {"COMMAND"}:
            yield f"names `speciate {name}`, which is no command"


def code_at(text: str, place: int) -> bool:
    """Whether a place is in a fence or begins a code span: prose that starts a line with our name is no command."""
    fenced = any(match.start() <= place < match.end() for match in FENCE.finditer(text))
    return fenced or text[place] == "`"


def machine_paths(text: str) -> Iterator[str]:
    for match in OURS.finditer(text):
        yield f"names {match[0]}, a path of some machine"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
