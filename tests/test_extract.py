import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vlkd_steps import extract, layout
from vlkd_steps.teachers import clip
from vlkd_steps.teachers.store import FeatureStore


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A data set of four pictures, two of them for training, and a tiny CLIP with random weights."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(clip.create("vlkd-scenes", None)[0].state_dict(), "weights.safetensors")
    rows = []
    for number in range(4):
        Image.effect_noise((48, 48), 20 + 40 * number).convert("RGB").save(f"{number}.png")
        rows.append((["learn", "test"][number % 2], f"i{number}", f"{number}.png", f"what color is the {number} star?"))
    layout.instances("toy").parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["split", "image_id", "image_path", "text"], orient="row")
    frame.write_parquet(layout.instances("toy"))
    teacher = {
        "name": "tiny",
        "kind": "clip",
        "model": "vlkd-scenes",
        "weights": "weights.safetensors",
        "device": "cpu",
    }
    return {"teacher": teacher, "dataset": {"name": "toy", "task": "vqa", "roles": {"train": {"split": "learn"}}}}


def run(config, *more: str) -> int:
    return extract.main(["--config", json.dumps(config), *more])


def test_extracts_the_training_rows_with_the_real_model(config) -> None:
    assert run(config, "--log", "logs/extract.log") == 0
    store = FeatureStore.open(layout.features("tiny", "toy"))
    store.verify()
    assert store.manifest["rows"]["image"] == 2
    teacher = clip.load(config["teacher"])
    expected = teacher.embed_images([teacher.load_image(Path(name)) for name in ("0.png", "2.png")])
    np.testing.assert_array_equal(store.images(["i0", "i2"]), expected)
    words, states = store.word_states("what color is the 2 star?")
    assert words == ["what", "color", "is", "the", "2", "star"]
    assert states.shape == (6, 96)
    np.testing.assert_allclose(store.words(["star"]), teacher.embed_texts(["star"])[0], atol=1e-5)
    assert "[extract tiny toy] done" in Path("logs/extract.log").read_text()


def test_the_teachers_own_splits_win(config) -> None:
    config["teacher"]["splits"] = ["learn", "test"]
    assert run(config) == 0
    assert FeatureStore.open(layout.features("tiny", "toy")).manifest["rows"]["image"] == 4


def test_mistakes_end_in_one_message(config, capsys) -> None:
    config["teacher"]["splits"] = ["train"]
    assert run(config) == 2
    assert "has no rows of split train, only learn, test; set the teacher's `splits`" in capsys.readouterr().err
    config["dataset"]["name"] = "absent"
    assert run(config) == 2
    assert "data/instances/absent.parquet is missing; prepare the data set first" in capsys.readouterr().err
