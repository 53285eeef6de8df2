import json
import logging
import pickle
from pathlib import Path
from typing import Any

import models
import pytest
import torch
from safetensors.torch import save_file

from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import clip_models
from vlkd_steps.teachers.models import clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return models.clip(tmp_path / "clip")


def teacher(folder: Path) -> clip.ClipTeacher:
    return clip.ClipTeacher({"model": f"local-dir:{folder}"})


def test_a_whole_folder_loads_and_says_how_many_tensors_came(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        made = teacher(folder)
    number = len(made.model.state_dict())
    assert f"{number} of {number} tensors came from the file" in caplog.text
    assert "initialized randomly" not in caplog.text
    assert made.embed_texts(["what color is the star"])[1][0][0] == ["what", "color", "is", "the", "star"]


def test_no_key_of_a_folder_runs_code_or_reaches_a_loader(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    models.armed(folder, tmp_path / "mark")

    def kwargs(config: dict[str, Any]) -> None:
        config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {
            "trust_remote_code": True, "clean": "lower", "tokenizer_file": "/etc/passwd",
        }  # fmt: skip
        config["model_cfg"]["text_cfg"]["hf_model_pretrained"] = True
        config["model_cfg"]["vision_cfg"] |= {"timm_model_pretrained": True, "unknown": 1}
        config["model_cfg"]["cache_dir"] = str(tmp_path)

    models.changed(folder / "open_clip_config.json", kwargs)
    (folder / "config.json").unlink()  # open_clip's folders have none
    with caplog.at_level(logging.INFO, "vlkd_steps"):
        made = teacher(folder)
    assert not (tmp_path / "mark").exists()
    assert made.tokenizer.clean_fn("A  STAR ") == "a star"
    for keys in (
        "tokenizer_kwargs: not read: tokenizer_file",
        "model_cfg.text_cfg: not read: hf_model_pretrained",
        "model_cfg: not read: cache_dir, trust_remote_code",
        "vision_cfg: not read: timm_model_pretrained, unknown",
        "tokenizer_config.json: not read: auto_map",
    ):
        assert keys in caplog.text


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("vision_cfg", "timm_model_name", "local-dir:/tmp/evil", r"timm_model_name is 'local-dir:/tmp/evil', no name"),
        ("vision_cfg", "timm_model_name", "hf-hub:evil/x", "no name of timm's"),
        ("text_cfg", "hf_model_name", "/tmp/evil", "hf_model_name is '/tmp/evil', no name of the hub"),
        ("text_cfg", "hf_tokenizer_name", "../evil", "hf_tokenizer_name is '../evil', no name of the hub"),
        ("vision_cfg", "width", "wide", "open_clip rejects it"),
        ("text_cfg", "heads", 0, "open_clip rejects it"),
    ],
)
def test_towers_from_elsewhere_and_impossible_ones_are_refused(
    folder: Path, part: str, key: str, value: Any, message: str
) -> None:
    models.changed(folder / "open_clip_config.json", lambda config: config["model_cfg"][part].update({key: value}))
    with pytest.raises(UserError, match=message) as error:
        teacher(folder)
    assert "open_clip_config.json" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be JSON of an object"),
        ("{}", "has no model_cfg"),
        ('{"model_cfg": {"embed_dim": 4}}', r"model_cfg\.vision_cfg is missing"),
        (
            '{"model_cfg": {"quick_gelu": "no", "vision_cfg": {}, "text_cfg": {}}}',
            "quick_gelu is 'no', not true or false",
        ),
        (
            '{"model_cfg": {"vision_cfg": {}, "text_cfg": {"tokenizer_kwargs": [1]}}}',
            r"tokenizer_kwargs is \[1\], not an object",
        ),
        (
            '{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": [1]}',
            r"preprocess_cfg is \[1\], not an",
        ),
        (
            '{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": {"std": [0, 0, 0]}}',
            r"preprocess_cfg\.std is \[0, 0, 0\], not three numbers above 0",
        ),
        ('{"model_cfg": {"vision_cfg": 3, "text_cfg": {}}}', r"model_cfg\.vision_cfg is 3, not an object"),
    ],
)
def test_a_configuration_that_describes_no_model_is_named(folder: Path, content: str, message: str) -> None:
    (folder / "open_clip_config.json").write_text(content)
    with pytest.raises(UserError, match=message):
        teacher(folder)


