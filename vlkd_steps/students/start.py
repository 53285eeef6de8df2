"""What students from scratch have in common: their words, and start vectors that stand apart."""

from pathlib import Path

import torch
from torch import nn

from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError


def vocabulary(source: str | None, name: str) -> list[str]:
    """The words of a tiny student: a data set's ``vocabulary`` module by name, or a text file, one word a line."""
    if source is None:
        raise UserError(f"student {name}: a student from scratch needs vocabulary: (scenes, or a file of words)")
    if source.endswith(".txt"):
        try:
            return Path(source).read_text(encoding="utf-8").split()
        except OSError as error:
            raise UserError(f"student {name}: vocabulary: cannot read {source}: {error.strerror}") from error
    try:
        return list(components.load("vocabulary", source).words())
    except UserError as error:
        raise UserError(f"student {name}: {error}, or a file such as words.txt") from error


@torch.no_grad()
def spread_words(words: nn.Embedding, std: float) -> None:
    """Give words start vectors N(0, std), the padding word's zero.

    BERT starts them close to zero, which millions of texts mend and a few hundred questions do not.
    """
    words.weight.normal_(0.0, std)
    if words.padding_idx is not None:
        words.weight[words.padding_idx].zero_()
