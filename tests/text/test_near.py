"""Near-duplicate texts: found after what people do to texts, and not between texts that only share a topic."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate import Format
from speciate.catalog import installed
from speciate_text.near import signatures

WORDS = [
    "".join(random.Random(i).choices("etaoinshrdlucmfwypvbgk", k=random.Random(-i).randint(2, 9))) for i in range(3000)
]


def near():
    return installed().get(Format, "text").near


def share(one, two):
    both = signatures([{"text": text} for text in [*one, *two]])
    return (both[: len(one)] == both[len(one) :]).mean(axis=1)


def drawn(rng, n):
    return rng.choices(WORDS, k=n)


def other_word(rng, text):
    words = text.split()
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def typos(rng, text):
    at = rng.randrange(len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


CHANGES = {
    "a word in twelve": (12, other_word),
    "two letters swapped": (12, typos),
    "a sentence more": (40, lambda rng, text: f"{text} {' '.join(drawn(rng, 12))}"),
    "a sentence less": (52, lambda rng, text: " ".join(text.split()[12:])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_found_after_a_change(change):
    rng = random.Random(3)
    size, edit = CHANGES[change]
    one = [" ".join(drawn(rng, size)) for _ in range(2000)]
    found = share(one, [edit(rng, text) for text in one]) >= near().threshold
    assert found.mean() >= 0.995


def test_unrelated_texts_are_far_apart():
    rng = random.Random(4)
    one, two = ([" ".join(drawn(rng, 12)) for _ in range(2000)] for _ in range(2))
    assert share(one, two).max() < near().threshold - 0.1


@pytest.mark.parametrize(
    "other",
    [
        "THE BANK RAISED ITS RATES",
        "The bank raised its rates!!!",
        "  the\tbank \n raised its  rates ",
        "the bank, raised its “rates” …",
        "the bank raised its ｒates",
    ],
)
def test_case_spaces_and_punctuation_do_not_count(other):
    assert share(["the bank raised its rates"], [other]) == 1.0


@pytest.mark.parametrize(
    ("one", "two"), [("a", "b"), ("!!!", "???"), ("yes", "no"), ("中文", "日本"), ("1234", "1235")]
)
def test_short_texts_that_differ(one, two):
    assert share([one], [two]) < 0.1
    assert share([one], [one]) == 1.0


@settings(max_examples=80, deadline=None, database=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=12), st.integers(0, 600))
def test_a_text_has_one_signature_whatever_its_neighbours(texts, many):
    together = signatures([{"text": text} for text in [*texts, *["filler text"] * many]])
    assert together.shape == (len(texts) + many, 128)
    assert together.dtype == np.uint8
    for text, signature in zip(texts, together, strict=False):
        assert np.array_equal(signatures([{"text": text}])[0], signature)


def test_nothing_and_something_long():
    assert signatures([]).shape == (0, 128)
    long = " ".join(WORDS) * 30
    assert share([long], [long[: len(long) * 9 // 10]]) > 0.8


def test_the_signature_does_not_change():
    """It is kept in datasets: another one would find none of the old rows."""
    text = "It is kept in datasets: another one would find none of the old rows."
    assert signatures([{"text": text}])[0, :12].tolist() == [82, 12, 12, 17, 99, 12, 109, 5, 108, 222, 243, 12]
