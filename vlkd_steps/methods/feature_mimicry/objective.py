"""CLIP-KD's feature mimicry, FD: the student's embeddings match the teacher's (docs/papers.md, "Distilling a CLIP")."""

from torch import Tensor

from vlkd_steps.data.batches import Batch
from vlkd_steps.methods.distances import mse
from vlkd_steps.methods.two_tower import TwoTower


class FeatureMimicry(TwoTower):
    """L_distill = mse(image, v) + mse(text, u), means over items and dimensions."""

    def distilled(self, image: Tensor, text: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"image": mse(image, batch.extra["v"]).mean(), "text": mse(text, batch.extra["u"]).mean()}


OBJECTIVE = FeatureMimicry
