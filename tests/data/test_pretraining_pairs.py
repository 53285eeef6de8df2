import re
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sealed import seal

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import pretraining_pairs
from vlkd_steps.teachers.models import clip


@pytest.fixture
def captions(tmp_path, monkeypatch) -> dict[str, str]:
    """A prepared data set of five captioned images of split `adapt` and one of another split."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(6):
        path = Path(f"{number}.png")
        Image.new("RGB", (48, 48), (number * 40, 0, 0)).save(path)
        rows.append((f"c{number}", "adapt" if number < 5 else "test", str(path), f"caption {number}"))
    layout.instances("toy").parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["instance_id", "split", "image_path", "text"], orient="row")
    frame.write_parquet(layout.instances("toy"))
    seal()
    return {"corpus": "toy", "split": "adapt"}


def red(image: Image.Image) -> torch.Tensor:
    return torch.full((3, 2, 2), float(np.asarray(image)[0, 0, 0]))


def test_instances_are_reshuffled_and_keep_image_and_caption_together(captions) -> None:
    pairs = pretraining_pairs.open_corpus(captions, red)
    batches = list(islice(pairs.batches(0, 7, 2), 4))
    for images, texts in batches:
        assert images[:, 0, 0, 0].tolist() == [40.0 * int(text[-1]) for text in texts]
    first, second = [t for _, texts in batches[:2] for t in texts], [t for _, texts in batches[2:] for t in texts]
    assert len(set(first)) == len(set(second)) == 4
    assert "caption 5" not in first + second
    again = [texts for _, texts in islice(pairs.batches(0, 7, 2), 4)]
    assert again == [texts for _, texts in batches]
    assert again != [texts for _, texts in islice(pairs.batches(0, 8, 2), 4)]


def test_several_processes_share_a_batch_row_by_row(captions) -> None:
    for pairs in (
        pretraining_pairs.open_corpus(captions, red),
        pretraining_pairs.open_corpus({"stream": "scenes", "single_object_legs": 0}, red),
    ):
        images, texts = next(pairs.batches(0, 7, 4))
        for rank in (0, 1):
            ours, named = next(pairs.batches(0, 7, 4, slice(rank, None, 2)))
            assert torch.equal(ours, images[rank::2])
            assert named == texts[rank::2]
    with pytest.raises(
        UserError, match=r"has only 5 rows, .* and 2 processes .* lower `batch_size` to a multiple of 2"
    ):
        next(pretraining_pairs.open_corpus(captions, red).batches(0, 7, 8, slice(0, None, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": "other"}, "data/instances/other.parquet is missing"),
        ({"split": "train"}, "no rows of split 'train'; correct `split`"),
        ({"corpus": None}, "names no pairs; write `stream: scenes`, or `corpus` and `split`"),
    ],
)
def test_mistakes(captions, change, message) -> None:
    with pytest.raises(UserError, match=message):
        pretraining_pairs.open_corpus({**captions, **change}, red)


def test_first_legs_of_the_stream_show_single_objects_by_their_plain_names() -> None:
    pairs = pretraining_pairs.open_corpus({"stream": "scenes", "single_object_legs": 1}, red)
    images, texts = next(pairs.batches(0, 3, 16))
    assert images.shape == (16, 3, 48, 48)
    plain = re.compile(r"(a|something)( \w+){1,3}?( in the (top|middle|bottom) row)?")
    assert all(plain.fullmatch(text) for text in texts)
    assert 3 < sum("row" in text for text in texts) < 13
    _, later = next(pairs.batches(1, 3, 64))
    assert not all(plain.fullmatch(text) for text in later)


def test_stream_pixels_are_those_of_the_teachers_own_transform() -> None:
    _, transform = clip.create("vlkd-scenes", None)
    pictures, _ = next(pretraining_pairs.single_objects(1, 4))
    expected = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
    torch.testing.assert_close(pretraining_pairs.normalised(pictures), expected, atol=1e-6, rtol=0)
