import time

import numpy as np
import pytest
from scipy import sparse

from vlkd_steps.teachers.targets import confidence, cross_fit, probe


def weights(v, u, soft, images, seed: int = 0, items: int = 10_000, threads: int = 1) -> np.ndarray:
    """By both embeddings, item n being row n of each."""
    rows = np.arange(len(v))
    seen = confidence.both(v, rows, u, rows)
    return confidence.weights(seen, sparse.csr_matrix(soft), images, seed, items, threads)


def answers(features, soft, images, seed: int = 0) -> np.ndarray:
    return confidence.answer_confidence(lambda items: features[items], sparse.csr_matrix(soft), images, seed, 10_000)


def world(n: int, classes: int, dim: int, noise: float = 0.3, seed: int = 0):
    """Images whose class can be read from v, texts that say nothing, one soft label each, two items an image."""
    generator = np.random.default_rng(seed)
    label = generator.integers(classes, size=n)
    centres = generator.normal(size=(classes, dim))
    v = centres[label] + noise * generator.normal(size=(n, dim))
    soft = np.zeros((n, classes))
    soft[np.arange(n), label] = 1.0
    return v, generator.normal(size=(n, dim)), soft, [f"image{i // 2}" for i in range(n)], label


def test_the_formula(monkeypatch) -> None:
    c = np.array([0.9, 0.5, 0.1, np.nan])
    monkeypatch.setattr(confidence, "answer_confidence", lambda *_: c)
    w = weights(np.ones((4, 2)), np.ones((4, 2)), np.ones((4, 1)), ["a"] * 4)
    rho = 4 / 504
    before = np.array([rho * 1.8 + 1 - rho, 1.0, rho * 0.2 + 1 - rho, 1.0])
    np.testing.assert_allclose(w, before / before.mean(), rtol=1e-6)


def test_clipping_at_three(monkeypatch) -> None:
    c = np.array([1.0] + [0.1] * 19)  # the first is 1 / 0.145 = 6.9 means
    monkeypatch.setattr(confidence, "answer_confidence", lambda *_: c)
    w = weights(np.ones((20, 2)), np.ones((20, 2)), np.ones((20, 1)), ["a"] * 20)
    rho, mean = 20 / 520, c.mean()
    before = rho * np.clip(c / mean, 0, 3) + 1 - rho
    assert before[0] == pytest.approx(rho * 3 + 1 - rho)
    np.testing.assert_allclose(w, before / before.mean(), rtol=1e-6)


def test_a_margin_is_what_the_text_alone_does_not_tell(monkeypatch) -> None:
    c = {3: np.array([0.9, 0.5, 0.1, np.nan]), 1: np.array([0.3, 0.6, 0.1, np.nan])}
    asked = []

    def confident(features, *rest) -> np.ndarray:
        asked.append(rest)
        return c[features(np.zeros(1, int)).shape[1]]

    monkeypatch.setattr(confidence, "answer_confidence", confident)
    given = (sparse.csr_matrix(np.ones((4, 1))), ["a"] * 4, 7, 100)
    w = confidence.margin_weights(lambda of: np.ones((len(of), 3)), lambda of: np.ones((len(of), 1)), *given)
    rho = 4 / 504
    before = np.array([rho * 3 + 1 - rho, 1 - rho, 1 - rho, 1.0])  # margins 0.6, 0 (not -0.1), 0; their mean is 0.2
    np.testing.assert_allclose(w, before / before.mean(), rtol=1e-6)
    assert asked[0] == asked[1] == (*given, 1)  # the folds and the items drawn are the same


def test_items_that_the_text_alone_answers_have_no_margin() -> None:
    v, u, soft, images, label = world(600, 6, 16)
    rows, told = np.arange(600), np.arange(600) < 300  # items of other images
    u[told] += 5 * np.random.default_rng(2).normal(size=(6, 16))[label[told]]
    text, both = confidence.alone(u, rows), confidence.both(v, rows, u, rows)
    margin = confidence.margin_weights(both, text, sparse.csr_matrix(soft), images, 3, 10_000)
    assert margin.dtype == np.float32
    assert margin.mean() == pytest.approx(1, abs=1e-6)
    assert margin.min() >= 0
    assert margin[~told].mean() > 1.5 * margin[told].mean()
    plain = weights(v, u, soft, images, 3)
    assert plain[~told].mean() == pytest.approx(plain[told].mean(), rel=0.1)


