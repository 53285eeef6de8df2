"""Before any training the heads look where they are set to look."""

import pytest
import torch

from vlkd_steps.benchmarks.scenes import vocabulary
from vlkd_steps.core.errors import UserError
from vlkd_steps.students import bart, lookup_start

ARCHITECTURE = {
    "d_model": 128,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_position_embeddings": 64,
    "init_std": 0.05,
    "dropout": 0.0,
}
TEXT = "a small red star top left, a large blue circle middle right. question: what color has the star? answer:"


def student(**changes: int) -> bart.BartStudent:
    conf = {"name": "tiny", "vocabulary": "scenes", "architecture": ARCHITECTURE | changes}
    made = bart.build(conf, 4, seed=0)
    torch.manual_seed(0)
    lookup_start.set_weights(made.bart, "tiny")
    made.bart.set_attn_implementation("eager")
    return made.eval()


@pytest.fixture(scope="module")
def attention() -> tuple[list[str], list[torch.Tensor]]:
    """The text's words, and each layer's attention [heads, T, T]."""
    made = student()
    tokens = torch.tensor([made.tokenizer(TEXT).input_ids])
    out = made.bart.model.encoder(input_ids=tokens, output_attentions=True)
    return made.tokenizer.convert_ids_to_tokens(tokens[0]), [layer[0] for layer in out.attentions]


def test_the_vocabulary_is_known() -> None:
    assert {"small", "star", "top", "left", "middle", "right"} <= set(vocabulary.words())


@pytest.mark.parametrize(("head", "offset"), enumerate(lookup_start.OFFSETS))
def test_heads_of_the_first_layer_look_at_neighbours(attention, head: int, offset: int) -> None:
    words, layers = attention
    for place in range(2, len(words) - 2):
        assert layers[0][head, place].argmax() == place + offset
        assert layers[0][head, place].max() > 0.9


def test_heads_of_later_layers_look_from_a_word_to_where_it_stood_beside(attention) -> None:
    words, layers = attention
    asked = len(words) - 1 - words[::-1].index("star")
    for head, offset in enumerate(lookup_start.OFFSETS):
        beside = [place - offset for place, word in enumerate(words) if word == "star"]
        found = layers[1][head, asked]
        assert found[beside].sum() > 0.5, (head, [words[place] for place in found.topk(3).indices])


@pytest.mark.parametrize("heads", [2, 4])
def test_too_few_heads_are_refused(heads: int) -> None:
    with pytest.raises(UserError, match=rf"student tiny: .* architecture has {heads} of width {128 // heads}"):
        student(encoder_attention_heads=heads)