def test_a_hub_model_is_read_as_a_folder_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []

    def fetched(name: str, allow_patterns: list[str], **_: Any) -> str:
        assert name == "org/model"
        wanted.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    models.armed(folder, tmp_path / "mark")
    models.changed(
        folder / "open_clip_config.json",
        lambda config: config["model_cfg"]["text_cfg"].update(tokenizer_kwargs={"trust_remote_code": True}),
    )
    assert clip.ClipTeacher({"model": "hf-hub:org/model"}).dim == 16
    assert not (tmp_path / "mark").exists()
    assert not [name for name in wanted if name.endswith((".py", ".bin", ".pt", "*"))]


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "open_clip_model.pt", "model.ckpt"])
def test_a_pickle_beside_or_instead_of_safetensors_is_not_read(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Evil(tmp_path / "mark")))
    teacher(folder)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(UserError, match=rf"holds no \*\.safetensors, and {name} is not read"):
        teacher(folder)
    save_file({"dummy": torch.zeros(1)}, folder / "a.safetensors")
    with pytest.raises(UserError, match=r"a\.safetensors .*0 of \d+ tensors came|a\.safetensors holds the weights of"):
        teacher(folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: {f"x.{name}": tensor for name, tensor in held.items()}, "is not there"),
        (lambda held: {name: t for name, t in held.items() if name != "ln_final.bias"}, r"ln_final\.bias is not there"),
        (lambda held: {**held, "extra": torch.zeros(1)}, "no tensor extra"),
        (lambda held: {**held, "ln_final.bias": torch.zeros(3)}, r"ln_final\.bias"),
        (lambda held: {**held, "ln_final.bias": torch.full((16,), torch.inf)}, r"not finite numbers, first in ln"),
    ],
)
def test_weights_that_were_not_loaded_are_named(folder: Path, change: Any, message: str) -> None:
    models.reweighted(folder / "open_clip_model.safetensors", change)
    with pytest.raises(UserError, match=message) as error:
        teacher(folder)
    assert f"{folder}/open_clip_model.safetensors" in str(error.value)


def test_a_folder_without_its_tokenizer_is_refused(folder: Path) -> None:
    for name in ("vocab.txt", "tokenizer.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match="holds no tokenizer"):
        teacher(folder)


def test_a_cased_tokenizer_keeps_capitals_where_its_configuration_does_not_say_so(folder: Path) -> None:
    models.changed(folder / "tokenizer.json", lambda whole: whole["normalizer"].update(lowercase=False))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    found = clip.tokenizer(f"local-dir:{folder}").tokenizer
    assert found.tokenize("What color") == ["[UNK]", "color"]


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    def smaller(config: dict[str, Any]) -> None:
        config["model_cfg"]["text_cfg"]["vocab_size"] = 9

    models.changed(folder / "open_clip_config.json", smaller)
    held = {"token_embedding.weight": torch.zeros(9, 16)}
    models.reweighted(folder / "open_clip_model.safetensors", lambda old: old | held)
    with pytest.raises(UserError, match="numbers tokens up to 14 and the model has vectors for 9"):
        teacher(folder)


def test_a_text_tower_of_the_hub_is_built_from_its_allowed_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CLIP whose configuration names another repository for its text tower: its code is not run either."""
    tower = models.bert(tmp_path / "tower")
    models.armed(tower, tmp_path / "mark")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tower))
    config = {"embed_dim": 16, "vision_cfg": models.CLIP["vision_cfg"], "text_cfg": {"hf_model_name": "org/tower"}}
    config["text_cfg"] |= {"hf_tokenizer_name": "org/tower", "hf_proj_type": "linear"}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    described = clip_models.described(f"local-dir:{tmp_path}")
    built, _ = clip_models.build(described)
    assert type(built.text.transformer).__name__ == "BertModel"
    assert not (tmp_path / "mark").exists()
