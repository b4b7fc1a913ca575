"""A small language model before and after text/intent, on the topics of Reuters-R8 as words to say:

    python benchmarks/generate.py [--steps 60] [--test 120] [--dry]

Both are told which topics there are. The interval is a paired bootstrap over held-out rows. Then the same ragged rows
go through a training step packed, as here, and padded to the longest with the scores of every word at every place, as
transformers does by default; in turns, in one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import record
from text_probe import reuters

import speciate
from speciate.catalog import installed, load
from speciate.contracts import Base, Evaluator
from speciate.features import on_dataset
from speciate.progress import StageClock
from speciate.score import difference, score_all
from speciate.task import Examples, Predictions

TOPICS = "acq, crude, earn, grain, interest, money-fx, ship, trade"
BASE = {"system": f"Say the topic of the news in one word, one of: {TOPICS}.", "max_tokens": 112}
SCORES = ("exact_match", "token_f1", "perplexity")


def sample(path, n, seed=0):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[:n]]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def untouched(workspace, trained):
    """Predictions of the base as it came, on the same rows."""
    dataset = workspace.engine.dataset("r8")
    rows = dataset.rows("test")
    examples = Examples(rows, trained.task, trained.reader.decode, None)
    predictor = load("speciate_trainers.tuned:TunedPredictor")({}, trained.task, trained.new_encoder)
    return Predictions(trained.task, predictor.predict(examples), examples.targets)


def steps(rows, turns=4):
    """Seconds of a step of 8 rows, packed here and padded there, for each turn."""
    import torch
    from transformers import AutoModelForCausalLM

    catalog = installed()
    declared = catalog.get(Base, "smollm2")
    encoder = catalog.use(declared, "loader")(declared.options(max_tokens=512))
    network = encoder.network()
    theirs = AutoModelForCausalLM.from_pretrained(encoder.folder, dtype=torch.float32)
    adapt = load("speciate_trainers.lora:adapted")
    options = load("speciate_trainers.options:LoraOptions")(layers="[qkvo]_proj")
    for model in (network, theirs):
        model.requires_grad_(False)
        adapt(model, options)
        model.train()
    found = []
    for turn in range(turns):
        some = [{"text": row["text"], "answer": row["label"]} for row in rows[8 * turn : 8 * turn + 8]]
        given = encoder.batch(some)
        lengths = given["lengths"].tolist()
        found.append((timed(lambda g=given: packed(network, g)), timed(lambda g=given: padded(theirs, g)), lengths))
    return found


def packed(network, given):
    scores = network(**given)
    (scores[:, 0].sum() / scores[:, 1].sum()).backward()


def padded(model, given):
    import torch

    texts = torch.split(given["input_ids"], given["lengths"].tolist())
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    learnt = torch.zeros(len(given["input_ids"]), dtype=torch.bool)
    learnt[given["places"] + 1] = True
    marked = torch.nn.utils.rnn.pad_sequence(torch.split(learnt, given["lengths"].tolist()), batch_first=True)
    model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(~marked, -100)).loss.backward()


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def learnt(chosen, folder):
    """The lines about what is said, and how long it took."""
    train, test = reuters(folder)
    workspace = speciate.open(folder / "workspace", quiet=True)
    rows = sample(train, 8 * chosen.steps + 24)
    workspace.add("r8", written(folder / "train.jsonl", rows[24:]), split="train")
    workspace.add("r8", written(folder / "dev.jsonl", rows[:24]), split="dev")
    workspace.add("r8", written(folder / "test.jsonl", sample(test, chosen.test, 1)), split="test")
    start = time.perf_counter()
    words = ["method.epochs=1", "task.max_tokens=6", f"budget={chosen.steps}steps"]
    ran = workspace.run("text/intent", *words, dataset="r8", base=BASE)
    seconds = time.perf_counter() - start
    model, catalog = workspace.model(ran.model), installed()
    after = on_dataset(model, workspace.engine.dataset("r8"), "test", StageClock(True))
    before = untouched(workspace, model)
    lines = [
        f"{len(rows) - 24} rows to learn from, {len(after)} held out, {chosen.steps} steps of 8, LoRA rank 8 on "
        f"attention; run {seconds:.0f} s, of which training {ran.seconds['train']:.0f} s; "
        f"parity {'holds' if ran.parity['holds'] else 'does not hold'}.",
        "",
        "| score | untouched | after | difference [95%, paired] | without a model |",
        "| --- | --- | --- | --- | --- |",
    ]
    old, new = (score_all(catalog, one, SCORES) for one in (before, after))
    for name in SCORES:
        gap = difference(catalog, catalog.get(Evaluator, name), after, before)
        bare = ran.baseline[name]["value"]
        line = f"| {name} | {old[name].value:.3f} | {new[name].value:.3f} | {gap.value:+.3f} "
        lines.append(line + f"[{gap.low:+.3f}, {gap.high:+.3f}] | {'' if bare is None else f'{bare:.3f}'} |")
    return lines, rows[24:]


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--steps", type=int, default=60)
    words.add_argument("--test", type=int, default=120)
    words.add_argument("--dry", action="store_true", help="do not write RESULTS.md")
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lines, rows = learnt(chosen, Path(name))
    found = steps(rows)[1:]  # the first turn also makes what the libraries make once
    ratio = [theirs / ours for ours, theirs, _ in found]
    ours, theirs = (sum(one[i] for one in found) for i in (0, 1))
    tokens = sum(sum(one[2]) for one in found)
    waste = 1 - tokens / sum(8 * max(one[2]) for one in found)
    lines += [
        "",
        f"A step (forward and backward) of 8 ragged rows, {len(found)} turns: packed with the loss in chunks "
        f"{tokens / ours:.0f} tokens/s, padded to the longest with all scores {tokens / theirs:.0f} tokens/s: "
        f"**{np.median(ratio):.2f}x** ({min(ratio):.2f} to {max(ratio):.2f}); {waste:.0%} of it is padding.",
    ]
    if chosen.dry:
        print("\n".join(lines))
    else:
        record("Text: a language model learns to say topics", lines)


if __name__ == "__main__":
    main()
