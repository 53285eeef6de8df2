from typing import Any

import numpy as np
import polars as pl
import pytest

from vlkd_steps.teachers.features import sanity


class Store:
    """Features of images i0, i1, ... and texts t0, t1, ...; `noise`: how far a text is from its image."""

    def __init__(self, noise: float, items: int, kinds: tuple[str, ...] = ("image", "text"), width: int = 16) -> None:
        generator = np.random.default_rng(0)
        self.v = generator.normal(size=(items, 16))
        self.u = (self.v + noise * generator.normal(size=self.v.shape))[:, :width]
        self.kinds = kinds

    def has(self, kind: str) -> bool:
        return kind in self.kinds

    def images(self, names: list[str]) -> np.ndarray:
        return self.v[[int(name[1:]) for name in names]]

    def texts(self, names: list[str]) -> np.ndarray:
        return self.u[[int(name[1:]) for name in names]]


def instances(items: int) -> pl.DataFrame:
    return pl.DataFrame({"image_id": [f"i{n}" for n in range(items)], "text": [f"t{n}" for n in range(items)]})


def measured(store: Any, items: int = 100, **more: Any) -> sanity.ZeroShot | None:
    return sanity.zero_shot(store, instances(items), **more)


def test_a_teacher_that_knows_its_texts_is_above_chance_and_a_random_one_is_not() -> None:
    knows, random = measured(Store(1.0, 100)), measured(Store(1e9, 100))
    assert knows
    assert random
    assert (knows.above_chance, random.above_chance) == (True, False)
    assert knows.found > 0.9
    assert random.found == pytest.approx(0.5, abs=0.1)
    exact = measured(Store(0.0, 100))
    assert str(exact) == (
        "zero-shot: an image is nearer to its own text than to another image's in 100.0 % (chance: 50.0 %, 100 items)"
    )


def test_collapsed_features_are_at_chance() -> None:
    store = Store(0.0, 50)
    store.v[:], store.u[:] = 1.0, 1.0
    found = measured(store, 50)
    assert found
    assert (found.found, found.above_chance) == (0.5, False)


def test_a_text_that_is_an_images_own_too_is_not_held_against_it() -> None:
    store = Store(0.0, 4)
    rows = pl.DataFrame({"image_id": ["i0", "i0", "i1", "i2"], "text": ["t0", "t1", "t1", "t2"]})
    found = sanity.zero_shot(store, rows)  # type: ignore[arg-type]
    assert found
    assert found.items == 4


def test_a_sample_is_taken_and_teachers_of_one_kind_have_none() -> None:
    sampled = measured(Store(1.0, 100), most=10)
    assert sampled
    assert sampled.items == 10
    assert measured(Store(1.0, 100, kinds=("image",))) is None
    assert measured(Store(1.0, 100, width=8)) is None
    assert measured(Store(1.0, 1), items=1) is None
