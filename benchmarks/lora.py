"""LoRA on SmolLM2: tokens a second of text/chat's loop, of peft with Hugging Face's Trainer, and of TRL's SFTTrainer.

    pip install trl==1.16.0 datasets && python benchmarks/lora.py [--steps 12] [--rounds 3]

Each runs in a process of its own, in turns, on the same sequences of tokens in steps of 8, with the prompts masked, the
same additions (rank 8 on attention), AdamW, clipping and cosine. `equal`: sequences of one length, nothing to pad.
`ragged`: rows of Reuters-R8 as they are. Counted are the tokens of the texts; the first step is not timed. A peer that
is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import record
from text_probe import reuters

ROWS, LENGTH, RANK, ALPHA, LR = 8, 192, 8, 16, 1e-3
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj")
TOPICS = "acq, crude, earn, grain, interest, money-fx, ship, trade"


def base():
    from speciate_text.options import SmolLM2Options
    from speciate_text.smollm2 import SmolLM2

    system = f"Say the topic of the news in one word, one of: {TOPICS}."
    return SmolLM2(SmolLM2Options(system=system, max_tokens=512, precision="fp32", download=True))


def sequences(train, steps):
    """Of `ragged` and of `equal`: pairs of token ids and how many of them, at the end, are learnt."""
    rows = [json.loads(line) for line in train.read_text(encoding="utf-8").splitlines()]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    encoder, found = base(), []
    for row in rows[: 16 * ROWS * steps]:
        given = encoder.batch([{"text": row["text"], "answer": row["label"]}])
        found.append((given["input_ids"].tolist(), len(given["following"])))
    even = [(ids[-LENGTH:], learnt) for ids, learnt in found if len(ids) >= LENGTH]
    return {"ragged": found[: ROWS * steps], "equal": even[: ROWS * steps]}


# --- the three, each in a process of its own ------------------------------------------------------------------------


def ours(rows, clock):
    import torch
    from training import Given

    from speciate import Job
    from speciate.progress import StageClock
    from speciate.task import Examples
    from speciate_trainers.data import Batch
    from speciate_trainers.learner import Learner
    from speciate_trainers.lora import LoraTrainer
    from speciate_trainers.options import LoraOptions
    from speciate_trainers.tasks.generate import Generate

    def together(some):
        lengths = [len(ids) for ids, _ in some]
        ids = torch.tensor([i for ids, _ in some for i in ids])
        ends = np.cumsum(lengths)
        following = torch.cat([torch.arange(e - n, e) for e, (_, n) in zip(ends.tolist(), some, strict=True)])
        owners = torch.repeat_interleave(torch.tensor([n for _, n in some]))
        inputs = {"places": following - 1, "following": ids[following], "owners": owners}
        inputs |= {"input_ids": ids, "lengths": torch.tensor(lengths)}
        names = [str(i) for i in range(len(some))]
        return Batch(names, inputs, torch.zeros(len(some)), np.array(names), tokens=len(ids))

    whole = Learner.training_step

    def step(self, batch, index):
        clock()
        return whole(self, batch, index)

    Learner.training_step = step
    made = Given([together(rows[i : i + ROWS]) for i in range(0, len(rows), ROWS)])
    task = Generate((), {})
    examples = Examples([{"id": "0", "label": "a"}] * len(rows), task, dict, None, lambda ids, **options: made)
    options = LoraOptions(epochs=1, lr=LR, batch_size=ROWS, rank=RANK, alpha=ALPHA, layers=r"[qkvo]_proj")
    with tempfile.TemporaryDirectory() as folder:
        none = Examples([], task, dict, None)
        LoraTrainer(options).fit(Job(examples, none, task, 0, Path(folder), StageClock(True), encoder=base))
        clock()


def peers_model():
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base().folder, dtype="float32")
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(LAYERS)))


def peers_rows(rows):
    return [{"input_ids": ids, "labels": [-100] * (len(ids) - n) + ids[-n:]} for ids, n in rows]


COMMON = {
    "per_device_train_batch_size": ROWS,
    "num_train_epochs": 1,
    "learning_rate": LR,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 1,
    "report_to": [],
    "save_strategy": "no",
    "use_cpu": True,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}


def watched(clock):
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            clock()

        def on_train_end(self, *_, **__):
            clock()

    return Clock()


def huggingface(rows, clock):
    """Its defaults: padded to the longest, scores of every word at every place."""
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(base().folder)
    with tempfile.TemporaryDirectory() as folder:
        words = TrainingArguments(folder, **COMMON)
        collate = DataCollatorForSeq2Seq(tokenizer)
        made = {"train_dataset": peers_rows(rows), "data_collator": collate, "callbacks": [watched(clock)]}
        Trainer(peers_model(), words, **made).train()


def trl(rows, clock):
    """With its gradient checkpointing and bfloat16, both defaults, a step takes minutes on a processor that has no
    instructions for bfloat16, so both are off."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    with tempfile.TemporaryDirectory() as folder:
        off = {"bf16": False, "gradient_checkpointing": False}
        words = SFTConfig(folder, **{**COMMON, "max_length": 512, **off})
        made = {"train_dataset": Dataset.from_list(peers_rows(rows)), "callbacks": [watched(clock)]}
        tokenizer = AutoTokenizer.from_pretrained(base().folder)
        SFTTrainer(peers_model(), words, processing_class=tokenizer, **made).train()


