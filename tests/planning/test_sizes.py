"""Sizes and operations, against papers, model cards and the models with their weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, ViltConfig

from vlkd_steps.config import conf_files
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.planning import sizes
from vlkd_steps.students import vilt
from vlkd_steps.teachers.models import clip


@pytest.fixture(scope="module")
def confs() -> dict[str, Any]:
    """Every shipped student and teacher, by name."""
    conf = conf_files.ConfFiles([conf_files.PACKAGED])
    return {name: conf.merged(group, name) for group in ("student", "teacher") for name in conf.options(group)}


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("vilt_b32", 111_595_008),  # the tensors of dandelin/vilt-b32-mlm without its MLM head
        ("uniter_base", 110e6), ("uniter_large", 336e6),  # BERT's 110 M and 336 M with region layers for segments
        ("villa_base", 110e6), ("villa_large", 336e6),
        ("visual_bert", 111.4e6),
        ("bart_base", 139e6), ("bart_large", 406e6),  # the authors' table: 140 M and 400 M
    ],
)  # fmt: skip
def test_parameters_of_published_students(confs: dict[str, Any], name: str, published: float) -> None:
    size = sizes.student(confs[name])
    assert size is not None
    assert size.parameters == pytest.approx(published, rel=0.01)


BASE, LARGE = (2 * 12 * 16 * (12 * width**2 + 2 * 16 * width) for width in (512, 768))
"""CLIP's text towers on 16 of their 77 positions."""


@pytest.mark.parametrize(
    ("name", "parameters", "image", "text", "width"),
    [
        ("clip_vit_b32", 151.28e6, 2 * 4.40e9, BASE, 512),  # open_clip's table
        ("clip_vit_b16", 149.62e6, 2 * 17.57e9, BASE, 512),
        ("clip_vit_l14", 427.62e6, 2 * 81.03e9, LARGE, 768),
        ("clip_vit_b16_patches", 85.80e6, 2 * 17.57e9, 0, 768),  # the tower of CLIP without its projection
        ("efficientnet_lite0", 4_652_008 - 1000 * 1281, 2 * 0.384e9, 0, 1280),  # timm's table less the classifier
        ("roberta_base", 125e6, 0, 2 * 12 * 16 * (12 * 768**2 + 2 * 16 * 768), 768),
        ("minilm_l6", 22.7e6, 0, 2 * 6 * 16 * (12 * 384**2 + 2 * 16 * 384), 384),
    ],
)
def test_published_teachers(
    confs: dict[str, Any], name: str, parameters: float, image: float, text: float, width: int
) -> None:
    size = sizes.teacher(confs[name])
    assert size is not None
    assert size.parameters == pytest.approx(parameters, rel=0.005)
    assert size.image == pytest.approx(image, rel=0.01)
    assert size.text == pytest.approx(text, rel=0.01)
    assert (size.width, size.grid) == (width, 196 * 768 if name.endswith("patches") else 0)


def test_every_shipped_student_is_counted_and_every_teacher_but_extractors_of_regions(confs: dict[str, Any]) -> None:
    for name, conf in confs.items():
        if "regions" in conf["kind"]:
            assert sizes.teacher(conf) is None
        elif conf["kind"] in ("clip", "vision", "text"):
            assert sizes.teacher(conf), name
        else:
            size = sizes.student(conf)
            assert size, name
            assert (size.operations is None) is (conf["kind"] == "bart")


def test_a_student_counts_as_the_one_with_weights(confs: dict[str, Any]) -> None:
    size = sizes.student(confs["vilt_scenes"], 12)
    assert size is not None
    real = vilt.build(confs["vilt_scenes"], "vqa", ["yes", "no"], seed=1)
    assert size.parameters == sum(p.numel() for p in real.vilt.parameters())
    assert size.visual == 9
    tokens = torch.zeros(4, 12, dtype=torch.long)
    images = torch.zeros(4, 3, 48, 48, dtype=torch.uint8)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # the CPU's own is not counted
        real(Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images=images))
    assert 4 * size.operations == counter.get_total_flops()


def test_a_teacher_counts_as_the_one_with_weights(confs: dict[str, Any]) -> None:
    size = sizes.teacher(confs["clip_scenes"])
    real = clip.load({**confs["clip_scenes"], "device": "cpu"})
    assert size is not None
    assert (size.width, size.parameters) == (real.dim, sum(p.numel() for p in real.model.parameters()))
    [(_, states)] = real.embed_texts(["a red circle"])[1]
    assert size.text_width == states.shape[1]


def test_a_folder_of_weights_is_read_for_its_configuration_alone(tmp_path: Path, confs: dict[str, Any]) -> None:
    ViltConfig(num_hidden_layers=3).save_pretrained(tmp_path / "vilt")
    small = sizes.student({**confs["vilt_b32"], "weights": str(tmp_path / "vilt")})
    whole = sizes.student(confs["vilt_b32"])
    assert small is not None
    assert whole is not None
    assert whole.parameters - small.parameters == 9 * (12 * 768**2 + 13 * 768)
    BertConfig().save_pretrained(tmp_path / "bert")
    bert = sizes.teacher({"name": "bert", "kind": "text", "model": str(tmp_path / "bert")})
    assert bert is not None
    assert bert.parameters == pytest.approx(110e6, rel=0.01)
    assert sizes.student({**confs["vilt_b32"], "weights": str(tmp_path / "bert")}) is None


def test_a_text_longer_than_a_student_reads_is_cut(confs: dict[str, Any]) -> None:
    assert sizes.student(confs["vilt_b32"], 45) == sizes.student(confs["vilt_b32"], 40)
    assert sizes.student(confs["vilt_b32"], 40) != sizes.student(confs["vilt_b32"], 39)


def test_what_says_too_little_is_not_known(confs: dict[str, Any]) -> None:
    assert sizes.student({"name": "mine", "kind": "mine"}) is None
    assert sizes.student({**confs["vilt_b32"], "weights": "no/such-model"}) is None
    assert sizes.student({**confs["vilt_scenes"], "vocabulary": "not_here.txt"}) is None
    assert sizes.teacher({"name": "mine", "kind": "clip", "model": "no-such-model"}) is None
    assert sizes.teacher({"name": "mine", "kind": "clip", "model": "hf-hub:org/model"}) is None
    assert sizes.teacher({"name": "mine", "kind": "vision", "model": "no_such_model"}) is None
    assert sizes.teacher({"name": "mine", "kind": "text", "model": "no/such-model"}) is None
