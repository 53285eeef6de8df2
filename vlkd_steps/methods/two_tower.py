"""What methods share that were made to distil a CLIP into a smaller one (docs/papers.md, "Distilling a CLIP").

Such a student has two towers; ours has one, in which image and text attend to each other. Its mean visual token stands
for the image tower's output and [CLS] for the text tower's (choice, as in CLIP-TD's adaptive stage).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlkd_steps.core import distributed
from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.distances import products
from vlkd_steps.methods.schedules import SCHEDULES
from vlkd_steps.methods.two_targets import TwoTargets
from vlkd_steps.methods.two_tower_settings import TwoTowerSettings
from vlkd_steps.students.output import StudentOutput


class TwoTower(TwoTargets):
    """L = L_task + lambda(t) L_distill, with lambda(t) = lambda0 s(t / T), s the `lambda_schedule`.

    The student's two embeddings are projected to the teacher's widths, and all four have length 1.
    """

    def __init__(self, settings: TwoTowerSettings, steps: int) -> None:
        super().__init__(settings, steps)
        self.schedule = SCHEDULES[settings.lambda_schedule]

    def as_target(self, embeddings: Tensor) -> Tensor:
        return functional.normalize(embeddings, dim=-1)

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        image = functional.normalize(self.to_image(output.seen).float(), dim=-1)
        text = functional.normalize(self.to_text(output.cls).float(), dim=-1)
        strength = self.settings.lambda0 * self.schedule(step / self.steps)
        distilled = self.distilled(image, text, batch)
        return super().forward(output, batch, step) | {k: strength * x for k, x in distilled.items()}

    def distilled(self, image: Tensor, text: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The scalar terms of L_distill by name.

        Args:
            image, text: the student's embeddings, [B, D] of length 1, as the teacher's, ``batch.extra["v"]`` and
                ``batch.extra["u"]``.
        """
        raise TypeError(f"{type(self).__name__} does not define distilled")


def cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """[B, B] of vectors of length 1, [B / N, D] in each of N processes: the rows of all with the columns of all."""
    return products(distributed.gathered(rows), distributed.gathered(columns))


class LearnedScale(nn.Module):
    """1 / tau, by which cosines are multiplied: trained from a given tau on, at most 100, as CLIP's.

    The limit is on the parameter: one on the result would leave no gradient by which it could come back.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self) -> Tensor:
        with torch.no_grad():
            self.log.clamp_(max=math.log(100))
        return self.log.exp()
