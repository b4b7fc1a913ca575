"""A language model of two layers that nobody has taught anything, and its tokenizer, in a folder."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

TEMPLATE = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
WORDS = [
    "the machine runs smooth and quiet all day, it broke down again with smoke and noise; good bad user assistant",
    "number 0 1 2 3 4 5 6 7 8 9 crude wheat bank oil grain money system You answer with one word. yes no 你好 été",
]


def tiny_lm(folder: Path, chat: bool = True, seed: int = 0, width: int = 64, tied: bool = True) -> Path:
    """About 100,000 weights: enough to learn a few words by heart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|turn|>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        WORDS * 4, trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=letters)
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", extra_special_tokens=["<|turn|>"]
    )
    if chat:
        wrapped.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
        bos_token_id=None,
        initializer_range=0.1,
    )
    torch.manual_seed(seed)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        LlamaForCausalLM(config).save_pretrained(folder)
        wrapped.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
    return folder


def taught_lm(folder: Path, steps: int = 60) -> Path:
    """One that has learnt to say one of some words and then to end, but not when to say which."""
    from speciate.hub import load_model, quietly
    from speciate_text.language import HFLanguage
    from speciate_text.language_network import LanguageNetwork
    from speciate_text.options import HFLanguageOptions

    encoder = HFLanguage(HFLanguageOptions(id=str(tiny_lm(folder))))
    model = load_model(folder, kind="AutoModelForCausalLM")
    network = LanguageNetwork(model)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    said = ["yes", "no", "good", "bad", "oil", "grain", "money"]
    for step in range(steps):
        asked = [f"machine number {8 * step + i} {said[(step + 3 * i) % 7]}" for i in range(8)]
        given = encoder.batch([{"text": text, "answer": said[i % 7]} for i, text in enumerate(asked)])
        scores = network(**given)
        optimiser.zero_grad()
        (scores[:, 0].sum() / scores[:, 1].sum()).backward()
        optimiser.step()
    with quietly(folder):
        model.save_pretrained(folder)
    return folder
