import numpy as np
import pytest
from scipy import stats

from vlkd_steps.evaluation.significance import (
    Gain,
    benjamini_hochberg,
    by_image,
    holm,
    over_seeds,
    p_value,
    pigeonhole_bootstrap,
    sign_flip,
    two_way,
)


def test_two_way_by_hand() -> None:
    """S = 2, G = 3. Seeds' means 2 and 4; images' means 2, 3, 4; residuals +-1 on the outer images, 0 in the middle."""
    differences = np.array([[2.0, 2.0, 2.0], [2.0, 4.0, 6.0]])
    found = two_way(differences, np.ones(3))
    seed_part = 2.0 / 2  # s2_seed = 2
    image_part = 1.0 / 3  # s2_image = 1
    residual_part = (4 * 1.0 / (1 * 2)) / 6  # s2_residual = 2
    variance = seed_part + image_part - residual_part  # = 1, not below the seeds' part
    assert variance == pytest.approx(1.0)
    freedom = 1.0 / (1.0**2 / 1 + (1 / 3) ** 2 / 2 + (1 / 3) ** 2 / 2)
    assert found.gain == pytest.approx(3.0)
    assert found.freedom == pytest.approx(freedom) == pytest.approx(0.9)
    half = stats.t.ppf(0.975, 0.9)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(3.0, 0.9))


def test_freedom_is_at_most_that_of_the_seeds() -> None:
    """Three seeds that happen to agree: Satterthwaite's freedom would be that of the 400 images."""
    images = np.random.default_rng(4).normal(1.0, 10.0, size=400)
    found = two_way(np.stack([images, images + 0.01, images - 0.01]), np.ones(400))
    assert found.freedom == 2.0
    assert found.low is not None
    half = stats.t.ppf(0.975, 2) * images.std(ddof=1) / 20
    assert found.gain - found.low == pytest.approx(half, rel=1e-3)


def test_a_p_value_tests_the_null_hypothesis_that_it_is_given() -> None:
    found = Gain(-1.0, freedom=4.0, error=0.5, of_seeds=(-1.0,) * 5)
    assert p_value(found, -2.0, "above") == pytest.approx(stats.t.sf(2.0, 4))
    assert p_value(found, -2.0, "below") == pytest.approx(stats.t.cdf(2.0, 4))
    assert p_value(found) == pytest.approx(2 * stats.t.sf(2.0, 4))
    assert p_value(Gain(1.0)) is None


def test_a_wide_spread_makes_groups_of_points_of_accuracy_alone() -> None:
    changes = np.array([-30.0, -20.0, -25.0, -36.0, -28.0])
    assert over_seeds(changes).grouped
    in_percent = over_seeds(changes, None)
    assert not in_percent.grouped
    assert in_percent.p is not None
    assert in_percent.p < 0.001


def test_seeds_in_groups_are_tested_by_signs_where_t_is_less_strict() -> None:
    seeds = np.array([0.0, 0.5, 20.0, 21.0, 1.0, 19.0, 0.2, 22.0, 18.0, 0.7])
    images = np.random.default_rng(6).normal(0.0, 10.0, size=50)
    images -= images.mean()
    found = two_way(seeds[:, None] + images[None, :], np.ones(50))
    assert found.grouped
    assert found.error is not None
    of_t = 2 * stats.t.sf(found.gain / found.error, 9)
    assert found.p == pytest.approx(max(of_t, 4 / 2**10))  # of 2^10 ways of signs: all nine gains, with the zero
    assert p_value(found, 5.0, "above") == max(
        sign_flip(seeds - 5, "above"), stats.t.sf((found.gain - 5) / found.error, 9)
    )


def test_sign_flip_on_darwins_maize() -> None:
    """Fisher, The Design of Experiments, 21: 863 of 32,768 ways of signs have a sum as large, 1,726 as far from 0."""
    differences = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)
    assert sign_flip(differences, "above") == pytest.approx(863 / 2**15)
    assert sign_flip(differences) == pytest.approx(1726 / 2**15)


