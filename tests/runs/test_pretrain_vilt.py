import json
from typing import Any

import pytest
import torch
from transformers import ViltModel

from vlkd_steps.core import layout
from vlkd_steps.data.batches import Batch, Encoded
from vlkd_steps.data.items import read_items
from vlkd_steps.runs.pretrain_vilt import IGNORED, Exercises, MaskedLanguageAndMatching
from vlkd_steps.steps import pretrain
from vlkd_steps.students import vilt


def run(model: dict[str, Any]) -> int:
    return pretrain.main(["--config", json.dumps({"model": model})])


def exercises_of(model: dict[str, Any], in_memory: int = 1 << 20) -> tuple[Exercises, vilt.ViltStudent]:
    student = vilt.build(model, "vqa", ["unused"], seed=0)
    items = read_items(layout.instances("toy_captions"), None, [], only="train")
    data = Encoded(items, student.tokenizer, student.max_tokens, student.image_size, in_memory)
    return Exercises(data, mask_rate=0.3, mismatched=0.5, seed=0), student


def test_writes_a_folder_that_transformers_and_distill_load(model: dict[str, Any], job: dict[str, Any]) -> None:
    assert run(model) == 0
    theirs = ViltModel.from_pretrained(layout.model("vilt_toy"))
    student = vilt.build(job["student"] | {"pretrained": True}, "vqa", ["a", "b"], seed=4)
    assert all(torch.equal(value, student.vilt.state_dict()[name]) for name, value in theirs.state_dict().items())
    assert student.tokenizer.tokenize("red thing") == ["red", "thing"]
    curve = json.loads((layout.model("vilt_toy") / "curve.json").read_text())
    assert set(curve) == {"loss", "loss/mlm", "loss/itm"}
    assert curve["loss"][-1][0] == 8


def test_the_same_bytes_again_and_others_from_another_seed(model: dict[str, Any]) -> None:
    weights = []
    for seed in (0, 0, 1):
        model["pretrain"]["seed"] = seed
        assert run(model) == 0
        weights.append(layout.model_weights("vilt_toy").read_bytes())
        layout.model("vilt_toy").rename(f"models/before{len(weights)}")
    assert weights[0] == weights[1] != weights[2]


def test_masking_is_berts(model: dict[str, Any]) -> None:
    exercises, student = exercises_of(model)
    tokenizer = student.tokenizer
    word = tokenizer.convert_tokens_to_ids("red")
    tokens = torch.full((400, 50), word)
    tokens[:, 0], tokens[:, -10] = tokenizer.cls_token_id, tokenizer.sep_token_id
    mask = torch.ones_like(tokens)
    mask[:, -9:] = 0
    changed, words = exercises.mask_words(tokens, mask, torch.Generator().manual_seed(0))
    chosen = words != IGNORED
    assert not chosen[:, 0].any()
    assert not chosen[:, -10:].any()
    assert (words[chosen] == word).all()
    assert torch.equal(changed[~chosen], tokens[~chosen])
    share = chosen[:, 1:40].float().mean().item()
    masked = (changed[chosen] == tokenizer.mask_token_id).float().mean().item()
    kept = (changed[chosen] == word).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.02)
    assert masked == pytest.approx(0.8, abs=0.03)
    assert kept == pytest.approx(0.1, abs=0.03)


def test_a_mismatched_pair_has_another_image_and_another_text(model: dict[str, Any]) -> None:
    exercises, _ = exercises_of(model)
    whole = exercises.data.batch(torch.arange(24))
    batch = exercises.batch(torch.arange(24), 1)
    plain, images = batch.inputs.images.chunk(2)
    assert torch.equal(plain, whole.inputs.images)
    changed = (images != plain).flatten(1).any(1)
    assert torch.equal(changed, batch.extra["matches"] == 0)
    shares = [exercises.batch(torch.arange(24), step).extra["matches"].float().mean() for step in range(20)]
    assert torch.stack(shares).mean().item() == pytest.approx(0.5, abs=0.1)
    first = int(changed.nonzero()[0])
    assert torch.equal(images[first], plain[first - 1])
    # one pair six times: nothing can be mismatched
    assert exercises.batch(torch.zeros(6, dtype=torch.int64), 1).extra["matches"].tolist() == [1] * 6


def test_exercises_are_the_same_from_memory_and_from_files_and_hold_each_pair_twice(model: dict[str, Any]) -> None:
    ours, theirs = (
        exercises_of(model, in_memory)[0].batch(torch.tensor([5, 2, 2, 9]), 3) for in_memory in (1 << 20, 0)
    )
    for name, tensor in ours.tensors().items():
        assert torch.equal(tensor, theirs.tensors()[name]), name
    masked, tokens = ours.inputs.tokens.chunk(2)
    words = ours.extra["words"]
    assert torch.equal(masked[words == IGNORED], tokens[words == IGNORED])
    assert torch.equal(words[words != IGNORED], tokens[words != IGNORED])
    assert ours.extra["hidden"].tolist() == [float((words != IGNORED).sum())] * 4


def test_a_batch_without_a_masked_word_has_no_loss_for_words(model: dict[str, Any]) -> None:
    exercises, student = exercises_of(model)
    exercises.mask_rate = 0.0
    losses = MaskedLanguageAndMatching(student)(exercises.batch(torch.arange(4), 0), 0)
    assert losses["mlm"].item() == 0.0
    assert losses["itm"].item() > 0.0


def test_each_of_the_batches_that_a_step_accumulates_has_masks_of_its_own(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, own = [], Exercises.batch

    def batch(self: Exercises, index: torch.Tensor, number: int) -> Batch:
        made.append(number)
        return own(self, index, number)

    monkeypatch.setattr(Exercises, "batch", batch)
    model["pretrain"] |= {"steps": 2, "accumulation": 3}
    assert run(model) == 0
    assert made == list(range(6))


def test_losses_fall(model: dict[str, Any]) -> None:
    model["architecture"] |= {"hidden_dropout_prob": 0.0, "initializer_range": 0.2}
    model["pretrain"] |= {"steps": 400, "learning_rate": 0.01}
    assert run(model) == 0
    curve = json.loads((layout.model("vilt_toy") / "curve.json").read_text())
    assert curve["loss/mlm"][-1][1] < 0.5 * curve["loss/mlm"][0][1]
    assert curve["loss/itm"][-1][1] < 0.8 * curve["loss/itm"][0][1]


def test_mistakes_are_named(model: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for change, message in (
        ({"corpus": "nothing"}, "data/instances/nothing.parquet is missing"),
        ({"split": "holdout"}, "pretrain.split: data/instances/toy_captions.parquet has no file group 'holdout'"),
        ({"stepz": 3}, "unknown key 'stepz' at training; did you mean 'steps'"),
    ):
        assert run(model | {"pretrain": model["pretrain"] | change}) == 2
        assert message in capsys.readouterr().err
