"""Sizes and operations counted from configurations, against the models themselves."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import ViltConfig, ViltModel

from vlkd_steps.config import composition
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.planning import shapes
from vlkd_steps.students import vilt


@pytest.fixture(scope="module")
def confs() -> dict:
    names = ("student@students.vilt_scenes=vilt_scenes", "student@students.vilt_b32=vilt_b32",
             "teacher@teachers.clip_vit_b16=clip_vit_b16", "teacher@teachers.clip_scenes=clip_scenes")  # fmt: skip
    return composition._hydra(ConfFiles(), "experiment=scenes_smoke", *[f"+{name}" for name in names])


def test_a_small_students_parameters_and_operations(confs: dict) -> None:
    conf = confs["students"]["vilt_scenes"]
    shape = shapes.student(conf)
    assert shape is not None
    student = vilt.build(conf, "vqa", ["yes", "no"], seed=1)
    true = sum(p.numel() for p in student.vilt.parameters())
    assert shape.parameters() == pytest.approx(true, rel=0.06)  # the letters that spell other words are left out
    tokens = torch.zeros(4, 12, dtype=torch.long)
    images = torch.zeros(4, 3, 48, 48, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        student(Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images=images))
    assert 4 * shape.forward(12) == pytest.approx(counter.get_total_flops(), rel=0.05)  # the head is not in it


def test_published_weights_that_are_not_here(confs: dict) -> None:
    shape = shapes.student(confs["students"]["vilt_b32"])
    assert shape is not None
    with torch.device("meta"):
        true = sum(p.numel() for p in ViltModel(ViltConfig()).parameters())
    assert shape.parameters() == pytest.approx(true, rel=0.005)
    assert shape.visual == 145
    large = shapes.student({"name": "uniter_large", "kind": "uniter"})
    assert large is not None
    assert (large.layers, large.width, large.visual) == (24, 1024, shapes.REGIONS)
    assert large.parameters() == pytest.approx(336e6, rel=0.02)


def test_a_teachers_towers_by_open_clips_own_files(confs: dict) -> None:
    tower = shapes.teacher(confs["teachers"]["clip_vit_b16"])
    assert tower is not None
    assert tower.parameters == pytest.approx(149.6e6, rel=0.01)  # as open_clip's table has it
    assert tower.image == pytest.approx(2 * 17.6e9, rel=0.05)  # 17.6 G multiplications with an addition
    assert shapes.teacher(confs["teachers"]["clip_scenes"]) is None


def test_what_says_too_little_is_not_known() -> None:
    assert shapes.student({"name": "mine", "kind": "mine"}) is None
    assert shapes.teacher({"name": "mine", "kind": "clip", "model": "no-such-model"}) is None
