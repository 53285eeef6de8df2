"""The search against transformers' own, which finds the same and takes longer."""

from typing import Any

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from vlkd_steps.students import beam_search

START, PAD, END, VOCABULARY = 2, 1, 2, 30


@pytest.fixture
def bart() -> BartForConditionalGeneration:
    torch.manual_seed(5)
    numbers = {"layers": 2, "ffn_dim": 32, "attention_heads": 2}
    size = {f"{part}_{name}": number for part in ("encoder", "decoder") for name, number in numbers.items()}
    config = BartConfig(vocab_size=VOCABULARY, d_model=16, max_position_embeddings=40, init_std=0.4, **size)
    made = BartForConditionalGeneration(config).eval()
    # BART's own would force an end at the maximum length.
    ids = {"bos_token_id": 0, "pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    made.generation_config = GenerationConfig(**ids)
    return made


def given(bart: BartForConditionalGeneration, rows: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(rows)
    mask = torch.ones(rows, 6, dtype=torch.long)
    mask[::2, 4:] = 0
    prefix = torch.randint(3, VOCABULARY, (rows, 3), generator=draw)
    return {
        "memory": torch.randn(rows, 6, bart.config.d_model, generator=draw),
        "mask": mask,
        "begun": torch.cat([torch.full((rows, 1), START), prefix], 1),
    }


def of_transformers(bart: Any, rows: dict[str, torch.Tensor], beams: int, most_tokens: int, allowed: Any) -> Any:
    width = rows["begun"].shape[1]
    written = bart.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=rows["memory"]),
        attention_mask=rows["mask"],
        decoder_input_ids=rows["begun"],
        generation_config=GenerationConfig(
            max_new_tokens=most_tokens + 1, num_beams=beams, do_sample=False, early_stopping=beams > 1
        ),
        prefix_allowed_tokens_fn=None if allowed is None else lambda _, text: allowed(text[width:].tolist()),
    )
    texts = [text[width:].tolist() for text in written]
    return [text[: text.index(END)] if END in text else [token for token in text if token != PAD] for text in texts]


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("bias", [0.0, 2.0, 4.0], ids=["seldom", "often", "soon"])
@torch.inference_mode()
def test_it_finds_what_transformers_finds(bart: BartForConditionalGeneration, beams: int, bias: float) -> None:
    bart.final_logits_bias[0, END] = bias
    bart.final_logits_bias[0, PAD] = -9
    rows = given(bart, 50)
    found = beam_search.search(bart, **rows, beams=beams, most_tokens=7)
    assert found == of_transformers(bart, rows, beams, 7, None)
    if bias == 2:
        assert len({len(text) for text in found}) > 2  # some ended early, some late


@pytest.mark.parametrize("beams", [1, 3])
@torch.inference_mode()
def test_it_finds_what_transformers_finds_among_what_is_allowed(bart: BartForConditionalGeneration, beams: int) -> None:
    answers = [[5], [5, 6], [7, 8, 9], [7, 8, 10], [11, 12]]

    def allowed(text: Any) -> list[int]:
        text = [token for token in text if token != END]
        return [a[len(text)] for a in answers if a[: len(text)] == text and len(a) > len(text)] + (
            [END] if text in answers else []
        ) or [END]

    rows = given(bart, 40)
    found = beam_search.search(bart, **rows, beams=beams, most_tokens=3, allowed=allowed)
    assert found == of_transformers(bart, rows, beams, 3, allowed)
    assert all(text in answers for text in found)
    assert len({tuple(text) for text in found}) > 2


@pytest.mark.parametrize("many", [1, 2, 3, 4])
@torch.inference_mode()
def test_with_a_beam_for_each_allowed_text_the_likeliest_is_found(
    bart: BartForConditionalGeneration, many: int
) -> None:
    answers = [[5], [5, 6, 8], [7, 8, 9, 10, 11], [12, 13]][-many:]

    def allowed(text: Any) -> list[int]:
        return [(*a, END)[len(text)] for a in answers if a[: len(text)] == text] or [END]

    rows = given(bart, 40)
    scores = torch.stack([of_text(bart, rows, text) for text in answers], 1)
    expected = [answers[place] for place in scores.argmax(1).tolist()]
    assert beam_search.search(bart, **rows, beams=4, most_tokens=5, allowed=allowed) == expected
    assert len({tuple(text) for text in expected}) == many


def of_text(bart: BartForConditionalGeneration, rows: dict[str, torch.Tensor], text: list[int]) -> torch.Tensor:
    """The mean log-likelihood of a text's tokens and the end in each row, float32 [N]."""
    target = torch.tensor([*text, END]).expand(len(rows["begun"]), -1)
    logits = bart(
        encoder_outputs=BaseModelOutput(last_hidden_state=rows["memory"]),
        attention_mask=rows["mask"],
        decoder_input_ids=torch.cat([rows["begun"], target[:, :-1]], 1),
    ).logits[:, rows["begun"].shape[1] - 1 :]
    return logits.log_softmax(-1).gather(2, target[:, :, None])[:, :, 0].mean(1)


@torch.inference_mode()
def test_a_row_is_written_alike_whatever_else_is_in_the_batch(bart: BartForConditionalGeneration) -> None:
    bart.final_logits_bias[0, END] = 2.0
    rows = given(bart, 9)
    together = beam_search.search(bart, **rows, beams=3, most_tokens=7)
    for row, text in enumerate(together):
        alone = {name: value[row : row + 1] for name, value in rows.items()}
        assert beam_search.search(bart, **alone, beams=3, most_tokens=7) == [text]


@torch.inference_mode()
def test_a_text_that_does_not_end_has_one_token_more_than_one_that_does(bart: BartForConditionalGeneration) -> None:
    def ends(text: Any) -> list[int]:
        return [END] if len(text) == 3 else [5]

    rows = given(bart, 2)
    assert beam_search.search(bart, **rows, beams=1, most_tokens=3, allowed=lambda _: [5]) == [[5] * 4] * 2
    assert beam_search.search(bart, **rows, beams=1, most_tokens=3, allowed=ends) == [[5] * 3] * 2
