import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlkd_steps.benchmarks.scenes import world


def test_a_third_of_the_pairs_is_held_out_two_shapes_of_every_color():
    assert len(world.HELD_OUT) * 3 == len(world.PAIRS) == 48
    assert not set(world.HELD_OUT) & set(world.SEEN)
    for color in range(len(world.COLORS)):
        assert sum(pair[0] == color for pair in world.HELD_OUT) == 2


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), lead=st.sampled_from([None, world.HELD_OUT]))
def test_every_scene_has_one_empty_covered_cell_and_one_to_five_objects(seed, lead):
    pairs = world.SEEN if lead is None else world.PAIRS
    scenes = world.sample(40, np.random.default_rng(seed), pairs=pairs, lead=lead, styles=("flat", "noisy"))
    for things, cover, style in zip(scenes.things(), scenes.cover, scenes.style, strict=True):
        assert 0 <= cover < 9
        assert cover not in [thing.cell for thing in things]
        assert 1 <= len(things) <= world.MAX_OBJECTS
        assert {thing.pair for thing in things} <= set(pairs)
        assert world.STYLES[style] in ("flat", "noisy")
        if lead is not None:
            assert {thing.pair for thing in things} & set(lead)


def test_pairs_cells_and_covers_are_all_equally_likely():
    scenes = world.sample(20_000, np.random.default_rng(5))
    things = [thing for scene in scenes.things() for thing in scene]
    pairs = np.array([world.SEEN.index(thing.pair) for thing in things])
    cells = np.array([thing.cell for thing in things])
    # Objects of one scene share colours and shapes, which widens the spread of a fair draw about twofold.
    assert np.bincount(pairs) / len(things) == pytest.approx(1 / len(world.SEEN), rel=0.12)
    assert np.bincount(cells) / len(things) == pytest.approx(1 / 9, rel=0.05)
    assert np.bincount(scenes.cover) / len(scenes) == pytest.approx(1 / 9, rel=0.1)


def test_look_alikes_are_common():
    scenes = world.sample(4_000, np.random.default_rng(6))
    crowded = [things for things in scenes.things() if len(things) >= 3]
    same_shape = [len({thing.shape for thing in things}) < len(things) for things in crowded]
    same_color = [len({thing.color for thing in things}) < len(things) for things in crowded]
    assert np.mean(same_shape) > 0.5
    assert np.mean(same_color) > 0.5
