"""Small data sets in the official formats, written for tests."""

import json
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_lines(path: Path, values: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def write_images(folder: Path, names: list[str]) -> None:
    """Noise that differs for every name and position in the list: equal images would count as leaks."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        noise = Random(f"{number}/{name}").randbytes(8 * 8 * 3)
        Image.frombytes("RGB", (8, 8), noise).save(folder / name)


def question(number: int, image: int, text: str = "What is it?") -> dict[str, Any]:
    return {"question_id": number, "image_id": image, "question": text}


def annotation(number: int, image: int, answers: list[str], kind: str = "what is") -> dict[str, Any]:
    """`answers` are given in turn by the ten annotators; the first is the multiple choice answer."""
    given = [answers[i % len(answers)] for i in range(10)]
    return {
        "question_id": number,
        "image_id": image,
        "question_type": kind,
        "answer_type": "other",
        "multiple_choice_answer": answers[0],
        "answers": [{"answer_id": i + 1, "answer": a, "answer_confidence": "yes"} for i, a in enumerate(given)],
    }


def pair(pair_id: str, image: str, label: str, text: str, key: str = "Flickr30K_ID") -> dict[str, Any]:
    return {"pairID": pair_id, key: image, "gold_label": label, "sentence1": "A caption.", "sentence2": text}


def vqa(folder: Path, split: str, questions: list[Any], annotations: list[Any] | None) -> dict[str, str | None]:
    """Write one split and return its entry in the conf's `files`."""
    write_json(folder / f"{split}_q.json", {"info": {}, "questions": questions})
    if annotations is not None:
        write_json(folder / f"{split}_a.json", {"annotations": annotations, "info": {}})
    annotated = f"{split}_a.json" if annotations is not None else None
    return {"questions": f"{split}_q.json", "annotations": annotated, "images": None}


def vqa_conf(files: dict[str, Any], minimum: int = 1, **more: Any) -> dict[str, Any]:
    splits = [split for split in files if split == "train"]
    return {
        "name": "mine",
        "task": "vqa",
        "source": "mine",
        "reader": "vqa_v2",
        "files": files,
        "image_name": "{image_id}.png",
        "vocabulary": {"minimum": minimum, "splits": splits},
        **more,
    }


def vcr_annotation(number: int, **more: Any) -> dict[str, Any]:
    """One line of a VCR file; its image is ``film/<number + 1>.png`` with two objects."""
    return {
        "objects": ["person", "cup"],
        "img_fn": f"film/{number + 1}.png",
        "metadata_fn": f"film/{number + 1}.json",
        "question": ["What", "does", [0], "do", "?"],
        "answer_choices": [[[0, 1], "rest", "."], ["He", "rests", "."], ["She", "runs", "."], ["They", "run", "."]],
        "answer_label": 0,
        "answer_orig": "1 and 2 rest.",
        "rationale_choices": [["a", "b", "."], ["c", "d", "."], [[1], "falls", "."], [[0], "sits", "."]],
        "rationale_label": 3,
        "img_id": f"val-{number}",
        "annot_id": f"val-{number}",
        "match_fold": "val-0",
        "match_index": number,
        **more,
    }
