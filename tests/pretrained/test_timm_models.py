import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import timm_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as timm's `save_for_hf` writes it."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", num_classes=3).state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "test_vit", "num_classes": 3, "model_args": {"num_classes": 3},
        "pretrained_cfg": {"num_classes": 3, "input_size": [3, 160, 160], "mean": [0.5, 0.5, 0.5]},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def load(folder: Path, **more: Any) -> Any:
    return timm_models.pretrained(f"local-dir:{folder}", "teacher x", **more)


def test_a_folder_is_read_with_its_allowed_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (folder / "evil.pth").write_bytes(pickle.dumps(3))
    config["pretrained_cfg"] |= {"file": str(folder / "evil.pth"), "url": "http://evil/x.pth", "custom_load": True}
    config["pretrained_cfg"] |= {"hf_hub_id": "evil/x", "source": "hf-hub"}
    config["model_args"] |= {"checkpoint_path": str(folder / "evil.pth"), "cache_dir": "/x", "pretrained": False}
    path.write_text(json.dumps(config))
    made = load(folder)
    assert torch.equal(made.state_dict()["head.weight"], load_file(folder / "model.safetensors")["head.weight"])
    assert made.pretrained_cfg["mean"] == [0.5, 0.5, 0.5]
    assert "state_dict" not in made.pretrained_cfg


def test_a_folder_with_another_normalisation_or_other_arguments_is_described_otherwise(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    found = [timm_models.described(f"local-dir:{folder}")]
    for change in ({"pretrained_cfg": {"mean": [0.1, 0.5, 0.5]}}, {"model_args": {"num_heads": 4}}):
        path.write_text(json.dumps(config | change))
        found.append(timm_models.described(f"local-dir:{folder}"))
    assert len({each["architecture"] for each in found}) == 3
    assert timm_models.described("test_vit") == {}


@pytest.mark.parametrize("features_only", [False, True])
def test_features_come_from_the_file(tmp_path: Path, features_only: bool) -> None:
    """timm loads a model of feature maps without a look at what is missing."""
    torch.manual_seed(0)
    held = timm.create_model("test_resnet").state_dict()
    save_file({f"other.{name}": tensor for name, tensor in held.items()}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"test_resnet cannot be loaded from .*w\.safetensors .*conv1"):
        timm_models.from_file("test_resnet", tmp_path / "w.safetensors", "x", features_only)
    save_file(held, tmp_path / "w.safetensors")
    made = timm_models.from_file("test_resnet", tmp_path / "w.safetensors", "x", features_only)
    assert torch.equal(made.state_dict()["conv1.0.weight"], held["conv1.0.weight"])


def test_what_is_wrong_with_a_folder_is_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = load_file(weights)
    save_file({**whole, "norm.bias": torch.full_like(whole["norm.bias"], torch.nan)}, weights)
    with pytest.raises(UserError, match=r"not finite numbers, first in norm\.bias"):
        load(folder)
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read"):
        load(folder)
    weights.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"holds no \*\.safetensors, and pytorch_model\.bin is not read"):
        load(folder)
    (folder / "config.json").write_text('{"architecture": "evil"}')
    with pytest.raises(UserError, match="architecture is 'evil', which timm does not have"):
        load(folder)


def test_names_are_timms_with_their_tags() -> None:
    for name in [*timm.list_models(), *timm.list_models("resnet*", include_tags=True), "hf-hub:org/model"]:
        timm_models.check_name(name, "model")
    for wrong, nearest in (("resnet101.a1_in1", "'resnet101.a1_in1k'"), ("resnet_101", "'resnet101'")):
        with pytest.raises(UserError, match=f"model '{wrong}' is unknown to timm; did you mean {nearest}"):
            timm_models.check_name(wrong, "model")


def test_weights_that_timm_knows_are_fetched_as_safetensors_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "model.safetensors")

    def fetched(name: str, allow_patterns: list[str], **_: Any) -> str:
        assert name == "timm/resnet10t.c3_in1k"
        assert next(each for each in allow_patterns if "model" in each and "token" not in each) == "model.safetensors"
        assert not [each for each in allow_patterns if each.endswith((".bin", ".pth"))]
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert timm_models.pretrained("resnet10t", "x").num_classes == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrained_cfg": [1]}, r"pretrained_cfg is \[1\], not an object"),
        ({"model_args": "x"}, "model_args is 'x', not an object"),
        ({"model_args": {"in_chans": 1}}, "model_args.in_chans is 1, and images have 3"),
        ({"pretrained_cfg": {"mean": [0.5]}}, r"pretrained_cfg\.mean is \[0\.5\], not three numbers"),
        ({"pretrained_cfg": {"std": [1, 0, 1]}}, r"pretrained_cfg\.std is \[1, 0, 1\], not three numbers above 0"),
        (
            {"pretrained_cfg": {"input_size": [3, 10**6, 10**6]}},
            r"pretrained_cfg\.input_size is .* not the size of an RGB",
        ),
        ({"pretrained_cfg": {"input_size": [1, 32, 32]}}, r"pretrained_cfg\.input_size is .* not the size of an RGB"),
    ],
)
def test_what_timm_would_take_without_a_word_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        load(folder)
