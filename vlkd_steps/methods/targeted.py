"""Targeted distillation: what CLIP-TD and MAD share (docs/papers.md, "CLIP-TD and MAD").

First a contrastive adaptive stage, then the task loss plus the distances to the teacher's features, each weighted per
item. A method lists its distances, and whose confidence weights each, in `terms_of`, and makes the targets in
`prepare`; which words are selected, and the weights, are computed before training (`teachers.targets`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vlkd_steps.core import distributed
from vlkd_steps.data.batches import Batch, Encoded, IndexedTensor
from vlkd_steps.data.items import Items
from vlkd_steps.data.patches import resampled, side_of
from vlkd_steps.methods.distances import DISTANCES, info_nce, layer_norm, same_pairs
from vlkd_steps.methods.objective import Objective, as_float, projection
from vlkd_steps.methods.schedules import SCHEDULES
from vlkd_steps.methods.targeted_settings import TargetedSettings
from vlkd_steps.methods.tokens import gather_tokens, mean_selected, token_targets
from vlkd_steps.methods.whitening import whitened
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets.target_file import Targets


@dataclass(frozen=True)
class Term:
    """One distance, named like its target in ``Batch.extra``.

    Attributes:
        feature: the student's: ``seen``, ``cls``, ``tokens`` or ``patches``.
        weight: the entry of ``Batch.extra`` that weights it, [B].
        share: its share of its target.
    """

    feature: str
    weight: str = "weight"
    share: float = 1.0


class Targeted(Objective):
    """First `adaptive_steps` steps: InfoNCE. Then L_task + lambda(t) sum over terms of share w d.

    lambda(t) = lambda0 s(t), s the `lambda_schedule`, t counted from the end of the adaptive stage; every projection is
    trained and dropped at inference.
    """

    terms_of: ClassVar[dict[str, dict[str, Term]]] = {}
    """Target -> its terms by name."""

    def __init__(self, settings: TargetedSettings, steps: int) -> None:
        super().__init__(settings, steps)
        self.adaptive_steps = settings.adaptive_steps if settings.adaptive else 0
        self.distance = DISTANCES[settings.distance]
        self.schedule = SCHEDULES[settings.lambda_schedule]
        self.targets = [t for t in self.settings.targets if t != "tokens" or self.settings.selection != "none"]
        self.terms = {name: term for target in self.targets for name, term in self.terms_of[target].items()}

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        """The layer-normalised targets (no gradient), the weights and, for the adaptive stage, v and u as stored; with
        `whitening` v and u and all targets are whitened instead."""
        items, found = data.items, targets or Targets()
        v, u = as_float(store.images(items.image_ids)), as_float(store.texts(items.texts))
        extra: dict[str, IndexedTensor | Tensor] = {}
        if self.adaptive_steps:
            extra = {"v": IndexedTensor(v, items.image_rows), "u": IndexedTensor(u, items.text_rows)}
        made: dict[str, IndexedTensor | Tensor] = {}
        v, u = layer_norm(v), layer_norm(u)
        image, text = IndexedTensor(v, items.image_rows), IndexedTensor(u, items.text_rows)
        if "image" in self.targets:
            made["image"] = image
        if "text" in self.targets:
            made["text"] = text
        if "patches" in self.targets:
            made["patches"] = IndexedTensor(layer_norm(as_float(store.patches(items.image_ids))), items.image_rows)
        if "tokens" in self.targets:
            assert found.words is not None
            self.chosen = found.numbers()
            extra["positions"], states = self.tokens(data, found.words, store)
            made |= states
        made |= self.own_targets(v, u, items)
        if self.settings.whitening != "none":
            if self.adaptive_steps:
                made |= {"v": image, "u": text}
            made = whitened(made, self.settings.whitening, self.settings.whitening_share)
        extra |= made
        for name in sorted({term.weight for of in self.terms_of.values() for term in of.values()}):
            extra[name] = torch.ones(len(items))
            if self.settings.weight != "uniform":
                extra[name] = as_float(found.weights[name])
        return extra

    def tokens(
        self, data: Encoded, words: Sequence[Sequence[str]], store: Any
    ) -> tuple[Tensor, dict[str, IndexedTensor | Tensor]]:
        """The positions of the selected words, and what they are matched with: the teacher's states of these words."""
        positions, states = token_targets(data, words, store)
        return positions, {"tokens": states}

    def own_targets(self, v: Tensor, u: Tensor, items: Items) -> dict[str, IndexedTensor | Tensor]:
        """Those that not all such methods share, the joint one among them.

        Args:
            v, u: LN of the teacher's embeddings of the distinct images and texts, [I, D] and [T, D].
        """
        raise NotImplementedError

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        """One projection per term; the adaptive stage warms up the image term's and has its own for [CLS] <-> u."""
        source = {"contrast": "u"} | {"image": "v"} if self.adaptive_steps else {}
        source = source | {name: name for name in self.terms}
        self.to_teacher = torch.nn.ModuleDict({n: projection(student_width, extra[source[n]]) for n in sorted(source)})

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        if step < self.adaptive_steps:
            return self.contrast(output, batch)
        done = (step - self.adaptive_steps) / (self.steps - self.adaptive_steps)
        strength = self.settings.lambda0 * self.schedule(done)
        losses = super().forward(output, batch, step)
        for name, distance in self.distances(output, batch).items():
            term = self.terms[name]
            weight = batch.extra[term.weight]
            if self.settings.distance == "relation":  # it is that of the items of all processes
                weight = distributed.gathered(weight)
            losses[name] = (strength * term.share * weight * distance).mean()
        return losses

    def contrast(self, output: StudentOutput, batch: Batch) -> dict[str, Tensor]:
        """The adaptive stage: mean visual token <-> v and [CLS] <-> u against the other items of the whole batch."""
        same, tau = same_pairs(batch), self.settings.temperature
        image = distributed.gathered(self.to_teacher["image"](output.seen))
        text = distributed.gathered(self.to_teacher["contrast"](output.cls))
        return {
            "contrast_image": info_nce(image, distributed.gathered(batch.extra["v"]), same, tau),
            "contrast_text": info_nce(text, distributed.gathered(batch.extra["u"]), same, tau),
        }

    def distances(self, output: StudentOutput, batch: Batch) -> dict[str, Tensor]:
        """The distance of each term per item, [B], before weight and strength (`relation`: of all processes' items)."""
        found: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            to_teacher, target = self.to_teacher[name], batch.extra[name]
            if term.feature == "tokens":
                layer = output.embedded_text if self.settings.token_layer == "embedding" else output.text
                positions = batch.extra["positions"]
                projected = to_teacher(gather_tokens(layer, positions))
                target = target if target.ndim == projected.ndim else target[:, None]  # of each token, or of the item
                found[name] = mean_selected(self.distance(projected, target), positions)
            elif term.feature == "patches":
                target = resampled(target, side_of(output.visual.shape[1]))
                found[name] = self.distance(to_teacher(output.visual), target).mean(1)
            else:
                found[name] = self.distance(to_teacher(getattr(output, term.feature)), target)
        return found

    @torch.no_grad()
    def observe(self, output: StudentOutput, batch: Batch) -> dict[str, float]:
        """Unweighted distances; share of the split's content words that was selected, how many of them are visual where
        that is known, and selected tokens per item; standard deviation of the weights over the batch."""
        values = {f"distance/{name}": value.mean().item() for name, value in self.distances(output, batch).items()}
        if "tokens" in self.terms:
            values |= self.chosen
            values["chosen_tokens"] = (batch.extra["positions"] >= 0).sum(1).float().mean().item()
        for name in sorted({term.weight for term in self.terms.values()}):
            values[f"{name}_sd"] = distributed.gathered(batch.extra[name].float()).std(correction=0).item()
        return values
