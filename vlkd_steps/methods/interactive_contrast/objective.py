"""CLIP-KD's interactive contrastive learning, ICL: each of the student's embeddings finds the teacher's other one.

docs/papers.md, "Distilling a CLIP".
"""

from collections.abc import Mapping

from torch import Tensor

from vlkd_steps.data.batches import Batch, IndexedTensor
from vlkd_steps.methods.distances import nce, same_pairs
from vlkd_steps.methods.two_tower import LearnedScale, TwoTower, cosines


class InteractiveContrast(TwoTower):
    """L_distill = (NCE(student's image -> teacher's texts) + NCE(student's text -> teacher's images)) / 2.

    Negatives are the batch's other items but those with the same image or text (choice).
    """

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        super().project(student_width, extra)
        self.scale = LearnedScale(self.settings.temperature)

    def distilled(self, image: Tensor, text: Tensor, batch: Batch) -> dict[str, Tensor]:
        same, scale = same_pairs(batch), self.scale()
        return {
            "image_to_text": nce(scale * cosines(image, batch.extra["u"]), same) / 2,
            "text_to_image": nce(scale * cosines(text, batch.extra["v"]), same) / 2,
        }


OBJECTIVE = InteractiveContrast
