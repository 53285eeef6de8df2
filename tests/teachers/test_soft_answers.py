from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.targets import confidence, cross_fit, probe, soft_answers, target_file
from vlkd_steps.teachers.targets.soft_answers import SoftAnswers


def world(n: int = 120, classes: int = 4) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features from which the class can be read, one-hot labels, and images of two items each."""
    generator = np.random.default_rng(0)
    label = generator.integers(classes, size=n)
    features = (np.eye(classes)[label] + 0.5 * generator.normal(size=(n, classes))).astype(np.float32)
    return features, np.eye(classes)[label], [f"i{item // 2}" for item in range(n)]


def told(features: np.ndarray, soft: np.ndarray, images: list[str], kept: int = 10, threads: int = 1) -> SoftAnswers:
    return soft_answers.by_probe(features.__getitem__, sparse.csr_matrix(soft), images, 3, 10_000, kept, threads)


def test_they_are_those_of_the_probe_that_did_not_see_the_image() -> None:
    features, soft, images = world()
    soft[7] = 0  # of an item without an answer the teacher has one all the same
    found = told(features, soft, images)
    fold = cross_fit.folds(images, 3)
    train = np.flatnonzero((fold != fold[7]) & (soft.sum(1) > 0))
    likely = probe.fit(features[train], sparse.csr_matrix(soft[train])).probabilities(features[7:8])[0]
    assert found.classes[7].tolist() == np.argsort(-likely).tolist()
    assert found.probabilities[7] == pytest.approx(np.sort(likely)[::-1], abs=1e-5)
    assert found.probabilities.sum(1) == pytest.approx(1, abs=1e-5)


def test_their_probabilities_at_the_right_answer_are_the_confidence() -> None:
    features, soft, images = world()
    found = told(features, soft, images)
    right = (found.classes == soft.argmax(1)[:, None]).argmax(1)
    c = confidence.answer_confidence(features.__getitem__, sparse.csr_matrix(soft), images, 3, 10_000)
    assert found.probabilities[np.arange(120), right] == pytest.approx(c, abs=1e-5)


def test_the_likeliest_are_kept_whatever_the_threads() -> None:
    features, soft, images = world()
    every, two = told(features, soft, images), told(features, soft, images, kept=2, threads=3)
    assert two.classes.tolist() == every.classes[:, :2].tolist()
    assert two.probabilities.tobytes() == np.ascontiguousarray(every.probabilities[:, :2]).tobytes()


@given(st.integers(0, 4), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_of_equal_ones_the_first_are_the_likeliest(items: int, classes: int, most: int, seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, 4, (items, classes)).astype(np.float32) / 4
    found = soft_answers.likeliest(drawn, most)
    assert found.tolist() == np.argsort(-drawn, axis=1, kind="stable")[:, :most].tolist()


def test_not_all_classes_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    widths, whole = [], np.argsort
    monkeypatch.setattr(np, "argsort", lambda values, **how: widths.append(values.shape[1]) or whole(values, **how))
    soft_answers.likeliest(np.random.default_rng(0).random((2, 3000)), 32)
    assert widths == [32]


def test_a_class_that_a_probe_does_not_know_has_no_probability() -> None:
    features, soft, images = world()
    soft = np.concatenate([soft, np.zeros((120, 1))], axis=1)
    soft[:2] = [0, 0, 0, 0, 1]  # the only image with this answer
    found = told(features, soft, images)
    assert found.probabilities[0, 4] == 0
    assert found.probabilities[0, :4].sum() == pytest.approx(1, abs=1e-5)


def test_items_without_any_are_counted_and_none_at_all_is_refused() -> None:
    features, soft, images = world()
    assert told(features, soft, images).lacking == 0
    assert soft_answers.SoftAnswers(np.zeros((2, 1), np.int32), np.array([[0.0], [1.0]])).lacking == 1
    with pytest.raises(UserError, match=r"none of the 4 training items gets soft answers: .* 5 images"):
        told(features[:4], soft[:4], ["a", "b", "c", "d"])
    with pytest.raises(UserError, match="none of the 120 training items gets soft answers"):
        told(features, soft * 0, images)


def test_of_choices_all_are_kept() -> None:
    found = soft_answers.of_choices(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]))
    assert found.classes.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert found.probabilities[0] == pytest.approx([0.5, 0.3, 0.2])


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    answers = soft_answers.of_choices(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]))
    path, listing = tmp_path / "a.parquet", tmp_path / "a.sha256"
    target_file.write(path, listing, ["x", "y"], target_file.Targets(answers=answers))
    found = target_file.read(path, listing, ["x", "y"])
    assert found.words is None
    assert found.weights == {}
    assert found.answers is not None
    assert found.answers.classes.tolist() == answers.classes.tolist()
    assert found.answers.probabilities.tolist() == answers.probabilities.tolist()
