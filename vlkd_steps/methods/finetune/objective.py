"""The student alone: the task's loss only. The reference for every gain."""

from torch import Tensor

from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.objective import Objective
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput


class Finetune(Objective):
    """L = L_task."""

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"task": task_loss(output.logits, batch.labels)}


OBJECTIVE = Finetune
