"""Measures of a BART as a whole."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from vlkd_steps.runs import answering, measures


def test_captions_are_ranked_against_their_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["b", "a", "b", "c"]
    rows = pl.DataFrame({"image_id": ids, "image_path": [f"{i}.png" for i in ids], "text": ids})
    monkeypatch.setattr(answering, "rows_of", lambda _: rows)

    def embedded(names: Sequence[str]) -> np.ndarray:
        """One direction for each first letter, of a text or an image file."""
        return np.eye(3)[["abc".index(name[0]) for name in names]]

    found = measures.recalls({"dataset": "d", "task": "captioning", "set": "dev"}, embedded, embedded)
    assert found["text_to_image"]["R@1"] == found["image_to_text"]["R@1"] == 100
    assert found["n"] == 4
