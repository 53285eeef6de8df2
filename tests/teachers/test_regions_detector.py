"""A torchvision detector with weights from a file: real forward passes, the official number of regions."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from tf32 import rounding

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


def test_a_gpu_computes_in_fp32(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = regions_detector.load(conf(weights))
    rounds = rounding(source.model, monkeypatch)
    source.regions([torch.zeros(3, 40, 60, dtype=torch.uint8)])
    assert rounds == [False]


def test_an_image_too_thin_for_the_detector_is_named(weights: Path, tmp_path: Path) -> None:
    source = regions_detector.load(conf(weights))
    for width in (source.longest - 1, source.longest):
        Image.new("RGB", (width, 1)).save(tmp_path / f"{width}.png")
    assert len(source.regions([source.load(ImageRef("7", tmp_path / f"{source.longest - 1}.png"))])) == 1
    with pytest.raises(UserError, match=rf"{source.longest}\.png of {source.longest} x 1 cannot be resized"):
        source.load(ImageRef("7", tmp_path / f"{source.longest}.png"))


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


def test_a_file_of_a_detector_whose_batch_norms_were_frozen(weights: Path, tmp_path: Path) -> None:
    held = torch.load(weights)
    path = tmp_path / "frozen.pth"
    torch.save({name: tensor for name, tensor in held.items() if not name.endswith("num_batches_tracked")}, path)
    whole, frozen = (regions_detector.load(conf(file)).identity["weights"] for file in (weights, path))
    assert frozen == whole


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("unpickled",))


@pytest.mark.parametrize("content", [Evil(), None])
def test_what_torchvision_has_fetched_is_read_as_tensors_alone(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    url = torchvision.models.get_model_weights(MODEL)["COCO_V1"].url
    path = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(content, path) if content else path.write_bytes(b"PK cut")
    with pytest.raises(UserError, match=r"COCO_V1.*delete (it|its file)") as error:
        regions_detector.load(conf(Path("COCO_V1")))
    assert str(tmp_path) in str(error.value)
    assert "unpickled" not in capsys.readouterr().out
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "0"


def test_mistakes_are_named(weights: Path, tmp_path: Path) -> None:
    for config, message in [
        (conf(weights, model="yolo"), "model is 'yolo'; torchvision's Faster R-CNNs are fasterrcnn_mobilenet"),
        (conf(weights) | {"weights": None}, "needs weights"),
        (conf(tmp_path / "none.pth"), "none.pth are missing"),
        (conf(weights, classes=7), "holds the weights of another model"),
        (conf(weights) | {"weights": "COCO_V9"}, "put the file there, or name COCO_V1"),
    ]:
        with pytest.raises(UserError) as error:
            regions_detector.load(config)
        assert message in str(error.value)
