"""Inference with an aligned BART: it answers questions about images and captions them.

Example:
    >>> model = load(Path("model.safetensors"))                               # doctest: +SKIP
    >>> model.answer(["photo.jpg"], ["What color is the bus?"])               # doctest: +SKIP
    ['red']
    >>> model.answer(["photo.jpg"], ["Is it raining?"], among=["yes", "no"])  # doctest: +SKIP
    ['no']
    >>> model.caption(["photo.jpg"])                                          # doctest: +SKIP
    ['a red bus in the rain']
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core.errors import UserError
from vlkd_steps.students import bart, generation
from vlkd_steps.students.bart import BartStudent
from vlkd_steps.students.prompts import CAPTION, QUESTION, Prompt
from vlkd_steps.teachers.models.clip import ClipTeacher

Images = Sequence[str | Path] | Tensor
"""Image files, or CLIP's embeddings of images, float [N, D] of any length."""

EMBEDDED = 64  # images in a CLIP batch


class VisualBart:
    """An aligned BART with its CLIP, which is loaded with the first image file.

    Args:
        student: in evaluation mode.
        clip: its CLIP, if already loaded.
    """

    def __init__(self, student: BartStudent, clip: ClipTeacher | None = None) -> None:
        self.student = student
        self._clip = clip

    def answer(
        self,
        images: Images,
        questions: Sequence[str],
        among: Sequence[str] | None = None,
        prompt: str = QUESTION,
        beams: int = 4,
        most_tokens: int = 20,
    ) -> list[str]:
        """An answer to each of N questions about N images.

        Args:
            among: the answers to choose from, returned as spelled; None: any text of at most `most_tokens` tokens,
                or one more where it does not end.

        Raises:
            UserError: the numbers of images and questions differ, the prompt is invalid or too long for the model, or
                as `generation.write`.
        """
        v = self.see(images)
        if len(v) != len(questions):
            raise UserError(f"{len(v)} images and {len(questions)} questions; give one question per image")
        return generation.write(self.student, v, Prompt.of(prompt), questions, beams, most_tokens, among)

    def caption(self, images: Images, prompt: str = CAPTION, beams: int = 4, most_tokens: int = 40) -> list[str]:
        """A description of each image."""
        v = self.see(images)
        return generation.write(self.student, v, Prompt.of(prompt), [""] * len(v), beams, most_tokens)

    def see(self, images: Images) -> Tensor:
        """CLIP's embeddings, float32 [N, D] of length 1.

        Raises:
            UserError: embeddings of another width, files although the model names no CLIP, or one file for a list.
        """
        if isinstance(images, str | Path):
            raise UserError(
                f"the images are one path, {str(images)!r}; give a list of paths, such as [{str(images)!r}]"
            )
        if isinstance(images, Tensor):
            if images.ndim != 2 or images.shape[1] != self.student.clip_width:
                raise UserError(
                    f"the image embeddings are of shape {list(images.shape)}; this model takes [images, "
                    f"{self.student.clip_width}], those of its own CLIP"
                )
            return functional.normalize(images.float(), dim=1)
        clip = self._clip or self._load_clip()
        parts = [images[start : start + EMBEDDED] for start in range(0, len(images), EMBEDDED)]
        rows = [clip.embed_images([clip.load_image(Path(path)) for path in part]) for part in parts]
        none = np.zeros((0, self.student.clip_width), np.float32)
        return functional.normalize(torch.from_numpy(np.concatenate([none, *rows])), dim=1)

    def _load_clip(self) -> ClipTeacher:
        if self.student.clip is None:
            raise UserError("this model does not name its CLIP, so it takes image embeddings only, not files")
        self._clip = ClipTeacher(self.student.clip, str(self.student.to_clip.weight.device))
        return self._clip


def load(path: Path, device: str = "cpu") -> VisualBart:
    """The model of an exported folder (`bart.export`) or a run's ``model.safetensors``."""
    student = bart.load_folder(path) if path.is_dir() else bart.load(path)
    return VisualBart(student.to(device))
