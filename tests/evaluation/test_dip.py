import numpy as np
import pytest

from vlkd_steps.evaluation.dip import CRITICAL, dip, several_groups

# by the package diptest 0.12; equal numbers among them
KNOWN = [
    ([0.0, 0.1, 10.0, 10.1, 10.2], 0.198),
    ([-3.0, -1.0, 1.0, 4.0, 4.0], 0.12857142857142856),
    ([0.0, 0.1, 0.2, 0.3, 0.4, 10.0, 10.1, 10.2, 10.3, 10.4], 0.24),
    ([1.0, 2.0, 3.0, 4.0, 50.0], 0.1),
    ([0.0, 0.0, 0.0, 30.0, 30.0], 0.2),
    ([1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 7.0, 8.0, 8.0, 9.0, 9.0, 9.0, 10.0], 0.15384615384615385),
]


@pytest.mark.parametrize(("numbers", "expected"), KNOWN)
def test_the_dip_is_that_of_the_published_code(numbers: list[float], expected: float) -> None:
    assert dip(np.array(numbers)) == pytest.approx(expected, abs=1e-6)


def test_seeds_of_which_some_learn_fall_into_groups_and_others_do_not() -> None:
    assert several_groups(np.array([0.2, 30.0, 0.1, 31.0, 0.4]))
    assert not several_groups(np.array([0.2, 1.0, 0.1, 1.5, 0.6]))
    assert not several_groups(np.array([2.0, 2.0, 2.0, 2.0, 2.0]))
    assert not several_groups(np.array([0.0, 30.0, 31.0]))  # three show nothing


@pytest.mark.parametrize(("step", "share"), [(0.05, 0.02), (0.25, 0.03), (1.0, 0.44)])
def test_gains_in_steps_of_an_item_are_often_taken_for_groups(step: float, share: float) -> None:
    """The limit that docs/papers.md names, "Intervals and verdicts": ten Gaussian seeds, sd 1.5 points."""
    gains = np.random.default_rng(1).normal(scale=1.5, size=(1000, 10))
    assert np.mean([several_groups((each / step).round() * step) for each in gains]) == pytest.approx(share, abs=0.05)


@pytest.mark.exhaustive
def test_one_sample_in_twenty_of_uniform_numbers_is_beyond_the_critical_value() -> None:
    generator = np.random.default_rng(0)
    for n in CRITICAL:
        assert np.mean([several_groups(sample) for sample in generator.random((2000, n))]) == pytest.approx(
            0.05, abs=0.02
        )
