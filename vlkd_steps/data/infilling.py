"""BART's text infilling (Lewis et al. 2020): one mask replaces each span, and the whole text is generated.

Span lengths are Poisson(3), together 30 % of the tokens; a span of length 0 only inserts a mask. Of captions, a share
is masked whole, so that generation from the image alone is learned too (choice). What is masked in a draw
depends on (seed, draw) alone: not on the batch around it, on the process, or on where a run was resumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from vlkd_steps.core.seeds import derive


@dataclass(frozen=True)
class Infilling:
    """The noise.

    Attributes:
        mask: the mask token's id.
        share: of the tokens that spans cover, 0 to 1.
        mean_span: mean of the Poisson distribution of span lengths, in tokens.
        whole: share of the texts that are masked whole.
    """

    mask: int
    share: float = 0.3
    mean_span: float = 3.0
    whole: float = 0.0

    def __call__(self, tokens: Sequence[int], seed: int, draw: int) -> list[int]:
        """A draw's masked version of one text.

        Args:
            tokens: with its first and last token, which stay: BART's <s> and </s>.
            seed: of the run.
            draw: index over all texts of the run.
        """
        random = Random(derive(seed, "infilling", draw))
        begin, words, end = tokens[0], tokens[1:-1], tokens[-1]
        if not words or random.random() < self.whole:
            return [begin, self.mask, end]
        hide = math.ceil(self.share * len(words))
        spans = self._spans(hide, random)
        # Spans go into the gaps between the kept words; those in one gap are merged.
        stay = len(words) - hide
        gaps: dict[int, int] = {}
        for length in spans:
            gap = random.randint(0, stay)
            gaps[gap] = gaps.get(gap, 0) + length
        found, position = [begin], 0
        for kept in range(stay + 1):
            if kept in gaps:
                found.append(self.mask)
                position += gaps[kept]
            if kept < stay:
                found.append(words[position])
                position += 1
        return [*found, end]

    def _spans(self, hide: int, random: Random) -> list[int]:
        """Lengths of the spans, the last one cut so that they cover `hide` tokens."""
        spans: list[int] = []
        while hide > 0:
            length = min(poisson(self.mean_span, random), hide)
            spans.append(length)
            hide -= length
        return spans


def poisson(mean: float, random: Random) -> int:
    """One number from the Poisson distribution (Knuth's method, for small means)."""
    limit, number, product = math.exp(-mean), 0, random.random()
    while product > limit:
        number += 1
        product *= random.random()
    return number


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of token ids as one tensor and its mask, int64 [B, T]."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], dtype=torch.int64)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], dtype=torch.int64)
    return tokens, mask
