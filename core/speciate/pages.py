"""What the command line shows a person: short tables, made with rich, on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from speciate import masks

SHOWN = 4  # parts of a long list

_console = Console(highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A plain table: no boxes, words left and numbers as they come."""
    page = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        page.add_column(column, overflow="fold")
    for row in rows:
        page.add_row(*("" if cell is None else str(cell) for cell in row))
    _console.print(page)


def say(line: str) -> None:
    _console.print(line, markup=False)


def added(result: Mapping[str, Any]) -> None:
    say(f"dataset {result['dataset']} version {result['version']}: {result['rows']} rows")
    counts = ("added", "updated", "unchanged", "duplicates")
    say("  " + ", ".join(f"{result[name]} {name}" for name in counts if result[name] or name == "added"))
    say(f"  label from {result['target'] or 'nothing'}: {_some(result['labels'])}; splits: {_some(result['splits'])}")
    for gap in ("labels_unmatched", "unlabelled"):
        if result[gap]:
            some = result["label_gaps"].get(gap.removeprefix("labels_"), [])
            say(f"  {result[gap]} {gap.replace('_', ' ')}, such as {', '.join(some)}")
    for refused in result["quarantined"]:
        say(f"  refused {refused['path']}: {refused['reason']}")


def ran(result: Mapping[str, Any]) -> None:
    say(f"run {result['run']} is {result['status']}; its model is {result['model']}")
    scores(result["scores"], result["baseline"])
    say("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in result["seconds"].items()))
    say("parity holds" if result["parity"]["holds"] else f"parity does NOT hold: {result['parity']}")
    say(f"next: speciate predict {result['model']} FILES...   or   speciate serve {result['model']}")


def gridded(result: Mapping[str, Any]) -> None:
    """A row a point; of the scores the one that decides. JSON has them all."""
    keys, name = list(result["runs"][0]["point"]), result["runs"][0]["score"]
    rows = []
    for row in result["runs"]:
        test = row.get("scores", {}).get(row["score"])
        found = [_cell(row.get("dev")), *([_number(test["value"]), _interval(test)] if test else ["", ""])]
        rows.append([*(row["point"][key] for key in keys), row["run"], row["status"], *found])
    table([*keys, "run", "status", "dev", name, "95% interval"], rows)
    for row in result["runs"]:
        if "error" in row:
            say(f"{row['run']}: {row['error']['asked']} {row['error']['exists']}")


def tuned(result: Mapping[str, Any]) -> None:
    from speciate.tune.page import command
    from speciate.tune.page import table as trials

    head, *rows = trials(result)
    table(head, rows)
    best = result["best"]
    say(f"{result['stopped']}; the best is trial {best['trial']}: dev {result['score']} {best['dev']:.4f}")
    say(f"what it scores on rows it never saw: speciate show {best['run']}")
    say(f"picture: {result['picture']}")
    say("the same again, to build on:")
    _console.print(f"  {command(result)}", markup=False, soft_wrap=True)  # on one line, to be copied


def previewed(result: Mapping[str, Any]) -> None:
    say(f"rows of {result['dataset']} are on {result['page']}: open it in a browser")


def scores(found: Mapping[str, Any], baseline: Mapping[str, Any] | None = None) -> None:
    if not found:
        say("no scores, so the gate will refuse this model: the dataset has no test rows; add some with --split test")
        return
    without = ["without a model"] if baseline else []
    rows = [
        [name, _number(s["value"]), _interval(s), s["n"], *([_number(baseline[name]["value"])] if baseline else [])]
        for name, s in found.items()
    ]
    table(["score", "value", "95% interval", "n", *without], rows)


def scored(result: Mapping[str, Any]) -> None:
    say(f"{result['model']} on {result['dataset']}@{result['version']}:{result['split']}")
    if result["seen_in_training"]:
        say("these rows were seen in training: this is no proof of anything")
    scores(result["scores"])


def predicted(result: Mapping[str, Any]) -> None:
    rows = [[p["path"], p["row"], *_answer(p["output"])] for p in result["predictions"]]
    table(["file", "row", "answer", "score"], rows)
    for refused in result["failed"]:
        say(f"refused {refused['path']}: {refused['reason']}")


def logged(result: Mapping[str, Any]) -> None:
    columns = ("version", "time", "who", "kind", "rows", "why", "tags")
    table(columns, [[_plain(row.get(column)) for column in columns] for row in result["versions"]])


def compared(result: Mapping[str, Any]) -> None:
    say(f"{result['dataset']}: from version {result['from']} to {result['to']}")
    kinds = ("added", "removed", "changed", "relabelled", "resplit")
    table(("rows", "count"), [(kind, result[kind]["count"]) for kind in kinds])
    for row in result["relabelled"]["examples"]:
        say(f"  {row['id']}: {masks.shown(row['old'])} is now {masks.shown(row['new'])}")
    for kind, columns in result["columns"].items():
        say(f"columns {kind}: {', '.join(columns)}") if columns else None


def tagged(result: Mapping[str, Any]) -> None:
    say(f"{result['dataset']}@{result['version']} is {result['dataset']}@{result['tag']} for good")


def audited(result: Mapping[str, Any]) -> None:
    rows = [[f["severity"], f["count"], f["what"], f["do"]] for f in result["findings"]]
    table(("severity", "count", "what", "do"), rows) if rows else say("nothing was found")
    table(("split", "rows"), [(name, _plain(found.get("rows", ""))) for name, found in result["splits"].items()])


def found(result: Mapping[str, Any]) -> None:
    hidden = {"id", "source", "row", "group", "split", "digest"}
    for row in result["rows"]:
        score = f"{row['score']:.3f}  " if isinstance(row.get("score"), float) else ""
        content = "  ".join(str(v) for k, v in row.items() if k not in hidden | {"score", "label"} and v is not None)
        say(f"{score}{masks.shown(row.get('label') or '-')}  {content[:200]}  ({row['id']})")


def edited(result: Mapping[str, Any]) -> None:
    say(f"{result['rows']} rows changed; {result['dataset']} is now version {result['version']}")


def exported(result: Mapping[str, Any]) -> None:
    say(f"{result['rows']} rows of {result['dataset']} are in {result['path']}")


def imported(result: Mapping[str, Any]) -> None:
    say(f"dataset {result['dataset']} version {result['version']}")


def checked_disk(result: Mapping[str, Any]) -> None:
    say(f"read {result['rows']} rows of {_plain(result['tables'])}: {len(result['damaged']) or 'nothing'} damaged")
    for row in result["damaged"]:
        say("  " + ", ".join(f"{name} {_plain(value)}" for name, value in row.items()))


def cleaned(result: Mapping[str, Any]) -> None:
    _console.print_json(data=result, default=str)


def promoted(result: Mapping[str, Any]) -> None:
    was = f" (was {result['was']})" if result["was"] else ""
    say(f"{result['endpoint']} is now {result['model']}{was}: {result['why']}")


def listed(result: Mapping[str, Any]) -> None:
    columns = {
        "datasets": ("name", "version", "rows", "format", "labels", "time"),
        "runs": ("run", "status", "dataset", "dev", "model", "time"),
        "models": ("name", "task", "base", "method", "dataset", "time"),
        "endpoints": ("name", "model", "why", "time"),
    }
    for kind, rows in result.items():
        say(f"{kind}: {len(rows) or 'none yet'}")
        if rows:
            table(columns[kind], [[_cell(row.get(column)) for column in columns[kind]] for row in rows])


def shown(result: Mapping[str, Any]) -> None:
    if "summary" in result.get("runs", {}):  # the page of a run tells of its model, too
        say(result["runs"]["summary"].rstrip())
        return
    for kind, row in result.items():
        say(kind)
        _console.print_json(data=row, default=str)


def config(result: Mapping[str, Any]) -> None:
    _console.print_json(data=result, default=str)


def plugins(result: Mapping[str, Any]) -> None:
    columns = ("kind", "name", "summary", "plugin", "origin", "version")
    table(columns, [[row[column] for column in columns] for row in result["declarations"]])
    for row in result["declarations"]:
        if row["missing"]:
            say(f'{row["kind"]} {row["name"]} needs {row["missing"]}: pip install "{row["install"]}"')
    for problem in result["broken"]:
        say(f"BROKEN {problem['plugin']} ({problem['origin']}): {problem['cause']}")


def doctor(result: Mapping[str, Any]) -> None:
    table(("what", "found"), [(key, value) for key, value in result.items() if not isinstance(value, list)])
    for line in result["advice"]:
        say(f"- {line}")


def demo(result: Mapping[str, Any]) -> None:
    table(("stage", "seconds"), [(name, f"{value:.1f}") for name, value in result["seconds"].items()])
    scores(result["scores"], result["baseline"])
    say(f"asked {result['url']}: {result['answer']}")


def written(result: Mapping[str, Any]) -> None:
    say("\n".join(result["files"]))
    say(f"next: pip install -e {result['folder']} && speciate plugin check {result['plugin']}")


def checked(result: Mapping[str, Any]) -> None:
    say(result["report"])


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str("" if value is None else value)


def _answer(output: Mapping[str, Any]) -> list[str]:
    """What an output says first, and how sure it is of that, whatever task it is of."""
    if "mask" in output:
        return [masks.shown(json.dumps(output["mask"], separators=(",", ":"))), ""]
    sure = f"{output['score']:.3f}" if "score" in output else f"± {_short(output['std'])}" if "std" in output else ""
    return [_short(next(iter(output.values()), "")), sure]


def _short(value: Any) -> str:
    """A few words for any part of an output."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    if isinstance(value, list):
        shown = ", ".join(map(_short, value[:SHOWN]))
        return f"{shown} … {len(value)} in all" if len(value) > SHOWN else shown or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _interval(score: Mapping[str, Any]) -> str:
    return "" if score["low"] is None else f"{score['low']:.4f} to {score['high']:.4f}"


def _some(counts: Mapping[str, int], most: int = 6) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:most])
    return (shown or "none") + (f" and {len(counts) - most} more" if len(counts) > most else "")
