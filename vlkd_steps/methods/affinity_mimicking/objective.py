"""TinyCLIP's affinity mimicking (Wu et al. 2023): the student's affinities of images and texts follow the teacher's.

docs/papers.md, "Distilling a CLIP". The gradient is that of `relation_distillation` with one fixed temperature.
"""

from torch import Tensor
from torch.nn import functional

from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.two_tower import TwoTower, cosines


class AffinityMimicking(TwoTower):
    """L_distill = (CE(teacher, student) over texts for each image + the same over images for each text) / 2."""

    def distilled(self, image: Tensor, text: Tensor, batch: Batch) -> dict[str, Tensor]:
        student = cosines(image, text) / self.settings.temperature
        teacher = cosines(batch.extra["v"], batch.extra["u"]) / self.settings.temperature
        return {
            "image_to_text": functional.cross_entropy(student, teacher.softmax(1)) / 2,
            "text_to_image": functional.cross_entropy(student.T, teacher.T.softmax(1)) / 2,
        }


OBJECTIVE = AffinityMimicking
