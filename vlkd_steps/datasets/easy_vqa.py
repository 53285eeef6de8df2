"""The PyPI package easy-vqa (Victor Zhou, MIT): 64x64 images of one shape, turned into the official formats.

The package holds ``{train,test}/questions.json``, a list of [question, answer, image number], and
``{train,test}/images/<number>.png``. Both count images from 0, so test images get their own range of
ids here. Each question gets ten equal annotators. A share of the training images, chosen by hash, is set
aside as split `adapt`: their questions are never written, only captions made from the answers, for a
teacher that has to be adapted to these images without seeing an image of any low-shot subset.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vlkd_steps.core import files, records
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position

TEST_OFFSET = 100_000
"""Added to the number of a test image, so that an id means one image."""

SHAPES = ("circle", "rectangle", "triangle")
COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
ANNOTATORS = 10

QUESTION_TYPES = (
    "does the image contain a",
    "does the image not contain a",
    "is a",
    "is no",
    "is there a",
    "is there not a",
    "what color is the",
    "what is the color of the",
    "what is the",
    "what shape does the image contain",
    "what shape is",
)
"""How the questions begin; the longest that fits is the question's type, as in VQA v2."""


class Question(NamedTuple):
    text: str
    answer: str
    image: int  # the package's number


def convert(package: Path, folder: Path, source: Mapping[str, Any]) -> None:
    """Write `package`'s data as VQA v2 questions and annotations and COCO captions.

    Args:
        package: the package's ``data`` folder.
        folder: the raw folder to fill: ``vqa/{train,test}_{questions,annotations}.json``,
            ``captions/adapt.json``, ``images/{train,adapt,test}/<image id>.png``.
        source: the conf; ``adapt_share`` of the training images is set aside.

    Raises:
        UserError: a record that is not [question, answer, image number], or a missing image.
    """
    share = source["adapt_share"]
    if not 0 <= share < 1:
        raise UserError(f"source {source['name']}: adapt_share is {share}, it must be in [0, 1)")
    test = _read(package / "test" / "questions.json", TEST_OFFSET)
    training = _read(package / "train" / "questions.json", 0)
    adapt = {image for image in training if position(str(image), "adapt") < share}
    train = {image: questions for image, questions in training.items() if image not in adapt}

    _write_vqa(folder / "vqa", "train", train)
    _write_vqa(folder / "vqa", "test", test)
    captions = {image: text for image in sorted(adapt) if (text := caption(training[image]))}
    _write_captions(folder / "captions" / "adapt.json", captions)
    _copy_images(package / "train", folder / "images" / "train", train, 0)
    _copy_images(package / "train", folder / "images" / "adapt", captions, 0)
    _copy_images(package / "test", folder / "images" / "test", test, TEST_OFFSET)


def question_type(text: str) -> str:
    """The longest of `QUESTION_TYPES` that the question begins with, else "none of the above"."""
    fitting = [kind for kind in QUESTION_TYPES if text.startswith(kind + " ") or text.rstrip("?") == kind]
    return max(fitting, key=len, default="none of the above")


def caption(questions: Iterable[Question]) -> str:
    """What an image's questions and answers say about it: "a red circle", "a red shape", "a circle" or "".

    A colour or a shape is known if it was the answer, or if a question about its presence was affirmed.
    """
    color = shape = ""
    for question in questions:
        words = re.findall(r"[a-z]+", question.text)
        if question.answer in ("yes", "no"):
            affirmed = (question.answer == "yes") != ("not" in words or "no" in words)
            found = [word for word in words if word in COLORS or word in SHAPES] if affirmed else []
        else:
            found = [question.answer, *(word for word in words if word in COLORS or word in SHAPES)]
        for word in found:
            color = word if word in COLORS else color
            shape = word if word in SHAPES else shape
    return f"a {color} {shape or 'shape'}" if color else f"a {shape}" if shape else ""


def _read(path: Path, offset: int) -> dict[int, list[Question]]:
    """Questions by image id, in the file's order."""
    questions: dict[int, list[Question]] = {}
    content = records.document(path)
    if type(content) is not list:
        raise records.complaint(path, "", "must be a list of questions")
    for number, record in enumerate(content):
        if type(record) is not list or [type(value) for value in record] != [str, str, int]:
            raise records.complaint(path, f"[{number}]", "must be [question, answer, image number]")
        questions.setdefault(record[2] + offset, []).append(Question(*record))
    return questions


def _write_vqa(folder: Path, split: str, questions: Mapping[int, list[Question]]) -> None:
    asked, annotated = [], []
    for image_id in sorted(questions):
        for number, question in enumerate(questions[image_id]):
            ids = {"question_id": image_id * 1000 + number, "image_id": image_id}  # official ids are built like this
            asked.append({**ids, "question": question.text})
            answers = [
                {"answer_id": annotator, "answer": question.answer, "answer_confidence": "yes"}
                for annotator in range(1, ANNOTATORS + 1)
            ]
            annotated.append(
                {
                    **ids,
                    "question_type": question_type(question.text),
                    "answer_type": "yes/no" if question.answer in ("yes", "no") else "other",
                    "multiple_choice_answer": question.answer,
                    "answers": answers,
                }
            )
    head = {"data_type": "easy-vqa", "data_subtype": split}
    files.write_json(folder / f"{split}_questions.json", {**head, "task_type": "Open-Ended", "questions": asked})
    files.write_json(folder / f"{split}_annotations.json", {**head, "annotations": annotated})


def _write_captions(path: Path, captions: Mapping[int, str]) -> None:
    images = [{"id": image, "file_name": f"{image}.png", "height": 64, "width": 64} for image in captions]
    annotations = [{"id": image, "image_id": image, "caption": text} for image, text in captions.items()]
    files.write_json(path, {"images": images, "annotations": annotations})


def _copy_images(package: Path, folder: Path, images: Iterable[int], offset: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        image_file = package / "images" / f"{image - offset}.png"
        if not image_file.is_file():
            raise records.complaint(package / "questions.json", "", f"the image {image_file} is missing")
        shutil.copyfile(image_file, folder / f"{image}.png")
