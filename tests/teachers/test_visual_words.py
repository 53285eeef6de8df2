"""How token selection is measured where the visual words are known: worked out by hand, and pair by pair."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from vlkd_steps.core import files
from vlkd_steps.teachers.targets.visual_words import Measured, Observed, measure

VISUAL = frozenset({"red", "star", "small"})
WORDS_OF = {
    "a": ["baker", "red", "star", "today"],
    "b": ["small", "teacher"],
    "c": ["baker", "today"],  # nothing visual
    "d": ["red", "small"],  # nothing else
    "e": [],
}
RELEVANCE = {"a": [0.5, 0.9, 0.1, 0.5], "b": [0.3, 0.3], "c": [0.0, 1.0], "d": [1.0, 0.0]}
PLAIN = {"selection": "both", "relevance": "plain", "keyness": "yake", "tokens_per_text": 2}


def observed(texts: list[str]) -> Observed:
    found = Observed(lambda item, words: np.array(RELEVANCE[texts[item]], np.float32))
    for item, text in enumerate(texts):
        if WORDS_OF[text]:
            found(item, WORDS_OF[text])
    return found


def test_worked_out_by_hand() -> None:
    texts = ["a", "b", "c", "d", "e", "a"]
    chosen = [["red", "today"], ["teacher"], ["today"], ["red", "small"], [], ["red", "star"]]
    found = measure(VISUAL, WORDS_OF, texts, chosen, observed(texts))
    assert found is not None
    assert found.share == 5 / 8
    assert found.by_chance == pytest.approx((2 * 0.5 + 1 * 0.5 + 0 + 2 * 1 + 0 + 2 * 0.5) / 8)
    # of 2 of 4 words, 2 of them visual: variance 2/4 * 2/4 * 2 * (4 - 2) / (4 - 1) = 1/3; of 1 of 2: 1/4
    assert found.error == pytest.approx((1 / 3 + 1 / 4 + 1 / 3) ** 0.5 / 8)
    # a: of red-baker, red-today, star-baker, star-today the first two; b: equal, which counts half
    assert found.auc == pytest.approx((2 / 4 + 1 / 2 + 2 / 4) / 3)
    assert found.texts == 3


def test_equal_to_counting_pairs_one_by_one() -> None:
    generator = np.random.default_rng(3)
    names = [f"w{number}" for number in range(9)]
    visual = frozenset(names[:4])
    words_of = {f"t{k}": list(generator.choice(names, generator.integers(0, 7), replace=False)) for k in range(40)}
    texts = [f"t{k}" for k in generator.integers(0, 40, 200)]
    relevance = [generator.integers(0, 4, len(words_of[text])) / 4 for text in texts]  # with ties
    found = Observed(lambda item, words: relevance[item])
    for item, text in enumerate(texts):
        if words_of[text]:
            found(item, words_of[text])
    of_texts = []
    for text, r in zip(texts, relevance, strict=True):
        seen = np.array([word in visual for word in words_of[text]], bool)
        pairs = [(a > b) + (a == b) / 2 for a, b in product(r[seen], r[~seen])]
        of_texts += [np.mean(pairs)] if pairs else []
    chosen = [words[:2] for words in (words_of[text] for text in texts)]
    measured = measure(visual, words_of, texts, chosen, found)
    assert measured is not None
    assert (measured.texts, measured.auc) == (len(of_texts), pytest.approx(np.mean(of_texts)))


def test_a_selection_without_relevance_has_no_auc_and_one_of_nothing_no_measure() -> None:
    unasked = Observed(lambda item, words: np.zeros(len(words)))
    found = measure(VISUAL, WORDS_OF, ["a"], [["red", "star"]], unasked)
    assert found is not None
    assert (found.share, found.auc, found.texts) == (1.0, None, 1)
    assert "AUC" not in str(found)
    assert measure(VISUAL, WORDS_OF, ["e"], [[]], unasked) is None


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (PLAIN, "set relevance: centred"),
        (PLAIN | {"relevance": "centred"}, "set keyness: idf"),
        (PLAIN | {"relevance": "centred", "keyness": "idf"}, "set selection: relevance"),
        ({"selection": "relevance", "relevance": "centred"}, "set relevance: regression"),
        ({"selection": "relevance", "relevance": "regression"}, "selection: random"),
        ({"selection": "keyness", "keyness": "idf"}, "set selection: relevance, relevance: centred"),
    ],
)
def test_worse_than_random_choice_is_a_warning_with_a_remedy(settings: dict[str, object], remedy: str) -> None:
    warning = Measured(0.138, 0.212, 0.008, 0.198, 1000).warning(settings)
    for fact in ("13.8%", "7.4 points fewer", "21.2%", f"selection {settings['selection']}", remedy):
        assert fact in warning


@pytest.mark.parametrize(
    ("share", "settings"),
    [(0.561, PLAIN), (0.197, PLAIN), (0.1, {"selection": "random"}), (0.1, {"selection": "all"})],
)
def test_no_warning_within_two_standard_errors_or_of_a_selection_that_looks_at_nothing(
    share: float, settings: dict[str, object]
) -> None:
    assert Measured(share, 0.212, 0.008, None, 1000).warning(settings) == ""


def test_visual_words_that_no_text_has_are_a_mistake_in_the_list() -> None:
    assert "none of the visual_words" in Measured(0.0, 0.0, 0.0, None, 0).warning(PLAIN)


def test_what_is_noted_is_read_again_and_what_another_version_noted_is_not(tmp_path: Path) -> None:
    path, found = tmp_path / "x.json", Measured(1 / 3, 0.25, 0.125, None, 7)
    files.write_json(path, {"seconds": 1.0} | found.note(PLAIN))
    assert files.read_json(path)["visual_words"]["settings"] == PLAIN
    assert Measured.recorded(path) == Measured(0.333333, 0.25, 0.125, None, 7)
    for other in ({}, {"visual_words": 3}, {"visual_words": {"share": 0.5}}):
        files.write_json(path, other)
        assert Measured.recorded(path) is None
    assert Measured.recorded(tmp_path / "missing.json") is None
