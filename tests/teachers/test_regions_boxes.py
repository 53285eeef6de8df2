"""Regions of known boxes: their coordinates, their pixels, and a timm model's features of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from tf32 import rounding

from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.image_file import ImageError
from vlkd_steps.teachers.features.extraction import ImageRef
from vlkd_steps.teachers.regions import region_pooling, regions_boxes
from vlkd_steps.teachers.regions.region_extraction import Regions, named
from vlkd_steps.teachers.regions.regions_boxes import cells

METADATA = {"boxes": [[0, 0, 20, 10, 0.9], [10, 10, 40, 20, 0.8]], "width": 40, "height": 20}


@pytest.fixture(autouse=True)
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageRef:
    """40 x 20 pixels, red on the left and blue on the right."""
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0], pixels[:, 20:, 2] = 255, 255
    Path("images").mkdir()
    Image.fromarray(pixels).save("images/p7.png")
    write(METADATA)
    return ImageRef("i7", Path("images/p7.png"))


def write(metadata: Any) -> None:
    Path("images/p7.json").write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))


def conf(**more: Any) -> dict[str, Any]:
    return {"name": "boxes_toy", "boxes": "metadata", "metadata": "{stem}.json", "pool": 2, **more}


def found(config: dict[str, Any], picture: ImageRef) -> Regions:
    source = regions_boxes.load(config)
    (regions,) = source.regions([source.load(picture)])
    assert regions.features.shape[1] == source.dim
    return regions


def test_boxes_of_metadata_in_their_order_and_the_whole_image(picture: ImageRef) -> None:
    regions = found(conf(whole_image=True), picture)
    half, three = 0.5, 0.75
    expected = [[0, 0, half, half, half, half, 0.25], [0.25, half, 1, 1, three, half, 0.375], [0, 0, 1, 1, 1, 1, 1]]
    np.testing.assert_allclose(regions.locations, expected)
    red = regions.features.reshape(3, 3, 2, 2)[:, 0]
    assert red[0].min() == 1.0  # the left half: all red
    assert red[2, :, 0].min() == 1.0
    assert red[2, :, 1].max() == -1.0


def test_a_grids_cells_row_by_row(picture: ImageRef) -> None:
    assert cells(2).tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    assert found(conf(boxes="grid", grid=3), picture).locations.shape == (9, 7)


def test_an_image_without_boxes_is_one_region(picture: ImageRef) -> None:
    write({"boxes": []})
    assert found(conf(), picture).locations.tolist() == [[0, 0, 1, 1, 1, 1, 1]]
    write({"boxes": [[0, 0, 1, 1]] * 150})
    assert len(found(conf(max_regions=100), picture).features) == 100


def test_a_changed_box_changes_what_the_regions_are_made_from(picture: ImageRef) -> None:
    source = regions_boxes.load(conf())
    before = source.inputs(picture)
    write({**METADATA, "boxes": METADATA["boxes"][:1]})
    assert source.inputs(picture) != before


def test_features_of_a_timm_model_from_a_local_file(picture: ImageRef) -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", pretrained=False)
    save_file(model.state_dict(), "resnet10t.safetensors")
    config = conf(backbone="timm:resnet10t", weights="resnet10t.safetensors", shorter_side=64, pool=3, device="cpu")
    regions = found(config | {"whole_image": True}, picture)
    assert regions.features.shape == (3, 512)
    assert not np.allclose(regions.features[0], regions.features[1])
    shallow = found(config | {"layer": 1}, picture)
    assert shallow.features.shape == (2, 64)
    other = regions_boxes.load(config | {"layer": 1}).identity
    assert other != regions_boxes.load(config).identity


def test_a_gpu_computes_a_backbone_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(timm.create_model("resnet10t").state_dict(), "backbone.safetensors")
    config = conf(backbone="timm:resnet10t", weights="backbone.safetensors", shorter_side=64, device="cpu")
    backbone = region_pooling.create(config)
    assert isinstance(backbone, region_pooling.Timm)
    rounds = rounding(backbone.model, monkeypatch)
    backbone.pooled(Image.new("RGB", (8, 8)), regions_boxes.WHOLE)
    assert rounds == [False]


def test_an_image_too_thin_for_a_backbone_is_named(picture: ImageRef) -> None:
    save_file(timm.create_model("resnet10t").state_dict(), "backbone.safetensors")
    config = conf(boxes="grid", backbone="timm:resnet10t", weights="backbone.safetensors", device="cpu")
    source = regions_boxes.load(config | {"shorter_side": 64})
    Image.new("RGB", (40_000, 1)).save(picture.path)
    with pytest.raises(ImageError, match=r"p7\.png of 40000 x 1 cannot be resized: with 64 pixels on its shorter side"):
        source.load(picture)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("resnet10t", {"layer": 5}, "layer is 5, and resnet10t has 5 maps"),
        ("resnet10t", {"layer": -6}, "layer is -6, and resnet10t has 5 maps"),
        ("test_vit", {}, "test_vit has no feature map of an image of any size .*; name a convolutional model"),
    ],
)
def test_a_backbone_without_such_a_feature_map_is_refused(
    model: str, changes: dict[str, Any], message: str, picture: ImageRef
) -> None:
    save_file(timm.create_model(model).state_dict(), "backbone.safetensors")
    config = conf(backbone=f"timm:{model}", weights="backbone.safetensors", shorter_side=64, device="cpu")
    with pytest.raises(UserError, match=message):
        regions_boxes.load(config | changes)


def test_the_shipped_backbone_is_one_of_timms(picture: ImageRef, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(name: str, **_: Any) -> str:
        raise OSError(f"asked for {name}")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    config = yaml.safe_load((components.ROOT / "conf/teacher/boxes_vcr.yaml").read_text())
    with pytest.raises(UserError, match=r"asked for timm/resnet101\.a1_in1k"):
        regions_boxes.load(config)


@pytest.mark.parametrize(
    ("config", "metadata", "message"),
    [
        (conf(boxes="detected"), METADATA, "boxes is 'detected'; write metadata or grid"),
        (conf(metadata=""), METADATA, "give their name, relative to an image's folder"),
        (conf(metadata="{stem}.txt"), METADATA, "images/p7.txt, the boxes of image 'i7', is missing"),
        (conf(), "{", "images/p7.json is not JSON (line 1, column 2"),
        (conf(), {"boxes": [[1, 2]]}, "images/p7.json: boxes[0]: must be five numbers"),
        (conf(), {"boxes": [[9, 0, 1, 9]]}, "boxes[0]: [9, 0, 1, 9] is empty"),
        (conf(backbone="resnet50"), METADATA, "backbone is 'resnet50'; write pixels or timm:NAME"),
        (conf(backbone="timm:resnet50x"), METADATA, "backbone 'resnet50x' is unknown to timm; did you mean 'resnet50'"),
        (conf(backbone="timm:resnet10t"), METADATA, "needs weights"),
        (conf(backbone="timm:resnet10t", weights="no.pth"), METADATA, "the weights no.pth are missing"),
        (conf(backbone="timm:resnet10t", weights="images/p7.png"), METADATA, "cannot be loaded from images/p7.png"),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], metadata: Any, message: str, picture: ImageRef) -> None:
    write(metadata)
    with pytest.raises(UserError) as error:
        found(config, picture)
    assert message in str(error.value)


def test_a_name_that_an_image_cannot_have_is_refused(picture: ImageRef) -> None:
    assert named("{folder}/{stem}-{number:03d}", picture, "key") == "images/p7-007"
    with pytest.raises(UserError, match=r"key '\{number\}' cannot name image 'x'"):
        named("{number}", ImageRef("x", Path("a/b.png")), "key")
