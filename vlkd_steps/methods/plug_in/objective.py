"""plug_in, the baseline that keeps its teacher: the teacher's patches are the student's visual input.

As CLIP-ViL plugs CLIP's image encoder into a vision-language model (docs/papers.md, "Baselines"). Nothing is distilled:
the teacher's last feature map, layer-normalised and projected, replaces the student's own patch embeddings, at
inference too.
"""

from torch import Tensor

from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.objective import Objective
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput


class PlugIn(Objective):
    """L = L_task; the patches come from `students.seen_patches`."""

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"task": task_loss(output.logits, batch.labels)}


OBJECTIVE = PlugIn
