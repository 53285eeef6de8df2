"""Writes the embedded benchmark in the official formats of VQA v2, SNLI-VE, VCR v1 and COCO captions.

    images/<split>/COCO_<split>_<12 digits>.png        48 x 48 RGB
    vqa/<split>_questions.json, <split>_annotations.json
    snli_ve/<split>.jsonl                              Flickr30K_ID is the image's id
    vcr/<split>.jsonl, vcr/metadata/<split>/*.json     img_fn is relative to images/, metadata_fn to vcr/metadata/
    captions/<split>.json

The split ``pretrain`` has images and captions only: the small, biased corpus of students.
"""

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from vlkd_steps.benchmarks.scenes import captions, drawing, hypotheses, questions, vcr, world
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive

DEFAULTS: dict[str, Any] = {
    "train": 4000,
    "dev": 800,
    "test": 2500,
    "unseen_pairs": 2000,
    "other_style": 1300,
    "pretrain": 2000,
    "questions_per_image": 2,
    "vcr_per_image": 2,
    "captions_per_image": 3,
    "styles": ["sticker", "noisy", "flat"],
    "other_style_name": "outline",
    "pretrain_style": "sticker",
    "pretrain_colors": ["red", "green", "blue", "yellow"],
}
"""All keys of the configuration: images of each split, and how they look."""
PER_IMAGE = {"vqa_v2": "questions_per_image", "vcr": "vcr_per_image", "captions": "captions_per_image"}
"""Reader of a format -> the key that says how many items of an image it has; hypotheses are one of each class."""

SPLITS = ("train", "dev", "test", "unseen_pairs", "other_style", "pretrain")
FOLDERS = ("images", "vqa", "snli_ve", "vcr", "captions")
_BLOCK = 500  # scenes in memory at a time

