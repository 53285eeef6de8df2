import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.models import vision


@pytest.fixture(scope="module")
def weights(tmp_path_factory: Any) -> Path:
    """Random weights of timm's smallest EfficientNet, one file as timm names them, one as another library would."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    state = timm.create_model("test_efficientnet").state_dict()
    save_file(state, folder / "own.safetensors")
    torch.save({"state_dict": state}, folder / "own.pth")
    theirs = {f"_layer{i}.{name.rsplit('.', 1)[-1]}": v for i, (name, v) in enumerate(state.items())}
    torch.save(theirs, folder / "their.pth")
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "p.png"
    Image.effect_noise((60, 40), 80).save(path)  # grey, and no square
    return path


def teacher(folder: Path, file: str = "own.safetensors", **more: Any) -> vision.VisionTeacher:
    conf = {"name": "tiny", "model": "test_efficientnet", "weights": str(folder / file), "image_size": 64}
    return vision.VisionTeacher(conf | more)


def test_v_is_the_models_pooled_feature_and_patches_its_last_map(weights: Path, picture: Path) -> None:
    made = teacher(weights, patches=True)
    assert made.kinds == ("image", "patch")
    pixels = made.load_image(picture)
    assert (pixels.shape, pixels.dtype) == ((3, 64, 64), torch.uint8)
    v, patches = made.embed_patches([pixels, pixels])
    assert v.shape == (2, made.dim)
    np.testing.assert_array_equal(v, made.embed_images([pixels, pixels]))
    own = timm.create_model("test_efficientnet", num_classes=0).eval()
    own.load_state_dict(made.model.state_dict())
    normalised = vision.transform(own, {"name": "tiny", "image_size": 64})(Image.open(picture).convert("RGB"))
    with torch.inference_mode():
        expected = own.forward_features(normalised.expand(2, -1, -1, -1))
    assert patches.shape == (2, expected.shape[2] * expected.shape[3], expected.shape[1])
    np.testing.assert_allclose(patches[0, 1], expected[0, :, 0, 1], rtol=1e-5)  # row by row
    np.testing.assert_allclose(v, expected.mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_a_transformers_patches_leave_the_class_token_out(tmp_path: Path, picture: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    made = teacher(tmp_path, "vit.safetensors", model="test_vit", patches=True)
    _, patches = made.embed_patches([made.load_image(picture)])
    assert patches.shape == (1, 16, made.dim)


def test_files_of_all_kinds_give_the_same_teacher(weights: Path, picture: Path) -> None:
    first = teacher(weights)
    assert "architecture" not in first.identity  # timm's name says it, and stores made before stay
    v = first.embed_images([first.load_image(picture)])
    for file in ("own.pth", "their.pth"):
        other = teacher(weights, file)
        assert other.identity == first.identity
        np.testing.assert_array_equal(other.embed_images([other.load_image(picture)]), v)
    assert teacher(weights, crop="centre").identity["transform"] != first.identity["transform"]
    assert teacher(weights, patches=True).identity != first.identity  # another content key


def test_what_a_folder_says_of_its_model_is_in_the_identity(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit", num_classes=3).state_dict(), tmp_path / "model.safetensors")
    said: dict[str, Any] = {"architecture": "test_vit", "num_classes": 3, "pretrained_cfg": {}}
    identities = []
    for arguments in ({}, {"num_heads": 4}, {"num_heads": 4}):  # the same weights fit
        (tmp_path / "config.json").write_text(json.dumps(said | {"model_args": arguments}))
        identities.append(vision.VisionTeacher({"name": "tiny", "model": f"local-dir:{tmp_path}"}).identity)
    assert identities[0] != identities[1] == identities[2]


def test_a_deeper_models_file_is_refused_and_what_was_trained_beside_the_encoder_is_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = timm.create_model("test_vit").state_dict()
    deeper = {
        name.replace("blocks.5", "blocks.6"): tensor.clone() for name, tensor in state.items() if "blocks.5" in name
    }
    assert deeper
    save_file({**state, **deeper}, tmp_path / "deeper.safetensors")
    with pytest.raises(UserError, match=r"no tensor blocks\.6\.attn\.proj\.bias, one of 12 such"):
        teacher(tmp_path, "deeper.safetensors", model="test_vit")
    beside = {"decoder.weight": torch.zeros(2), "head.layers.0.weight": torch.zeros(2)}
    save_file({**state, **beside}, tmp_path / "beside.safetensors")
    save_file(state, tmp_path / "own.safetensors")
    files = ("own.safetensors", "beside.safetensors")
    assert len({teacher(tmp_path, file, model="test_vit").identity["weights"] for file in files}) == 1


def test_a_file_may_have_what_timm_computes(tmp_path: Path) -> None:
    """LeViT's indices of its attention biases, which other libraries save."""
    model = timm.create_model("levit_128s")
    computed = dict(model.named_buffers()).keys() - model.state_dict().keys()
    assert computed
    held = {**model.state_dict(), **{name: dict(model.named_buffers())[name] for name in computed}}
    assert vision.fitting(held, model, "a file").keys() == model.state_dict().keys()


def test_a_model_with_two_classifiers_takes_a_file_of_other_classes_or_none(tmp_path: Path) -> None:
    model = "deit_tiny_distilled_patch16_224"
    for number, classes in enumerate((10, 0)):
        save_file(timm.create_model(model, num_classes=classes).state_dict(), tmp_path / f"{number}.safetensors")
        assert vision.create({"name": "deit", "model": model, "weights": str(tmp_path / f"{number}.safetensors")})


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("unpickled",))


def test_mistakes_are_named(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(Evil(), tmp_path / "evil.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"1234567890")
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "resnet.safetensors")
    for change, message in (
        ({"model": "test_eficientnet"}, "model 'test_eficientnet' is unknown to timm; did you mean 'test_efficientnet"),
        ({"weights": str(tmp_path / "none.pth")}, r"none\.pth are missing; put the file there"),
        ({"weights": str(tmp_path / "x.onnx")}, r"neither \.safetensors nor \.pth"),
        ({"weights": str(tmp_path / "evil.pth")}, r"evil\.pth cannot be read as tensors by name"),
        ({"weights": str(tmp_path / "cut.safetensors")}, "cannot be read as tensors by name"),
        ({"weights": str(tmp_path / "resnet.safetensors")}, "holds the weights of another model: .* is not there"),
        ({"crop": "center"}, "crop is 'center'; write whole or centre"),
        ({"package": "no-such-package-here"}, "pip install no-such-package-here"),
    ):
        with pytest.raises(UserError, match=message):
            teacher(weights, **change)
    assert "unpickled" not in capsys.readouterr().out
