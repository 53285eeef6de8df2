import numpy as np
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics import retrieval


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(texts: np.ndarray, images: np.ndarray, own: list[int], depth: int) -> tuple[float, float]:
    scores = texts @ images.T
    found = [own[i] in np.argsort(-scores[i])[:depth] for i in range(len(texts))]
    back = [any(own[i] == m for i in np.argsort(-scores[:, m])[:depth]) for m in range(len(images))]
    return 100 * np.mean(found), 100 * np.mean(back)


def test_recall_is_that_of_sorted_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "ROWS", 7)
    generator = np.random.default_rng(1)
    images = unit(generator.normal(size=(30, 6)))
    own = [*range(30), *generator.integers(30, size=45).tolist()]
    texts = unit(images[own] + 0.6 * generator.normal(size=(75, 6)))
    found = retrieval.recall(texts, images, own)
    for depth in (1, 5, 10):
        there, back = by_hand(texts, images, own, depth)
        assert found["text_to_image"][f"R@{depth}"] == pytest.approx(there, abs=0.006)
        assert found["image_to_text"][f"R@{depth}"] == pytest.approx(back, abs=0.006)
    assert 0 < found["text_to_image"]["R@1"] < found["text_to_image"]["R@10"] < 100


def test_perfect_and_blind() -> None:
    images = np.eye(12)
    perfect = retrieval.recall(images, images, range(12))
    assert perfect == {name: {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0} for name in perfect}
    blind = retrieval.recall(np.full((12, 12), 12**-0.5), np.full((12, 12), 12**-0.5), range(12))
    assert blind["text_to_image"] == {"R@1": 0.0, "R@5": 0.0, "R@10": 0.0}


@pytest.mark.parametrize("size", [3, 5, 7, 13])
@pytest.mark.parametrize("width", [96, 512, 768])
def test_equal_vectors_are_tied_however_their_products_are_rounded(size: int, width: int) -> None:
    rows = np.repeat(unit(np.random.default_rng(size).normal(size=(1, width))), size, axis=0)
    assert retrieval.recall(rows, rows, range(size)) == {
        name: {f"R@{depth}": 0.0 if depth < size else 100.0 for depth in (1, 5, 10)}
        for name in ("text_to_image", "image_to_text")
    }


@pytest.mark.parametrize("broken", ["captions", "images"])
def test_what_is_not_finite_is_no_embedding(broken: str) -> None:
    rows = {"captions": np.eye(3), "images": np.eye(3)}
    rows[broken] = np.where(np.eye(3) * [1, 1, 0] > 0, np.nan, np.eye(3))
    with pytest.raises(UserError, match=f"the embeddings of 2 of 3 {broken} are not finite"):
        retrieval.recall(rows["captions"], rows["images"], range(3))


def test_numbers_must_fit() -> None:
    with pytest.raises(ValueError, match="3 captions, 2 images of captions, 3 images"):
        retrieval.recall(np.eye(3), np.eye(3), [0, 1])
    with pytest.raises(ValueError, match="these differ"):
        retrieval.recall(np.eye(3), np.eye(3), [0, 1, 1])