_INFO = {"description": "scenes: the embedded benchmark of vlkd-steps", "version": "1.0", "year": 2026}
_LICENSE = {"id": 1, "name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}


@dataclass(frozen=True)
class Split:
    """One group of files: how many images, which objects they show, what its texts are about, how they look."""

    name: str
    images: int
    pairs: Sequence[world.Pair]
    about: Sequence[world.Pair]
    styles: Sequence[str]
    labelled: bool = True
    kinds: Mapping[str, float] = field(default_factory=lambda: hypotheses.KINDS)

    def image_id(self, number: int) -> int:
        """Unique over all splits."""
        return (SPLITS.index(self.name) + 1) * 1_000_000 + number

    def file_stem(self, number: int) -> str:
        return f"COCO_{self.name}_{self.image_id(number):012d}"


@dataclass(frozen=True)
class Scene:
    """One scene of a split: its number, visible objects and covered cell."""

    number: int
    things: list[world.Thing]
    cover: int


def write(folder: Path, config: dict[str, Any], seed: int) -> None:
    """Write the whole benchmark into `folder`; equal arguments give equal bytes.

    What an earlier call left in the five subfolders is removed first. The caller marks the folder as
    complete (the raw manifest), since a killed call leaves part of the files.

    Args:
        folder: usually ``layout.raw("scenes")``.
        config: any of the keys of DEFAULTS.
        seed: the benchmark's seed.

    Raises:
        UserError: a key or a value of `config` is not known.
    """
    chosen = splits(config)
    settings = {**DEFAULTS, **config}
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for split in chosen:
        _write_split(folder, split, settings, seed)


def splits(config: dict[str, Any]) -> list[Split]:
    """The splits of a configuration.

    Raises:
        UserError: a key or a value of `config` is not known.
    """
    _check(config)
    settings = {**DEFAULTS, **config}
    styles, other = settings["styles"], [settings["other_style_name"]]
    colors = {world.COLORS.index(color) for color in settings["pretrain_colors"]}
    few = [pair for pair in world.SEEN if pair[0] in colors]
    return [
        *(Split(name, settings[name], world.SEEN, world.SEEN, styles) for name in ("train", "dev", "test")),
        Split("unseen_pairs", settings["unseen_pairs"], world.PAIRS, world.HELD_OUT, styles, kinds={"pair": 1.0}),
        Split("other_style", settings["other_style"], world.SEEN, world.SEEN, other),
        Split("pretrain", settings["pretrain"], few, few, [settings["pretrain_style"]], labelled=False),
    ]


def _check(config: dict[str, Any]) -> None:
    unknown = sorted(set(config) - set(DEFAULTS))
    if unknown:
        raise UserError(f"scenes: unknown key {unknown[0]!r}; the keys are {', '.join(DEFAULTS)}")
    settings = {**DEFAULTS, **config}
    for name in (*SPLITS, "questions_per_image", "vcr_per_image", "captions_per_image"):
        value = settings[name]
        if not isinstance(value, int) or not 1 <= value < 1_000_000:
            raise UserError(f"scenes: {name} is {value!r}; write a whole number from 1 to 999999")
    known = {"style": world.STYLES, "color": world.COLORS}
    named = [("style", "styles", style) for style in settings["styles"]]
    named += [("style", key, settings[key]) for key in ("other_style_name", "pretrain_style")]
    named += [("color", "pretrain_colors", color) for color in settings["pretrain_colors"]]
    for kind, key, value in named:
        if value not in known[kind]:
            raise UserError(f"scenes: {key} names the {kind} {value!r}; there are {', '.join(known[kind])}")
    if not settings["styles"] or not settings["pretrain_colors"]:
        raise UserError("scenes: styles and pretrain_colors must each name at least one")
    if settings["other_style_name"] in settings["styles"]:
        raise UserError(
            f"scenes: other_style_name {settings['other_style_name']!r} is among styles, "
            "so no style would be new to the student; take it out of one of them"
        )


def _write_split(folder: Path, split: Split, settings: dict[str, Any], seed: int) -> None:
    scenes: list[Scene] = []
    for block in blocks(split, seed):
        first = len(scenes)
        scenes += [
            Scene(first + i, things, cover)
            for i, (things, cover) in enumerate(zip(block.things(), block.cover.tolist(), strict=True))
        ]
        pixels = drawing.draw(block, np.random.default_rng(derive(seed, "scenes pixels", split.name, first)))
        _write_images(folder / "images" / split.name, split, first, pixels)
        if split.labelled:
            _write_metadata(folder / "vcr" / "metadata" / split.name, split, first, block)
    described = _describe(split, scenes, settings["captions_per_image"], seed)
    _write_captions(folder / "captions", split, described)
    if split.labelled:
        _write_vqa(folder / "vqa", split, scenes, settings["questions_per_image"], seed)
        _write_snli_ve(folder / "snli_ve", split, scenes, [texts[0] for texts in described], seed)
        _write_vcr(folder / "vcr", split, scenes, settings["vcr_per_image"], seed)


def blocks(split: Split, seed: int) -> Iterator[world.Scenes]:
    """The split's scenes, some hundreds at a time: the ground truth of its images."""
    for first in range(0, split.images, _BLOCK):
        generator = np.random.default_rng(derive(seed, "scenes world", split.name, first))
        yield world.sample(
            min(_BLOCK, split.images - first), generator, pairs=split.pairs, lead=split.about, styles=split.styles
        )


def _write_images(folder: Path, split: Split, first: int, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(png(pixels)):
        _write_new(f"{folder}/{split.file_stem(first + i)}.png", data)


def _write_new(path: str, data: bytes) -> None:
    """Write a small file that does not exist yet: three system calls where ``open`` needs seven."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def png(images: np.ndarray) -> Iterator[bytes]:
    """Encode uint8 RGB [N, H, W, 3] as PNG files (no row filter, fast compression: four times Pillow's speed)."""
    n, height, width, _ = images.shape
    rows = np.zeros((n, height, 1 + 3 * width), np.uint8)  # every row begins with its filter's number, 0 = none
    rows[:, :, 1:] = images.reshape(n, height, 3 * width)
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0]))
    tail = _chunk(b"IEND", b"")
    for image in rows:
        yield head + _chunk(b"IDAT", zlib.compress(image.tobytes(), 1)) + tail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _write_metadata(folder: Path, split: Split, first: int, block: world.Scenes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, record in enumerate(vcr.metadata(block)):
        _write_new(f"{folder}/{split.file_stem(first + i)}.json", json.dumps(record).encode())


def _describe(split: Split, scenes: list[Scene], number: int, seed: int) -> list[list[str]]:
    """The captions of every scene."""
    random = Random(derive(seed, "scenes captions", split.name))
    return [[captions.caption(scene.things, scene.cover, random) for _ in range(number)] for scene in scenes]


def _write_captions(folder: Path, split: Split, described: list[list[str]]) -> None:
    images = [
        {
            "file_name": f"{split.file_stem(i)}.png",
            "height": drawing.WIDTH,
            "id": split.image_id(i),
            "license": 1,
            "width": drawing.WIDTH,
        }
        for i in range(len(described))
    ]
    annotations = [
        {"caption": text, "id": split.image_id(i) * 10 + k, "image_id": split.image_id(i)}
        for i, texts in enumerate(described)
        for k, text in enumerate(texts)
    ]
    _write_compact(
        folder / f"{split.name}.json",
        {"annotations": annotations, "images": images, "info": _INFO, "licenses": [_LICENSE], "type": "captions"},
    )


def _write_vqa(folder: Path, split: Split, scenes: list[Scene], number: int, seed: int) -> None:
    asker = questions.Asker(split.about, Random(derive(seed, "scenes questions", split.name)))
    random = Random(derive(seed, "scenes annotators", split.name))
    asked, annotations = [], []
    for scene in scenes:
        image_id = split.image_id(scene.number)
        for k, question in enumerate(asker.ask(scene.things, number)):
            question_id = image_id * 10 + k
            asked.append({"image_id": image_id, "question": question.text, "question_id": question_id})
            annotations.append(
                {
                    "answer_type": questions.ANSWER_TYPES.get(question.kind, "other"),
                    "answers": questions.annotate(question, random),
                    "image_id": image_id,
                    "multiple_choice_answer": question.answer,
                    "question_id": question_id,
                    "question_type": questions.QUESTION_TYPES[question.kind],
                }
            )
    common = {"data_subtype": split.name, "data_type": "scenes", "info": _INFO, "license": _LICENSE}
    _write_compact(folder / f"{split.name}_questions.json", {**common, "questions": asked, "task_type": "Open-Ended"})
    _write_compact(folder / f"{split.name}_annotations.json", {**common, "annotations": annotations})


def _write_snli_ve(folder: Path, split: Split, scenes: list[Scene], sentences: list[str], seed: int) -> None:
    random = Random(derive(seed, "scenes hypotheses", split.name))
    lines = []
    for scene in scenes:
        image_id = split.image_id(scene.number)
        caption_id = f"{split.file_stem(scene.number)}.png#0"
        for hypothesis in hypotheses.propose(scene.things, scene.cover, split.about, random, split.kinds):
            lines.append(
                {
                    "Flickr30K_ID": str(image_id),
                    "annotator_labels": hypotheses.annotate(hypothesis.label, random),
                    "captionID": caption_id,
                    "gold_label": hypothesis.label,
                    "pairID": f"{caption_id}r1{hypothesis.label[0]}",
                    "sentence1": sentences[scene.number],
                    "sentence2": hypothesis.text,
                }
            )
    _write_lines(folder / f"{split.name}.jsonl", lines)


def _write_vcr(folder: Path, split: Split, scenes: list[Scene], number: int, seed: int) -> None:
    random = Random(derive(seed, "scenes vcr", split.name))
    lines: list[dict[str, Any]] = []
    for scene in scenes:
        stem = f"{split.name}/{split.file_stem(scene.number)}"
        for k in range(number):
            lines.append(
                {
                    **vcr.item(scene.things, split.about, random, drawn=split.pairs),
                    "annot_id": f"{split.name}-{len(lines)}",
                    "answer_likelihood": "likely",
                    "img_fn": f"{stem}.png",
                    "img_id": f"{split.name}-{scene.number}",
                    "interesting_scores": [1],
                    "match_fold": f"{split.name}-0",
                    "match_index": len(lines),
                    "metadata_fn": f"{stem}.json",
                    "movie": "scenes",
                    "question_number": k,
                }
            )
    _write_lines(folder / f"{split.name}.jsonl", lines)


def _write_compact(path: Path, value: Any) -> None:
    files.write_text(path, json.dumps(value) + "\n")


def _write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    files.write_text(path, "".join(json.dumps(record) + "\n" for record in records))
