import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.words import content_words
from vlkd_steps.teachers.targets import cross_fit, keyness, relevance

VECTORS = {"red": (1.0, 0.0), "star": (0.8, 0.6), "baker": (0.0, 1.0), "painted": (-1.0, 0.0)}


class Words:
    """Word vectors of a closed vocabulary; any other word points away from everything."""

    def words(self, words):
        return np.array([VECTORS.get(word, (-0.6, -0.8)) for word in words], np.float32)


def select(texts: list[str], v: np.ndarray, **how):
    """By the plain cosines of the words above."""
    return relevance.select(texts, relevance.cosines(texts, v, np.arange(len(v)), Words()), **how)


TEXT = "the baker painted a red star"
SEEN = np.array([[2.0, 0.0]], np.float32)  # the image looks like "red"


def test_relevance_takes_the_words_nearest_to_the_image() -> None:
    assert select([TEXT], SEEN, selection="relevance") == [["red", "star"]]
    assert select([TEXT], -SEEN, selection="relevance", m=1) == [["painted"]]


def test_centring_removes_what_all_images_share() -> None:
    vectors = {"picture": (1.0, 0.0, 0.0), "red": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}

    class Gap(Words):
        def words(self, words):
            return np.array([vectors[word] for word in words], np.float32)

    v = np.array([[3.0, 1.0, 0.0], [3.0, 0.0, 1.0]], np.float32)
    texts = ["picture red blue"] * 2
    plain = relevance.select(texts, relevance.cosines(texts, v, np.arange(2), Gap()), selection="relevance", m=1)
    assert plain == [["picture"], ["picture"]]
    centred = relevance.select(
        texts, relevance.centred_cosines(texts, v, np.arange(2), Gap()), selection="relevance", m=1
    )
    assert centred == [["red"], ["blue"]]


def test_both_adds_the_two_z_scores(monkeypatch) -> None:
    scores = {"baker": 0.1, "painted": 0.3, "red": 0.9, "star": 0.2}  # YAKE: lower is more of a keyword
    monkeypatch.setattr(keyness, "yake_scores", lambda text: scores)
    words = ["baker", "painted", "red", "star"]
    r = np.array([0.0, -1.0, 1.0, 0.8])
    k = -np.array([0.1, 0.3, 0.9, 0.2])
    total = (r - r.mean()) / r.std() + (k - k.mean()) / k.std()
    best = {words[i] for i in np.argsort(-total)[:2]}
    assert best == {"star", "baker"}, "the example is made so that the sum decides otherwise than each part"
    assert select([TEXT], SEEN, keyness_by="yake") == [["baker", "star"]]
    assert select([TEXT], SEEN, selection="keyness", keyness_by="yake") == [["baker", "star"]]
    assert select([TEXT], SEEN, selection="relevance") == [["red", "star"]]
    assert select([TEXT], SEEN, keyness_by="yake", m=1) == [["star"]]


def test_words_that_yake_skips_are_the_least_of_the_keywords(monkeypatch) -> None:
    monkeypatch.setattr(keyness, "yake_scores", lambda text: {"baker": 0.5, "star": 0.2})
    assert select(["tv baker star"], SEEN, selection="keyness", keyness_by="yake", m=2) == [["tv", "star"]]


def test_yake_reads_a_word_with_a_capital_as_the_word() -> None:
    text = "People are playing outside."
    assert set(keyness.yake_scores(text)) == set(keyness.yake_scores(text.lower()))
    [capital] = keyness.of({text: ["people", "playing"]}, [text], "yake").values()
    [lower] = keyness.of({text.lower(): ["people", "playing"]}, [text.lower()], "yake").values()
    assert (capital.argmax(), lower.argmax()) == (0, 0)


def test_idf_prefers_rare_words() -> None:
    texts = ["baker star", "baker red", "baker painted red"]
    v = np.repeat(SEEN, 3, axis=0)
    chosen = select(texts, v, selection="keyness", keyness_by="idf", m=1)
    assert chosen == [["star"], ["red"], ["painted"]]


def test_yake_scores_a_keyword_below_a_word_it_skips() -> None:
    scores = keyness.yake_scores("please tell the baker what size the red star has?")
    assert {"baker", "size", "red", "star"} <= set(scores)
    assert all(type(score) is float for score in scores.values())
    assert "the" not in scores


def test_ablations() -> None:
    texts, v = [TEXT, "is it the one?"], np.repeat(SEEN, 2, axis=0)
    assert select(texts, v, selection="none") == [[], []]
    assert select(texts, v, selection="all") == [["baker", "painted", "red", "star"], ["one"]]
    first = select([TEXT] * 40, np.repeat(SEEN, 40, axis=0), selection="random", generator_seed=1)
    again = select([TEXT] * 40, np.repeat(SEEN, 40, axis=0), selection="random", generator_seed=1)
    other = select([TEXT] * 40, np.repeat(SEEN, 40, axis=0), selection="random", generator_seed=2)
    assert first == again != other
    assert {word for words in first for word in words} == {"baker", "painted", "red", "star"}


def test_a_text_without_content_words_selects_nothing() -> None:
    assert select(["is it?"], SEEN) == [[]]


