import itertools
from collections import Counter
from random import Random

from vlkd_steps.data.infilling import Infilling, padded, poisson

MASK, TEXT = 4, [2, *range(100, 120), 3]


def hidden(masked: list[int]) -> int:
    return len(TEXT) - 2 - sum(token >= 100 for token in masked)


def test_spans_cover_thirty_per_cent_and_keep_the_order() -> None:
    noise = Infilling(MASK)
    lengths = Counter()
    for draw in range(400):
        masked = noise(TEXT, seed=1, draw=draw)
        assert (masked[0], masked[-1]) == (2, 3)
        kept = [token for token in masked if token >= 100]
        assert kept == sorted(kept)
        assert hidden(masked) == 6  # 30 % of 20
        assert MASK in masked
        assert all((a, b) != (MASK, MASK) for a, b in itertools.pairwise(masked))  # one mask a span
        lengths[masked.count(MASK)] += 1
    assert len(lengths) >= 3  # of 6 tokens: two spans mostly, but one or four too
    assert lengths.most_common(1)[0][0] in (2, 3)


def test_a_share_is_masked_completely() -> None:
    noise = Infilling(MASK, whole=0.25)
    whole = sum(noise(TEXT, seed=1, draw=draw) == [2, MASK, 3] for draw in range(2000))
    assert 420 < whole < 580  # 25 % of 2,000, 4 deviations either way
    assert Infilling(MASK, whole=1.0)(TEXT, 1, 0) == [2, MASK, 3]
    assert Infilling(MASK)([2, 3], 1, 0) == [2, MASK, 3]  # an empty text


def test_a_draw_depends_on_its_number_alone() -> None:
    noise = Infilling(MASK, whole=0.25)
    first = [noise(TEXT, 1, draw) for draw in range(20)]
    assert [noise(TEXT, 1, draw) for draw in reversed(range(20))] == first[::-1]
    assert [noise(TEXT, 2, draw) for draw in range(20)] != first
    assert first[7] == [2, MASK, 3]  # one that is masked whole
    assert first[1] == [2, *range(100, 111), MASK, 113, 114, 115, MASK, 3]


def test_poisson_has_its_mean_and_variance() -> None:
    random = Random(5)
    drawn = [poisson(3.0, random) for _ in range(20_000)]
    mean = sum(drawn) / len(drawn)
    assert abs(mean - 3) < 0.05
    assert abs(sum((x - mean) ** 2 for x in drawn) / len(drawn) - 3) < 0.15


def test_padding() -> None:
    tokens, mask = padded([[2, 7, 3], [2, 3]], pad=0)
    assert tokens.tolist() == [[2, 7, 3], [2, 3, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
