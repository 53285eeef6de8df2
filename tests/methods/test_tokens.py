from dataclasses import replace

import pytest
import torch
from tiny_teacher import TinyStore
from tokenizers import AddedToken

from vlkd_steps.data.batches import Encoded
from vlkd_steps.data.tokenizer import word_tokenizer
from vlkd_steps.methods.tokens import gather_tokens, mean_selected, token_positions, token_targets


def test_selected_words_become_positions_with_their_states(data: Encoded, store: TinyStore) -> None:
    selected = [["color", "ball"], ["red"], ["is", "large"], []]
    positions, targets = token_targets(data, selected, store)
    assert token_positions(data, selected).equal(positions)
    # [CLS] what color is the b ##a ##l ##l [SEP]; the four pieces of "ball" all represent it
    assert positions.tolist() == [[2, 5, 6, 7, 8], [3, -1, -1, -1, -1], [1, 5, -1, -1, -1], [-1] * 5]
    values = targets[torch.arange(4)]
    assert values.shape == (4, 5, 3)
    expected = torch.nn.functional.layer_norm(torch.tensor([[2.0, 5.0, -2.0], [5.0, 4.0, -2.0]]), (3,))
    torch.testing.assert_close(values[0, 0], expected[0])  # "color": word 2 of the text, five letters
    for piece in range(1, 5):
        torch.testing.assert_close(values[0, piece], expected[1])
    red = torch.nn.functional.layer_norm(torch.tensor([3.0, 3.0, -2.0]), (3,))
    torch.testing.assert_close(values[1, 0], red)


def test_a_token_over_two_words_is_listed_for_each_that_is_selected(data: Encoded, store: TinyStore) -> None:
    tokenizer = word_tokenizer(["what", "color", "is", "the", "ball"])
    tokenizer.add_tokens([AddedToken("what color", single_word=True)])  # as UNITER's "person 1"
    both = Encoded(data.items, tokenizer, max_tokens=16, image_size=16)
    selected = [["what"], [], [], ["what", "color"]]
    positions, targets = token_targets(both, selected, store)
    assert token_positions(both, selected).equal(positions)
    assert positions.tolist() == [[1, -1], [-1, -1], [-1, -1], [1, 1]]
    values = targets[torch.arange(4)]
    what, color = torch.nn.functional.layer_norm(torch.tensor([[1.0, 4.0, -2.0], [2.0, 5.0, -2.0]]), (3,))
    torch.testing.assert_close(values[0, 0], what)
    torch.testing.assert_close(values[3], torch.stack([what, color]))


def test_a_word_the_teacher_cut_away_has_no_target(data: Encoded, store: TinyStore) -> None:
    whole = store.word_states

    class Short(TinyStore):
        def word_states(self, text: str):  # type: ignore[no-untyped-def]
            words, states = whole(text)
            return words, states[:2]

    positions, _ = token_targets(data, [["what", "ball"], ["large"], [], []], Short())
    assert positions.tolist() == [[1], [-1], [-1], [-1]]


@pytest.mark.parametrize("number", [0, 1])
def test_a_split_of_one_item_or_none(data: Encoded, number: int) -> None:
    few = replace(data.items, ids=data.items.ids[:number], text_rows=data.items.text_rows[:number])
    data.items = few
    assert token_positions(data, [["color", "ball"]][:number]).tolist() == [[2, 5, 6, 7, 8]][:number]


def test_gather_and_mean_by_hand() -> None:
    features = torch.arange(2 * 3 * 2.0).reshape(2, 3, 2)
    positions = torch.tensor([[2, 0], [1, -1]])
    gathered = gather_tokens(features, positions)
    assert gathered[0].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert gathered[1, 0].tolist() == [8.0, 9.0]
    distances = torch.tensor([[1.0, 3.0], [5.0, 100.0], [7.0, 8.0]])
    valid = torch.tensor([[0, 4], [2, -1], [-1, -1]])
    assert mean_selected(distances, valid).tolist() == [2.0, 5.0, 0.0]
