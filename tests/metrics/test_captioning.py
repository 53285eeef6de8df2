"""Caption metrics: what the package says of its own path, and what is left out when Java does not do its part."""

import os
import shutil
from pathlib import Path

import pytest

from vlkd_steps.core import records
from vlkd_steps.metrics import captioning
from vlkd_steps.metrics.captioning import score

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")

REFERENCES = {1: ["A cat sits.", "The cat!"], 2: ["A dog runs fast now"], 3: ["two red buses"]}
CANDIDATES = {1: "", 2: "a dog runs fast now", 3: "Two buses."}


def test_what_can_be_had_without_java(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("PATH", "")
    found = score(REFERENCES, CANDIDATES)
    assert list(found.metrics) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert found.left_out["METEOR"] == "it needs Java, and there is no java on the PATH"
    assert "SPICE" in found.left_out
    assert capfd.readouterr() == ("", "")


def test_a_java_that_dies_leaves_meteor_out_and_hangs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    captioning._running_meteor.cache_clear()  # a test before may have left one running
    found = score(REFERENCES, CANDIDATES)
    assert found.left_out["METEOR"].startswith("java did not run it (")
    assert found.tokenizer == "Python stand-in for PTBTokenizer"
    assert "CIDEr" in found.metrics
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("candidates", [{}, {1: "a cat"}])
def test_other_images_are_an_error(candidates: dict[int, str]) -> None:
    with pytest.raises(ValueError, match="the same images"):
        score(REFERENCES, candidates)


@needs_java
@pytest.mark.slow
def test_100_real_images_with_java(shared_data: Path) -> None:
    """The first caption of each against its others; golden: COCOEvalCap of pycocoevalcap 1.2 on the same captions."""
    path = shared_data / "coco_captions_text" / "captions_val2017.json.gz"
    captions: dict[int, list[str]] = {}
    for record in records.array(path, "annotations"):
        captions.setdefault(record["image_id"], []).append(record["caption"])
    images = sorted(captions)[:100]
    before = score(REFERENCES, CANDIDATES).metrics["METEOR"]  # by the java that then scores the images
    found = score({image: captions[image][1:] for image in images}, {image: captions[image][0] for image in images})
    assert found.tokenizer == "PTBTokenizer"
    assert {name: value for name, value in found.metrics.items() if name != "SPICE"} == {
        "BLEU-1": 66.44, "BLEU-2": 46.49, "BLEU-3": 32.2, "BLEU-4": 20.65,
        "METEOR": 25.87, "ROUGE-L": 48.56, "CIDEr": 103.06,
    }  # fmt: skip
    assert score(REFERENCES, CANDIDATES).metrics["METEOR"] == before


def test_java_writes_decimal_points_in_every_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de")
    with captioning.english_java():
        given = os.environ["JAVA_TOOL_OPTIONS"].split()
        assert given[0] == "-Duser.language=de"
        assert given[1:] == list(captioning.JAVA_OPTIONS)
    assert os.environ["JAVA_TOOL_OPTIONS"] == "-Duser.language=de"


@needs_java
@pytest.mark.exhaustive
def test_meteor_under_a_locale_with_decimal_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score(REFERENCES, CANDIDATES).metrics["METEOR"]
    captioning._running_meteor.cache_clear()
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE -Duser.language.format=de")
    assert score(REFERENCES, CANDIDATES).metrics["METEOR"] == expected
    captioning._running_meteor.cache_clear()
