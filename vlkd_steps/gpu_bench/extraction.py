"""Extraction of CLIP's features from images and texts in memory."""

from collections.abc import Callable, Iterator

import torch

from vlkd_steps.gpu_bench import card, timing
from vlkd_steps.gpu_bench.cases import Teacher, conf
from vlkd_steps.gpu_bench.results import Line
from vlkd_steps.teachers.models import clip

MOST = 8192
"""Images of the largest batch that is tried."""
QUESTION = "what is the colour of the large object on the left of the small image there"


def measured(case: Teacher, device: torch.device, precision: str, seconds: float) -> Iterator[Line]:
    """Two lines: images and texts."""
    described = {key: value for key, value in conf("teacher", case.conf).items() if key != "weights"}
    described["precision"] = precision
    teacher = clip.ClipTeacher(described, device.type)
    side = teacher.model.visual.image_size
    side = side if isinstance(side, int) else side[0]
    images = list(torch.randint(256, (case.images, 3, side, side), dtype=torch.uint8))
    on_device = teacher.pixels.batch(images)
    words = QUESTION.split()
    texts = [" ".join(words[number % 5 : 8 + number % 8]) for number in range(case.texts)]
    tokens = teacher.tokenizer(teacher.in_template(texts))

    def bare_images() -> None:
        with teacher.computing():
            teacher.model.encode_image(on_device)

    def bare_texts() -> None:
        with teacher.computing():
            teacher.text_tower.encode(tokens)

    def of(count: int) -> None:
        with teacher.computing():
            teacher.model.encode_image(torch.randn(count, 3, side, side, device=device))

    peak = card.of(device, teacher.computing.precision).peak

    def line(what: str, items: int, ours: Callable[[], object], bare: Callable[[], object]) -> Line:
        timing.forget()
        took = timing.repeated(ours, seconds, device)
        memory = timing.peak_memory(device)  # before the operations are counted, which takes more
        return Line(
            f"{case.name}, {what}",
            items,
            took,
            timing.operations(bare) / took / peak,
            bare=timing.repeated(bare, seconds, device),
            memory=memory,
            largest=timing.largest(of, items, MOST) if what == "images" and device.type == "cuda" else None,
        )

    yield line("images", case.images, lambda: teacher.embed_images(images), bare_images)
    yield line("texts", case.texts, lambda: teacher.embed_texts(texts), bare_texts)
