"""What ships with the package beside code is part of what a result is made of."""

import shutil
from pathlib import Path

import pytest

from vlkd_steps.core import package_assets


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small ones."""
    for name in ("open_clip", "scenes_tokenizer"):
        shutil.copytree(package_assets.ASSETS / name, tmp_path / name)
    (tmp_path / "weights.safetensors").write_text("weights")
    monkeypatch.setattr(package_assets, "ASSETS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("changed", ["open_clip/vlkd-scenes.json", "scenes_tokenizer/tokenizer.json"])
def test_a_clip_follows_its_architecture_and_tokenizer(assets: Path, changed: str) -> None:
    before = package_assets.clip("vlkd-scenes")
    (assets / changed).write_text("{}")
    assert package_assets.clip("vlkd-scenes") != before
    assert package_assets.clip("ViT-B-16") == ""


def test_a_name_is_a_path_in_the_package_and_any_other_is_none(assets: Path) -> None:
    assert package_assets.path("asset:weights.safetensors") == assets / "weights.safetensors"
    assert [package_assets.path(name) for name in (None, "", "openai", "models/x.safetensors")] == [None] * 4


def test_named_weights_follow_their_bytes(assets: Path) -> None:
    before = package_assets.of("asset:weights.safetensors")
    (assets / "weights.safetensors").write_text("other")
    assert package_assets.of("asset:weights.safetensors") != before
    assert package_assets.of("asset:scenes_tokenizer")
    assert [package_assets.of(name) for name in (None, "openai", "asset:none", "weights.safetensors")] == [""] * 4
