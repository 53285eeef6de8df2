"""Token positions of selected words with the teacher's feature of each (docs/papers.md, "Token selection")."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlkd_steps.data.batches import Encoded, IndexedTensor
from vlkd_steps.data.words import split_words
from vlkd_steps.methods.distances import layer_norm
from vlkd_steps.methods.objective import as_float


def token_targets(data: Encoded, selected: Sequence[Sequence[str]], store: Any) -> tuple[Tensor, IndexedTensor]:
    """Token positions of each item's selected words, and the teacher's feature at each.

    Args:
        data: N training items.
        selected: for each item its selected words, lower-cased; every occurrence of a word counts.
        store: its ``word_states(text)`` gives the text's words and their states [W, H].

    Returns:
        positions: int64 [N, S], token positions, padded with -1; all wordpieces of a word are listed, and a token that
            covers several selected words once for each.
        targets: for each position the layer-normalised state [N, S, H] of its word (0 where there is none).
    """
    chosen_in: list[set[str]] = [set() for _ in data.items.texts]
    for text, words in zip(data.items.text_rows.tolist(), selected, strict=True):
        chosen_in[text].update(words)
    # The states of all words would be tens of gigabytes for VCR; only those of the selected ones are kept.
    states: list[Tensor] = []
    kept: list[dict[int, tuple[str, int]]] = []  # of each text: its selected words and their rows, by word index
    first = 0
    for text, chosen in zip(data.items.texts, chosen_in, strict=True):
        spelled, vectors = store.word_states(text)
        chosen_indices = [index for index, word in enumerate(spelled[: len(vectors)]) if word in chosen]
        kept.append({index: (spelled[index], first + row) for row, index in enumerate(chosen_indices)})
        states.append(as_float(vectors[chosen_indices]))
        first += len(chosen_indices)
    positions, rows = _occurrences(data, selected, kept.__getitem__)
    padding = torch.zeros(1, vectors.shape[1])
    return positions, IndexedTensor(layer_norm(torch.cat([*states, padding])), rows)


def token_positions(data: Encoded, selected: Sequence[Sequence[str]]) -> Tensor:
    """The positions of `token_targets` alone, for targets that are no states of words."""

    def spelled(text: int) -> dict[int, tuple[str, int]]:
        return {index: (word, 0) for index, word in enumerate(split_words(data.items.texts[text]))}

    return _occurrences(data, selected, spelled)[0]


def _occurrences(
    data: Encoded, selected: Sequence[Sequence[str]], known: Callable[[int], Mapping[int, tuple[str, int]]]
) -> tuple[Tensor, Tensor]:
    """Positions of the selected words of each item, and the row of each, int64 [N, S], padded with -1.

    Args:
        known: of the distinct text of a number its words that may be selected, by index: spelling and row.
    """
    text_rows, chosen = data.items.text_rows.cpu(), []
    for item, (text, words) in enumerate(zip(text_rows.tolist(), map(set, selected), strict=True)):
        chosen += [(item, index, row) for index, (word, row) in known(text).items() if word in words]
    items, indices, rows = np.array(chosen, np.int64).reshape(-1, 3).T
    words_of = data.words()[text_rows.numpy()]  # [N, T, K]
    row_of = np.full((len(selected), int(words_of.max(initial=-1)) + 2), -1, np.int32)  # the last column: of no word
    kept = indices < row_of.shape[1] - 1  # the others have no token
    row_of[items[kept], indices[kept]] = rows[kept]
    columns = np.where(words_of < 0, row_of.shape[1] - 1, words_of)
    row_of_token = row_of[np.arange(len(selected))[:, None, None], columns]
    items, positions, _ = found = np.nonzero(row_of_token >= 0)
    counts = np.bincount(items, minlength=len(selected))
    places = np.arange(len(items)) - (counts.cumsum() - counts).repeat(counts)
    padded = np.full((2, len(selected), max(1, counts.max(initial=0))), -1)
    padded[:, items, places] = positions, row_of_token[found]
    return torch.from_numpy(padded[0]), torch.from_numpy(padded[1])


def gather_tokens(features: Tensor, positions: Tensor) -> Tensor:
    """Features [B, T, H] at positions [B, S] (-1: any row) -> [B, S, H]."""
    index = positions.clamp(min=0)[:, :, None].expand(-1, -1, features.shape[-1])
    return features.gather(1, index)


def mean_selected(distances: Tensor, positions: Tensor) -> Tensor:
    """Mean of distances [B, S] over the positions that are not -1 -> [B]; 0 for an item that has none."""
    valid = (positions >= 0).to(distances.dtype)
    return (distances * valid).sum(1) / valid.sum(1).clamp(min=1)
