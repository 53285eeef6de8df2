from itertools import islice

import numpy as np

from vlkd_steps.benchmarks.scenes import captions, stream, vocabulary, world
from vlkd_steps.data.words import split_words


def test_a_stream_resumed_at_a_batch_continues_as_if_never_stopped():
    whole = list(islice(stream.batches(7, 24), 4))
    resumed = list(islice(stream.batches(7, 24, start=2), 2))
    for (images, texts), (again, same) in zip(whole[2:], resumed, strict=True):
        assert np.array_equal(images, again)
        assert texts == same


def test_batches_never_repeat_and_differ_by_seed():
    first = [images.tobytes() for images, _ in islice(stream.batches(7, 16), 20)]
    other = [images.tobytes() for images, _ in islice(stream.batches(8, 16), 20)]
    assert len(set(first + other)) == 40


def test_captions_are_short_varied_and_of_known_words():
    batches = list(islice(stream.batches(1, 128), 12))
    texts = [text for _, batch in batches for text in batch]
    assert all(images.shape == (128, 48, 48, 3) and images.dtype == np.uint8 for images, _ in batches)
    assert max(len(split_words(text)) for text in texts) <= captions.MAX_WORDS
    assert {word for text in texts for word in split_words(text)} <= set(vocabulary.words())
    assert len(set(texts)) > 0.5 * len(texts)
    for word in (*world.COLORS, *world.SHAPES, *world.SIZES, *world.ROWS, "above", "left", "two", "cover"):
        assert any(word in text.split() for text in texts), word
    assert any(text.endswith(" a red star") or text == "a red star" for text in texts)


def test_captions_name_held_out_pairs_too():
    texts = [text for _, batch in islice(stream.batches(2, 128), 20) for text in batch]
    for color, shape in world.HELD_OUT:
        assert any(f"{world.COLORS[color]} {world.SHAPES[shape]}" in text for text in texts)
