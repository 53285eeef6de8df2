from pathlib import Path

import pytest
import torch
from PIL import Image

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded, IndexedTensor, order
from vlkd_steps.data.items import read_items
from vlkd_steps.data.tokenizer import word_tokenizer

LABELS = ["blue", "green", "grey", "red"]


def encoded(in_memory: int = 1 << 20) -> Encoded:
    items = read_items(layout.instances("toy"), layout.eval_split("toy", "test"), LABELS)
    return Encoded(
        items,
        word_tokenizer(["what", "color", "is", "the", "thing", "small", "in", "here", "red"]),
        max_tokens=12,
        image_size=32,
        in_memory=in_memory,
    )


def test_a_batch_is_the_same_from_memory_and_from_files(project: Path) -> None:
    index = torch.tensor([7, 0, 3, 7])
    ours, theirs = encoded().batch(index), encoded(in_memory=0).batch(index)
    for name, tensor in ours.tensors().items():
        assert torch.equal(tensor, theirs.tensors()[name]), name
    with Image.open("data/raw/toy/test7.png") as image:
        pixels = torch.tensor(list(image.convert("RGB").getdata()), dtype=torch.uint8).reshape(32, 32, 3)
    assert torch.equal(ours.inputs.images[0], pixels.permute(2, 0, 1))


def test_tokens_are_cut_after_the_longest_text_of_the_batch(project: Path) -> None:
    data = encoded()
    short, both = data.batch(torch.tensor([0, 2])), data.batch(torch.tensor([0, 1]))
    assert short.inputs.tokens.shape[1] < both.inputs.tokens.shape[1]
    assert both.inputs.mask.sum(1).tolist() == data.lengths.tolist()
    assert both.inputs.tokens[0][both.inputs.mask[0] == 0].eq(0).all()


def test_a_batch_is_made_without_reading_from_the_device_that_trains(project: Path) -> None:
    """A tensor on the meta device has no values: reading one is an error, as it would be a wait for a GPU."""
    index = torch.tensor([0, 2, 1])
    expected = encoded().batch(index)
    data = encoded().to(torch.device("meta"))
    found = data.batch(index)
    for name, tensor in found.tensors().items():
        assert tensor.is_meta, name
        assert tensor.shape == expected.tensors()[name].shape
    assert not data.lengths.is_meta


def test_order_is_a_function_of_seed_and_number() -> None:
    first, again, other = order(10, 4, seed=1), order(10, 4, seed=1), order(10, 4, seed=2)
    straight = [first(number) for number in range(8)]
    assert all(torch.equal(again(number), straight[number]) for number in (7, 0, 3))
    assert not all(torch.equal(other(number), straight[number]) for number in range(8))
    drawn = torch.cat(straight)
    for epoch in range(3):  # without a gap: every ten draws are all ten items
        assert sorted(drawn[10 * epoch : 10 * (epoch + 1)].tolist()) == list(range(10))
    assert sorted(order(3, 7, seed=1)(0).tolist()).count(0) >= 2  # fewer items than a batch


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(UserError, match="training split is empty"):
        order(0, 4, seed=1)


def test_lookup_reads_a_table_through_rows() -> None:
    lookup = IndexedTensor(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1, 0]))
    assert lookup[torch.tensor([2, 0])].tolist() == [[1.0], [2.0]]
