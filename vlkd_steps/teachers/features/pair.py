"""Two teachers as one feature store: one for images, one for texts (MAD)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.store import FeatureStore


@dataclass(frozen=True)
class TeacherPair:
    """The interface of `FeatureStore` for methods, over the stores of a vision teacher and a text teacher."""

    vision: FeatureStore
    text: FeatureStore

    @property
    def shared_space(self) -> bool:
        """Whether cosines between images and words are meaningful."""
        return False

    def images(self, image_ids: Sequence[str]) -> np.ndarray:
        """v of each image, float32 [N, D_vision]."""
        return self.vision.images(image_ids)

    def patches(self, image_ids: Sequence[str]) -> np.ndarray:
        """The patches of each image, float32 [N, P, W]."""
        return self.vision.patches(image_ids)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """u of each text, float32 [N, D_text]."""
        return self.text.texts(texts)

    def words(self, words: Sequence[str]) -> np.ndarray:
        """The text teacher's vector of each word, float32 [N, D_text]."""
        return self.text.words(words)

    def word_states(self, text: str) -> tuple[list[str], np.ndarray]:
        """The text teacher's states of the words of `text`."""
        return self.text.word_states(text)


def open_stores(teacher: Mapping[str, Any], dataset: str) -> FeatureStore | TeacherPair:
    """The features of a run's teacher or teachers.

    Args:
        teacher: from a job's configuration: ``name``, or ``vision`` and ``text`` with a name each.

    Raises:
        UserError: a store is not finished, or lacks the rows of its role.
    """
    if "vision" not in teacher:
        return FeatureStore.open(layout.features(teacher["name"], dataset))
    stores = {role: FeatureStore.open(layout.features(teacher[role]["name"], dataset)) for role in ("vision", "text")}
    for role, kind in (("vision", "image"), ("text", "text")):
        if not stores[role].has(kind):
            raise UserError(
                f"teacher.{role} is {teacher[role]['name']}, whose features have no {kind}s: it reads "
                f"{'texts' if kind == 'image' else 'images'} only; name a teacher that reads {kind}s"
            )
    return TeacherPair(**stores)