def test_benjamini_hochberg_on_their_own_example() -> None:
    """Benjamini and Hochberg 1995, section 3.2: four of fifteen are rejected at 5 %, where Bonferroni rejects three."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
         1.0]  # fmt: skip
    adjusted = benjamini_hochberg([None, *p])
    assert adjusted[0] is None
    assert [value < 0.05 for value in adjusted[1:] if value is not None] == [True] * 4 + [False] * 11
    assert adjusted[4] == pytest.approx(0.0095 * 15 / 4)
    assert benjamini_hochberg([None]) == [None]


def test_variance_is_at_least_the_images_part() -> None:
    """Seeds' means are equal; images' means 0, 0, 3, -3; residuals of 6 explain more than there is."""
    found = two_way(np.array([[6.0, -6.0, 3.0, -3.0], [-6.0, 6.0, 3.0, -3.0]]), np.ones(4))
    assert found.error == pytest.approx((18 / 3 / 4) ** 0.5)


def test_images_weigh_as_many_items_as_they_have() -> None:
    """Items 1, 1, 2: seeds' means 2 and 6; images' means 2, 6, 4; no residual."""
    found = two_way(np.array([[0.0, 4.0, 2.0], [4.0, 8.0, 6.0]]), np.array([1.0, 1.0, 2.0]))
    assert found.gain == pytest.approx(4.0)
    seed_part = 8 / 2
    image_part = (0.75**2 * 4 + 0.75**2 * 4 + 0) / 2 / 3  # deviations -2, 2, 0 times items / mean items
    assert found.error == pytest.approx((seed_part + image_part) ** 0.5)


def test_equal_weights_do_not_depend_on_their_size() -> None:
    differences = np.random.default_rng(0).normal(size=(3, 50))
    assert two_way(differences, np.ones(50)) == two_way(differences, np.full(50, 4.0))


@pytest.mark.parametrize("differences", [np.ones((1, 5)), np.ones((3, 1)), np.full((3, 5), 2.0)])
def test_no_interval_where_the_data_cannot_give_one(differences: np.ndarray) -> None:
    """One seed, one image, or no variation at all: a gain without interval and p, never a falsely narrow one."""
    found = two_way(differences, np.ones(differences.shape[1]))
    assert found.gain == pytest.approx(differences.mean())
    assert (found.low, found.high, found.p, found.freedom) == (None, None, None, None)


def test_by_image_averages_and_counts() -> None:
    means, items = by_image(np.array([[1.0, 5.0, 3.0], [0.0, 1.0, 2.0]]), ["b", "a", "b"])
    assert means.tolist() == [[5.0, 2.0], [1.0, 1.0]]
    assert items.tolist() == [1.0, 2.0]


def test_holm_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx([0.03, None, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_bootstrap_agrees_with_the_normal_interval_where_seeds_do_not_matter() -> None:
    """Seeds alike, many images: the width is that of a mean over images."""
    images = np.random.default_rng(1).normal(3.0, 10.0, size=400)
    differences = np.stack([images, images])
    [(low, high)] = pigeonhole_bootstrap([differences], np.ones(400))
    error = images.std(ddof=1) / 20
    assert low == pytest.approx(images.mean() - 1.96 * error, abs=0.05)
    assert high == pytest.approx(images.mean() + 1.96 * error, abs=0.05)


def test_bootstrap_weighs_images_by_their_items() -> None:
    """Of images of 1 and 9 items one alone or both are drawn: 0, 9 and 10 in 1/4, 1/2 and 1/4 of the draws."""
    both = np.array([[0.0, 10.0], [0.0, 10.0]])
    assert pigeonhole_bootstrap([both], np.array([1.0, 9.0]), level=0.4) == [pytest.approx((9.0, 9.0))]


def test_bootstrap_draws_seeds_too() -> None:
    """Images alike: the means of three drawn seeds out of 0, 3, 6 lie between 0 and 6, with 1/27 at each end."""
    differences = np.repeat([[0.0], [3.0], [6.0]], 4, axis=1)
    [(low, high)] = pigeonhole_bootstrap([differences], np.ones(4))
    assert (low, high) == pytest.approx((0.0, 6.0))


def test_bootstrap_of_a_comparison_does_not_depend_on_its_neighbours() -> None:
    generator = np.random.default_rng(2)
    first, second, third = (generator.normal(size=(seeds, 30)) for seeds in (3, 2, 3))
    items = generator.integers(1, 4, size=30).astype(float)
    together = pigeonhole_bootstrap([second, first, third], items)
    assert pigeonhole_bootstrap([first], items)[0] == pytest.approx(together[1], abs=1e-9)


def test_bootstrap_needs_two_seeds() -> None:
    assert pigeonhole_bootstrap([np.ones((1, 9))], np.ones(9)) == [None]
    assert pigeonhole_bootstrap([], np.ones(9)) == []
