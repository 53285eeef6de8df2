import json
import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sealed import seal
from toy_pretraining import CLIP_RECIPE

from vlkd_steps.core import layout, locks
from vlkd_steps.runs import model_dir, pretrain_clip
from vlkd_steps.steps import pretrain
from vlkd_steps.teachers.models import clip


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured = {"colour": 0.5, "shape": 0.5, "mean": 0.5}
    monkeypatch.setattr(pretrain_clip.zero_shot, "scenes_accuracy", lambda model, tokenizer: measured)


def train(name: str, **changes) -> int:
    config = {"model": {"name": name, "kind": "clip", "model": "vlkd-scenes", "pretrain": {**CLIP_RECIPE, **changes}}}
    return pretrain.main(["--config", json.dumps(config)])


def tensors(name: str) -> dict[str, torch.Tensor]:
    return load_file(layout.model_weights(name))


def test_trains_writes_half_precision_and_a_curve_and_loads_as_a_teacher() -> None:
    assert train("a") == 0
    assert {tensor.dtype for tensor in tensors("a").values()} == {torch.float16, torch.int64}
    curve = json.loads((layout.model("a") / "curve.json").read_text())
    assert [point["step"] for point in curve] == [5]
    assert curve[0]["loss"] > 0
    assert not (layout.model("a") / "work" / "last.safetensors").exists()
    teacher = clip.load({"model": "vlkd-scenes", "weights": str(layout.model_weights("a")), "device": "cpu"})
    assert teacher.embed_texts(["a red star"])[0].shape == (1, 128)


def test_same_recipe_same_bytes_and_another_seed_other_weights() -> None:
    train("a")
    train("b")
    train("c", seed=6)
    assert layout.model_weights("a").read_bytes() == layout.model_weights("b").read_bytes()
    assert layout.model_weights("a").read_bytes() != layout.model_weights("c").read_bytes()


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_after_a_signal_it_saves_and_resumes_to_the_same_bytes(monkeypatch, stop_after: int) -> None:
    train("whole")
    steps = []

    def log_event(self, state, loss) -> None:
        steps.append(state["done"])
        if len(steps) == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pretrain_clip.Progress, "log_event", log_event)
    with pytest.raises(SystemExit) as ended:
        train("whole2")
    assert ended.value.code == 143
    assert not layout.model_weights("whole2").exists()
    train("whole2")
    assert steps == [1, 2, 3, 4, 5], "nothing is computed twice"
    assert layout.model_weights("whole2").read_bytes() == layout.model_weights("whole").read_bytes()


def test_a_kill_before_the_result_is_kept_costs_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise SystemExit(137)

    with monkeypatch.context() as patched:
        patched.setattr(model_dir, "keep", killed)
        with pytest.raises(SystemExit):
            train("a")
    steps: list[int] = []
    monkeypatch.setattr(pretrain_clip.Progress, "log_event", lambda self, state, loss: steps.append(state["done"]))
    assert train("a") == 0
    assert steps == []
    assert not (layout.model("a") / "work" / "last.safetensors").exists()


def test_the_checkpoint_stays_if_it_is_to_be_resumable() -> None:
    assert train("a", keep="resumable") == 0
    assert (layout.model("a") / "work" / "last.safetensors").exists()


def test_a_folder_in_which_another_process_trains_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with locks.exclusive(layout.model("a") / "work" / "lock"):
        assert train("a") == 2
        assert "models/a is in use by another process (process " in capsys.readouterr().err
        assert not (layout.model("a") / "work" / "last.safetensors").exists()
    assert train("a") == 0


def test_only_one_process_at_a_time_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str | None] = []

    def publish(self: model_dir.ModelDir) -> None:
        with locks.exclusive(self.folder / "work" / "lock") as holder:
            published.append(holder)

    monkeypatch.setattr(model_dir.ModelDir, "publish", publish)
    assert train("a") == 0
    assert published[0] is not None


def test_starts_from_another_teacher_and_trains_on_a_data_set_of_captions() -> None:
    train("base", dtype="float32")
    rows = []
    for number in range(8):
        path = Path(f"{number}.png")
        Image.new("RGB", (60, 60), (number * 30, 50, 90)).save(path)
        rows.append((f"c{number}", "adapt", str(path), ["a red circle", "a blue star"][number % 2]))
    layout.instances("toy").parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["instance_id", "split", "image_path", "text"], orient="row")
    frame.write_parquet(layout.instances("toy"))
    seal()
    adapt = {"stream": None, "init": "base", "corpus": "toy", "split": "adapt", "batch_size": 4, "steps": 1}
    assert train("adapted", **adapt, learning_rate=1e-9, dtype="float32") == 0
    assert train("adapted2", **adapt, learning_rate=1e-2, dtype="float32") == 0
    base, still, moved = tensors("base"), tensors("adapted"), tensors("adapted2")
    torch.testing.assert_close(still["text_projection"], base["text_projection"], atol=1e-6, rtol=0)
    assert (moved["text_projection"] - base["text_projection"]).abs().max() > 1e-3


class Fixed(torch.nn.Module):
    """A CLIP whose features are its input, scaled to length 1."""

    logit_scale = torch.tensor(np.log(10.0))

    def encode_image(self, images: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        return torch.nn.functional.normalize(images, dim=1)

    encode_text = encode_image


def test_the_loss_is_the_symmetric_cross_entropy_of_each_image_and_its_own_text() -> None:
    images, texts = (np.random.default_rng(seed).normal(size=(3, 4)) for seed in (0, 1))
    found = pretrain_clip.Contrast(Fixed())(torch.tensor(images), torch.tensor(texts))
    v, t = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (images, texts))
    similar = 10 * v @ t.T
    to_text, to_image = (np.log(np.exp(each).sum(1)) - np.diag(each) for each in (similar, similar.T))
    assert found.item() == pytest.approx((to_text.mean() + to_image.mean()) / 2)


def test_the_schedule_warms_up_and_ends_near_zero() -> None:
    recipe = {"warmup": 0.1, "steps": 100, "learning_rate": 2.0}
    rates = [pretrain_clip.learning_rate(step, recipe) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[99] < 0.001


def test_gains_biases_and_the_scale_are_not_decayed() -> None:
    model, _ = clip.create("vlkd-scenes", None)
    decayed, free = pretrain_clip.parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert any(parameter is model.logit_scale for parameter in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


def test_an_unknown_kind_is_refused(capsys) -> None:
    config = {"model": {"name": "x", "kind": "clop"}}
    assert pretrain.main(["--config", json.dumps(config)]) == 2
    assert "model x: there is no pretraining 'clop'; did you mean 'clip'?" in capsys.readouterr().err
