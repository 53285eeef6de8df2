"""CLIP-KD's contrastive relational distillation, CRD: the student's similarities within a batch follow the teacher's.

docs/papers.md, "Distilling a CLIP". Not Tian et al.'s contrastive *representation* distillation.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional

from vlkd_steps.data.batches import Batch, Encoded, IndexedTensor
from vlkd_steps.methods.two_tower import LearnedScale, TwoTower, cosines
from vlkd_steps.teachers.targets.target_file import Targets


class RelationDistillation(TwoTower):
    """L_distill = (KL(teacher || student) over texts for each image + the same over images for each text) / 2.

    The teacher's cosines are divided by its own temperature, the student's by a learned one.
    """

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        self.teacher_temperature = store.temperature
        return super().prepare(data, store, seed, targets)

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        super().project(student_width, extra)
        self.scale = LearnedScale(self.settings.temperature)

    def distilled(self, image: Tensor, text: Tensor, batch: Batch) -> dict[str, Tensor]:
        student = self.scale() * cosines(image, text)
        teacher = cosines(batch.extra["v"], batch.extra["u"]) / self.teacher_temperature
        return {
            "image_to_text": divergence(student, teacher) / 2,
            "text_to_image": divergence(student.T, teacher.T) / 2,
        }


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of the distributions over each row's columns, from logits [B, B]: the mean over rows."""
    of_student, of_teacher = functional.log_softmax(student, 1), functional.log_softmax(teacher, 1)
    return functional.kl_div(of_student, of_teacher, reduction="batchmean", log_target=True)


OBJECTIVE = RelationDistillation