@given(st.lists(st.text(alphabet="ab c'?", max_size=12), max_size=4), st.integers(0, 3))
def test_selected_words_are_distinct_content_words_in_the_order_of_the_text(texts: list[str], m: int) -> None:
    v = np.ones((len(texts), 2), np.float32)
    for text, chosen in zip(texts, select(texts, v, keyness_by="idf", m=m), strict=True):
        order = list(dict.fromkeys(content_words(text)))
        assert len(chosen) == min(m, len(order))
        assert chosen == [word for word in order if word in set(chosen)]


def test_z_scores_of_equal_values_are_zero() -> None:
    assert relevance.z_normalised(np.array([0.3, 0.3, 0.3 + 1e-9])).tolist() == [0, 0, 0]
    assert relevance.z_normalised(np.array([1.0, 3.0])).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("key", "value", "near"), [("selection", "relevence", "relevance"), ("keyness_by", "tfidf", "idf")]
)
def test_unknown_names_are_refused(key: str, value: str, near: str) -> None:
    with pytest.raises(
        UserError, match=f"{key.removesuffix('_by')} names '{value}', which does not exist; did you mean '{near}'"
    ):
        select([TEXT], SEEN, **{key: value})


def regression(texts: list[str], v: np.ndarray, images: list[str], seed: int):
    """Of items that all have an image row of their own."""
    return relevance.regression(texts, v, np.arange(len(v)), images, seed)


def seen_words(n: int = 400, noise: float = 0.5) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Texts with one word of four that names what the image shows and one that is drawn; an image has two texts."""
    generator = np.random.default_rng(0)
    visual, filler = ["red", "blue", "star", "moon"], ["baker", "pilot", "uncle", "guest"]
    shown = np.repeat(generator.integers(0, 4, n // 2), 2)
    texts = [f"the {filler[generator.integers(4)]} made a {visual[k]} one" for k in shown]
    v = np.eye(8, dtype=np.float32)[shown] + noise * generator.normal(size=(n, 8)) + 3
    return texts, v, [f"i{number // 2}" for number in range(n)], shown


def test_regression_finds_visible_words_without_a_joint_space() -> None:
    from sklearn.metrics import roc_auc_score

    texts, v, images, shown = seen_words()
    r = regression(texts, v, images, seed=1)
    words = ["red", "blue", "star", "moon"]
    scores = np.array([r(item, words) for item in range(len(texts))])
    assert roc_auc_score(np.eye(4)[shown].ravel(), scores.ravel()) > 0.85
    chosen = relevance.select(texts, r, selection="relevance", m=1)
    assert np.mean([bool(set(words) & set(picked)) for picked in chosen]) > 0.85  # by chance one in three


def test_a_regression_never_sees_the_image_it_judges() -> None:
    texts, v, images, _ = seen_words(60)
    words = ["red", "baker", "made"]
    before = regression(texts, v, images, seed=1)(7, words)
    elsewhere = [*texts]
    elsewhere[6] = elsewhere[7] = "the red baker made made"  # both texts of that image
    np.testing.assert_allclose(regression(elsewhere, v, images, seed=1)(7, words), before, atol=1e-12)
    other = regression(["red baker made" if i == 9 else t for i, t in enumerate(texts)], v, images, seed=1)
    assert np.abs(other(7, words) - before).max() > 1e-6


def test_a_regression_is_the_ridge_solution_in_numpy() -> None:
    texts, v, images, _ = seen_words(40)
    r = regression(texts, v, images, seed=3)
    fold = cross_fit.folds(images, 3)
    x = v[fold != fold[5]].astype(np.float64)
    y = np.array([float("red" in text) for text, k in zip(texts, fold, strict=True) if k != fold[5]])
    centred = x - x.mean(0)
    penalty = relevance.RIDGE * len(x) * centred.var(0).mean()
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(8), centred.T @ (y - y.mean()))
    assert r(5, ["red"])[0] == pytest.approx((v[5] - x.mean(0)) @ weights, rel=1e-6)


def test_items_that_share_an_image_row_regress_as_with_rows_of_their_own() -> None:
    texts, v, images, _ = seen_words(60)
    rows = np.arange(60) // 2
    shared = relevance.regression(texts, v[::2], rows, images, seed=1)
    expanded = regression(texts, v[::2][rows], images, seed=1)
    for item in (0, 1, 31):
        np.testing.assert_allclose(shared(item, ["red", "baker"]), expanded(item, ["red", "baker"]), atol=1e-12)


def test_many_texts_are_scored_by_processes_to_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"the baker painted a red star {number}" for number in range(20)]
    words_of = {text: ["baker", "painted", "red", "star"] for text in texts}
    alone = keyness.of(words_of, texts, "yake")
    monkeypatch.setattr(keyness, "FEW", 5)
    monkeypatch.setattr(keyness, "PIECE", 3)
    monkeypatch.setenv("VLKD_LOADER_WORKERS", "2")
    together = keyness.of(words_of, texts, "yake")
    assert list(together) == list(alone)
    assert all(together[text].tobytes() == alone[text].tobytes() for text in texts)
