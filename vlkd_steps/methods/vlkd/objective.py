"""VLKD (Dai et al. 2022): a BART's encoder joins a frozen CLIP's space, its decoder learns to write from an image.

Three losses (docs/papers.md, "VLKD's definition"), each with a weight. A weight of 0 disables the loss and its pass; if
all are 0, nothing is learned and no image is used: the plain BART that VLKD is compared with.

- ``ttdm``, text-text distance minimisation: the squared distance of e, the text as BART's encoder embeds it, from t,
  as CLIP embeds it;
- ``itcl``, image-text contrastive learning: CLIP's own loss with e instead of its text embedding, and CLIP's own
  temperature, frozen;
- ``icti``, image-conditioned text infilling: the decoder generates the caption from the masked one and the image.

The first two read the clean caption, the third the masked one: two passes of the encoder (choice).

- ``rehearsal`` (choice; not in the paper, default 0): text infilling without an image on texts of the language model's
  own pre-training, so that alignment does not take its abilities.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlkd_steps.core import distributed
from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.distances import products, same_pairs
from vlkd_steps.methods.objective import Objective
from vlkd_steps.methods.vlkd import Vlkd as VlkdSettings
from vlkd_steps.students.bart import BartStudent, infilling_loss, text_loss


class Vlkd(Objective):
    """The objective; it has no parameters of its own.

    Its batch has for each row, in ``extra``: ``v`` and ``t``, CLIP's embeddings of image and caption, float32 [B, D]
    of length 1; ``masked`` and ``masked_mask``, the masked caption, int64 [B, T']; ``written``, the whole batch's
    number of target tokens divided by the number of processes (`infilling_loss`). ``inputs`` is the clean caption.
    For ``rehearsal`` also the tensors of `runs.text_batches`.
    """

    def __init__(self, settings: VlkdSettings, steps: int) -> None:
        super().__init__(settings, steps)
        self.weights = {name: float(getattr(settings, name)) for name in ("ttdm", "itcl", "icti", "rehearsal")}
        self.scale = 1.0

    @property
    def learns(self) -> bool:
        """Whether any loss is enabled; otherwise the run is the unchanged BART, without images."""
        return any(self.weights.values())

    def take_temperature(self, logit_scale: float) -> None:
        """Contrast at CLIP's own temperature: `logit_scale` is 1 / tau, the factor of its cosines."""
        self.scale = logit_scale

    def forward(self, output: Any, batch: Any, step: int) -> dict[str, Tensor]:
        """The weighted losses.

        Args:
            output: `Seen`, the student's outputs for the batch.
        """
        losses: dict[str, Tensor] = {}
        if self.weights["ttdm"]:
            losses["ttdm"] = self.weights["ttdm"] * ttdm(output.e, batch.extra["t"])
        if self.weights["itcl"]:
            alike = same_pairs(batch) if self.settings.negatives == "distinct" else None
            losses["itcl"] = self.weights["itcl"] * itcl(output.e, batch.extra["v"], self.scale, alike)
        if self.weights["icti"]:
            target, mask = batch.inputs.tokens, batch.inputs.mask
            losses["icti"] = self.weights["icti"] * infilling_loss(output.logits, target, mask, batch.extra["written"])
        if self.weights["rehearsal"]:
            losses["rehearsal"] = self.weights["rehearsal"] * output.rehearsal
        return losses


class Seen:
    """A student's outputs for a batch.

    Attributes:
        e: its embeddings of the clean captions, [B, D] of length 1; empty if no loss needs them.
        logits: of every token of the captions, [B, T, V], from the masked ones and the images; empty as above.
        rehearsal: the infilling loss of a batch of texts, a scalar; empty as above.
    """

    def __init__(self, e: Tensor, logits: Tensor, rehearsal: Tensor) -> None:
        self.e, self.logits, self.rehearsal = e, logits, rehearsal


class Alignment(nn.Module):
    """Student and objective as one module, so that accelerate wraps both and one optimizer trains both."""

    def __init__(self, student: BartStudent, objective: Vlkd) -> None:
        super().__init__()
        self.student = student
        self.objective = objective

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self.objective(self.read(batch), batch, step)

    def read(self, batch: Batch) -> Seen:
        """The passes that the enabled losses need: the encoder reads the clean captions, then the masked ones."""
        student, weights = self.student, self.objective.weights
        clean = (batch.inputs.tokens, batch.inputs.mask)
        masked = (batch.extra["masked"], batch.extra["masked_mask"])
        e = logits = rehearsal = clean[0].new_zeros(0, dtype=torch.float32)
        if weights["ttdm"] or weights["itcl"]:
            e = student.embed(student.encode(*clean), clean[1])
        if weights["icti"]:
            memory, seen = student.see(batch.extra["v"], student.encode(*masked), masked[1])
            logits = student.write(memory, seen, clean[0])
        if weights["rehearsal"]:
            rehearsal = text_loss(student, batch.extra)
        return Seen(e, logits, rehearsal)


def ttdm(e: Tensor, t: Tensor) -> Tensor:
    """mean_i ||e_i - t_i||^2 over rows [B, D] of length 1; from 0 to 4."""
    return (e.float() - t).square().sum(1).mean()


def itcl(e: Tensor, v: Tensor, scale: float, alike: Tensor | None = None) -> Tensor:
    """CLIP's symmetric InfoNCE between e and v, [B, D] of length 1, over the rows of all processes.

    Args:
        scale: 1 / tau.
        alike: bool [all rows, all rows], off-diagonal pairs that are not negatives; None: all are negatives.
    """
    logits = products(scale * distributed.gathered(e.float()), distributed.gathered(v))
    if alike is not None:
        logits = logits.masked_fill(alike, -torch.inf)
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


OBJECTIVE = Vlkd
