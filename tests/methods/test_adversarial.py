"""VILLA's adversary against the official loop written out: several backward passes, gradients kept in ``.grad``."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps.config.models.recipe import Adversarial, Recipe
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs, Regions
from vlkd_steps.methods import adversarial, objective
from vlkd_steps.students import uniter
from vlkd_steps.students.heads import task_loss

BOTH = Adversarial(of=("text", "image"), steps=3, rate=0.1, kl_weight=1.5)
WIDTH, DIM = 16, 6


def student_of(task: str, folder: Any) -> uniter.UniterStudent:
    (folder / "words.txt").write_text("what color is the thing red")
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    architecture = sizes | dropout | {"initializer_range": 0.2, "max_position_embeddings": 12, "img_dim": DIM}
    conf = {"name": "toy", "regions": "boxes", "vocabulary": str(folder / "words.txt"), "architecture": architecture}
    return uniter.build(conf, task, ["a", "b", "c", "d"], seed=3)


def batch_of(task: str) -> Batch:
    """Two items of 6 and 4 tokens with 3 and 2 regions; of VCR, four choices each."""
    generator = torch.Generator().manual_seed(1)
    rows = 8 if task == "vcr" else 2
    tokens = torch.randint(5, 20, (rows, 6), generator=generator)
    mask, seen = torch.ones_like(tokens), torch.ones(rows, 3, dtype=torch.int64)
    mask[1::2, 4:], seen[1::2, 2:] = 0, 0
    drawn = torch.randn(rows, 3, DIM, generator=generator), torch.rand(rows, 3, 7, generator=generator)
    inputs = Inputs(tokens, mask, torch.zeros_like(tokens), regions=Regions(*drawn, seen))
    labels = torch.tensor([[0.3, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    if task == "vcr":
        labels = labels.ceil() * torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    return Batch(inputs, labels, torch.arange(2), torch.arange(2))


def official(student: uniter.UniterStudent, batch: Batch, of: Adversarial) -> None:
    """As train_vqa_adv.py and train_vcr_adv.py: the gradients are added to the parameters' ``.grad``."""
    inputs, regions = batch.inputs, batch.inputs.regions
    assert regions is not None

    def rows(logits: Tensor) -> Tensor:
        return logits.flatten(0, 1) if logits.ndim == 3 else logits

    clean = rows(student(inputs).logits)
    clean_prob, clean_log = functional.softmax(clean, dim=1), functional.log_softmax(clean, dim=1)
    text, image = torch.zeros(*inputs.tokens.shape, WIDTH), torch.zeros_like(regions.features)
    for _ in range(of.steps):
        text.requires_grad_("text" in of.of)
        image.requires_grad_("image" in of.of)
        shown = replace(inputs, regions=replace(regions, features=regions.features + image), word_shift=text)
        scores = rows(student(shown).logits)
        prob, log = functional.softmax(scores, dim=1), functional.log_softmax(scores, dim=1)
        kl = functional.kl_div(log, clean_prob, reduction="none") + functional.kl_div(clean_log, prob, reduction="none")
        if scores.shape[0] == len(batch.labels):
            error = functional.binary_cross_entropy_with_logits(scores, batch.labels, reduction="none")
            error, divergence = error.mean() * batch.labels.size(1), kl.mean() * batch.labels.size(1)
        else:
            error, divergence = functional.cross_entropy(scores, batch.labels.flatten().long()), kl.mean()
        ((error + of.kl_weight * divergence) / of.steps).backward(retain_graph=True)
        moved = []
        for shift in (text, image):
            if shift.grad is None:
                moved.append(shift.detach())
                continue
            norm = torch.norm(shift.grad.view(shift.size(0), -1), dim=1).view(-1, 1, 1).clamp(min=1e-8)
            moved.append((shift + of.rate * shift.grad / norm).detach())
        text, image = moved


@pytest.mark.parametrize("task", ["vqa", "vcr"])
@pytest.mark.parametrize("of", [("text",), ("image",), ("text", "image")])
def test_gradients_are_the_official_loops(task: str, of: Any, tmp_path: Any) -> None:
    settings = BOTH.model_copy(update={"of": of})
    student, batch = student_of(task, tmp_path), batch_of(task)
    official(student, batch, settings)
    wanted = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    adversarial.adversarial_loss(student, batch, student(batch.inputs).logits, settings).backward()
    found = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)
    assert max(gradient.abs().max() for gradient in wanted.values()) > 0.01


def test_shifts_make_the_loss_grow_and_one_shift_is_none(tmp_path: Any) -> None:
    student, batch = student_of("vqa", tmp_path), batch_of("vqa")
    clean = student(batch.inputs).logits
    plain = task_loss(clean, batch.labels)
    once = adversarial.adversarial_loss(student, batch, clean, BOTH.model_copy(update={"steps": 1}))
    assert once.item() == pytest.approx(plain.item(), rel=1e-5)
    assert adversarial.adversarial_loss(student, batch, clean, BOTH).item() > plain.item() + 0.01


def test_a_step_is_as_long_as_the_rate_in_every_row() -> None:
    gradient = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]])
    moved = adversarial.climbed(torch.zeros(2, 1, 2), gradient, 0.5)
    torch.testing.assert_close(moved, torch.tensor([[[0.3, 0.4]], [[0.0, 0.0]]]))


def test_only_the_task_loss_meets_the_adversary(tmp_path: Any) -> None:
    student, batch = student_of("vqa", tmp_path), batch_of("vqa")

    class Two(objective.Objective):
        def forward(self, output: Any, batch: Batch, step: int) -> dict[str, Tensor]:
            stage = {} if step == 0 else {"task": task_loss(output.logits, batch.labels)}
            return stage | {"image": output.seen.mean()}

    plain, against = (objective.Distillation(student, Two(None, 10), of) for of in (None, BOTH))
    assert against(batch, 0)["image"].item() == plain(batch, 0)["image"].item()
    assert set(against(batch, 0)) == {"image"}  # a stage without the task has no adversary
    assert against(batch, 1)["image"].item() == plain(batch, 1)["image"].item()
    assert against(batch, 1)["task"].item() > plain(batch, 1)["task"].item()


def test_settings_are_checked() -> None:
    given = {"steps": 3, "rate": 1e-3, "kl_weight": 1.5, "of": ["text"]}
    recipe = {"steps": 1, "batch_size": 1, "learning_rate": 1}
    assert Recipe.of(recipe | {"adversarial": given}).adversarial == BOTH.model_copy(
        update={"of": ("text",), "rate": 1e-3}
    )
    for change, message in (
        ({"of": ["words"]}, "adversarial.of.0 is 'words'; choose from: text, image"),
        ({"of": []}, r"adversarial.of is \[\]; name at least one"),
        ({"rate": 0}, "adversarial.rate is 0; write a number above 0"),
        ({"step": 3}, "unknown key 'step' .*did you mean 'steps'"),
    ):
        with pytest.raises(UserError, match=message):
            Recipe.of(recipe | {"adversarial": given | change})
