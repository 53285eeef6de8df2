"""Naive distillation, a baseline (docs/papers.md, "Baselines"): the student's [CLS] matches the teacher's embeddings.

No token selection, no weight per instance, no adaptive stage.
"""

from torch import Tensor

from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.distances import DISTANCES
from vlkd_steps.methods.two_targets import TwoTargets
from vlkd_steps.students.output import StudentOutput


class NaiveKD(TwoTargets):
    """L = L_task + lambda(t) (d([CLS], LN(v)) + d([CLS], LN(u))), each with its own projection.

    lambda(t) = lambda0, or lambda0 (1 - t/T) with ``anneal: linear``.
    """

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        distance = DISTANCES[self.settings.distance]
        strength = self.settings.lambda0
        if self.settings.anneal == "linear":
            strength *= 1 - step / self.steps
        return super().forward(output, batch, step) | {
            "image": strength * distance(self.to_image(output.cls), batch.extra["v"]).mean(),
            "text": strength * distance(self.to_text(output.cls), batch.extra["u"]).mean(),
        }


OBJECTIVE = NaiveKD
