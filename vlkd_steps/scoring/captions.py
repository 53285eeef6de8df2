"""``score captions``: BLEU, METEOR, ROUGE-L, CIDEr and SPICE of a COCO results list."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.core.records import shown
from vlkd_steps.metrics import captioning, ptb_tokenizer
from vlkd_steps.scoring import results as result_lists
from vlkd_steps.scoring.results import FORMAT, Faults


def measure(annotations: Path, results: Path, images: Path | None = None) -> dict[str, Any]:
    """The metrics times 100 with two decimals, which of them could not run here and why, and the tokenizer.

    Raises:
        UserError: a file is not in its format, or the two belong to different images.
    """
    references = read_references(annotations)
    if images:
        chosen = read_images(images)
        result_lists.match(annotations, references.keys() & chosen, chosen, "images", images, "caption")
        references = {image: references[image] for image in chosen}
    candidates = result_lists.read(results, "image_id", int, "caption")
    result_lists.match(results, candidates, references, "images", images or annotations)
    found = captioning.score(references, candidates)
    return {
        "metrics": found.metrics,
        "left_out": found.left_out,
        "tokenizer": found.tokenizer,
        "images": len(references),
        "references": sum(map(len, references.values())),
    }


def rows(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    return list(metrics["metrics"].items())


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """The size, and one line for each thing that is not as the official evaluation has it."""
    lines = [f"{metrics['images']:,} images, {metrics['references']:,} references; all metrics times 100"]
    lines += [f"{name} left out: {reason}" for name, reason in metrics["left_out"].items()]
    if metrics["tokenizer"] != ptb_tokenizer.JAVA:
        lines.append(
            f"tokenizer: {metrics['tokenizer']} (Java does not run here); numbers may differ in their second decimal"
        )
    return lines


def read_references(path: Path) -> dict[int, list[str]]:
    """The captions of every image that has any, images in the order of their first caption.

    Raises:
        UserError: the file is not in COCO's format, a caption is empty, or there is none.
    """
    references: dict[int, list[str]] = {}
    for number, record in enumerate(records.array(path, "annotations")):
        where = f"annotations[{number}]"
        image = records.field(record, "image_id", int, path, where)
        caption = records.field(record, "caption", str, path, where)
        if not caption.strip():
            raise records.complaint(path, f"{where}.caption", "is empty", FORMAT)
        references.setdefault(image, []).append(caption)
    if not references:
        raise records.complaint(path, "annotations", "is empty", FORMAT)
    return references


def read_images(path: Path) -> dict[int, None]:
    """Image ids in the file's order.

    Raises:
        UserError: the file is no list of whole numbers, is empty, or names an image twice.
    """
    ids = records.document(path)
    if type(ids) is not list or not ids:
        raise records.complaint(path, "", f"must be a list of image ids, not {shown(ids)}", FORMAT)
    wrong = Faults.of(shown(image) for image in ids if type(image) is not int)
    if wrong:
        raise records.complaint(path, "", f"{wrong.count:,} image ids are no whole numbers; first: {wrong.first}")
    chosen = dict.fromkeys(ids)
    if len(chosen) < len(ids):
        raise records.complaint(path, "", f"names {len(ids) - len(chosen):,} images a second time")
    return chosen
