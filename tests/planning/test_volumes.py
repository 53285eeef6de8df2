from pathlib import Path

import pytest

from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.source import Source
from vlkd_steps.config.models.teacher import Teacher
from vlkd_steps.planning import volumes

VQA_V2 = Dataset(
    name="vqa_v2",
    task="vqa",
    source="vqa_v2",
    reader="vqa_v2",
    files={name: {"questions": f"{name}.json", "annotations": f"{name}_a.json"} for name in ("train", "test")},
    vocabulary={"minimum": 9, "splits": ["train"]},
    evaluation_sets=["dev", "test"],
    roles={"train": {"split": "train"}, "dev": {"split": "train", "share": 0.1}, "test": {"split": "test"}},
)


@pytest.fixture(autouse=True)
def nothing_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_teacher_reads_training_images_and_one_needed_at_inference_the_evaluation_images_too() -> None:
    volume = volumes.of(VQA_V2, Source(name="vqa_v2", kind="files"))
    assert volume is not None
    assert (volume.train, volume.sets) == (443_757 - 44_376, {"dev": 44_376, "test": 214_354})
    assert volume.shown(Teacher(name="t", kind="k")) == 82_783
    assert volume.shown(Teacher(name="t", kind="k", splits="used")) == 82_783 + 44_376 + 214_354