@pytest.mark.parametrize(("c", "uniform"), [([0.9, 0.1, 0.61, np.nan], False), ([0.9, 0.1, 0.59, np.nan], True)])
def test_a_teacher_alone_counts_where_it_beats_the_most_frequent_answer(monkeypatch, c, uniform: bool) -> None:
    """Of the three items that are judged the first answer has the shares 0.6, 1 and 0: 1.6 / 3 on average."""
    monkeypatch.setattr(confidence, "answer_confidence", lambda *_: np.array(c))
    monkeypatch.setattr(confidence, "folds", lambda *_: np.array([0, 1, 2, 3]))
    monkeypatch.setattr(confidence, "FOLDS", 4)
    soft = sparse.csr_matrix(np.array([[0.9, 0.6], [0.3, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    given = (lambda of: np.ones((len(of), 3)), soft, ["a", "b", "c", "d"], 7, 100)
    w = confidence.weights_above_prior(*given)
    assert (w.tolist() == [1.0] * 4) == uniform
    if not uniform:
        assert w.tobytes() == confidence.weights(*given).tobytes()


def test_a_teacher_that_knows_nothing_does_not_beat_the_prior() -> None:
    v, u, soft, images, _ = world(400, 3, 16)
    rows = np.arange(400)
    for table, uniform in ((v, False), (u, True)):
        seen = confidence.alone(table, rows)
        w = confidence.weights_above_prior(seen, sparse.csr_matrix(soft), images, 3, 10_000)
        assert (w == 1).all() == uniform
    few = confidence.weights_above_prior(seen, sparse.csr_matrix(soft[:8]), images[:8], 3, 10_000)
    assert few.tolist() == [1.0] * 8


def test_probe_features_are_both_embeddings_and_their_product() -> None:
    v, u = np.array([[1.0, 3.0]]), np.array([[5.0, 1.0]])
    one = 1 / np.sqrt(1 + 1e-5)  # (x - 2) / sqrt(1 + eps)
    two = 2 / np.sqrt(4 + 1e-5)
    np.testing.assert_allclose(
        confidence.probe_features(v, u), [[-one, one, two, -two, -one * two, -one * two]], rtol=1e-6
    )


def test_layer_norm_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    rows = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    expected = torch.nn.functional.layer_norm(torch.tensor(rows), (7,)).numpy()
    np.testing.assert_allclose(confidence.layer_norm(rows), expected, atol=1e-6)


def test_what_the_teacher_knows_weighs_more() -> None:
    v, u, soft, images, label = world(600, 6, 16)
    blind = label >= 3
    v[blind] = np.random.default_rng(1).normal(size=(blind.sum(), 16))  # the teacher does not see these classes
    w = weights(v, u, soft, images, seed=3)
    assert w.dtype == np.float32
    assert w.mean() == pytest.approx(1, abs=1e-6)
    assert w[~blind].mean() > 1.2 * w[blind].mean()
    rho = 600 / 1100
    assert (1 - rho) / 1.5 < w.min() < w.max() < 3


def test_answers_enter_by_their_soft_labels() -> None:
    v, u, soft, images, label = world(400, 4, 16, noise=0.1)
    both = soft.copy()
    both[np.arange(400), (label + 1) % 4] = 0.3
    features = confidence.probe_features(v, u)
    single = answers(features, soft, images, 0)
    mixed = answers(features, both, images, 0)
    assert single.mean() > 0.9
    p = 1 / 1.3  # the probe learns the proportion, so c = (1 p + 0.3 (1 - p)) / 1.3
    assert mixed.mean() == pytest.approx((p + 0.3 * (1 - p)) / 1.3, abs=0.05)


def test_items_of_one_image_share_a_fold_and_folds_follow_the_seed() -> None:
    images = [f"i{n // 3}" for n in range(60)]
    fold = cross_fit.folds(images, 0)
    assert all(len(set(fold[n : n + 3])) == 1 for n in range(0, 60, 3))
    assert np.bincount(fold).tolist() == [12] * 5
    assert (fold == cross_fit.folds(images, 0)).all()
    assert (fold != cross_fit.folds(images, 1)).any()


def test_cross_fitting_never_scores_an_item_by_a_probe_that_saw_its_image() -> None:
    generator = np.random.default_rng(0)
    v = generator.normal(size=(100, 64)).repeat(2, axis=0)  # two equal items an image: memorising would give c near 1
    label = generator.integers(2, size=100).repeat(2)
    soft = np.eye(2)[label]
    c = answers(confidence.probe_features(v, v), soft, [str(n // 2) for n in range(200)], 0)
    assert c.mean() < 0.65


def test_rare_answers_and_items_without_an_answer_weigh_one_before_rescaling() -> None:
    v, u, soft, images, _ = world(200, 3, 16)
    soft = np.concatenate([soft, np.zeros((200, 1))], axis=1)
    soft[0], soft[1] = 0, 0  # item 0 has no answer in the vocabulary
    soft[1, 3] = 1.0  # item 1's answer occurs once: four of the five training folds know it, one does not
    c = answers(confidence.probe_features(v, u), soft, images, 0)
    assert np.flatnonzero(np.isnan(c)).tolist() == [0, 1]
    w = weights(v, u, soft, images, 0)
    assert w[0] == w[1] == pytest.approx(1, abs=0.2)


def test_too_few_images_for_five_folds_weigh_the_same() -> None:
    v, u, soft, images, _ = world(8, 2, 4)
    assert weights(v, u, soft, images, 0).tolist() == [1.0] * 8


def test_a_single_class_weighs_the_same() -> None:
    v, u, _, images, _ = world(50, 2, 4)
    assert weights(v, u, np.ones((50, 1)), images, 0).tolist() == [1.0] * 50


def test_same_bytes_every_time() -> None:
    v, u, soft, images, _ = world(120, 4, 8)
    assert weights(v, u, soft, images, 5).tobytes() == weights(v, u, soft, images, 5).tobytes()


def test_the_probe_costs_a_thousand_items_little() -> None:
    v, u, soft, images, _ = world(1000, 30, 128, noise=1.0)
    started = time.process_time()
    weights(v, u, soft, images, 0)
    assert time.process_time() - started < 4  # CPU-seconds; about one in practice


def test_a_unimodal_teacher_is_judged_by_its_own_features() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 300)
    knows = np.stack([labels, 1 - labels, np.zeros(300)], 1) + 0.1 * generator.normal(size=(300, 3))
    knows[:60] = generator.normal(size=(60, 3))  # of these items it knows nothing
    images = [f"i{number}" for number in range(300)]

    def unimodal(features: np.ndarray) -> np.ndarray:
        seen = confidence.alone(features, np.arange(300))
        return confidence.weights(seen, sparse.csr_matrix(np.eye(2)[labels]), images, 1, 10_000)

    weight = unimodal(knows)
    assert weight.mean() == pytest.approx(1, abs=1e-5)
    assert weight[60:].mean() > 1.03 > 0.9 > weight[:60].mean()
    blind = unimodal(generator.normal(size=(300, 3)))
    assert blind.std() < weight.std()


def test_the_number_of_threads_changes_no_byte() -> None:
    v, u, soft, images, _ = world(300, 5, 8, noise=1.0)
    assert weights(v, u, soft, images, 5).tobytes() == weights(v, u, soft, images, 5, threads=3).tobytes()


def test_a_probe_is_fitted_on_so_many_items_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit = probe.fit
    monkeypatch.setattr(probe, "fit", lambda features, soft: seen.append(len(features)) or fit(features, soft))
    v, u, soft, images, _ = world(300, 3, 8)
    w = weights(v, u, soft, images, items=60)
    assert seen == [60] * 5
    assert (w != weights(v, u, soft, images)).any()


def test_the_probe_is_scikit_learns_at_its_minimum() -> None:
    from sklearn.linear_model import LogisticRegression

    v, _, soft, _, label = world(200, 4, 6, noise=2.0)
    soft[np.arange(200), (label + 1) % 4] = 0.5  # an item with two answers counts as two items of weights 2/3 and 1/3
    features = v.astype(np.float32)
    found = probe.fit(features, sparse.csr_matrix(soft)).probabilities(features)
    rows, classes = np.nonzero(soft)
    standard = (features - features.mean(0)) / features.std(0)
    standard /= np.sqrt(6)
    theirs = LogisticRegression(C=10.0, tol=1e-8, max_iter=2000)
    theirs.fit(standard[rows], classes, sample_weight=(soft / soft.sum(1, keepdims=True))[rows, classes])
    np.testing.assert_allclose(found, theirs.predict_proba(standard), atol=5e-4)


@pytest.mark.parametrize(
    ("items", "classes", "width", "noise"), [(300, 10, 24, 1.5), (800, 25, 32, 8.0), (80, 3, 64, 0.1)]
)
def test_weights_hardly_move_with_the_features_last_digits(items: int, classes: int, width: int, noise: float) -> None:
    v, u, soft, images, label = world(items, classes, width, noise)
    soft[np.arange(items // 2), (label[: items // 2] + 1) % classes] = 0.3
    rows, generator = np.arange(items), np.random.default_rng(1)
    moved, other = (of * (1 + 1e-6 * generator.uniform(-1, 1, of.shape)) for of in (v, u))
    assert np.abs(weights(v, u, soft, images) - weights(moved, other, soft, images)).max() < 1e-3
    alone, again = (
        confidence.weights(confidence.alone(of, rows), sparse.csr_matrix(soft), images, 0, 10_000) for of in (v, moved)
    )
    assert np.abs(alone - again).max() < 1e-3


def test_a_constant_feature_is_not_amplified() -> None:
    v, _, soft, _, _ = world(200, 3, 8)
    plain = probe.fit(v.astype(np.float32), sparse.csr_matrix(soft))
    constant = 7 * (1 + 1e-7 * np.random.default_rng(1).normal(size=(200, 1)))
    features = np.concatenate([v, constant], 1).astype(np.float32)
    found = probe.fit(features, sparse.csr_matrix(soft))
    assert np.abs(found.weights[8]).max() < 1e-3 * np.abs(found.weights[:8]).max()
    assert np.abs(found.probabilities(features) - plain.probabilities(v.astype(np.float32))).max() < 0.05


def test_a_probe_that_has_not_converged_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(probe, "MOST_STEPS", 2)
    v, u, soft, images, _ = world(100, 3, 8)
    weights(v, u, soft, images)
    assert "probe of 80 items has not converged in 2 steps" in caplog.text


def test_a_probe_converges_where_a_few_axes_have_nearly_all_the_variance(caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.normal(size=(64, 64)))[0]
    seen = generator.normal(size=(3000, 64))
    label = (seen[:, :10] @ generator.normal(size=(10, 12))).argmax(1)
    features = (seen / np.arange(1, 65) ** 2 @ axes).astype(np.float32)
    found = probe.fit(features, sparse.csr_matrix(np.eye(12)[label])).probabilities(features)
    assert not caplog.records
    assert (found.argmax(1) == label).mean() > 0.7


def test_shorter_steps_are_tried_where_whole_ones_do_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    v, _, soft, _, _ = world(100, 3, 8)
    features, labels = v.astype(np.float32), sparse.csr_matrix(soft)
    whole = probe.fit(features, labels).probabilities(features)
    monkeypatch.setattr(probe, "RATES", (0.0, 0.5))
    np.testing.assert_allclose(probe.fit(features, labels).probabilities(features), whole, atol=1e-3)
