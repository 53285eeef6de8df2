"""Neither the text alone nor the image alone gives a hypothesis's class away; text alone answers few questions."""

import numpy as np
import pytest

from vlkd_steps.benchmarks.scenes import blind
from vlkd_steps.benchmarks.scenes.write import SPLITS, splits, write

SIZES = {**dict.fromkeys(SPLITS, 1), "train": 1500, "test": 1000}


@pytest.mark.slow
@pytest.mark.exhaustive  # of the benchmark itself, which seldom changes
def test_blind_classifiers_stay_near_chance(tmp_path):
    write(tmp_path, SIZES, seed=8)
    train, _, test, *_ = splits(SIZES)
    found = blind.measure(tmp_path, train, test, seed=8)
    # 3,000 test hypotheses: four standard errors of chance are 3.4 points.
    assert found["hypotheses, text only"] == pytest.approx(100 / 3, abs=3.5)
    assert found["hypotheses, image only (pixels)"] == pytest.approx(100 / 3, abs=3.5)
    assert found["hypotheses, image only (true attributes)"] == pytest.approx(100 / 3, abs=3.5)
    assert found["questions, text only: is there"] == pytest.approx(50, abs=10)
    assert found["questions, text only"] < 40


def test_the_classifiers_do_find_what_leaks():
    """The measure itself: a word or a pixel that gives the class away is found."""
    labels = ["yes", "no"] * 50
    texts = [f"is there a {'red' if label == 'yes' else 'blue'} star" for label in labels]
    assert blind.text_only(texts, labels, texts, labels) == 1
    pixels = np.array([[label == "yes", 0] for label in labels])
    assert blind.image_only(pixels, labels, pixels, labels) == 1