PEERS = {
    "Speciate": ours,
    "peft + Hugging Face Trainer": huggingface,
    "TRL's SFTTrainer, in fp32": trl,
}


def alone(name, path):
    """One of them, here: tokens a second, and the most memory that this process ever had."""
    import resource
    import warnings

    warnings.filterwarnings("ignore")
    rows, times = json.loads(Path(path).read_text()), []
    PEERS[name](rows, lambda: times.append(time.perf_counter()))
    share = 1 - ROWS / len(rows)  # the first step is not timed
    rate = share * sum(len(ids) for ids, _ in rows) / (times[-1] - times[1])
    print(json.dumps({"rate": rate, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


# --- in turns -------------------------------------------------------------------------------------------------------


def measured(name, path):
    done = subprocess.run(
        [sys.executable, __file__, "--alone", name, path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def table(kind, rows, rounds, folder):
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(rows))
    found = {name: [] for name in PEERS}
    for _ in range(rounds):
        for name, results in found.items():
            one = measured(name, path)
            print(kind, name, one, flush=True)
            results.append(one)
    lengths = [len(ids) for ids, _ in rows]
    batches = [lengths[i : i + ROWS] for i in range(0, len(lengths), ROWS)]
    waste = 1 - sum(lengths) / sum(ROWS * max(some) for some in batches)
    lines = [f"{kind}: {len(rows)} rows, {np.mean(lengths):.0f} tokens a row ({waste:.0%} would be padding)", ""]
    lines += ["| | tokens/s | ours / theirs | peak MB |", "|" + " --- |" * 4]
    own = found["Speciate"]
    for name, results in found.items():
        pairs = [(mine, one) for mine, one in zip(own, results, strict=True) if mine and one]
        if pairs:
            ratios = [mine["rate"] / one["rate"] for mine, one in pairs]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            rate, peak = (statistics.median(one[key] for _, one in pairs) for key in ("rate", "peak"))
            lines.append(f"| {name} | {rate:.0f} | {spread} | {peak:.0f} |")
    return [*lines, ""]


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--steps", type=int, default=12)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    words.add_argument("--dry", action="store_true", help="do not write RESULTS.md")
    chosen = words.parse_args()
    if chosen.alone:
        return alone(*chosen.alone)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = sequences(reuters(folder)[0], chosen.steps)
        lines = [line for kind, some in rows.items() for line in table(kind, some, chosen.rounds, folder)]
    record("LoRA on a language model, beside peers", lines, dry=chosen.dry)
    return None


if __name__ == "__main__":
    main()
