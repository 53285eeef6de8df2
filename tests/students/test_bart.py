import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration

from vlkd_steps.core.errors import UserError
from vlkd_steps.students import bart, exported, generation, inference
from vlkd_steps.students.prompts import SENSITIVITY, Prompt

WORDS = ["question", "answer", "what", "color", "is", "the", "star", "red", "blue", "dark", "a", "picture", "of"]
CONF: dict[str, Any] = {
    "name": "tiny",
    "architecture": {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 40,
        "init_std": 0.2,
    },
}
D = 8


@pytest.fixture
def student(tmp_path: Path) -> bart.BartStudent:
    words = tmp_path / "words.txt"
    words.write_text("\n".join(WORDS))
    return bart.build(CONF | {"vocabulary": str(words)}, D, seed=3).eval()


@pytest.fixture
def v() -> torch.Tensor:
    return functional.normalize(torch.randn(6, D, generator=torch.Generator().manual_seed(1)), dim=1)


def tokens_of(student: bart.BartStudent, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    coded = student.tokenizer(texts, padding=True, return_tensors="pt")
    return coded.input_ids, coded.attention_mask


def test_e_is_the_end_token_projected_whatever_the_padding(student: bart.BartStudent) -> None:
    tokens, mask = tokens_of(student, ["the red star", "the star is a picture of the star"])
    e = student.embed(student.encode(tokens, mask), mask)
    torch.testing.assert_close(e.norm(dim=1), torch.ones(2))
    alone, own = tokens_of(student, ["the red star"])
    states = student.encode(alone, own)
    assert alone[0, -1] == student.tokenizer.eos_token_id
    by_hand = states[0, -1] @ student.to_clip.weight.T + student.to_clip.bias
    torch.testing.assert_close(e[0], by_hand / by_hand.norm(), atol=1e-5, rtol=1e-4)


def test_the_image_is_one_position_before_the_text(student: bart.BartStudent, v: torch.Tensor) -> None:
    tokens, mask = tokens_of(student, ["the red star", "star"])
    memory, seen = student.see(v[:2], student.encode(tokens, mask), mask)
    assert memory.shape == (2, tokens.shape[1] + 1, 32)
    torch.testing.assert_close(memory[:, 0], v[:2] @ student.from_clip.weight.T + student.from_clip.bias)
    assert seen.tolist() == [[1, *row] for row in mask.tolist()]
    logits = student.write(memory, seen, tokens)
    other, _ = student.see(v[2:4], student.encode(tokens, mask), mask)
    assert (student.write(other, seen, tokens) - logits).abs().max() > 1e-3  # it is looked at
    alone, own = tokens_of(student, ["star"])
    one, one_seen = student.see(v[1:2], student.encode(alone, own), own)
    torch.testing.assert_close(student.write(one, one_seen, alone)[0], logits[1, :3], atol=1e-4, rtol=1e-3)


def test_without_an_image_it_is_transformers_bart(student: bart.BartStudent) -> None:
    tokens, mask = tokens_of(student, ["the red star is blue"])
    theirs = student.bart(input_ids=tokens, attention_mask=mask, labels=tokens)
    ours = student.write(student.encode(tokens, mask), mask, tokens)
    torch.testing.assert_close(ours, theirs.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bart.infilling_loss(ours, tokens, mask), theirs.loss)


def test_new_weights_are_two_linear_maps(student: bart.BartStudent) -> None:
    new = sum(p.numel() for n, p in student.named_parameters() if not n.startswith("bart."))
    assert new == (32 + 1) * D + (D + 1) * 32
    # BART-large with ViT-L/14: 1 to 2 million (docs/papers.md, "What VLKD states")
    assert 1_000_000 < (1024 + 1) * 768 + (768 + 1) * 1024 < 2_000_000


def test_weights_are_a_function_of_the_seed_and_leave_the_random_state_alone(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("\n".join(WORDS))
    conf = CONF | {"vocabulary": str(words)}
    before = torch.random.get_rng_state()
    first, second, other = (bart.build(conf, D, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["from_clip.weight"], other["from_clip.weight"])


def test_run_file_and_exported_folder_answer_alike(student: bart.BartStudent, v: torch.Tensor, tmp_path: Path) -> None:
    bart.save(student, tmp_path / "a" / "model.safetensors")
    bart.save(student, tmp_path / "b" / "model.safetensors")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    bart.export(student, tmp_path / "out")
    exported.describe("bart", tmp_path / "a" / "model.safetensors", tmp_path / "out")
    assert exported.load(tmp_path / "out").clip_width == student.clip_width
    described = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert described["tokenizer_class"] == "PreTrainedTokenizerFast", "transformers 4 has no other name for it"
    questions = ["what is the star", "what color is the star", "what", "is", "the star is", "a"]
    expected = inference.VisualBart(student).answer(v, questions)
    assert any(expected)
    for path in (tmp_path / "a" / "model.safetensors", tmp_path / "out"):
        model = inference.load(path)
        assert model.answer(v, questions) == expected
        assert len(model.caption(v)) == 6
    theirs = BartForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert torch.equal(theirs.lm_head.weight, student.bart.lm_head.weight)
    assert set(load_file(tmp_path / "out" / "projections.safetensors")) == {
        f"{name}.{part}" for name in ("to_clip", "from_clip") for part in ("weight", "bias")
    }


def test_a_byte_level_mask_takes_the_space_before_it(tmp_path: Path) -> None:
    """As BART's own tokenizer reads a prompt, also where a folder has its vocab.json and merges.txt alone."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "\u0120"]
    config = BartConfig(**CONF["architecture"], vocab_size=len(words), pad_token_id=1)
    BartForConditionalGeneration(config).save_pretrained(tmp_path / "in")
    (tmp_path / "in/vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "in/merges.txt").write_text("#version: 0.2\n")
    made = bart.build({"name": "tiny", "weights": str(tmp_path / "in")}, D, seed=3)
    bart.save(made, tmp_path / "model.safetensors")
    bart.export(made, tmp_path / "out")
    for student in (made, bart.load(tmp_path / "model.safetensors"), bart.load_folder(tmp_path / "out")):
        assert student.tokenizer("a <mask>").input_ids == [0, 5, 4, 2]


def test_beam_search_in_a_batch_writes_what_it_writes_alone(student: bart.BartStudent, v: torch.Tensor) -> None:
    prompt = Prompt.of("question: {q} answer: <mask>")
    questions = ["what", "what color is the star", "is the star blue", "what is a picture of", "red", "blue"]
    together = generation.write(student, v, prompt, questions, beams=3)
    alone = [generation.write(student, v[i : i + 1], prompt, [q], beams=3)[0] for i, q in enumerate(questions)]
    assert together == alone
    assert len(set(together)) > 1


def test_answers_of_a_list_are_the_likeliest_of_it(student: bart.BartStudent, v: torch.Tensor) -> None:
    """With beams enough for the whole list the search finds what scoring each answer finds."""
    among, prompt, question = ["red", "blue", "dark blue", "dark red", "star"], Prompt.of("{q} <mask>"), "what color"
    written = generation.write(student, v, prompt, [question] * 6, beams=6, answers=among)
    source, mask = tokens_of(student, [prompt.text(student.tokenizer.mask_token, question)])
    for row, found in enumerate(written):
        memory, seen = student.see(v[row : row + 1], student.encode(source, mask), mask)
        scores = {}
        for answer in among:
            target, _ = tokens_of(student, [f"{question} {answer}"])
            chosen = student.write(memory, seen, target).log_softmax(-1).gather(2, target[..., None])[0, :, 0]
            own = chosen[3:]  # behind [CLS] what color: the answer's tokens and the end
            scores[answer] = own.sum().item() / len(own)
        assert found == max(scores, key=lambda answer: scores[answer])


def test_the_prefix_is_not_part_of_the_answer(student: bart.BartStudent, v: torch.Tensor) -> None:
    prompt = Prompt.of("question: {q} answer: <mask>")
    for text in generation.write(student, v[:2], prompt, ["what", "is the star red"], answers=["dark blue"]):
        assert text == "dark blue"


@pytest.mark.parametrize("answer", ["Star-red", "é", "is  a", "猫", "don't"])
def test_an_answer_of_a_list_is_returned_as_it_is_spelled(
    student: bart.BartStudent, v: torch.Tensor, answer: str
) -> None:
    assert inference.VisualBart(student).answer(v[:2], ["what"] * 2, among=[answer]) == [answer] * 2


def test_no_question_has_no_answer(student: bart.BartStudent) -> None:
    model = inference.VisualBart(student)
    assert model.answer(torch.zeros(0, D), []) == []
    assert model.answer(torch.zeros(0, D), [], among=["red"]) == []
    assert model.caption(torch.zeros(0, D)) == []


def test_prompts() -> None:
    assert len(SENSITIVITY) >= 5
    for wording in SENSITIVITY.values():
        Prompt.of(wording)
    prompt = Prompt.of("Question: {q} Answer: <mask>.")
    assert prompt.prefix("Why?") == "Question: Why? Answer:"
    assert prompt.text("[MASK]", "Why?") == "Question: Why? Answer: [MASK]."
    assert prompt.written("because", "Why?") == "Question: Why? Answer: because."
    for wrong in ("Answer: {q}", "<mask> <mask>", "<mask> {q}"):
        with pytest.raises(UserError, match="must have <mask> once"):
            Prompt.of(wrong)


def test_mistakes_are_named(student: bart.BartStudent, v: torch.Tensor, tmp_path: Path) -> None:
    model = inference.VisualBart(student)
    with pytest.raises(UserError, match="6 images and 1 questions"):
        model.answer(v, ["what"])
    with pytest.raises(UserError, match=r"shape \[6, 3\]; this model takes \[images, 8\]"):
        model.caption(v[:, :3])
    with pytest.raises(UserError, match="does not name its CLIP"):
        model.caption(["a.jpg"])
    with pytest.raises(UserError, match="exceed the 40 positions"):
        model.answer(v[:1], ["star " * 36])
    prompt = Prompt.of("{q} <mask>")
    for question, answer in (("star " * 40, "red"), ("what", "star " * 40)):
        with pytest.raises(UserError, match="exceed the 40 positions"):
            generation.probabilities(student, v[:1], prompt, question, [answer, "blue"])
    with pytest.raises(UserError, match="list of answers to choose from is empty"):
        model.answer(v[:1], ["what"], among=[])
    with pytest.raises(UserError, match="one text, 'red'; give a list"):
        model.answer(v[:1], ["what"], among="red")
    with pytest.raises(UserError, match=r"one path, 'a\.jpg'; give a list"):
        model.caption("a.jpg")
    for number in ("beams", "most_tokens"):
        with pytest.raises(UserError, match=f"{number} is 0; give 1 or more"):
            model.answer(v[:1], ["what"], **{number: 0})
    with pytest.raises(UserError, match=r"vlkd\.json is missing; name a folder that bart.export wrote"):
        inference.load(tmp_path)
    words = tmp_path / "w.txt"
    words.write_text("a b")
    with pytest.raises(UserError, match="architecture has no key 'd_modle'"):
        bart.build({"name": "x", "vocabulary": str(words), "architecture": {"d_modle": 3}}, D, 0)
    with pytest.raises(UserError, match="transformers rejects its architecture"):
        bart.build({"name": "x", "vocabulary": str(words), "architecture": {"d_model": 30}}, D, 0)
    (tmp_path / "vilt").mkdir()
    (tmp_path / "vilt" / "config.json").write_text('{"model_type": "vilt"}')
    with pytest.raises(UserError, match="is a vilt, not a BART"):
        bart.build({"name": "x", "weights": str(tmp_path / "vilt")}, D, 0)
    with pytest.raises(UserError, match="has no pre-trained weights; make them: snakemake models/x"):
        bart.build({"name": "x", "pretrained": True}, D, 0)


@pytest.mark.parametrize("file", ["model.safetensors", "projections.safetensors"])
def test_an_exported_folder_must_hold_all_weights(student: bart.BartStudent, tmp_path: Path, file: str) -> None:
    out = tmp_path / "out"
    bart.export(student, out)
    whole = load_file(out / file)
    first = max(whole)  # final_logits_bias, the least, is no weight and made anew
    save_file({name: tensor for name, tensor in whole.items() if name != first}, out / file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"out/{file} holds the weights of another model: .* is not there"):
        inference.load(out)
    save_file({**whole, first: torch.full_like(whole[first], torch.nan)}, out / file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"out/{file} holds values that are not finite numbers"):
        inference.load(out)
    save_file({f"x.{name}": tensor for name, tensor in whole.items()}, out / file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"out/{file} holds the weights of another model"):
        inference.load(out)
