"""COCO's caption files against a results list, without Java (with it: tests/evaluation/test_captioning.py)."""

import json
from pathlib import Path
from typing import Any

import pytest
from official_files import write_json

from vlkd_steps.cli import score
from vlkd_steps.core import records

COCO = [(1, "A cat sits."), (1, "The cat is on a mat."), (2, "Two dogs run."), (5, "A red bus.")]


@pytest.fixture(autouse=True)
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


def run(tmp_path: Path, captions: list[Any], results: list[Any], images: Any = None) -> int:
    annotations = [{"id": n, "image_id": image, "caption": text} for n, (image, text) in enumerate(captions)]
    paths = [
        write_json(tmp_path / "captions.json", {"images": [], "annotations": annotations}),
        write_json(tmp_path / "R.json", [{"image_id": image, "caption": text} for image, text in results]),
    ]
    arguments = ["--annotations", str(paths[0]), "--results", str(paths[1]), "--out", str(tmp_path / "m.json")]
    if images is not None:
        arguments += ["--images", str(write_json(tmp_path / "ids.json", images))]
    return score.main(["captions", *arguments])


def found(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "m.json").read_text())


def test_perfect_captions(tmp_path: Path) -> None:
    assert run(tmp_path, COCO, [(2, "two dogs run"), (5, "a red bus!"), (1, "The cat is on a mat.")]) == 0
    metrics = found(tmp_path)
    assert metrics["metrics"]["BLEU-1"] == metrics["metrics"]["ROUGE-L"] == 100.0
    assert (metrics["images"], metrics["references"]) == (3, 4)
    assert sorted(metrics["left_out"]) == ["METEOR", "SPICE"]
    assert metrics["tokenizer"] == "Python stand-in for PTBTokenizer"


def test_some_images_alone(tmp_path: Path) -> None:
    """CIDEr's word weights are those of the scored images, as if the others were not in the file."""
    results = [(1, "a cat is on a mat"), (5, "a bus")]
    assert run(tmp_path, COCO, results, [5, 1]) == 0
    chosen = found(tmp_path)
    assert run(tmp_path, [each for each in COCO if each[0] != 2], results) == 0
    assert found(tmp_path)["metrics"] == chosen["metrics"]
    assert (chosen["images"], sorted(chosen["inputs"])) == (2, ["annotations", "images", "results"])


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    results = [(1, "a cat is on a mat"), (5, "a bus"), (2, "dogs run")]
    assert run(tmp_path, COCO, results) == 0
    first = found(tmp_path)["metrics"]
    assert run(tmp_path, COCO[::-1], results[::-1]) == 0
    assert found(tmp_path)["metrics"] == first


@pytest.mark.parametrize(
    ("captions", "results", "images", "message"),
    [
        (COCO, [(1, "x"), (2, "x")], None, "1 of 3 images have no result; first: 5"),
        (COCO, [(n, "x") for n in (1, 2, 5, 6)], None, "1 results are for other images; first: 6"),
        (COCO, [(n, "x") for n in (1, 2, 5, 5)], None, "1 of 4 results repeat an earlier image_id; first: 5"),
        (COCO, [("1", "x")], None, 'first: [0].image_id is "1", not a whole number'),
        (COCO, [], [1, 9], "ids.json: 1 of 2 images have no caption; first: 9; give captions of"),
        (COCO, [], [1, "2"], 'ids.json: 1 image ids are no whole numbers; first: "2"'),
        (COCO, [], [1, 1], "ids.json: names 1 images a second time"),
        (COCO, [], {"ids": [1]}, "ids.json: must be a list of image ids, not {"),
        ([(1, " ")], [], None, "annotations[0].caption: is empty"),
        ([(1, "...")], [(1, "a cat")], None, "no reference caption holds a word, only punctuation"),
        ([], [], None, "captions.json: annotations: is empty"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, captions: Any, results: Any, images: Any, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, captions, results, images) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.json").exists()


def test_100_real_images(tmp_path: Path, shared_data: Path) -> None:
    """The first caption of each against its others; golden: COCOEvalCap of pycocoevalcap 1.2, with Java's tokenizer."""
    path = shared_data / "coco_captions_text" / "captions_val2017.json.gz"
    by_image: dict[int, list[str]] = {}
    for record in records.array(path, "annotations"):
        by_image.setdefault(record["image_id"], []).append(record["caption"])
    images = sorted(by_image)[:100]
    captions = [(image, text) for image in images for text in by_image[image][1:]]
    assert run(tmp_path, captions, [(image, by_image[image][0]) for image in images]) == 0
    assert found(tmp_path)["metrics"] == {
        "BLEU-1": 66.44, "BLEU-2": 46.49, "BLEU-3": 32.2, "BLEU-4": 20.65, "ROUGE-L": 48.56, "CIDEr": 103.06
    }  # fmt: skip
