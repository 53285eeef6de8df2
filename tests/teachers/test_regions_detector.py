"""A torchvision detector with weights from a file: real forward passes, the official number of regions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.extraction import ImageRef
from vlkd_steps.teachers.regions import regions_detector
from vlkd_steps.teachers.regions.regions_detector import chosen

MODEL = "fasterrcnn_mobilenet_v3_large_320_fpn"


def test_those_that_are_sure_stay_the_surest_first() -> None:
    apart = torch.tensor([[10.0 * i, 0.0, 10.0 * i + 5, 5.0] for i in range(6)])
    sure = torch.tensor([0.1, 0.9, 0.3, 0.8, 0.25, 0.05])
    scores = torch.stack([sure, torch.zeros(6)], dim=1)
    assert chosen(apart, scores, 0.2, 1, 10, 0.3).tolist() == [1, 3, 2, 4]
    assert chosen(apart, scores, 0.2, 5, 10, 0.3).tolist() == [1, 3, 2, 4, 0]
    assert chosen(apart, scores, 0.2, 1, 2, 0.3).tolist() == [1, 3]
    over = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]])
    assert chosen(over, torch.tensor([[0.5, 0.1], [0.6, 0.1]]), 0.2, 1, 9, 0.3).tolist() == [1]
    assert chosen(over, torch.tensor([[0.5, 0.1], [0.1, 0.6]]), 0.2, 1, 9, 0.3).tolist() == [1, 0]  # other classes


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("detector") / "weights.pth"
    torch.save(
        torchvision.models.get_model(MODEL, weights=None, weights_backbone=None, num_classes=5).state_dict(), path
    )
    return path


def conf(weights: Path, **more: Any) -> dict[str, Any]:
    return {"name": "det", "model": MODEL, "weights": str(weights), "classes": 5, "device": "cpu", **more}


def test_regions_of_a_real_detector(weights: Path, tmp_path: Path) -> None:
    for number, size in enumerate([(60, 40), (30, 50)]):
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"{number}.png")
    pictures = [ImageRef(str(number), tmp_path / f"{number}.png") for number in range(2)]
    source = regions_detector.load(conf(weights, min_regions=4, max_regions=6, overlap=0.9))
    found = source.regions([source.load(picture) for picture in pictures])
    again = source.regions([source.load(picture) for picture in pictures])
    for regions, other in zip(found, again, strict=True):
        assert 4 <= len(regions.features) <= 6
        assert regions.features.shape[1] == source.dim == 1024
        places = regions.locations
        assert places.min() >= 0
        assert places[:, :4].max() <= 1
        np.testing.assert_allclose(places[:, 2] - places[:, 0], places[:, 4], atol=1e-6)
        np.testing.assert_allclose(places[:, 4] * places[:, 5], places[:, 6], atol=1e-6)
        np.testing.assert_array_equal(regions.features, other.features)


def test_mistakes_are_named(weights: Path, tmp_path: Path) -> None:
    for config, message in [
        (conf(weights, model="yolo"), "model is 'yolo'; torchvision's Faster R-CNNs are fasterrcnn_mobilenet"),
        (conf(weights) | {"weights": None}, "needs weights"),
        (conf(tmp_path / "none.pth"), "none.pth are missing"),
        (conf(weights, classes=7), "cannot be loaded from"),
        (conf(weights) | {"weights": "COCO_V9"}, "cannot be loaded from COCO_V9"),
    ]:
        with pytest.raises(UserError) as error:
            regions_detector.load(config)
        assert message in str(error.value)
