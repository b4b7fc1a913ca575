"""The base without weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate import UsageError
from speciate_text.hashing import HashNgrams
from speciate_text.options import HashNgramsOptions

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def encode(texts, **options):
    return HashNgrams(HashNgramsOptions(**options)).encode([{"text": text} for text in texts], lambda k: None)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=12))
def test_vectors_have_length_one_and_do_not_depend_on_their_neighbours(texts):
    together = encode(texts, width=64)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1)[[bool(t.strip()) for t in texts]], 1, atol=1e-5)
    alone = np.concatenate([encode([text], width=64) for text in texts])
    assert np.array_equal(together, alone)
    assert np.array_equal(encode(texts[::-1], width=64), together[::-1])


def test_similar_texts_are_closer():
    one, near, far = encode(["the pump is leaking oil", "oil leaks from the pump", "quarterly earnings rose sharply"])
    assert one @ near > 0.3
    assert one @ near > one @ far + 0.2


def test_words_count_besides_their_letters():
    assert not np.allclose(*encode(["ab cd", "abcd"]), atol=1e-3)
    assert np.array_equal(*encode(["Pump  LEAKS\n", "pump leaks"]))


def test_many_texts_tick_once_each():
    seen = []
    vectors = HashNgrams(HashNgramsOptions()).encode([{"text": f"text {i}"} for i in range(700)], seen.append)
    assert vectors.shape == (700, 2048)
    assert sum(seen) == 700
    assert len(seen) > 1


def test_the_fingerprint_follows_the_options():
    prints = {HashNgrams(HashNgramsOptions(**o)).fingerprint() for o in ({}, {"width": 64}, {"low": 3}, {"high": 5})}
    assert len(prints) == 4


@pytest.mark.parametrize("options", [{"low": 0}, {"low": 5}, {"high": 99}, {"width": 1}])
def test_impossible_options(options):
    with pytest.raises(UsageError) as caught:
        HashNgrams(HashNgramsOptions(**options))
    assert caught.value.do
