"""A tracker reads the reference of an experiment without composing it."""

from pathlib import Path

import pytest

from vlkd_steps.config import preset_reference
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError


@pytest.mark.parametrize(
    ("params", "experiment", "reference"),
    [
        ("experiment: scenes", "scenes_vlkd", "bart"),
        ("experiment: scenes", "scenes_ablation", "finetune"),  # inherited
        ("{experiment: scenes, overrides: {reference: naive_kd}}", "scenes", "naive_kd"),
        ("{experiment: scenes, overrides: {reference: naive_kd}}", "scenes_ablation", "finetune"),
        ("{experiment: scenes_vlkd, overrides: {training.stepz: 3}}", "scenes_vlkd", "bart"),  # another's mistake
        ("{experiment: scenes_vlkd, overrides: {reference: preset}}", "scenes_vlkd", "bart"),  # changes nothing
        ("experiment: scenes", "a_preset_of_once", None),
        ("experiment: scenes", "scenes_tune", "finetune_learning_rate_0p002"),  # a label, and its runs' name
        ("{experiment: scenes_tune, overrides: {training.stepz: 3}}", "scenes_tune", "finetune[learning_rate=0.002]"),
    ],
)
def test_the_preset_says_it_and_params_yaml_may_change_it(
    tmp_path: Path, params: str, experiment: str, reference: str | None
) -> None:
    files.write_text(tmp_path / "params.yaml", params)
    assert preset_reference.of(experiment, tmp_path / "params.yaml") == reference


def test_without_a_project_there_is_none_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert preset_reference.of("scenes", tmp_path / "params.yaml") is None
    files.write_text(tmp_path / "params.yaml", "{experiment: scenes, conf: [nowhere]}")
    with pytest.raises(UserError, match="nowhere"):
        preset_reference.of("scenes", tmp_path / "params.yaml")


def test_a_preset_of_ones_own_is_read(tmp_path: Path) -> None:
    files.write_text(tmp_path / "params.yaml", "{experiment: mine, conf: [conf]}")
    own = "# @package _global_\ndefaults: [scenes, _self_]\nreference: naive_kd\n"
    files.write_text(tmp_path / "conf/experiment/mine.yaml", own)
    assert preset_reference.of("mine", tmp_path / "params.yaml") == "naive_kd"
