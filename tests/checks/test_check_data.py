import json
from pathlib import Path

import pytest

from vlkd_steps.checks import data
from vlkd_steps.checks.check_result import CheckResult
from vlkd_steps.core import files, layout


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def with_params(text: str) -> dict[str, CheckResult]:
        Path("params.yaml").write_text(text)
        return {finding.subject: finding for finding in data.check()}

    return with_params


GRID = "{dataset: [scenes_vqa, scenes_ve]}"


def params(experiment: str, grid: str = GRID) -> str:
    return f"experiment: {experiment}\ngrid: {grid}\noverrides: {{}}\n"


def test_a_fresh_project_says_what_the_next_run_makes(check) -> None:
    found = check(params("scenes"))
    assert found["experiment"].found == "scenes: 36 runs, composes"
    assert found["scenes (source)"].found == "not generated yet; the next run generates it, nothing is downloaded"
    assert found["scenes_vqa"].found == "not prepared yet; the next run makes it from scenes"
    assert {finding.level for finding in found.values()} == {"ok"}


def test_a_mistake_in_params_is_reported_as_by_snakemake(check) -> None:
    found = check(params("scens"))
    assert list(found) == ["experiment"]
    assert found["experiment"].level == "fail"
    assert "did you mean 'scenes'" in found["experiment"].found


def test_a_download_that_is_complete_and_one_that_lost_files(check) -> None:
    for name in ("a.json", "b.png"):
        files.write_text(layout.raw("scenes") / name, name)
    files.write_json(layout.raw_manifest("scenes"), {"source": "scenes", "files": {"a.json": "0", "b.png": "1"}})
    assert check(params("scenes"))["scenes (source)"].found == "download complete, 2 files in data/raw/scenes"
    (layout.raw("scenes") / "b.png").unlink()
    found = check(params("scenes"))["scenes (source)"]
    assert (found.level, found.found) == ("fail", "1 of 2 checked files are missing, such as b.png")
    layout.raw_manifest("scenes").write_text("{")
    assert check(params("scenes"))["scenes (source)"].level == "fail"


def test_prepared_data_and_their_splits(check) -> None:
    files.write_text(layout.instances("scenes_vqa"), "")
    files.write_text(layout.labels("scenes_vqa"), json.dumps([]))
    files.write_text(layout.train_split("scenes_vqa", 100, 10), "")
    found = check(params("scenes", "{dataset: [scenes_vqa], shot: [100], seed: [10, 11]}"))["scenes_vqa"]
    assert found.found == "prepared, 1 of 6 splits made; the next run makes the others"


def test_data_that_need_a_sign_up_say_where_to_put_them(check) -> None:
    found = check(params("scenes", "{dataset: [snli_ve], variant: [finetune]}"))
    assert found["snli_ve"].level == "ok"
    missing = found["snli_ve (source)"]
    assert missing.level == "fail"
    assert "the folder data/incoming/snli_ve does not exist" in missing.found
    assert "follow https://github.com/necla-ml/SNLI-VE" in missing.found
    assert "put snli_ve_*.jsonl into data/incoming/snli_ve" in missing.remedy
    assert "put flickr30k-images/*.jpg into data/incoming/flickr30k" in found["flickr30k (source)"].remedy
    files.write_text(layout.INCOMING / "snli_ve" / "snli_ve_train.jsonl", "{}")
    assert "1 files in data/incoming/snli_ve; the next run copies them" in {each.found for each in data.check()}


def test_what_comes_from_the_web_or_a_package(check) -> None:
    check(params("scenes", "{dataset: [vqa_v2], variant: [finetune]}"))
    arrived = layout.raw("coco_2014").parent / ".downloads" / "coco_2014" / "train2014.zip.part"
    files.write_text(arrived, "x" * 1000)
    coming = {each.subject: each.found for each in data.check()}
    assert "downloads 2 files from images.cocodataset.org, resuming after 0.00 GiB" in coming["coco_2014 (source)"]
    assert "downloads 4 files from s3.amazonaws.com" in coming["vqa_v2 (source)"]
    found = check(params("easy_vqa", "{dataset: [easy_vqa], variant: [finetune]}"))["easy_vqa (source)"]
    assert found.found == "not downloaded yet; the next run downloads easy-vqa 1.0 by pip"
