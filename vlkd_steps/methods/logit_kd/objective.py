"""Knowledge distillation, a baseline (docs/papers.md, "Baselines"): the student follows the teacher's soft answers.

The teacher gives features and no answers, so they are those of a probe on its features (`targets.soft_answers`).
"""

from typing import Any

import torch
from torch import Tensor

from vlkd_steps.data.batches import Batch, Encoded, IndexedTensor
from vlkd_steps.methods.objective import Objective, as_float
from vlkd_steps.students.heads import scores
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets.target_file import Targets


class LogitKD(Objective):
    """L = L_task + lambda T^2 KL(p_T || softmax(z / T)), z the scores that rank the student's answers or choices.

    p_T is proportional to p^(1/T), over the likeliest answers that were kept. An item without soft answers adds 0.
    """

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        assert targets is not None
        assert targets.answers is not None
        p, least = as_float(targets.answers.probabilities), torch.finfo(torch.float32).tiny
        likely = (p / p.amax(1, keepdim=True).clamp(min=least)) ** (1 / self.settings.temperature)  # the largest is 1
        likely /= likely.sum(1, keepdim=True).clamp(min=least)
        return {"answers": torch.tensor(targets.answers.classes, dtype=torch.int64), "likely": likely}

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        temperature = self.settings.temperature
        said = (scores(output.logits) / temperature).log_softmax(1).gather(1, batch.extra["answers"])
        likely = batch.extra["likely"]
        divergence = (torch.xlogy(likely, likely) - likely * said).sum(1)
        answers = self.settings.lambda0 * temperature**2 * divergence.mean()
        return super().forward(output, batch, step) | {"answers": answers}


OBJECTIVE = LogitKD
